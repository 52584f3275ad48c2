"""What the two kinds about the candidate's own rate share: the exact interval, its words, and its power. Pure.

Clopper-Pearson over as many items as are independent (`rate_interval`); an anytime-valid interval in sequential
mode, and betting in one look for items with repeats.
"""

from abc import ABC
from typing import ClassVar

from eval.contracts.gate import Found, Gate, Measured, Seen, Terms, side_of
from eval.gates.comparisons import Pairs
from eval.run.metrics import Comparison, PowerRow
from eval.statistics.paired import rate_interval
from eval.statistics.power import items_for_certainty, items_for_rate, passing_rate
from eval.statistics.sequential import anytime_interval, one_look_interval

HALF = 0.5  # what has to be rare, or usual, is on its side of a half


class RateGate(Gate, ABC):
    """A rule about the candidate's own rate on a 0/1 metric, held against `limit`."""

    limit: float

    about = "rate"
    statistic = "rate"
    at_best: ClassVar[str] = "all right"  # what is seen where the rate is as good as it can be

    @property
    def threshold(self) -> float:
        return self.limit

    def measure(self, pairs: Pairs, comparison: Comparison, terms: Terms) -> Measured:
        return measured_rate(pairs, comparison, terms)

    def decide(self, pairs: Pairs, comparison: Comparison, measured: Measured, terms: Terms) -> Found:
        rate, interval = measured
        if rate is None or interval is None:
            return Found("inconclusive", f"{self.metric} is not a 0/1 metric with scored items: it has no rate", rate)
        limit, outcome = self.limit, side_of(interval, self.limit, self.good)
        at_most = f"{100 * rate:.1f} %, at most {100 * interval.high:.1f} %"
        at_least = f"{100 * rate:.1f} %, at least {100 * interval.low:.1f} %"
        if outcome == "inconclusive":
            said = at_most if self.good == "below" else at_least
            needed = items_for_rate(rate, limit, terms.confidence)
            return Found(outcome, f"{said}: {100 * limit:g} % is possible", rate, interval, needed)
        above = interval.low > limit
        said = f"{at_least if above else at_most}, which is {'above' if above else 'below'} {100 * limit:g} %"
        return Found(outcome, said, rate, interval)

    def unsuited(self, of: str, rate: bool) -> str:
        if rate:
            return ""
        return f"rule {self.rule} is for metrics that are 0 or 1, and {of} is a quantity: use max_value"

    def not_sequential(self) -> str:
        return ""

    def sees(self, n: int, worth: int, comparison: Comparison | None, terms: Terms) -> Seen | None:
        """The true rate with which the gate still passes with the wanted power."""
        if not worth:
            return Seen()
        rate = passing_rate(worth, self.limit, terms.confidence, terms.power, self.good)
        if rate is not None:
            return Seen(detectable=rate)
        needed = items_for_certainty(self.limit, terms.confidence, self.good)
        warning = f"{worth} items cannot pass {100 * self.limit:g} % even with {self.at_best}: {needed} can"
        return Seen(needed=needed, warning=warning)

    def sees_text(self, row: PowerRow, power: float) -> str:
        side = "up to" if self.good == "below" else "down to"
        return f"passes {side} a true rate of {self.seen_text(row)} in {power:.0%} of runs"


def measured_rate(pairs: Pairs, comparison: Comparison, terms: Terms) -> Measured:
    """The candidate's rate with its interval; nothing for a metric that is not 0/1, or without items.

    Items with repeats score a share: no count, so that the exact interval of a rate is not theirs. Betting holds for
    any values in 0..1; in one look at items that stand in their file's order, by what is left in the end.
    """
    rate = comparison.candidate
    if rate is None or not (comparison.binary or pairs.shares):
        return Measured(None, None)
    if terms.mode == "sequential" or pairs.shares:
        betting = anytime_interval if terms.mode == "sequential" else one_look_interval
        return Measured(rate, betting(pairs.candidate, pairs.clusters, terms.alpha, low=0.0, high=1.0))
    return Measured(rate, rate_interval(rate, comparison.effective_n, terms.confidence))
