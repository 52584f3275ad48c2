"""Which pictures a report has, from the records of a run: gates, slices and paired outcomes. Pure.

A `Figure` is drawn on demand: `svg` is a file of its own (figures/*.svg), `inline` a fragment of report.html, once for
wide pages and once for phones. Same input, same bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from eval.common.number_text import level_text, p_text
from eval.config.gate_rules import kind_of
from eval.contracts.gate import Axis
from eval.report.forest import Drawing, Line, Panel, forest
from eval.report.number_text import SYMBOLS, GateRow, difference_text, estimate_text, paired_counts
from eval.report.svg import NARROW, document, fragment, rect, shorten, text
from eval.run.metrics import Comparison, SliceResult, is_rate

BAR_FILLS = {"both right": "right", "unchanged": "right", "won": "pass", "lost": "fail", "both wrong": "wrong"}


@dataclass(frozen=True)
class Figure:
    """A picture with its title, drawn for a given width."""

    title: str
    draw: Callable[[bool], Drawing]  # narrow or not

    def svg(self) -> str:
        return document(*self.draw(False), self.title)

    def inline(self) -> str:
        """Both widths, of which the page's style shows one."""
        wide, narrow = (fragment(*self.draw(slim), self.title) for slim in (False, True))
        return f'<div class="wide">{wide}</div><div class="slim">{narrow}</div>'


def gates_figure(rows: Sequence[GateRow]) -> Figure | None:
    """Each gate's interval against its threshold, in panels by unit. Gates about named items have no interval."""
    panels = gate_panels(rows)
    return Figure("Interval of each gate against its threshold", lambda slim: forest(panels, slim)) if panels else None


def gate_panels(rows: Sequence[GateRow]) -> list[Panel]:
    """Gates of one unit share an axis: points, rates, and every metric with a unit of its own."""
    found: dict[Axis, list[GateRow]] = {}
    for gate, comparison in rows:
        axis = kind_of(gate.rule).axis(gate, comparison)
        if axis is not None:
            found.setdefault(axis, []).append((gate, comparison))
    return [_panel(axis, found[axis]) for axis in sorted(found, key=lambda axis: (axis.place, axis.metric))]


def _panel(axis: Axis, rows: Sequence[GateRow]) -> Panel:
    tiers = sorted(rows, key=lambda row: row[0].tier != "blocking")
    lines = tuple(
        Line(
            gate.id,
            f"{gate.task} · {gate.metric}",
            gate.estimate,
            gate.interval,
            gate.threshold,
            gate.good,
            gate.outcome,
            estimate_text(gate, comparison),
            f"{SYMBOLS[gate.outcome]} {gate.outcome}",
            gate.tier,
            f"worst of {len(gate.slices)} categories" if gate.slices else "",
        )
        for gate, comparison in tiers
    )
    return Panel(axis.title, axis.label, lines, axis.scale, zero=axis.zero)


def slices_figure(name: str, slices: Sequence[SliceResult], threshold: float | None, good: str) -> Figure:
    """The categories of one metric. With a threshold they were decided; without, the line is zero."""
    rate = all(is_rate(row) for row in slices)

    def said(row: SliceResult) -> str:
        return f"{SYMBOLS[row.outcome]} {row.outcome}" if row.outcome else f"adjusted p {p_text(row.adjusted_p)}"

    lines = tuple(
        Line(
            row.slice,
            f"n {row.n}: {level_text(row.baseline, rate)} → {level_text(row.candidate, rate)}",
            row.difference,
            row.interval,
            threshold,
            "below" if good == "below" else "above",
            row.outcome or "plain",
            difference_text(row),
            said(row),
        )
        for row in slices
    )
    axis = "candidate − baseline, " + ("percentage points" if rate else "the metric's own unit")
    panel = Panel(name, axis, lines, 100.0 if rate else 1.0)
    return Figure(f"{name} by category", lambda slim: forest([panel], slim))


def outcomes_figure(rows: Sequence[GateRow]) -> Figure | None:
    """How the items of each gated metric fall: both arms right, won, lost, both wrong."""
    found: dict[str, dict[str, Comparison]] = {}
    for gate, comparison in rows:
        kind = kind_of(gate.rule)
        if comparison and comparison.n and not kind.quantity:
            own = found.setdefault(gate.task, {})
            own[gate.metric] = (
                fewer_is_better(comparison) if kind.wants() == "lower" else own.get(gate.metric, comparison)
            )
    if not found:
        return None
    comparisons = [comparison for own in found.values() for comparison in own.values()]
    return Figure("Items won, lost and alike, by metric", lambda slim: _bars(comparisons, slim))


def fewer_is_better(comparison: Comparison) -> Comparison:
    """The same comparison of what should not happen, counted as what should."""
    level = 1 - comparison.baseline if comparison.baseline is not None else None
    return comparison.model_copy(
        update={"wins": comparison.losses, "losses": comparison.wins, "baseline": level if comparison.binary else None}
    )


def _bars(comparisons: Sequence[Comparison], narrow: bool) -> Drawing:
    """One bar a metric, under the name of its task."""
    width, start, end = (NARROW, 0.0, NARROW) if narrow else (880.0, 278.0, 690.0)
    row, head = (48.0, 34.0) if narrow else (34.0, 34.0)
    parts = list[str]()
    x = start
    for kind, fill in (
        ("both right, or unchanged", "right"),
        ("won", "pass"),
        ("lost", "fail"),
        ("both wrong", "wrong"),
    ):
        parts += [rect(x, 2, 11, 11, fill, 2), text(x + 16, 12, kind, "muted", 11)]
        x += 30 + 6.1 * len(kind)
    y = 18.0
    for task, members in groupby(comparisons, key=lambda comparison: comparison.task):
        parts.append(text(0, y + head - 10, shorten(task, 44), "muted", 11.5))
        y += head
        for comparison in members:
            y = _bar(parts, comparison, (start, end), y, row, narrow)
    return width, y + 2, parts


def _bar(
    parts: list[str], comparison: Comparison, span: tuple[float, float], y: float, row: float, narrow: bool
) -> float:
    """One metric's bar below y; returns where it ends."""
    won, lost = comparison.wins, comparison.losses
    top, tall = (y + 21, 17.0) if narrow else (y + 4, 22.0)
    kinds = ("pass" if won else "muted", "fail" if lost else "muted")
    if narrow:
        parts.append(text(0, y + 14, shorten(comparison.metric, 26), "ink", 13, bold=True))
        parts.append(text(NARROW - 96, y + 14, f"+{won} won" if won else "0 won", kinds[0], 12, "end"))
        parts.append(text(NARROW - 42, y + 14, f"−{lost} lost" if lost else "0 lost", kinds[1], 12, "end"))
        parts.append(text(NARROW, y + 14, f"of {comparison.n}", "muted", 12, "end"))
    else:
        parts.append(text(12, top + 16, shorten(comparison.metric, 36), "ink", 13, bold=True))
        parts.append(text(768, top + 16, f"+{won} won" if won else "0 won", kinds[0], 13, "end"))
        parts.append(text(834, top + 16, f"−{lost} lost" if lost else "0 lost", kinds[1], 13, "end"))
        parts.append(text(880, top + 16, f"of {comparison.n}", "muted", 12, "end"))
    x, whole = span[0], span[1] - span[0]
    for kind, count in paired_counts(comparison).items():
        wide = whole * count / comparison.n
        parts.append(rect(x, top, max(wide - 1, min(wide, 1)), tall, BAR_FILLS[kind]))
        if wide > 9 * len(str(count)) + 4:
            ink = "on" if kind in ("won", "lost") else "ink"
            parts.append(text(x + wide / 2, top + tall / 2 + 4.2, str(count), ink, 12, "middle"))
        x += wide
    return y + row
