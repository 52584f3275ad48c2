"""Quotes, braces and patterns of single words: pure functions on texts."""

import re
from fnmatch import fnmatchcase

BACKSLASH = re.compile(r"\\(\n?)(.?)", re.DOTALL)
IN_QUOTES = re.compile(r"\\([$`\"\\])|\\\n")
BRACES = re.compile(r"\{([^{}\s]*,[^{}\s]*|-?\w+\.\.-?\w+)\}")
MAX_WORDS = 256
SEQUENCE = 64  # of `{1..1000}` so many stand for all


def unquote(text: str) -> str:
    """A bare word without its backslashes."""
    return BACKSLASH.sub(lambda found: found.group(2) if found.group(1) else found.group(2) or "\\", text)


def in_quotes(text: str) -> str:
    """The text of a double-quoted string without the backslashes that the shell removes there."""
    return IN_QUOTES.sub(lambda found: found.group(1) or "", text) if "\\" in text else text


def expand_braces(text: str) -> list[str]:
    """`a{b,c}` as `ab ac` and `{1..3}` as `1 2 3`; little more than MAX_WORDS words say that there are more."""
    ready: list[str] = []
    waiting = [text]
    while waiting and len(ready) + len(waiting) < MAX_WORDS:
        current = waiting.pop(0)
        found = BRACES.search(current)
        if not found:
            ready.append(current)
            continue
        before, after = current[: found.start()], current[found.end() :]
        waiting = [before + choice + after for choice in _choices(found.group(1))] + waiting
    return ready + waiting


def _choices(text: str) -> list[str]:
    if "," in text:
        return text.split(",")
    first, _dots, last = text.partition("..")
    if first.lstrip("-").isdigit() and last.lstrip("-").isdigit() and len(first + last) < 12:
        low, high = int(first), int(last)
        step = 1 if high >= low else -1
        return [str(number) for number in range(low, high + step, step)[:SEQUENCE]]
    if len(first) == len(last) == 1:
        return [chr(code) for code in range(ord(first), ord(last) + 1)][:SEQUENCE]
    return [first]


def trimmed(value: str, rest: str) -> str:
    """`${x%pattern}` and its three relatives; of two matches the shorter unless the operator is doubled."""
    longest, suffix = rest[:2] in ("%%", "##"), rest[0] == "%"
    pattern = rest[2 if longest else 1 :].strip("'\"")
    sizes = range(len(value), -1, -1) if longest else range(len(value) + 1)
    for size in sizes if len(value) <= 64 else ():
        piece = value[len(value) - size :] if suffix else value[:size]
        if fnmatchcase(piece, pattern):
            return value[: len(value) - size] if suffix else value[size:]
    return value
