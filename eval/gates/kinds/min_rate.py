"""min_rate: something must be usual, whatever the baseline does. Pure.

Why: a gain over a useless base can still be useless.
Example: `rule: min_rate`, `limit: 0.9` on syntax_valid passes with 99.0 %, at least 96.2 %; 20 right of 20 do not.
Formula: lower end of the exact interval of eval/gates/kinds/rates.py, one-sided at the suite's alpha, above `limit`.
"""

from typing import Literal

from pydantic import Field

from eval.gates.kinds.rates import HALF, RateGate


class MinRate(RateGate):
    """For what must be usual. Passes when the lower bound of the candidate's own rate lies above `limit`."""

    rule: Literal["min_rate"]
    limit: float = Field(gt=0, lt=1, description="lowest rate of the candidate that may be published")

    def lets_through(self) -> str:
        return f"passes a rate of {100 * self.limit:g} %" if self.limit < HALF else ""
