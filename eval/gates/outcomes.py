"""The outcome of one gate, whatever its kind: what holds for all of them is here, the rest is the kind's. Pure.

A gate passes when its whole interval lies on the good side of its threshold, fails when all of it lies on the bad
side, and is inconclusive otherwise. Too many invalid items leave any gate inconclusive, a pass that depends on invalid
items does not count, and noise can only withhold. Kinds: eval/contracts/gate.py and eval/gates/kinds/.
"""

from dataclasses import replace

from eval.config.suite_file import Suite
from eval.contracts.domains import facts_of
from eval.contracts.gate import Found, Gate
from eval.gates.comparisons import LEAST, MOST, Pairs, compare_pairs
from eval.run.metrics import Comparison, GateResult
from eval.statistics.paired import difference_interval
from eval.statistics.sequential import anytime_difference, random_place


def judge_gate(
    gate: Gate, pairs: Pairs | None, comparison: Comparison | None, suite: Suite, spread: float | None = None
) -> GateResult:
    """Outcome of one gate, with the reason in words and, if undecided, the items that would settle it.

    `spread` is the noise of the metric's mean on this backend, None where it was not measured.
    """
    found = _find(gate, pairs, comparison, suite)
    if found.outcome == "pass" and pairs is not None:
        found = _without_hiding(gate, found, pairs, suite)
    if comparison is not None and spread is not None and gate.paired:
        found = gate.despite_noise(found, spread, comparison)
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
    measured = gate.measure(pairs, comparison, suite.terms)
    total = comparison.n + comparison.invalid
    if comparison.invalid > suite.max_invalid * total:
        share = f"{comparison.invalid} of {total} items are invalid"
        return Found("inconclusive", f"{share}, more than the {suite.max_invalid:.0%} this suite allows", *measured)
    return gate.decide(pairs, comparison, measured, suite.terms)


def _without_hiding(gate: Gate, found: Found, pairs: Pairs, suite: Suite) -> Found:
    """A pass that depends on unscored items does not count.

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
    worst = in_order(suite, gate.at_worst(pairs))
    if _find(gate, worst, compare_in(suite, worst), suite).outcome == "pass":
        return found
    reason = f"{found.reason}, but not if {count} of either arm count as the worst they could be"
    return replace(found, outcome="inconclusive", reason=reason)
