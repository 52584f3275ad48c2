"""What the two kinds about candidate minus baseline share. Pure.

The interval is that of the comparison: Tango's score interval for 0/1 metrics, cluster-robust t for others, betting in
sequential mode (eval/statistics/). A metric in 0..1 is worded in percentage points, any other in its own unit.
"""

from abc import ABC
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from eval.common.number_text import signed_text, signed_with_interval
from eval.contracts.gate import POINTS, Axis, Found, Gate, Measured, Seen, Terms
from eval.gates.comparisons import Pairs
from eval.gates.kinds.slices import decide_by_category
from eval.gates.noise import lies_inside
from eval.run.metrics import Comparison, GateResult, Interval, PowerRow, is_rate
from eval.statistics.power import detectable_distance, items_needed


class PairedGate(Gate, ABC):
    """A rule about candidate minus baseline, item by item."""

    slice: Literal["category"] | None = Field(
        None,
        description="hold every category of the samples against the threshold, not their mean: passes when each "
        "passes, fails when one is shown to fail (Holm within this gate)",
    )
    expected_discordance: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of items that the two arms are expected to score differently, for the power table before "
        "a run; without it the suite's own",
    )

    about = "difference"
    paired = True
    threshold_name: ClassVar[str] = "threshold"

    def measure(self, pairs: Pairs, comparison: Comparison, terms: Terms) -> Measured:
        return Measured(comparison.difference, comparison.interval)

    def decide(self, pairs: Pairs, comparison: Comparison, measured: Measured, terms: Terms) -> Found:
        if self.slice:
            return decide_by_category(self, pairs, terms)
        return super().decide(pairs, comparison, measured, terms)

    def items_to_settle(self, estimate: float, comparison: Comparison, terms: Terms) -> int | None:
        """The unclustered formula of `items_needed`; when it promises less than was measured it is of no use."""
        if not comparison.binary:
            return None
        needed = items_needed(estimate, _discordance(comparison), self.threshold, terms.alpha)
        return needed if needed > comparison.n else None

    def despite_noise(self, found: Found, spread: float, comparison: Comparison) -> Found:
        """A threshold inside the noise decides nothing, unless the whole interval lies outside of the noise."""
        if found.interval is None or not lies_inside(self.threshold, spread):
            return found
        beyond = {"pass": found.interval.low > spread, "fail": found.interval.high < -spread, "inconclusive": True}
        if beyond[found.outcome]:
            return found
        size = f"{abs(self.threshold):g}, is inside the noise of this backend, {spread:.3g}"
        if is_rate(comparison):
            size = f"{100 * abs(self.threshold):g} points, is inside the noise of this backend, {100 * spread:.1f}"
        return replace(found, outcome="inconclusive", reason=f"the {self.threshold_name}, {size} ({found.reason})")

    def not_sequential(self) -> str:
        return "slice" if self.slice else ""

    def sees(self, n: int, worth: int, comparison: Comparison | None, terms: Terms) -> Seen | None:
        """How far from its threshold the truth must lie."""
        if self.slice:
            return Seen()
        discordance: float | None = self.expected_discordance or terms.expected_discordance
        if comparison is not None:
            discordance = _discordance(comparison) if comparison.binary else None
        if discordance is None or not worth:
            return Seen(discordance)
        return Seen(discordance, detectable_distance(worth, discordance, terms.alpha, terms.power))

    @classmethod
    def seen_text(cls, row: PowerRow) -> str:
        """A dash when nothing differed."""
        if row.detectable is None or row.discordance == 0:
            return "–"
        return f"{100 * row.detectable:.1f} pts"

    def span_text(self, interval: Interval, comparison: Comparison) -> str:
        if is_rate(comparison):
            return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} points"
        return f"{interval.low:.4g} to {interval.high:.4g}"

    def limit_text(self, comparison: Comparison) -> str:
        return f"{100 * self.threshold:+.1f}" if is_rate(comparison) else f"{self.threshold:.4g}"

    @classmethod
    def estimate_text(cls, result: GateResult, comparison: Comparison | None) -> str:
        """Of a sliced gate it is the worst slice; without an estimate of its own that of the comparison."""
        value, interval = result.estimate, result.interval
        if value is None and comparison is not None:
            value, interval = comparison.difference, comparison.interval
        if value is None:
            return "–"
        ends = (interval.low, interval.high) if interval else None
        return signed_with_interval(value, ends, is_rate(comparison))

    @classmethod
    def threshold_text(cls, result: GateResult, comparison: Comparison | None) -> str:
        """`> −5.0 pts`."""
        rate = is_rate(comparison)
        side = ">" if result.good == "above" else "<"
        return f"{side} {signed_text(result.threshold, rate)}{' pts' if rate else ''}"

    @classmethod
    def axis(cls, result: GateResult, comparison: Comparison | None) -> Axis | None:
        if is_rate(comparison):
            return POINTS
        title, label = f"Difference of {result.metric}", f"candidate − baseline, {result.metric} in its unit"
        return Axis(title, label, 1.0, True, metric=result.metric)


def _discordance(comparison: Comparison) -> float:
    """Share of items that the arms scored differently."""
    return (comparison.wins + comparison.losses) / comparison.n
