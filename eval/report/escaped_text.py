"""Text for reports: whatever a model wrote, made visible and harmless in markdown and HTML. Pure."""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

COUNTS = ("tokens", "items", "steps", "examples", "reused")  # keys whose numbers are whole, and can be large
LONGEST_TEXT = {"html": 3000, "md": 400}  # characters of one answer; a base model can ramble to its limit


def visible(text: str) -> str:
    """The text with every character that a page would hide or obey (control, bidi, zero width) written out."""

    def shown(letter: str) -> str:
        code = ord(letter)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    if text.replace("\n", "").replace("\t", "").isprintable():  # nearly always, and several times faster
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\t" else shown(letter) for letter in text)


def clip(text: str, most: int) -> str:
    """At most `most` characters, saying how many are left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def markdown_text(text: str) -> str:
    """One line of plain text in markdown, in a paragraph or a table cell: nothing in it is markup."""
    line = re.sub(r"([\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(visible(text).split()))
    return re.sub(
        r"^([-+#=]|\d+(?=[.)]))", lambda start: "\\" + start[0] if start[0] in "-+#=" else start[0] + "\\", line
    )


def markdown_code(text: str) -> str:
    """A code span on one line. With a pipe, which would end a table's cell, it is escaped text instead."""
    line = " ".join(visible(text).split())
    if "|" in line or not line:
        return markdown_text(line)
    fence = "`" * (_longest_ticks(line) + 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def markdown_fence(pairs: Iterable[tuple[str, str]]) -> str:
    """A fenced block of labelled texts, the labels in one column. No text can end the block."""
    lines = []
    for label, text in pairs:
        body = visible(clip(text, LONGEST_TEXT["md"])).replace("\t", "    ").split("\n")
        lines += [f"{label:<11}{body[0]}".rstrip(), *(f"{'':<11}{rest}".rstrip() for rest in body[1:])]
    block = "\n".join(lines)
    fence = "`" * max(3, _longest_ticks(block) + 1)
    return f"{fence}text\n{block}\n{fence}"


def _longest_ticks(text: str) -> int:
    return max((len(list(run)) for letter, run in groupby(text) if letter == "`"), default=0)


def duration(seconds: float) -> str:
    """`2.4 s`, `3 min 10 s`, `5 h 02 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def facts(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Any mapping as (label, text) rows: durations and counts readable, a nested mapping on one line."""
    labels = {key: re.sub("^seconds(_|$)", "time ", key).replace("_", " ").strip() for key in values}
    return [(labels[key], _fact(key, value)) for key, value in values.items()]


def _fact(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return " · ".join(f"{name} {_fact(name, inner)}" for name, inner in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(_fact("", item) for item in value) or "–"
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int | float) and key.startswith("seconds"):
        return duration(value)
    if isinstance(value, int | float) and key.startswith(COUNTS):
        return f"{value:,.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
