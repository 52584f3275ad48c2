"""Forest plots: intervals against thresholds, one line each, in panels that share a unit. Pure.

One drawing for wide pages (names left, numbers right of the bars) and one for phones (words above each bar).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from eval.report.svg import NARROW, line, marker, rect, shorten, text, tick_text, ticks
from eval.run.metrics import Interval

Tone = Literal["pass", "fail", "inconclusive", "plain"]
KINDS = {"pass": "pass", "fail": "fail", "inconclusive": "unsure", "plain": "ink"}
SHAPES = {"pass": "circle", "fail": "square", "inconclusive": "diamond", "plain": "circle"}
WIDE = 880.0
LEFT, RIGHT, NUMBERS = 278.0, 622.0, 640.0  # where the bars of a wide drawing begin and end, and their numbers begin


@dataclass(frozen=True)
class Line:
    """One interval: whose, how much, against what, and what came of it."""

    label: str
    below: str
    estimate: float | None
    interval: Interval | None
    threshold: float | None
    good: Literal["above", "below"]
    tone: Tone
    numbers: str
    said: str
    heading: str = ""  # lines of the same heading stand together under it
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """Lines on one axis."""

    title: str
    axis: str
    lines: tuple[Line, ...]
    scale: float = 1.0  # 100 for rates, so that the axis is in percent
    zero: bool = True  # whether the axis shows zero


Drawing = tuple[float, float, list[str]]  # width, height, elements


def forest(panels: Sequence[Panel], narrow: bool = False) -> Drawing:
    """All panels, one below the other."""
    width = NARROW if narrow else WIDE
    parts: list[str] = []
    top = 0.0
    for place, panel in enumerate(panels):
        top = _panel(parts, panel, top + (18 if place else 0), narrow)
    return width, top, parts


def _panel(parts: list[str], panel: Panel, top: float, narrow: bool) -> float:
    """Draw one panel below `top`; returns where it ends."""
    start, end = (6.0, NARROW - 6) if narrow else (LEFT, RIGHT)
    row, head = (66.0, 30.0) if narrow else (44.0, 26.0)
    low, high = _range(panel)

    def at(value: float) -> float:
        return start + (panel.scale * value - low) / (high - low) * (end - start)

    parts.append(text(0, top + 15, panel.title, "ink", 13.5, bold=True))
    y = top + 22
    shown, under = list[str](), list[str]()
    heading, bands, first = None, list[tuple[float, float]](), y
    for entry in panel.lines:
        if entry.heading != heading:
            heading = entry.heading
            if heading:
                shown.append(text(0, y + head - 10, heading.upper(), "muted", 10.5))
                y += head
        _line(shown, under, entry, at, (start, end), y, row, narrow)
        y += row
        bands.append((y - 27, y - 5))
    if not narrow:
        bands = [(first, y)]  # in a narrow drawing words stand between the bars
    guides = [line([(at(0), a), (at(0), b)], "muted", 1, "2 3") for a, b in bands if low <= 0 <= high]
    for tick in ticks(low, high, 5 if narrow else 6):
        x = start + (tick - low) / (high - low) * (end - start)
        guides += [line([(x, a), (x, b)], "rule", 0.8) for a, b in bands]
        anchor = "start" if x - start < 12 else "end" if end - x < 12 else "middle"
        parts.append(text(x, y + 15, tick_text(tick), "muted", 11, anchor))
    parts += [*under, *guides, *shown]
    if narrow:
        parts.append(text(0, y + 31, panel.axis, "muted", 11))
    else:
        parts.append(text((start + end) / 2, y + 31, panel.axis, "muted", 11, "middle"))
    return y + 38


def _line(
    parts: list[str],
    under: list[str],
    entry: Line,
    at: Callable[[float], float],
    span: tuple[float, float],
    y: float,
    row: float,
    narrow: bool,
) -> None:
    """One line of a panel between y and y + row; what lies behind the grid goes to `under`."""
    kind, said = KINDS[entry.tone], entry.said
    middle = y + (row - 16 if narrow else row / 2)
    reach = 11.0 if narrow else 16.0
    if narrow:
        parts.append(text(0, y + 16, shorten(entry.label, 34), "ink", 13, bold=True))
        parts.append(text(NARROW, y + 16, said, kind, 13, "end", bold=True))
        parts.append(text(0, y + 33, ", ".join(filter(None, (entry.numbers, entry.note))), "muted", 12))
    else:
        parts.append(text(0, middle - 4, shorten(entry.label, 36), "ink", 13.5, bold=True))
        room = 44 - len(entry.note)
        parts.append(
            text(0, middle + 13, ", ".join(filter(None, (shorten(entry.below, room), entry.note))), "muted", 11)
        )
        parts.append(text(NUMBERS, middle - 4, entry.numbers, "ink", 13))
        parts.append(text(NUMBERS, middle + 13, said, kind, 12.5, bold=True))
    if entry.threshold is not None:
        edge = at(entry.threshold)
        bad = (span[0], edge) if entry.good == "above" else (edge, span[1])
        under.append(rect(bad[0], middle - reach, bad[1] - bad[0], 2 * reach, "shade"))
        parts.append(line([(edge, middle - reach), (edge, middle + reach)], "ink", 1.6))
    if entry.interval is not None:
        ends = (at(entry.interval.low), middle), (at(entry.interval.high), middle)
        parts.append(line(ends, kind, 3, round_=True))
    if entry.estimate is not None:
        parts.append(marker(at(entry.estimate), middle, SHAPES[entry.tone], kind, 5))


def _range(panel: Panel) -> tuple[float, float]:
    """Ends of the axis, in its unit, with some air."""
    values = [0.0] if panel.zero else []
    for entry in panel.lines:
        values += [value for value in (entry.threshold, entry.estimate) if value is not None]
        values += [entry.interval.low, entry.interval.high] if entry.interval else []
    if not values:
        values = [0.0]
    low, high = panel.scale * min(values), panel.scale * max(values)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - air, high + air
