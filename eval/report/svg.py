"""SVG text, and nothing else: shapes as functions that return elements, and a document around them. Pure.

Written by hand rather than drawn by a plotting library: that takes a second to import and as long again to draw, its
text cannot follow a page's colours, and its bytes change with its version.

Colours are classes (`ink`, `pass` ...), so that one drawing serves two places: a file of its own, with colours for
light and dark, and a fragment of a page, which takes the page's. Lengths are CSS pixels at full size.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from eval.report.escaped_text import visible

LIGHT = {
    "paper": "#ffffff", "ink": "#1f2328", "muted": "#636a73", "rule": "#d5dae0", "shade": "#eceff2",
    "pass": "#17734f", "fail": "#b8332a", "unsure": "#8f5c07", "right": "#8fa3b8", "wrong": "#dde3e9",
    "on": "#ffffff",
}  # fmt: skip
DARK = {
    "paper": "#0d1117", "ink": "#e3e1dc", "muted": "#9ba1a9", "rule": "#343b44", "shade": "#1d232b",
    "pass": "#52c297", "fail": "#f2857a", "unsure": "#e0aa48", "right": "#5c7087", "wrong": "#363e48",
    "on": "#10130f",
}  # fmt: skip
FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','DejaVu Sans',sans-serif"
AIR = 16  # around a drawing that stands alone
NARROW = 344.0  # width of a drawing for a phone


def colour_rules(colours: dict[str, str]) -> str:
    """Style rules that give every class its colour: `f-NAME` fills with it and `s-NAME` draws with it."""
    return "".join(
        f".fig .f-{name}{{fill:{value}}}.fig .s-{name}{{stroke:{value};fill:none}}" for name, value in colours.items()
    )


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{round(value, 1) + 0.0:g}"


def text(
    x: float, y: float, words: str, kind: str = "ink", size: float = 13, anchor: str = "start", bold: bool = False
) -> str:
    """Words whose base line starts (or ends, or is centred) at x, y."""
    weight = ' font-weight="600"' if bold else ""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return (
        f'<text x="{number(x)}" y="{number(y)}" class="f-{kind}" font-size="{size:g}"{place}{weight}>'
        f"{escape(visible(words))}</text>"
    )


def rect(x: float, y: float, width: float, height: float, kind: str, radius: float = 0) -> str:
    rounded = f' rx="{radius:g}"' if radius else ""
    return (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}" height="{number(height)}" '
        f'class="f-{kind}"{rounded}/>'
    )


def line(
    points: Iterable[tuple[float, float]], kind: str, width: float = 1, dash: str = "", round_: bool = False
) -> str:
    """A line through the points."""
    path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ended = ' stroke-linecap="round" stroke-linejoin="round"' if round_ else ""
    return f'<polyline points="{path}" class="s-{kind}" stroke-width="{width:g}"{dashed}{ended}/>'


def marker(x: float, y: float, shape: str, kind: str, size: float = 5) -> str:
    """A `circle`, `square` or `diamond`, so that shape tells what colour tells; `ring` is a hollow circle."""
    if shape == "circle":
        return f'<circle cx="{number(x)}" cy="{number(y)}" r="{size:g}" class="f-{kind}"/>'
    if shape == "ring":
        inside = f'<circle cx="{number(x)}" cy="{number(y)}" r="{size:g}" class="f-paper"/>'
        radius = f"{size - 0.7:g}"
        return f'{inside}<circle cx="{number(x)}" cy="{number(y)}" r="{radius}" class="s-{kind}" stroke-width="1.6"/>'
    if shape == "square":
        return rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8, kind)
    reach = size * 1.25
    corners = ((x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y))
    points = " ".join(f"{number(a)},{number(b)}" for a, b in corners)
    return f'<polygon points="{points}" class="f-{kind}"/>'


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers inside low..high, at most `most`, evenly spaced by 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        return [low]
    power = 10 ** math.floor(math.log10((high - low) / most))
    step = next(power * unit for unit in (1, 2, 2.5, 5, 10, 20) if (high - low) / (power * unit) < most)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) + 0.0 for place in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def shorten(words: str, most: int) -> str:
    """The words, or their two ends: names of one family differ at the end."""
    return words if len(words) <= most else f"{words[: most // 2]}…{words[1 - most + most // 2 :]}"


def document(width: float, height: float, parts: Sequence[str], title: str) -> str:
    """A drawing that stands alone: its own paper, and colours for light and for dark."""
    dark = f"@media (prefers-color-scheme:dark){{{colour_rules(DARK)}}}"
    size = f'width="{number(width + 2 * AIR)}" height="{number(height + 2 * AIR)}"'
    box = f'viewBox="{-AIR} {-AIR} {number(width + 2 * AIR)} {number(height + 2 * AIR)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fig" {size} {box} {_named(title)}>\n'
        f"<style>{colour_rules(LIGHT)}{dark}.fig text{{font-family:{FONTS}}}</style>\n"
        f"{rect(-AIR, -AIR, width + 2 * AIR, height + 2 * AIR, 'paper')}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def fragment(width: float, height: float, parts: Sequence[str], title: str) -> str:
    """The same drawing inside a page that defines the classes' colours."""
    box = f'viewBox="0 0 {number(width)} {number(height)}"'
    return f'<svg class="fig" {box} {_named(title)}>' + "".join(parts) + "</svg>"


def _named(title: str) -> str:
    return f'role="img" aria-label="{escape(visible(title))}"'
