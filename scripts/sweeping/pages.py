"""sweep.md and sweep.svg, from sweep.json: who is best on the selection half, and the winner on both. Pure."""

import textwrap
from collections.abc import Iterator
from typing import Any

from eval.common.number_text import signed_text
from eval.report.figures import Figure
from eval.report.forest import Line, Panel, forest
from eval.report.number_text import SYMBOLS
from eval.run.metrics import Interval

PICTURE = "sweep.svg"
LABEL = 34  # characters beside a bar
HALVES = ("selection", "verdict")


def page(found: dict[str, Any]) -> Iterator[str]:
    """sweep.md."""
    gate, winner = found["rank_by"], found["winner"]
    yield f"# {found['recipe']}, a sweep of {len(found['ranked']) + len(found['untrained'])}: {found['verdict']}\n"
    yield f"Winner: **{winner['settings']}**, run `{winner['run']}`."
    yield f"Suite `{found['suite']}`: ranked by `{gate['id']}` ({gate['metric']} of {gate['task']}) on the selection"
    yield "half of the items, judged on the other half.\n"
    yield f"![Ranked, and the winner on both halves]({PICTURE})\n"
    yield f"| | settings | n | {gate['id']} | | failed on safety | verdict there | run |"
    yield "|--:|---|--:|--:|---|---|---|---|"
    for place, entry in enumerate(found["ranked"], start=1):
        seen = entry["seen"]
        failed = ", ".join(f"`{one}`" for one in seen["failed_safety"])
        yield (
            f"| {place} | {entry['settings']} | {seen['n']} | {seen['text']} | {seen['outcome']} | {failed} | "
            f"{seen['verdict']} | `{entry['run']}` |"
        )
    yield from (f"\nNot ranked: {one['settings']}: {one['why']}." for one in found["untrained"])
    yield "\n## The winner on both halves\n"
    yield f"| half | n | {gate['id']} | | verdict |"
    yield "|---|--:|--:|---|---|"
    for half in HALVES:
        seen = winner[half]
        yield f"| {half} | {seen['n']} | {seen['text']} | {seen['outcome']} | **{seen['verdict']}** |"
    yield f"\n{moved(found)} What was chosen for its figure is expected to lose some of it: only the"
    yield f"verdict half says how good the adapter is. {found['earlier']}"


def moved(found: dict[str, Any]) -> str:
    """How far the winner's figure moved from the half that chose it to the half that did not."""
    shrinkage, gate = found["winner"]["shrinkage"], found["rank_by"]
    if shrinkage is None:
        return "On one of the halves the winner has no figure."
    rate = gate["axis"]["scale"] == 100
    return f"From the selection half to the verdict half: {signed_text(shrinkage, rate)}{' points' if rate else ''}."


def picture(found: dict[str, Any]) -> Figure:
    """Everybody on the selection half, the best first, and below them the winner on the other, on one axis."""
    gate, winner, axis = found["rank_by"], found["winner"], found["rank_by"]["axis"]
    chosen, judged = "selection half, the best first", "verdict half, the winner alone"
    lines = [_line(entry["settings"], entry["seen"], gate, chosen) for entry in found["ranked"]]
    lines.append(_line(winner["settings"], winner["verdict"], gate, judged))
    panel = Panel(f"{gate['id']}: {gate['metric']} of {gate['task']}", axis["label"], tuple(lines), axis["scale"],
                  zero=axis["zero"])  # fmt: skip
    return Figure(f"Sweep of {found['recipe']}", lambda slim: forest([panel], slim))


def _line(settings: str, seen: dict[str, Any], gate: dict[str, Any], heading: str) -> Line:
    """One adapter. Settings that do not fit beside a bar go on below it."""
    interval = None
    if seen["low"] is not None:
        interval = Interval(low=seen["low"], high=seen["high"], confidence=gate["confidence"], method="the gate's")
    said = f"{SYMBOLS[seen['outcome']]} {seen['outcome']}" + (", fails on safety" if seen["failed_safety"] else "")
    label, _, rest = textwrap.fill(settings, LABEL, break_long_words=False).partition("\n")
    below = ", ".join([*([" ".join(rest.split())] if rest else []), f"n {seen['n']}"])
    return Line(
        label.rstrip(","), below, seen["estimate"], interval, gate["threshold"], gate["good"], seen["outcome"],
        seen["text"], said, heading,
    )  # fmt: skip
