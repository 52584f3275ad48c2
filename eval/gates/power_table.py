"""The power table of a suite: what each gate can see with the items it has, before a run and after it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from eval.common.errors import UserError
from eval.config.gate_rules import Gate, PairedRule
from eval.config.suite_file import Suite
from eval.run.metrics import Comparison, PowerRow
from eval.statistics.power import detectable_distance, items_for_certainty, items_needed, passing_rate, too_few_clusters


def planned_power(suite: Suite, items: Mapping[str, tuple[int, int]]) -> list[PowerRow]:
    """Before a run. `items`: task -> (items, what they are worth if items of a cluster agree)."""
    return [_row(gate, suite, *items.get(gate.task, (0, 0)), None) for gate in suite.gates if gate.about != "items"]


def observed_power(suite: Suite, comparisons: Mapping[tuple[str, str], Comparison]) -> list[PowerRow]:
    """After a run, with the discordance that was seen."""
    rows = []
    for gate in suite.gates:
        comparison = comparisons.get((gate.task, gate.metric))
        if gate.about == "items" or comparison is None or not comparison.n:
            continue
        discordance = (comparison.wins + comparison.losses) / comparison.n if comparison.binary else None
        rows.append(_row(gate, suite, comparison.n, comparison.effective_n, discordance, after=True))
    return rows


def power_lines(suite: Suite, rows: Sequence[PowerRow]) -> list[str]:
    """The table in words, one line a gate, and a line below each gate that has too few items."""
    thresholds = {gate.id: gate for gate in suite.gates}
    lines = []
    for row in rows:
        worth = f"{row.n} items" if row.effective_n == row.n else f"{row.n} items worth {row.effective_n}"
        lines.append(f"{row.gate} ({row.tier}): {worth}, {_sees(thresholds[row.gate], row, suite.power)}")
        if row.warning:
            lines.append(f"  {row.warning}" if row.warning.startswith("too few") else f"  too few: {row.warning}")
    return lines


def refuse_weak_gates(rows: Sequence[PowerRow]) -> None:
    """For --strict. UserError when a blocking gate has too few items, before anything is spent."""
    weak = [row for row in rows if row.tier == "blocking" and row.warning]
    if weak:
        more = f" (and {len(weak) - 1} more)" if len(weak) > 1 else ""
        raise UserError(f"gate {weak[0].gate}: {weak[0].warning}{more}; add items, widen the margin or drop --strict")


def _sees(gate: Gate, row: PowerRow, power: float) -> str:
    if row.detectable is None:
        return "what it can see is not known before a run"
    if gate.about == "rate":
        side = "up to" if gate.good == "below" else "down to"
        return f"passes {side} a true rate of {100 * row.detectable:.1f} % in {power:.0%} of runs"
    if gate.threshold < 0:
        return f"tells a drop of {100 * row.detectable:.1f} points from none in {power:.0%} of runs"
    return f"passes from a true gain of {100 * (gate.threshold + row.detectable):.1f} points in {power:.0%} of runs"


@dataclass(frozen=True)
class Seen:
    """What a gate can see with its items; the fields of a PowerRow."""

    discordance: float | None = None
    detectable: float | None = None
    needed: int | None = None
    warning: str = ""


def _row(gate: Gate, suite: Suite, n: int, effective: int, discordance: float | None, after: bool = False) -> PowerRow:
    seen = Seen()
    if gate.about == "rate":
        seen = _rate_sees(gate, suite, effective)
    elif isinstance(gate, PairedRule) and not gate.slice:
        seen = _pairs_see(gate, suite, effective, discordance if after else suite.discordance_of(gate))
        few = too_few_clusters(effective, -gate.threshold, suite.alpha) if gate.threshold < 0 and n else ""
        if few and effective < n and suite.mode == "fixed":
            needed = items_for_certainty(-gate.threshold, suite.confidence, "below")
            seen = replace(seen, needed=max(seen.needed or 0, needed), warning=few)
    return PowerRow(gate=gate.id, tier=gate.tier, n=n, effective_n=effective, **asdict(seen))


def _pairs_see(gate: PairedRule, suite: Suite, n: int, discordance: float | None) -> Seen:
    """How far from its threshold the truth must lie. A margin (threshold below 0) should reach that far."""
    if discordance is None or not n:
        return Seen(discordance)
    detectable = detectable_distance(n, discordance, suite.alpha, suite.power)
    if gate.threshold >= 0 or detectable <= -gate.threshold:
        return Seen(discordance, detectable)
    needed = items_needed(0.0, discordance, gate.threshold, suite.alpha, suite.power)
    warning = (
        f"an adapter as good as its base passes in less than {suite.power:.0%} of runs: the smallest drop that "
        f"{n} items tell from none is {100 * detectable:.1f} points, the margin is "
        f"{-100 * gate.threshold:g}; {needed} items would do"
    )
    return Seen(discordance, detectable, needed, warning)


def _rate_sees(gate: Gate, suite: Suite, n: int) -> Seen:
    """The true rate with which the gate still passes with the wanted power."""
    if not n:
        return Seen()
    rate = passing_rate(n, gate.threshold, suite.confidence, suite.power, gate.good)
    if rate is not None:
        return Seen(detectable=rate)
    needed = items_for_certainty(gate.threshold, suite.confidence, gate.good)
    perfect = "none seen" if gate.good == "below" else "all right"
    warning = f"{n} items cannot pass {100 * gate.threshold:g} % even with {perfect}: {needed} can"
    return Seen(needed=needed, warning=warning)
