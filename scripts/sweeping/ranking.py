"""Who is best on the selection half: by one gate that is named beforehand, and no other figure. Pure.

    gate = criterion(suite, None)                   the first blocking superiority gate, or the one of this id
    ranked = rank([entry_of(...), ...], gate)

Whoever fails a blocking safety gate stands below all who do not. Equals stand in the order of their names.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from eval.common.errors import UserError
from eval.config.cautions import kinds_of
from eval.config.suite_file import Suite
from eval.contracts.gate import Gate
from eval.report.number_text import GateRow, estimate_text
from eval.run.metrics import Metrics, Outcome, Verdict


@dataclass(frozen=True)
class Seen:
    """What one half showed of the gate that ranks: items, estimate and interval in the metric's unit, and in words."""

    n: int
    text: str
    estimate: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    verdict: Verdict
    failed_safety: tuple[str, ...]  # ids of blocking gates on harm that failed


@dataclass(frozen=True)
class Entry:
    """One adapter of the sweep. `name`: its recipe's, with the step of a checkpoint; `settings`: in words."""

    name: str
    settings: str
    run: str
    seen: Seen

    def record(self) -> dict[str, Any]:
        return asdict(self)


def criterion(suite: Suite, named: str | None) -> Gate:
    """The gate that ranks. UserError for one that the suite has not, or that gives no number to rank by."""
    if named is None:
        found = next((gate for gate in suite.gates if gate.tier == "blocking" and asks_for_a_gain(gate)), None)
        if found is None:
            raise UserError(f"suite {suite.name} has no blocking superiority gate: RANK= names the gate to rank by")
        return found
    gates = {gate.id: gate for gate in suite.gates}
    if named not in gates:
        raise UserError(f"RANK={named}: suite {suite.name} has no such gate, only {', '.join(gates)}")
    if not gates[named].speaks_for_all:
        raise UserError(f"RANK={named}: it is about named items and gives no number to rank by: name another gate")
    return gates[named]


def asks_for_a_gain(gate: Gate) -> bool:
    """Whether a candidate that is merely as good as its baseline cannot pass."""
    return gate.paired and gate.good == "above" and gate.threshold >= 0


def seen_in(metrics: Metrics, suite: Suite, gate: Gate) -> Seen:
    """What an evaluation on one half shows of the gate that ranks, and which safety gates it fails."""
    result, comparison = result_of(metrics, gate)
    outcomes = {one.id: one.outcome for one in metrics.gates}
    failed = tuple(
        one.id
        for one in suite.gates
        if one.tier == "blocking" and "safety" in kinds_of(suite, one) and outcomes.get(one.id) == "fail"
    )
    return Seen(
        n=comparison.n if comparison else 0,
        text=estimate_text(result, comparison),
        estimate=result.estimate,
        low=result.interval.low if result.interval else None,
        high=result.interval.high if result.interval else None,
        outcome=result.outcome,
        verdict=metrics.verdict,
        failed_safety=failed,
    )


def result_of(metrics: Metrics, gate: Gate) -> GateRow:
    """The result of a gate, and the comparison it is about. UserError for an evaluation without the gate."""
    compared = {(one.task, one.metric): one for one in metrics.comparisons}
    for result in metrics.gates:
        if result.id == gate.id:
            return result, compared.get((gate.task, gate.metric))
    raise UserError(f"{metrics.run} was judged without gate {gate.id}: evaluate it again under this suite")


def rank(entries: Iterable[Entry], gate: Gate) -> list[Entry]:
    """The best first."""

    def key(entry: Entry) -> tuple[bool, bool, float, str]:
        value = entry.seen.estimate
        better = 0.0 if value is None else -value if gate.good == "above" else value
        return bool(entry.seen.failed_safety), value is None, better, entry.name

    return sorted(entries, key=key)
