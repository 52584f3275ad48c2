"""What a gate that does not pass would need, from the same pairs that decided it. Pure.

    for need in needs(suite, pairs_by_metric, decided): ...

There are two ways to a pass. *Better answers*: how many of the items that count against the candidate have to come
right, on these items, until the gate's own rule lets it pass. *More items*: how many would settle an undecided gate if
the true value were the estimate (the gate's `items_needed`). Neither is a promise: the first is about these items, and
whoever trains for them has looked at them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from eval.config.suite_file import Suite
from eval.contracts.gate import Gate
from eval.gates.comparisons import LEAST, MOST, Pairs
from eval.gates.outcomes import compare_in, judge_gate
from eval.run.metrics import GateResult

SHOWN_GROUPS = 8


@dataclass(frozen=True)
class Group:
    """Items that belong together: `lost` of `n` count against the candidate, and the baseline lost `before`."""

    name: str
    n: int
    lost: int
    before: int


@dataclass(frozen=True)
class Need:
    """What one gate needs.

    `lost`: samples that count against the candidate, those that it alone lost first; none of a quantity. `to_mend`: how
    many of them have to come right until the gate passes; None where even all would not do, and for a quantity.
    `items`: how many items would settle it at the estimate; None where unknown. `groups`: where the lost ones are, the
    most first, by cluster, or by category where no two items share a cluster.
    """

    gate: GateResult
    n: int
    lost: tuple[str, ...]
    to_mend: int | None
    items: int | None
    groups: tuple[Group, ...]


def needs(suite: Suite, pairs: Mapping[tuple[str, str], Pairs], decided: Iterable[GateResult]) -> list[Need]:
    """One for each gate that did not pass, blocking ones first, in the suite's order."""
    by_id = {gate.id: gate for gate in suite.gates}
    open_gates = [result for result in decided if result.outcome != "pass"]
    open_gates.sort(key=lambda result: result.tier != "blocking")
    found = []
    for result in open_gates:
        paired = pairs.get((result.task, result.metric))
        found.append(need(suite, by_id[result.id], paired, result) if paired else _unmeasured(result))
    return found


def need(suite: Suite, gate: Gate, pairs: Pairs, result: GateResult) -> Need:
    """What this gate needs; `result` is its outcome on these pairs."""
    if not pairs.binary:
        return Need(result, len(pairs.samples), (), None, result.items_needed, ())
    best = MOST if gate.wants() == "higher" else LEAST
    bad = [place for place, value in enumerate(pairs.candidate) if value != best]
    bad.sort(key=lambda place: pairs.baseline[place] != best)  # lost by the candidate alone comes first
    pooled = suite.members(gate.task) != [gate.task]
    clusters = [own_name(name) if pooled else name for name in pairs.clusters]
    return Need(
        gate=result,
        n=len(pairs.samples),
        lost=tuple(pairs.samples[place] for place in bad),
        to_mend=_to_mend(suite, gate, pairs, bad, best),
        items=result.items_needed,
        groups=_groups(pairs, clusters, bad, best) or (() if pooled else _groups(pairs, pairs.categories, bad, best)),
    )


def _to_mend(suite: Suite, gate: Gate, pairs: Pairs, bad: Sequence[int], best: float) -> int | None:
    """The smallest number of bad items, mended in their order, with which the gate passes: found by halving."""

    def passes(count: int) -> bool:
        candidate = list(pairs.candidate)
        for place in bad[:count]:
            candidate[place] = best
        mended = replace(pairs, candidate=candidate)
        return judge_gate(gate, mended, compare_in(suite, mended), suite).outcome == "pass"

    if not passes(len(bad)):
        return None
    low, high = 0, len(bad)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle + 1, high)
    return low


def _groups(pairs: Pairs, names: Sequence[str | None], bad: Sequence[int], best: float) -> tuple[Group, ...]:
    """The groups with the most lost items; nothing where every item is a group of its own."""
    sizes = Counter(filter(None, names))
    if not sizes or max(sizes.values()) == 1:
        return ()
    lost = Counter(filter(None, (names[place] for place in bad)))
    before = Counter(
        name for name, value in zip(names, pairs.baseline, strict=True) if name is not None and value != best
    )
    most = sorted(lost, key=lambda name: (-lost[name], -lost[name] / sizes[name], str(name)))
    return tuple(Group(str(name), sizes[name], lost[name], before[name]) for name in most[:SHOWN_GROUPS])


def own_name(name: str) -> str:
    """A cluster as its own task calls it."""
    return name.split("/", 1)[1]


def _unmeasured(result: GateResult) -> Need:
    return Need(result, 0, (), None, result.items_needed, ())
