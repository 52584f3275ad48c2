"""no_hard_break: named items that must never flip, each alone. Pure.

Why: some requests are worth more than their share of a mean; each was named for what its loss would do.
Example: `rule: no_hard_break`, `samples: ["12", "40"]` fails as soon as the candidate scores less than the baseline on
one of the two, whatever it gains elsewhere.
Formula: none. No statistics: it says nothing about any other item, has no interval and no power.
"""

from typing import Literal

from pydantic import Field

from eval.contracts.gate import Axis, Found, Gate, Measured, Seen, Terms
from eval.gates.comparisons import Pairs
from eval.run.metrics import Comparison, GateResult


class NoHardBreak(Gate):
    """Named items that must never flip. Fails when the candidate scores less than the baseline on one of them."""

    rule: Literal["no_hard_break"]
    samples: list[str] = Field(min_length=1, description="ids of the items")

    about = "items"
    good = "below"  # of breaks, not of the metric
    only_a_loss_fails = True
    speaks_for_all = False

    @property
    def threshold(self) -> float:
        return 1.0  # broken items: one is too many

    def measure(self, pairs: Pairs, comparison: Comparison, terms: Terms) -> Measured:
        return Measured(None, None)

    def decide(self, pairs: Pairs, comparison: Comparison, measured: Measured, terms: Terms) -> Found:
        place = {sample: i for i, sample in enumerate(pairs.samples)}
        unknown = [sample for sample in self.samples if sample not in place]
        broken = [s for s in self.samples if s in place and pairs.candidate[place[s]] < pairs.baseline[place[s]]]
        if broken:
            said = f"{len(broken)} of {len(self.samples)} named items broke: {', '.join(broken[:5])}"
            return Found("fail", said, float(len(broken)))
        if unknown:
            return Found("inconclusive", f"{len(unknown)} named items have no score: {', '.join(unknown[:5])}")
        return Found("pass", f"none of the {len(self.samples)} named items broke", 0.0)

    @classmethod
    def wants(cls) -> Literal["higher", "lower"]:
        return "higher"

    def not_sequential(self) -> str:
        return ""

    def sees(self, n: int, worth: int, comparison: Comparison | None, terms: Terms) -> Seen | None:
        return None

    @classmethod
    def estimate_text(cls, result: GateResult, comparison: Comparison | None) -> str:
        return "–" if result.estimate is None else f"{result.estimate:.0f} broken"

    @classmethod
    def threshold_text(cls, result: GateResult, comparison: Comparison | None) -> str:
        return "none broken"

    @classmethod
    def axis(cls, result: GateResult, comparison: Comparison | None) -> Axis | None:
        return None

    @classmethod
    def next_step(cls, result: GateResult, n: int) -> str:
        return f"{result.id}: {result.reason}."
