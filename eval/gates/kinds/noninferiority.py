"""noninferiority: the candidate may lose, but less than `margin`. Pure.

Why: nothing that the base could do before should be bought with what the adapter learns.
Example: `rule: noninferiority`, `margin: 0.05` on syntax_valid passes when all of -2.1 to +0.4 points lies above -5.0.
Formula: one-sided test of difference <= -margin at the suite's alpha, by the interval of eval/gates/kinds/paired.py.

Two things leave it inconclusive that the interval does not see: a baseline below the margin, which cannot lose as much,
and so few clusters that a share of `margin` may be lost whole without one of them among those asked.
"""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from eval.contracts.gate import Found, Measured, Seen, Terms
from eval.gates.comparisons import Pairs
from eval.gates.kinds.paired import PairedGate
from eval.run.metrics import Comparison, PowerRow, is_rate
from eval.statistics.power import items_for_certainty, items_needed, too_few_clusters

MUCH_LOST = 0.2  # of all items: a fifth is no margin


class Noninferiority(PairedGate):
    """Passes when the whole interval of the difference lies above `-margin`, fails when it lies below."""

    rule: Literal["noninferiority"]
    margin: float = Field(gt=0, lt=1, description="largest loss that does no harm, in the metric's unit")

    threshold_name = "margin"
    only_a_loss_fails = True

    @property
    def threshold(self) -> float:
        return -self.margin

    def decide(self, pairs: Pairs, comparison: Comparison, measured: Measured, terms: Terms) -> Found:
        found = super().decide(pairs, comparison, measured, terms)
        if self.slice or found.interval is None:
            return found
        if found.outcome == "pass" and (floor := self._at_floor(comparison)):
            return replace(found, outcome="inconclusive", reason=floor)
        few = self._few_clusters(comparison.n, comparison.effective_n, terms)
        if found.outcome == "inconclusive" and few:
            span, limit = self.span_text(found.interval, comparison), self.limit_text(comparison)
            return replace(found, reason=f"{span} contains {limit}; {few}", needed=None)
        return found

    def _at_floor(self, comparison: Comparison) -> str:
        """Why a loss of `margin` cannot be seen at all: the baseline scores less than that. Empty when it can, or when
        a gain is shown, which is more than was asked.

        At the ceiling a loss can be seen, so that a gate may pass there.
        """
        if comparison.baseline is None or comparison.candidate is None:
            return ""
        gained = comparison.interval is not None and comparison.interval.low > 0
        if gained or not 0 <= comparison.baseline < self.margin or not is_rate(comparison):
            return ""
        levels = f"{100 * comparison.baseline:.1f} %, the candidate {100 * comparison.candidate:.1f} %"
        wide = f"a loss of {100 * self.margin:g} points is impossible there"
        return f"the baseline is at the floor ({levels}): {wide}, so nothing is shown"

    def _few_clusters(self, n: int, worth: int, terms: Terms) -> str:
        """Why so few clusters pass no margin without a gain, though nothing was lost; empty when they do.

        Where every item is its own cluster, and in sequential mode, the interval itself says so.
        """
        if terms.mode != "fixed" or worth == n:
            return ""
        return too_few_clusters(worth, self.margin, terms.alpha)

    def lets_through(self) -> str:
        return f"passes an adapter that loses {100 * self.margin:g} of 100 answers" if self.margin > MUCH_LOST else ""

    def sees(self, n: int, worth: int, comparison: Comparison | None, terms: Terms) -> Seen | None:
        """How far below zero a loss must lie. The margin should reach that far."""
        seen = super().sees(n, worth, comparison, terms)
        if seen is None or self.slice:
            return seen
        if seen.discordance is not None and seen.detectable is not None and seen.detectable > self.margin:
            needed = items_needed(0.0, seen.discordance, self.threshold, terms.alpha, terms.power)
            warning = (
                f"an adapter as good as its base passes in less than {terms.power:.0%} of runs: the smallest drop that "
                f"{worth} items tell from none is {100 * seen.detectable:.1f} points, the margin is "
                f"{100 * self.margin:g}; {needed} items would do"
            )
            seen = replace(seen, needed=needed, warning=warning)
        if n and worth < n and (few := self._few_clusters(n, worth, terms)):
            certain = items_for_certainty(self.margin, terms.confidence, "below")
            seen = replace(seen, needed=max(seen.needed or 0, certain), warning=few)
        return seen

    def sees_text(self, row: PowerRow, power: float) -> str:
        return f"at {power:.0%} power: detects a drop of at least {100 * (row.detectable or 0.0):.1f} points"
