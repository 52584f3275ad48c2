"""The power table of a suite: what each gate can see with the items it has, before a run and after it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from eval.common.errors import UserError
from eval.config.suite_file import Suite
from eval.contracts.gate import Gate
from eval.run.metrics import Comparison, PowerRow


def planned_power(suite: Suite, items: Mapping[str, tuple[int, int]]) -> list[PowerRow]:
    """Before a run. `items`: task -> (items, what they are worth if items of a cluster agree)."""
    rows = [_row(gate, suite, *items.get(gate.task, (0, 0)), None) for gate in suite.gates]
    return [row for row in rows if row is not None]


def observed_power(suite: Suite, comparisons: Mapping[tuple[str, str], Comparison]) -> list[PowerRow]:
    """After a run, with the discordance that was seen."""
    rows = []
    for gate in suite.gates:
        comparison = comparisons.get((gate.task, gate.metric))
        if comparison is not None and comparison.n:
            rows.append(_row(gate, suite, comparison.n, comparison.effective_n, comparison))
    return [row for row in rows if row is not None]


def power_lines(suite: Suite, rows: Sequence[PowerRow]) -> list[str]:
    """The table in words, one line a gate, and a line below each gate that has too few items."""
    gates = {gate.id: gate for gate in suite.gates}
    lines = []
    for row in rows:
        worth = f"{row.n} items" if row.effective_n == row.n else f"{row.n} items worth {row.effective_n}"
        sees = "what it can see is not known before a run"
        if row.detectable is not None:
            sees = gates[row.gate].sees_text(row, suite.power)
        lines.append(f"{row.gate} ({row.tier}): {worth}, {sees}")
        if row.warning:
            lines.append(f"  {row.warning}" if row.warning.startswith("too few") else f"  too few: {row.warning}")
    return lines


def refuse_weak_gates(rows: Sequence[PowerRow]) -> None:
    """For --strict. UserError when a blocking gate has too few items, before anything is spent."""
    weak = [row for row in rows if row.tier == "blocking" and row.warning]
    if weak:
        more = f" (and {len(weak) - 1} more)" if len(weak) > 1 else ""
        raise UserError(f"gate {weak[0].gate}: {weak[0].warning}{more}; add items, widen the margin or drop --strict")


def _row(gate: Gate, suite: Suite, n: int, effective: int, comparison: Comparison | None) -> PowerRow | None:
    seen = gate.sees(n, effective, comparison, suite.terms)
    if seen is None:
        return None
    return PowerRow(gate=gate.id, tier=gate.tier, n=n, effective_n=effective, **asdict(seen))
