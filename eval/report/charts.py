"""Pictures with two axes: training loss, a metric over runs, confidence against accuracy. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from eval.common.number_text import level_text
from eval.report.calibration import Calibration
from eval.report.figures import Figure
from eval.report.forest import Drawing
from eval.report.svg import NARROW, line, marker, number, rect, shorten, text, tick_text, ticks
from eval.report.trends import Trend

GAP = 36.0


def loss_figure(curve: Sequence[Sequence[float]]) -> Figure:
    """Training loss by step, from `[[step, loss], ...]`."""
    return Figure("Training loss by step", lambda slim: _loss(curve, slim))


def _loss(curve: Sequence[Sequence[float]], narrow: bool) -> Drawing:
    width, height = (NARROW, 190.0) if narrow else (880.0, 230.0)
    left, right, bottom = 34.0, width - 52, height - 36
    steps, losses = [point[0] for point in curve], [point[1] for point in curve]
    low, high = min(0.0, *losses), max(losses) * 1.05 or 1.0
    first, last = min(steps), max(steps)

    def at(step: float, loss: float) -> tuple[float, float]:
        x = left + (step - first) / ((last - first) or 1) * (right - left)
        return x, bottom - (loss - low) / ((high - low) or 1) * (bottom - 8)

    parts = list[str]()
    for tick in ticks(low, high, 5):
        y = at(first, tick)[1]
        parts += [
            line([(left, y), (right, y)], "rule", 0.8),
            text(left - 6, y + 4, tick_text(tick), "muted", 11, "end"),
        ]
    for tick in ticks(first, last, 5 if narrow else 8):
        parts.append(text(at(tick, 0)[0], bottom + 17, tick_text(tick), "muted", 11, "middle"))
    parts.append(line([at(*point) for point in zip(steps, losses, strict=True)], "right", 2, round_=True))
    x, y = at(steps[-1], losses[-1])
    parts += [marker(x, y, "circle", "ink", 4), text(x + 9, y + 4, f"{losses[-1]:.3g}", "ink", 12.5)]
    parts.append(text((left + right) / 2, height - 4, "step", "muted", 11, "middle"))
    return width, height, parts


def trend_figure(trends: Sequence[Trend]) -> Figure:
    """Small multiples: one small chart a metric, the candidate's value and interval run by run."""
    return Figure("Headline metrics over the runs of this recipe", lambda slim: _multiples(trends, slim))


def _multiples(trends: Sequence[Trend], narrow: bool) -> Drawing:
    columns, width = (1, NARROW) if narrow else (3, 880.0)
    cell, tall = (width - GAP * (columns - 1)) / columns, 148.0
    parts = list[str]()
    for place, trend in enumerate(trends):
        parts.append(_moved(_multiple(trend, cell), place % columns * (cell + GAP), place // columns * (tall + 16)))
    rows = -(-len(trends) // columns)
    return width, rows * (tall + 16) - 16, parts


def _multiple(trend: Trend, width: float) -> list[str]:
    """One small chart; a hollow point was measured on other samples, so no line leads to it."""
    scale = 100 if trend.rate else 1
    top, bottom, left, right = 44.0, 122.0, 34.0, width - 12
    values = [scale * end for point in trend.points for end in (point.low, point.value, point.high)]
    low, high = min(values), max(values)
    if trend.rate:
        low, high = max(0.0, low), min(100.0, high)
    air = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - air, high + air
    step = (right - left) / max(len(trend.points) - 1, 1)
    spot = [(left + place * step, point) for place, point in enumerate(trend.points)]

    def y(value: float) -> float:
        return bottom - (scale * value - low) / (high - low) * (bottom - top)

    own = trend.points[-1]
    parts = [
        text(0, 13, shorten(trend.gate, int(width / 8.2)), "ink", 13, bold=True),
        text(0, 29, shorten(f"{trend.task} · {trend.metric}", int(width / 6)), "muted", 10.5),
        text(width, 13, level_text(own.value, trend.rate), "ink", 13, "end", bold=True),
    ]
    for tick in ticks(low, high, 4):
        height = bottom - (tick - low) / (high - low) * (bottom - top)
        parts += [line([(left, height), (right, height)], "rule", 0.8)]
        parts.append(text(left - 7, height + 3.5, tick_text(tick), "muted", 10, "end"))
    for (x, point), (next_x, after) in pairwise(spot):
        if point.same_samples and after.same_samples:
            parts.append(line([(x, y(point.value)), (next_x, y(after.value))], "right", 1.6))
    for x, point in spot:
        kind = "ink" if point is own else "muted"
        parts.append(line([(x, y(point.low)), (x, y(point.high))], "right", 2.4, round_=True))
        parts.append(marker(x, y(point.value), "circle" if point.same_samples else "ring", kind, 3.8))
    parts.append(text(left, bottom + 18, trend.points[0].created[:10], "muted", 10))
    parts.append(text(width, bottom + 18, own.created[:10], "muted", 10, "end"))
    return parts


def reliability_figure(found: Sequence[Calibration]) -> Figure:
    """Reliability diagrams: how often answers of a given confidence are right."""
    return Figure("Confidence against accuracy", lambda slim: _reliabilities(found, slim))


def _reliabilities(found: Sequence[Calibration], narrow: bool) -> Drawing:
    columns, width = (1, NARROW) if narrow else (3, 880.0)
    cell = (width - GAP * (columns - 1)) / columns
    side = min(cell - 44, 220.0)
    tall = side + 88
    parts = list[str]()
    for place, calibration in enumerate(found):
        drawn = _reliability(calibration, side)
        parts.append(_moved(drawn, place % columns * (cell + GAP), place // columns * (tall + 14)))
    return width, -(-len(found) // columns) * (tall + 14) - 14, parts


def _reliability(found: Calibration, side: float) -> list[str]:
    """Bins as points with Wilson intervals; on the diagonal, confidence is what it says."""
    left, top = 34.0, 46.0
    bottom = top + side

    def at(confidence: float, accuracy: float) -> tuple[float, float]:
        return left + side * confidence, bottom - side * accuracy

    parts = [
        text(0, 13, shorten(found.task, 30), "ink", 13, bold=True),
        text(0, 31, f"{found.arm} · ECE {100 * found.ece:.1f} % · n {found.n:,}", "muted", 11.5),
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [line([at(0, tick), at(1, tick)], "rule", 0.8)]
        parts.append(text(left - 6, at(0, tick)[1] + 4, f"{100 * tick:.0f}", "muted", 10, "end"))
        if tick in (0.0, 0.5, 1.0):
            parts.append(text(at(tick, 0)[0], bottom + 15, f"{100 * tick:.0f}", "muted", 10, "middle"))
    parts.append(line([at(0, 0), at(1, 1)], "muted", 1, "3 3"))
    most = max(entry.n for entry in found.bins)
    for entry in found.bins:
        height = 0.12 * side * entry.n / most
        parts.append(
            rect(at(entry.low, 0)[0] + 1, bottom - height, side * (entry.high - entry.low) - 2, height, "wrong")
        )
    parts.append(line([at(entry.confidence, entry.accuracy) for entry in found.bins], "right", 1.6))
    for entry in found.bins:
        ends = [at(entry.confidence, end) for end in (entry.interval.low, entry.interval.high)]
        parts += [
            line(ends, "right", 2.4, round_=True),
            marker(*at(entry.confidence, entry.accuracy), "circle", "ink", 3.6),
        ]
    parts.append(text(left + side / 2, bottom + 32, "confidence, percent; up: right, percent", "muted", 10.5, "middle"))
    return parts


def _moved(parts: Sequence[str], x: float, y: float) -> str:
    return f'<g transform="translate({number(x)} {number(y)})">{"".join(parts)}</g>'
