"""The outcome of one gate: which interval, on which side of which threshold, and why. Pure.

A gate passes when its whole interval lies on the good side of its threshold, fails when all of it lies on the bad
side, and is inconclusive otherwise. Rules differ only in what the interval is of (`about`) and which side is good.
"""

import math
from dataclasses import dataclass, replace

from eval.common.errors import UserError
from eval.config.gate_rules import Gate, GateRule, NoHardBreak, Noninferiority, PairedRule
from eval.config.suite_file import Suite
from eval.contracts.domains import facts_of
from eval.gates.comparisons import LEAST, MOST, Pairs, compare_pairs, compare_slice
from eval.gates.noise import lies_inside
from eval.run.metrics import Comparison, GateResult, Interval, Outcome, SliceResult, is_rate
from eval.statistics.paired import clopper_pearson_interval, difference_interval, difference_p, holm
from eval.statistics.power import items_for_rate, items_needed, too_few_clusters
from eval.statistics.sequential import anytime_difference, anytime_interval, random_place


@dataclass(frozen=True)
class Found:
    """What a gate concludes, before it is written down."""

    outcome: Outcome
    reason: str
    estimate: float | None = None
    interval: Interval | None = None
    needed: int | None = None
    slices: tuple[SliceResult, ...] = ()


def judge_gate(
    gate: Gate, pairs: Pairs | None, comparison: Comparison | None, suite: Suite, spread: float | None = None
) -> GateResult:
    """Outcome of one gate, with the reason in words and, if undecided, the items that would settle it.

    `spread` is the noise of the metric's mean on this backend, None where it was not measured.
    """
    found = _find(gate, pairs, comparison, suite)
    if found.outcome == "pass" and pairs is not None:
        found = _without_hiding(gate, found, pairs, suite)
    if comparison is not None:
        found = _beyond_noise(gate, found, spread, is_rate(comparison))
    return GateResult(
        id=gate.id,
        task=gate.task,
        metric=gate.metric,
        rule=gate.rule,
        tier=gate.tier,
        about=gate.about,
        estimate=found.estimate,
        interval=found.interval,
        threshold=gate.threshold,
        good=gate.good,
        outcome=found.outcome,
        reason=found.reason,
        items_needed=found.needed,
        slices=list(found.slices),
    )


def in_order(suite: Suite, pairs: Pairs) -> Pairs:
    """Pairs in the order in which a sequential evaluation looked at them; a fixed one has no order."""
    if suite.mode == "fixed":
        return pairs
    place = {cluster: random_place(pairs.order, cluster) for cluster in pairs.clusters}
    return pairs.arranged(sorted(range(len(pairs.samples)), key=lambda i: (place[pairs.clusters[i]], pairs.samples[i])))


def compare_in(suite: Suite, pairs: Pairs) -> Comparison:
    """The comparison with the intervals of the suite's mode."""
    interval_of = anytime_difference if suite.mode == "sequential" else difference_interval
    return compare_pairs(pairs, suite.confidence, interval_of)


def _find(gate: Gate, pairs: Pairs | None, comparison: Comparison | None, suite: Suite) -> Found:
    if pairs is None or comparison is None:
        return Found("inconclusive", f"task {gate.task} did not run")
    estimate, interval = held_against_threshold(gate, pairs, comparison, suite)
    total = comparison.n + comparison.invalid
    if comparison.invalid > suite.max_invalid * total:
        share = f"{comparison.invalid} of {total} items are invalid"
        return Found(
            "inconclusive", f"{share}, more than the {suite.max_invalid:.0%} this suite allows", estimate, interval
        )
    if isinstance(gate, NoHardBreak):
        return _hard_breaks(gate, pairs)
    if isinstance(gate, PairedRule) and gate.slice:
        return _sliced(gate, pairs, suite)
    if gate.about == "rate":
        return _rate(gate, estimate, interval, suite)
    return _against(gate, comparison, estimate, interval, suite)


def _without_hiding(gate: Gate, found: Found, pairs: Pairs, suite: Suite) -> Found:
    """A pass that leans on what could not be scored is none.

    An invalid item of either arm may be a loss: a candidate that crashed its judge, a baseline whose right answer was
    made unreadable. Each counts as the worst it can be, and the gate has to pass then as well.
    """
    if not pairs.unscored:
        return found
    count = f"{len(pairs.unscored)} invalid item" + ("s" if len(pairs.unscored) > 1 else "")
    declared = [facts_of(name, gate.metric) for name in suite.members(gate.task)]
    if not all(LEAST <= value <= MOST for value in pairs.known) or any(one and not one.rate for one in declared):
        reason = f"{found.reason}, but {gate.metric} has no worst value that {count} could be counted as"
        return replace(found, outcome="inconclusive", reason=reason)
    worst = in_order(suite, pairs.at_worst("below" if gate.good == "below" and gate.about != "items" else "above"))
    if _find(gate, worst, compare_in(suite, worst), suite).outcome == "pass":
        return found
    reason = f"{found.reason}, but not if {count} of either arm count as the worst they could be"
    return replace(found, outcome="inconclusive", reason=reason)


def held_against_threshold(
    gate: GateRule, pairs: Pairs, comparison: Comparison, suite: Suite
) -> tuple[float | None, Interval | None]:
    """What the gate is about: the paired difference, the candidate's own mean, or its rate with an exact interval."""
    if gate.about == "difference":
        return comparison.difference, comparison.interval
    if gate.about == "level" and not comparison.binary:
        return comparison.candidate, comparison.candidate_interval
    rate = comparison.candidate
    if gate.about == "items" or rate is None or not comparison.binary:
        return None, None
    if suite.mode == "sequential":
        return rate, anytime_interval(pairs.candidate, pairs.clusters, suite.alpha, low=0.0, high=1.0)
    return rate, rate_interval(rate, comparison.effective_n, suite.confidence)


def rate_interval(rate: float, n: int, confidence: float) -> Interval:
    """Exact interval of a rate over items of which `n` are independent.

    With clusters n is their effective number (items of a cluster taken to agree), and counts are rounded away from
    the estimate at each end. Exact where every item is its own cluster.
    """
    low = clopper_pearson_interval(math.floor(rate * n + 1e-9), n, confidence)
    high = clopper_pearson_interval(math.ceil(rate * n - 1e-9), n, confidence)
    return low.model_copy(update={"high": high.high})


def side_of(interval: Interval, threshold: float, good: str) -> Outcome:
    """pass, fail or inconclusive: on which side of the threshold the whole interval lies."""
    if interval.low > threshold:
        return "pass" if good == "above" else "fail"
    if interval.high < threshold:
        return "fail" if good == "above" else "pass"
    return "inconclusive"


def _against(
    gate: GateRule, comparison: Comparison, estimate: float | None, interval: Interval | None, suite: Suite
) -> Found:
    """A difference or a level against its threshold."""
    if interval is None or estimate is None:
        why = "too few or identical values: the error of the mean is unknown"
        return Found("inconclusive", why, estimate)
    threshold = gate.threshold
    if gate.about == "difference" and is_rate(comparison):
        span = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} points"
        limit = f"{100 * threshold:+.1f}"
    else:
        span, limit = f"{interval.low:.4g} to {interval.high:.4g}", f"{threshold:.4g}"
    outcome = side_of(interval, threshold, gate.good)
    floor = _at_floor(gate, comparison)
    if floor and outcome == "pass":
        return Found("inconclusive", floor, estimate, interval)
    if outcome != "inconclusive":
        where = "above" if interval.low > threshold else "below"
        return Found(outcome, f"all of {span} lies {where} {limit}", estimate, interval)
    if few := _too_few_clusters(gate, comparison, suite):
        return Found("inconclusive", f"{span} contains {limit}; {few}", estimate, interval)
    if estimate == threshold:
        return Found("inconclusive", f"{span} is centred on {limit}", estimate, interval)
    needed = None
    if comparison.binary and gate.about == "difference":
        discordance = (comparison.wins + comparison.losses) / comparison.n
        needed = items_needed(estimate, discordance, threshold, suite.alpha)
    # The formula is the unclustered one; when it promises less than was measured it is of no use.
    useful = needed if needed and needed > comparison.n else None
    return Found("inconclusive", f"{span} contains {limit}", estimate, interval, useful)


def _too_few_clusters(gate: GateRule, comparison: Comparison, suite: Suite) -> str:
    """Why so few clusters pass no margin without a gain, though nothing was lost. Empty when they do."""
    if not isinstance(gate, Noninferiority) or suite.mode != "fixed" or comparison.effective_n == comparison.n:
        return ""
    return too_few_clusters(comparison.effective_n, gate.margin, suite.alpha)


def _at_floor(gate: GateRule, comparison: Comparison) -> str:
    """Why a loss of `margin` cannot be seen at all: the baseline scores less than that. Empty when it can, or when a
    gain is shown, which is more than was asked.

    At the ceiling a loss can be seen, so that a gate may pass there.
    """
    if not isinstance(gate, Noninferiority) or comparison.baseline is None or comparison.candidate is None:
        return ""
    gained = comparison.interval is not None and comparison.interval.low > 0
    if gained or not 0 <= comparison.baseline < gate.margin or not is_rate(comparison):
        return ""
    levels = f"{100 * comparison.baseline:.1f} %, the candidate {100 * comparison.candidate:.1f} %"
    wide = f"a loss of {100 * gate.margin:g} points is impossible there"
    return f"the baseline is at the floor ({levels}): {wide}, so nothing is shown"


def _beyond_noise(gate: GateRule, found: Found, spread: float | None, points: bool) -> Found:
    """A threshold inside the noise decides nothing, unless the whole interval lies outside of the noise."""
    if (
        gate.about != "difference"
        or found.interval is None
        or spread is None
        or not lies_inside(gate.threshold, spread)
    ):
        return found
    beyond = {"pass": found.interval.low > spread, "fail": found.interval.high < -spread, "inconclusive": True}
    if beyond[found.outcome]:
        return found
    name = "margin" if isinstance(gate, Noninferiority) else "smallest gain"
    if points:
        said = (
            f"the {name}, {100 * abs(gate.threshold):g} points, is inside the noise of this backend, {100 * spread:.1f}"
        )
    else:
        said = f"the {name}, {abs(gate.threshold):g}, is inside the noise of this backend, {spread:.3g}"
    return replace(found, outcome="inconclusive", reason=f"{said} ({found.reason})")


def _rate(gate: GateRule, rate: float | None, interval: Interval | None, suite: Suite) -> Found:
    if rate is None or interval is None:
        return Found("inconclusive", f"{gate.metric} is not a 0/1 metric with scored items: it has no rate", rate)
    limit, outcome = gate.threshold, side_of(interval, gate.threshold, gate.good)
    at_most = f"{100 * rate:.1f} %, at most {100 * interval.high:.1f} %"
    at_least = f"{100 * rate:.1f} %, at least {100 * interval.low:.1f} %"
    if outcome == "inconclusive":
        said = at_most if gate.good == "below" else at_least
        needed = items_for_rate(rate, limit, suite.confidence)
        return Found(outcome, f"{said}: {100 * limit:g} % is possible", rate, interval, needed)
    above = interval.low > limit
    said = f"{at_least if above else at_most}, which is {'above' if above else 'below'} {100 * limit:g} %"
    return Found(outcome, said, rate, interval)


def _hard_breaks(gate: NoHardBreak, pairs: Pairs) -> Found:
    """Every named item alone: no statistics, since each was named for what its loss would do."""
    place = {sample: i for i, sample in enumerate(pairs.samples)}
    unknown = [sample for sample in gate.samples if sample not in place]
    broken = [s for s in gate.samples if s in place and pairs.candidate[place[s]] < pairs.baseline[place[s]]]
    if broken:
        return Found("fail", f"{len(broken)} of {len(gate.samples)} named items broke: {', '.join(broken[:5])}",
                     float(len(broken)))  # fmt: skip
    if unknown:
        return Found("inconclusive", f"{len(unknown)} named items have no score: {', '.join(unknown[:5])}")
    return Found("pass", f"none of the {len(gate.samples)} named items broke", 0.0)


def _sliced(gate: PairedRule, pairs: Pairs, suite: Suite) -> Found:
    """Each category against the threshold.

    All must pass, each at alpha (intersection-union, no correction). One is called failing when its test of "at
    least as good as the threshold" is rejected under Holm, so that a family without a bad slice is called failing
    with probability at most alpha.
    """
    parts = pairs.by_category()
    if not parts:
        raise UserError(f"gate {gate.id}: the samples of {gate.task} have no category to slice by")
    p = [difference_p(part.differences, part.clusters, gate.threshold, -1, part.binary) for part in parts.values()]
    rows = []
    for (name, part), own, corrected in zip(parts.items(), p, holm(p), strict=True):
        row = compare_slice(name, part, suite.confidence, own, corrected)
        outcome: Outcome = "inconclusive"
        if corrected <= suite.alpha:
            outcome = "fail"
        elif row.interval is not None and row.interval.low > gate.threshold:
            outcome = "pass"
        rows.append(row.model_copy(update={"outcome": outcome}))
    ordered = sorted(rows, key=lambda row: row.interval.low if row.interval else -math.inf)
    worst = ordered[0]
    failed = [row.slice for row in ordered if row.outcome == "fail"]
    open_ = [row.slice for row in ordered if row.outcome == "inconclusive"]
    if failed:
        found: tuple[Outcome, str] = "fail", f"{len(failed)} of {len(rows)} categories fail: {', '.join(failed)}"
    elif open_:
        found = "inconclusive", f"{len(open_)} of {len(rows)} categories are undecided, first {open_[0]}"
    else:
        found = "pass", f"all {len(rows)} categories pass, the worst is {worst.slice}"
    return Found(*found, worst.difference, worst.interval, None, tuple(ordered))
