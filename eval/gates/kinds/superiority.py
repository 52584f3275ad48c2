"""superiority: the candidate has to be better by more than `min_gain`. Pure.

Why: a model that is not better is not worth publishing, however safe it is.
Example: `rule: superiority`, `min_gain: 0.05` on executes_equal passes when all of, say, +14.2 to +23.3 points lies
above +5.0, fails when all of it lies below, and is inconclusive when it contains +5.0.
Formula: one-sided test of difference <= min_gain at the suite's alpha, by the interval of eval/gates/kinds/paired.py.
"""

from typing import Literal

from pydantic import Field

from eval.gates.kinds.paired import PairedGate
from eval.run.metrics import PowerRow


class Superiority(PairedGate):
    """Passes when the whole interval of the difference lies above `min_gain`, fails when it lies below."""

    rule: Literal["superiority"]
    min_gain: float = Field(
        ge=0,
        lt=1,
        description="smallest gain worth publishing, in the metric's unit; a loss has rule noninferiority",
    )

    threshold_name = "smallest gain"

    @property
    def threshold(self) -> float:
        return self.min_gain

    def sees_text(self, row: PowerRow, power: float) -> str:
        gain = self.threshold + (row.detectable or 0.0)
        return f"passes from a true gain of {100 * gain:.1f} points in {power:.0%} of runs"
