"""Quotes, braces and patterns of single words: pure functions on texts."""

import re
from fnmatch import fnmatchcase

BACKSLASH = re.compile(r"\\(\n?)(.?)", re.DOTALL)
IN_QUOTES = re.compile(r"\\([$`\"\\])|\\\n")
MAX_WORDS = 256
MAX_GROUPS = 24
MAX_BRACES = 1000  # characters of a word with braces
LONGEST = 64  # of `{1..1000}` so many stand for all
SEQUENCE = re.compile(r"(-?\d{1,9}|\w)\.\.(-?\d{1,9}|\w)(?:\.\.(-?\d{1,9}))?")


def unquote(text: str) -> str:
    """A bare word without its backslashes."""
    return BACKSLASH.sub(lambda found: found.group(2) if found.group(1) else found.group(2) or "\\", text)


def in_quotes(text: str) -> str:
    """The text of a double-quoted string without the backslashes that the shell removes there."""
    return IN_QUOTES.sub(lambda found: found.group(1) or "", text) if "\\" in text else text


def has_braces(text: str) -> bool:
    """Whether something in a word may be a brace expression: `{`, then `,` or `..`, then `}`, with no blank between."""
    for part in text.split():
        begin, end = part.find("{"), part.rfind("}")
        if begin >= 0 and any(begin < part.find(mark, begin) <= end - len(mark) for mark in (",", "..")):
            return True
    return False


def expand_braces(text: str, depth: int = 0) -> list[str]:
    """`a{b,c}` as `ab ac` and `{1..3}` as `1 2 3`; more than MAX_WORDS words say that there are more."""
    if len(text) > MAX_BRACES:
        return [text] * (MAX_WORDS + 1)
    at, tries = text.find("{"), 0
    while at >= 0:
        tries += 1
        if depth + tries > MAX_GROUPS:
            return [text] * (MAX_WORDS + 1)
        found = _group(text, at)
        if found is not None:
            choices, end = found
            before, tails = text[:at], expand_braces(text[end:], depth + 1)
            words: list[str] = []
            for choice in choices:
                heads = expand_braces(choice, depth + 1) if "{" in choice else [choice]
                words += [before + head + tail for head in heads for tail in tails]
                if len(words) > MAX_WORDS:
                    break
            return words
        at = text.find("{", at + 1)
    return [text]


def _group(text: str, at: int) -> tuple[list[str], int] | None:
    """The choices of the brace group that opens at a place, and the place behind it; None when it is no group."""
    depth, start, choices = 0, at + 1, []
    for place in range(at, len(text)):
        letter = text[place]
        if letter.isspace():
            return None
        if letter == "{":
            depth += 1
        elif letter == "," and depth == 1:
            choices.append(text[start:place])
            start = place + 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                choices.append(text[start:place])
                if len(choices) > 1:
                    return choices, place + 1
                sequence = _sequence(choices[0])
                return (sequence, place + 1) if sequence else None
    return None


def _sequence(text: str) -> list[str]:
    """`1..9`, `9..1..2` or `a..e`; empty when it is none."""
    found = SEQUENCE.fullmatch(text)
    if not found:
        return []
    first, last, step = found.groups()
    numbers = first.lstrip("-").isdigit() and last.lstrip("-").isdigit()
    if not numbers and not (len(first) == len(last) == 1):
        return []
    low, high = (int(first), int(last)) if numbers else (ord(first), ord(last))
    by = max(1, abs(int(step or 1))) * (1 if high >= low else -1)
    values = range(low, high + (1 if by > 0 else -1), by)[:LONGEST]
    return [str(value) if numbers else chr(value) for value in values]


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
