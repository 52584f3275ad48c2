"""max_value: the mean of a measured quantity must stay below a limit. Pure.

Why: drift in nats or the length of answers has no right and wrong, and may have no largest value.
Example: `rule: max_value`, `limit: 0.5` on kl passes when all of 0.31 to 0.42 lies below 0.5.
Formula: upper end of the interval of the candidate's mean (`level_interval`: t over cluster means), one-sided at the
suite's alpha. A metric whose values all turn out to be 0 or 1 has the exact interval of a rate.
"""

from typing import Literal

from pydantic import Field

from eval.contracts.gate import Gate, Measured, Terms
from eval.gates.comparisons import Pairs
from eval.gates.kinds.rates import measured_rate
from eval.run.metrics import Comparison


class MaxValue(Gate):
    """For a measured quantity (drift, length). Passes when the upper bound of the candidate's mean is below `limit`."""

    rule: Literal["max_value"]
    limit: float = Field(description="highest mean of the candidate that may be published, in the metric's unit")

    good = "below"
    quantity = True

    @property
    def threshold(self) -> float:
        return self.limit

    def measure(self, pairs: Pairs, comparison: Comparison, terms: Terms) -> Measured:
        if comparison.binary:
            return measured_rate(pairs, comparison, terms)
        return Measured(comparison.candidate, comparison.candidate_interval)

    def unsuited(self, of: str, rate: bool) -> str:
        return f"rule max_value is for quantities, and {of} is 0 or 1: use max_rate" if rate else ""

    def not_sequential(self) -> str:
        return "a metric without bounds"
