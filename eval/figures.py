"""The pictures of a report as SVG text, and how a comparison's numbers are written.

Every figure stands alone: white background, shapes and words beside each colour. `inline` turns one into
a fragment of report.html that follows the page's colours. Same input, same bytes: no date, no version, no
random id. matplotlib is imported when something is drawn.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from eval.records import Comparison, GateResult

GateRow = tuple[GateResult, Comparison | None]

INK, PAPER, MUTED, RULE, ON_COLOUR = "#1f2328", "#ffffff", "#6e7781", "#d0d7de", "#fffffe"
PASS, FAIL, UNSURE, RIGHT, WRONG = "#1a7f5a", "#c4362b", "#a86a08", "#8fa3b8", "#dde3e9"
IN_PAGE = {
    INK: "currentColor", PAPER: "none", MUTED: "var(--muted)", RULE: "var(--rule)", ON_COLOUR: "var(--on-colour)",
    PASS: "var(--pass)", FAIL: "var(--fail)", UNSURE: "var(--unsure)", RIGHT: "var(--both-right)",
    WRONG: "var(--both-wrong)",
}  # fmt: skip
COLOURS = {"pass": PASS, "fail": FAIL, "inconclusive": UNSURE}
MARKERS = {"pass": "o", "fail": "s", "inconclusive": "D"}
SYMBOLS = {"pass": "✓", "fail": "✕", "inconclusive": "?"}
WIDTH = 9.2  # inches, of 72 SVG units each
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def is_rate(comparison: Comparison | None) -> bool:
    """Whether the metric lies in 0..1, so that differences are written in percentage points."""
    values = (comparison.baseline, comparison.candidate) if comparison else ()
    return all(value is None or 0 <= value <= 1 for value in values)


def level_text(value: float | None, rate: bool) -> str:
    """A metric of one arm: `61.2 %`, or the number itself when it is no rate."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if rate else f"{value:.4g}".replace("-", "−")


def signed_text(value: float, rate: bool, sign: str = "+") -> str:
    """A difference without its unit; `sign` is "+" to mark gains too, "-" to mark losses only."""
    text = f"{100 * value:{sign}z.1f}" if rate else f"{value:{sign}z.3g}"
    return text.replace("-", "−")


def difference_text(comparison: Comparison | None) -> str:
    """`+41.2 pts [34.0, 48.1]`: the difference and its interval."""
    if comparison is None or comparison.difference is None:
        return "–"
    rate = is_rate(comparison)
    text = signed_text(comparison.difference, rate) + (" pts" if rate else "")
    if comparison.interval is None:
        return f"{text} [unknown]"
    low, high = (signed_text(end, rate, "-") for end in (comparison.interval.low, comparison.interval.high))
    return f"{text} [{low}, {high}]"


def estimate_text(gate: GateResult, comparison: Comparison | None) -> str:
    """What a gate is about, with its interval: a paired difference, or the candidate's own rate."""
    if gate.about == "difference" or gate.estimate is None:
        return difference_text(comparison)
    if gate.interval is None:
        return f"{level_text(gate.estimate, True)} [unknown]"
    return f"{level_text(gate.estimate, True)} [{100 * gate.interval.low:.1f}, {100 * gate.interval.high:.1f}]"


def paired_counts(comparison: Comparison) -> dict[str, int]:
    """Items by paired outcome. A metric that is not 0/1 has no right and wrong: its ties are `unchanged`."""
    ties = comparison.n - comparison.wins - comparison.losses
    if comparison.mcnemar_p is None or comparison.baseline is None:
        return {"unchanged": ties, "won": comparison.wins, "lost": comparison.losses}
    both_right = round(comparison.n * comparison.baseline) - comparison.losses
    won, lost = comparison.wins, comparison.losses
    return {"both right": both_right, "won": won, "lost": lost, "both wrong": ties - both_right}


@contextmanager
def _own_style() -> Iterator[None]:
    """matplotlib's defaults and ours, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {"svg.fonttype": "none", "svg.hashsalt": "securecli-tuner", "text.parse_math": False}
        )
        yield


@_own_style()
def forest_plot(rows: Sequence[GateRow]) -> str:
    """Each gate's interval against its threshold, blocking above advisory. All rows share one kind and unit."""
    figure, axes = _rows_figure(rows, 0.30, 0.74)
    rate = is_rate(rows[0][1])
    scale = 100 if rate else 1
    ends = [0.0]
    for gate, _ in rows:
        ends.append(gate.threshold)
        if gate.interval:
            ends += [gate.interval.low, gate.interval.high]
        if gate.estimate is not None:
            ends.append(gate.estimate)
    margin = 0.06 * (max(ends) - min(ends)) or 0.01
    left, right = scale * (min(ends) - margin), scale * (max(ends) + margin)
    axes.set_xlim(left, right)
    axes.axvline(0, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    for y, (gate, comparison) in _lines(figure, axes, rows):
        colour, threshold = COLOURS[gate.outcome], scale * gate.threshold
        bad = left if gate.good == "above" else right
        axes.barh(y, threshold - bad, left=bad, height=0.78, color=RULE, alpha=0.45, linewidth=0, zorder=0)
        axes.plot([threshold] * 2, [y - 0.39, y + 0.39], color=INK, linewidth=1.5, solid_capstyle="butt")
        if gate.interval:
            span = [scale * gate.interval.low, scale * gate.interval.high]
            axes.plot(span, [y, y], color=colour, linewidth=2.6, solid_capstyle="round")
        if gate.estimate is not None:
            axes.plot(
                [scale * gate.estimate], [y], MARKERS[gate.outcome], color=colour, markersize=7.5, markeredgewidth=0
            )
        _beside(figure, axes, 0.755, y + 0.2, estimate_text(gate, comparison), INK)
        _beside(figure, axes, 0.755, y - 0.24, f"{SYMBOLS[gate.outcome]} {gate.outcome}", colour, weight="bold")
    unit = "percentage points" if rate else "the metric's own unit"
    own = rows[0][0].about == "rate"
    axes.set_xlabel(
        "rate of the candidate, percent" if own else f"candidate − baseline, {unit}", color=MUTED, fontsize=9.5
    )
    return _svg(figure)


@_own_style()
def outcome_bars(rows: Sequence[GateRow]) -> str:
    """How the items of each gate fall: both arms right, won, lost, both wrong."""
    figure, axes = _rows_figure(rows, 0.30, 0.80, axis=False)
    axes.set_xlim(0, 1)
    fills = {"both right": RIGHT, "unchanged": RIGHT, "won": PASS, "lost": FAIL, "both wrong": WRONG}
    for y, (_, comparison) in _lines(figure, axes, rows):
        if comparison is None or not comparison.n:
            _beside(figure, axes, 0.31, y, "no item was scored", MUTED)
            continue
        start = 0.0
        for kind, count in paired_counts(comparison).items():
            share = count / comparison.n
            axes.barh(y, share, left=start, height=0.56, color=fills[kind], edgecolor=PAPER, linewidth=0.8)
            if share > 0.045:
                ink = ON_COLOUR if kind in ("won", "lost") else INK
                axes.text(start + share / 2, y - 0.01, str(count), color=ink, ha="center", va="center", fontsize=9.5)
            start += share
        won, lost = comparison.wins, comparison.losses
        _beside(figure, axes, 0.815, y + 0.2, f"+{won} won" if won else "0 won", PASS if won else MUTED)
        _beside(figure, axes, 0.815, y - 0.24, f"−{lost} lost" if lost else "0 lost", FAIL if lost else MUTED)
        _beside(figure, axes, 0.91, y - 0.02, f"of {comparison.n}", MUTED)
    return _svg(figure)


@_own_style()
def loss_curve(curve: Sequence[Sequence[float]]) -> str:
    """Training loss by step, from `[[step, loss], ...]`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 2.7))
    axes = figure.add_axes((0.065, 0.19, 0.87, 0.76))
    steps, losses = [point[0] for point in curve], [point[1] for point in curve]
    axes.plot(steps, losses, color=RIGHT, linewidth=1.8, solid_joinstyle="round")
    axes.plot(steps[-1:], losses[-1:], "o", color=INK, markersize=5.5)
    axes.annotate(f"{losses[-1]:.3g}", (steps[-1], losses[-1]), (7, -3.5), textcoords="offset points", color=INK)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    _quiet(axes)
    axes.set_xlabel("step", color=MUTED, fontsize=9.5)
    axes.set_ylabel("training loss", color=MUTED, fontsize=9.5)
    return _svg(figure)


def inline(svg: str, name: str, title: str) -> str:
    """The figure as a fragment of a page: its colours, no ids shared with another figure, no XML head."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub("|".join(IN_PAGE), lambda colour: IN_PAGE[colour.group()], svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)


def _rows_figure(rows: Sequence[GateRow], left: float, right: float, axis: bool = True) -> tuple[Any, Any]:
    """A figure with one line a gate and one a tier heading, and its axes."""
    from matplotlib.figure import Figure

    lines = len(rows) + len({gate.tier for gate, _ in rows})
    below = 0.55 if axis else 0.1
    inches = 0.1 + 0.47 * lines + below
    figure = Figure(figsize=(WIDTH, inches))
    axes = figure.add_axes((left, below / inches, right - left, 0.47 * lines / inches))
    axes.set_ylim(-lines + 0.5, 0.5)
    axes.set_yticks([])
    _quiet(axes, bottom=axis)
    if axis:
        axes.grid(axis="x", color=RULE, linewidth=0.6)
    else:
        axes.set_xticks([])
    return figure, axes


def _lines(figure: Any, axes: Any, rows: Sequence[GateRow]) -> list[tuple[float, GateRow]]:
    """Write the left column and return the height of every gate's line."""
    placed: list[tuple[float, GateRow]] = []
    y = 0.0
    for tier in ("blocking", "advisory"):
        members = [row for row in rows if row[0].tier == tier]
        if members:
            _beside(figure, axes, 0.008, y - 0.2, tier.upper(), MUTED, fontsize=8.5)
            y -= 1
        for row in members:
            _beside(figure, axes, 0.008, y + 0.2, _short(row[0].id, 28), INK, weight="bold")
            _beside(figure, axes, 0.008, y - 0.24, _short(f"{row[0].task} · {row[0].metric}", 36), MUTED, fontsize=8.5)
            placed.append((y, row))
            y -= 1
    return placed


def _beside(figure: Any, axes: Any, x: float, y: float, text: str, colour: str, **style: Any) -> None:
    """Text at a fraction of the figure's width and the height of a line."""
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(figure.transFigure, axes.transData)
    axes.text(x, y, text, color=colour, transform=place, ha="left", va="center", **{"fontsize": 10, **style})


def _short(text: str, most: int) -> str:
    """The text, or its two ends: names of one family differ at the end."""
    printable = "".join(letter for letter in text if letter.isprintable())
    return printable if len(printable) <= most else f"{printable[: most // 2]}…{printable[1 - most + most // 2 :]}"


def _quiet(axes: Any, bottom: bool = True) -> None:
    """No frame, no tick marks, muted tick labels."""
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom" and bottom)
        spine.set_color(RULE)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=MUTED, labelsize=9)
    axes.patch.set_visible(False)


def _svg(figure: Any) -> str:
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", facecolor=PAPER, metadata=nothing)
    return re.sub(r"font-family: [^;\"]*", f"font-family: {FONTS}", stream.getvalue())
