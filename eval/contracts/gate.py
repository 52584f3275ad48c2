"""What a gate kind offers: what it measures, which side of a threshold is good, how that is worded, what it can see.

A kind is a class, and an entry of a suite's `gates:` is an instance: its fields are the keys of that entry. Ours are in
eval/gates/kinds/, one short file each; an installed package offers more, each under the name of its `rule`:

    class MinValue(Gate):
        rule: Literal["min_value"]
        limit: float = Field(description="lowest mean of the candidate that may be published, in the metric's unit")
        quantity = True

        @property
        def threshold(self) -> float:
            return self.limit

        def measure(self, pairs, comparison, terms):
            return Measured(comparison.candidate, comparison.candidate_interval)

    [project.entry-points."securecli_tuner.gates"]
    min_value = "my_package.gates:MinValue"

Everything else has a default, that of one value of the candidate held against a limit. A GateResult is rendered long
after it was decided, without the suite: what words it is a class method, found again by `rule`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from eval.common.entries import Strict
from eval.common.number_text import level_text, level_with_interval

if TYPE_CHECKING:
    from eval.gates.comparisons import Pairs
    from eval.run.metrics import Comparison, GateResult, Interval, Outcome, PowerRow, SliceResult

Side = Literal["above", "below"]
About = Literal["difference", "rate", "level", "items"]


@dataclass(frozen=True)
class Terms:
    """What a suite asks of every gate. `alpha`: chance that one gate passes a model exactly at its threshold. `power`:
    chance of passing that the power table asks for. `mode`: one look, or one after every batch. `expected_discordance`:
    share of items that the arms are expected to score differently."""

    alpha: float
    power: float
    mode: Literal["fixed", "sequential"]
    expected_discordance: float

    @property
    def confidence(self) -> float:
        """Two-sided confidence whose each end is a one-sided test at alpha."""
        return 1 - 2 * self.alpha


class Measured(NamedTuple):
    """An estimate and its interval, in the metric's unit; None where the items give none."""

    estimate: float | None
    interval: "Interval | None"


@dataclass(frozen=True)
class Found:
    """What a gate concludes. `reason`: one line. `needed`: items that would settle it. `slices`: the worst first."""

    outcome: "Outcome"
    reason: str
    estimate: float | None = None
    interval: "Interval | None" = None
    needed: int | None = None
    slices: "tuple[SliceResult, ...]" = ()


@dataclass(frozen=True)
class Seen:
    """What a gate can see with its items; the fields of a PowerRow, and in its units."""

    discordance: float | None = None
    detectable: float | None = None
    needed: int | None = None
    warning: str = ""


@dataclass(frozen=True)
class Axis:
    """The axis of a gate's interval in figures: gates of equal axes share a panel.

    `scale`: what a value is multiplied by. `zero`: whether 0 is marked. `place`: panels are drawn in this order, then
    in that of `metric`, which is empty where all metrics share the unit.
    """

    title: str
    label: str
    scale: float
    zero: bool
    place: int = 2
    metric: str = ""


POINTS = Axis("Difference, item by item", "candidate − baseline, percentage points", 100.0, True, place=0)
RATES = Axis("The candidate's own rate", "rate of the candidate, percent", 100.0, True, place=1)


def side_of(interval: "Interval", threshold: float, good: Side) -> "Outcome":
    """pass, fail or inconclusive: on which side of the threshold the whole interval lies."""
    if interval.low > threshold:
        return "pass" if good == "above" else "fail"
    if interval.high < threshold:
        return "fail" if good == "above" else "pass"
    return "inconclusive"


class Gate(Strict, ABC):
    """One gate of a suite. Methods are pure and called from one thread.

    `about`: what the estimate is, in metrics.json for whoever reads it without us; nothing branches on it.
    `good`: the side of the threshold on which the gate passes.
    `quantity`: the metric is written in its own unit, not in percent, and no item is won or lost on it.
    `statistic`: what the estimate is of the candidate's values, in one word.
    `paired`: the estimate is of the change between the arms: where both are at the floor or at the ceiling none can
    show, and the threshold has to be larger than what other batch sizes do (`despite_noise`).
    `only_a_loss_fails`: the baseline compared with itself must not fail it, whatever it scores.
    `speaks_for_all`: what it decides holds for items like those asked, so that it can prove quality or safety.
    """

    id: str
    task: str
    metric: str
    tier: Literal["blocking", "advisory"] = Field("blocking", description="advisory gates inform and never decide")
    rule: str

    about: ClassVar[About] = "level"
    good: ClassVar[Side] = "above"
    quantity: ClassVar[bool] = False
    statistic: ClassVar[str] = "mean"
    paired: ClassVar[bool] = False
    only_a_loss_fails: ClassVar[bool] = False
    speaks_for_all: ClassVar[bool] = True

    # What it decides.

    @property
    @abstractmethod
    def threshold(self) -> float:
        """What the interval is held against, in the metric's unit."""

    @abstractmethod
    def measure(self, pairs: "Pairs", comparison: "Comparison", terms: Terms) -> Measured:
        """Estimate and interval, whose each end is wrong with probability `terms.alpha` at most; at any number of looks
        in sequential mode, for a kind that is not refused there."""

    def decide(self, pairs: "Pairs", comparison: "Comparison", measured: Measured, terms: Terms) -> Found:
        """Outcome and reason for items of which few enough are invalid. UserError for items it cannot be about."""
        estimate, interval = measured
        if estimate is None or interval is None:
            return Found("inconclusive", "too few or identical values: the error of the mean is unknown", estimate)
        span, limit = self.span_text(interval, comparison), self.limit_text(comparison)
        outcome = side_of(interval, self.threshold, self.good)
        if outcome != "inconclusive":
            where = "above" if interval.low > self.threshold else "below"
            return Found(outcome, f"all of {span} lies {where} {limit}", estimate, interval)
        if estimate == self.threshold:
            return Found(outcome, f"{span} is centred on {limit}", estimate, interval)
        needed = self.items_to_settle(estimate, comparison, terms)
        return Found(outcome, f"{span} contains {limit}", estimate, interval, needed)

    def items_to_settle(self, estimate: float, comparison: "Comparison", terms: Terms) -> int | None:
        """Items at which the interval would no longer contain the threshold, were the estimate true; None: unknown."""
        return None

    def at_worst(self, pairs: "Pairs") -> "Pairs":
        """Every invalid item as bad for the candidate as it can be; a pass has to hold then too. Asked for metrics in
        0..1 alone: another has no worst value, and a gate on it passes with no invalid item."""
        return pairs.at_worst("above" if self.wants() == "higher" else "below")

    def despite_noise(self, found: Found, spread: float, comparison: "Comparison") -> Found:
        """The conclusion given that batches alone move the metric's mean by `spread`. Asked of paired kinds alone."""
        return found

    # What it may be asked of.

    @classmethod
    def wants(cls) -> Literal["higher", "lower"]:
        """Which values of the metric it takes as better."""
        return "higher" if cls.good == "above" else "lower"

    def unsuited(self, of: str, rate: bool) -> str:
        """Why it cannot be about a metric that is 0 or 1 (`rate`), or a quantity; empty when it can. `of`: its name."""
        return ""

    def not_sequential(self) -> str:
        """What of it has no test that holds at any number of looks; empty when it may be looked at after each batch."""
        return f"rule {self.rule}"

    def lets_through(self) -> str:
        """What it would let pass that shows next to nothing, after "it ..."; empty for a gate that means something."""
        return ""

    # What it can see.

    def sees(self, n: int, worth: int, comparison: "Comparison | None", terms: Terms) -> Seen | None:
        """Its power with `n` items, worth `worth` where those of a cluster agree. `comparison`: what was seen, None
        before a run. With a `warning` where so few items, or clusters, cannot pass it: `--strict` then refuses to
        begin. None for a gate that has no row in the power table."""
        return Seen()

    def sees_text(self, row: "PowerRow", power: float) -> str:
        """A row of the power table with a `detectable`, in words."""
        return f"passes at a true {self.statistic} of {self.seen_text(row)} in {power:.0%} of runs"

    @classmethod
    def seen_text(cls, row: "PowerRow") -> str:
        """`detectable` of a row of the power table, with its unit."""
        return "–" if row.detectable is None else level_text(row.detectable, not cls.quantity)

    # How it is worded.

    def span_text(self, interval: "Interval", comparison: "Comparison") -> str:
        """The interval inside a reason: `2.0 to 11.0 %`."""
        if self.quantity:
            return f"{interval.low:.4g} to {interval.high:.4g}"
        return f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"

    def limit_text(self, comparison: "Comparison") -> str:
        """The threshold inside a reason."""
        return f"{self.threshold:.4g}" if self.quantity else f"{100 * self.threshold:g} %"

    @classmethod
    def estimate_text(cls, result: "GateResult", comparison: "Comparison | None") -> str:
        """A saved estimate with its interval: `0.6 % [0.0, 2.9]`; a dash when there is none. Reports print it without
        escaping it for markdown: no markup, and nothing that a model wrote."""
        if result.estimate is None:
            return "–"
        return level_with_interval(result.estimate, _ends(result.interval), not cls.quantity)

    @classmethod
    def threshold_text(cls, result: "GateResult", comparison: "Comparison | None") -> str:
        """What the whole interval has to be: `< 5.0 %`."""
        return f"{'>' if result.good == 'above' else '<'} {level_text(result.threshold, not cls.quantity)}"

    @classmethod
    def axis(cls, result: "GateResult", comparison: "Comparison | None") -> Axis | None:
        """Where figures draw its interval; None for a gate that has none."""
        if not cls.quantity:
            return RATES
        title = f"The candidate's own {result.metric}"
        label = f"{cls.statistic} {result.metric} of the candidate, in its unit"
        return Axis(title, label, 1.0, False, metric=result.metric)

    @classmethod
    def next_step(cls, result: "GateResult", n: int) -> str:
        """What would settle an inconclusive gate of which `n` items were scored: a sentence."""
        if result.slices:
            return f"{result.id}: its undecided categories need more items; {n:,} were scored in all."
        if result.items_needed:
            return f"{result.id}: about {result.items_needed:,} items would settle it; {n:,} were scored."
        return f"{result.id}: no number of items is known to settle it; {n:,} were scored."


def _ends(interval: "Interval | None") -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)
