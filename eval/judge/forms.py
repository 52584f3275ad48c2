"""The forms in which one output can be written: pure text to records of words, and words to canonical words.

An output is a list of records (lines), a record a tuple of words. Each function here removes one difference that
is spelling rather than meaning: white space, how a path is written, a unit, an instant that passes.
"""

import posixpath
import re
from collections import Counter
from functools import lru_cache

from eval.judge.instants import with_instants

Record = tuple[str, ...]

SEPARATORS = re.compile(r"[\s:=,;|()\[\]{}<>]+")
SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTP])?i?B?", re.IGNORECASE)
STEPS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
HEADER = re.compile(r"[A-Za-z%-][A-Za-z%/()_.-]*|\d+[A-Z]?-blocks")
DRAWING = re.compile(r"├──|└──|\|___|\|--")
EDGES = re.compile(r"^[│├└─|_`\s\u00a0-]+")
COUNTED = re.compile(r"\d+ director(y|ies)(, \d+ files?)?")
TOTAL = re.compile(r"total\b.*|.*\btotal", re.IGNORECASE)
MASK = "\ufdd0"  # no character: begins a word whose value moves from run to run


def records(text: str, separators: bool = False) -> list[Record]:
    """Lines as words, split at blanks, or also at `: = , ; |` and brackets. Blank lines count inside, not around."""
    lines = (SEPARATORS.split(line) if separators else line.split() for line in text.split("\n"))
    rows = [tuple(word for word in line if word) for line in lines]
    while rows and not rows[-1]:
        rows.pop()
    while rows and not rows[0]:
        del rows[0]
    return rows


def whole_lines(text: str) -> list[Record]:
    """Lines as they are: for requests about blanks, where splitting would hide the answer."""
    return [(line,) for line in text.rstrip("\n").split("\n")] if text else []


def path_word(word: str, cwd: str) -> str:
    """A word with quotes removed and, where it looks like a path, written absolutely (`./a/` and `a` under cwd)."""
    word = word.strip("'\"`\u2018\u2019")
    if word in (".", "..") or word.startswith(("./", "../")) or ("/" in word and "://" not in word):
        return posixpath.normpath(posixpath.join(cwd, word)).replace("//", "/")
    return word


def absolute_words(rows: list[Record], cwd: str, known: frozenset[str]) -> list[Record]:
    """Records with every path absolute; a bare word is one when `known` holds the path it would be."""

    @lru_cache(maxsize=4096)
    def absolute(word: str) -> str:
        path = path_word(word, cwd)
        joined = posixpath.join(cwd, path)
        return joined if joined in known else path

    return [tuple(absolute(word) for word in row) for row in rows]


def base_names(rows: list[Record]) -> list[Record]:
    """Records with every path cut down to its last component."""
    return [tuple(word.rstrip("/").rsplit("/", 1)[-1] or "/" for word in row) for row in rows if row]


def drawn_names(text: str) -> list[Record] | None:
    """The names in a drawing of a tree, one a record; None when the text is no drawing."""
    if not DRAWING.search(text):
        return None
    names: list[Record] = []
    for line in text.splitlines():
        name = EDGES.sub("", line).strip().partition(" -> ")[0].rstrip("/").rsplit("/", 1)[-1]
        if name and not COUNTED.fullmatch(line.strip()):
            names.append((name.strip("[]"),))
    return names


def masked(texts: tuple[str, ...], others: tuple[str, ...]) -> tuple[list[Record], list[Record]]:
    """Records of two commands with what changes from run to run replaced by its shape.

    `texts` and `others` are the outputs of one or two runs of each. Where all runs align word for word, a place that
    is volatile in either command is masked in both; where they do not, each command is masked by its own runs.
    Instants are written as what they mean.
    """
    first, second = ([records(with_instants(text)) for text in runs] for runs in (texts, others))
    if len({tuple(len(row) for row in run) for run in (*first, *second)}) == 1:
        moving = {place for runs in (first, second) for place in differences(runs)}
        return hide(first[0], moving), hide(second[0], moving)
    return hide(first[0], differences(first)), hide(second[0], differences(second))


def differences(runs: list[list[Record]]) -> set[tuple[int, int]]:
    """Places (line, word) at which the runs of one command differ; none when they do not align line by line."""
    one, two = runs[0], runs[-1]
    if len(one) != len(two):
        return set()
    return {
        (line, word)
        for line, (a, b) in enumerate(zip(one, two, strict=True))
        if len(a) == len(b)
        for word in range(len(a))
        if a[word] != b[word]
    }


def hide(rows: list[Record], places: set[tuple[int, int]]) -> list[Record]:
    return [
        tuple(shape(word) if (line, place) in places else word for place, word in enumerate(row))
        for line, row in enumerate(rows)
    ]


def shape(word: str) -> str:
    """A word with its letters and digits made anonymous: what remains comparable of a random value."""
    return MASK + (re.sub(r"\d+", "<number>", word) if re.search(r"\d", word) else "<word>")


def has_substance(rows: list[Record]) -> bool:
    """Is any word left that does not move from run to run? Else a comparison compares nothing."""
    return any(re.search(r"\w", word) and not word.startswith(MASK) for row in rows for word in row)


def bytes_range(word: str, unit: int) -> tuple[float, float, bool] | None:
    """Smallest and largest size that prints as `word`, and whether it names its unit; None when it is no size.

    A bare number counts `unit` bytes. Tools round up (ls, du), to nearest or down (free), to one decimal below 10 and
    to whole steps above: one step of slack to either side.
    """
    match = SIZE.fullmatch(word)
    if match is None:
        return None
    number, suffix = match.group(1), (match.group(2) or "").upper()
    step = 1024 ** STEPS[suffix]
    if not suffix:
        value = float(number) * unit
        return value, value, False
    slack = 0.1 if "." in number else 1.0
    value = float(number)
    return (value - slack) * step, (value + slack) * step, True


def same_size(one: str, two: str, unit: int) -> bool:
    """Both words may stand for one size, and at least one of them names a unit."""
    a, b = bytes_range(one, unit), bytes_range(two, unit)
    if a is None or b is None or not (a[2] or b[2]):
        return False
    return max(a[0], b[0]) <= min(a[1], b[1])


def without_frame(rows: list[Record]) -> list[Record]:
    """Records without headers (lines of two or more words, no numbers) above a table, and without stated totals."""
    body = [row for row in rows if not (TOTAL.fullmatch(" ".join(row)) and len(row) <= 3)]
    start = 0
    while start < min(2, len(body) - 1) and len(body[start]) > 1 and all(HEADER.fullmatch(w) for w in body[start]):
        start += 1
    table = start and any(re.search(r"\d", word) for word in body[start])
    return body[start:] if table else body


def is_projection(few: list[Record], many: list[Record], ordered: bool) -> bool:
    """Is `few` some columns of `many`, record for record?

    One set of column positions, counted from the left or from the right, must turn the records of `many` into
    those of `few`, in their order if it means something, else as a multiset.
    """
    if not few or (len(few) != len(many) and len(few) + 1 != len(many)):
        return False
    if len(few) == 1:
        return is_part(few[0], many[0])
    if few in ([row[1:] for row in many if row[1:]], [row[:-1] for row in many if row[:-1]]):
        return True  # a column of labels: line numbers, offsets
    if len(few) != len(many):
        return False
    width = len(few[0])
    if any(len(row) != width for row in few):
        return all(len(a) <= len(b) for a, b in zip(few, many, strict=True)) and (
            all(b[len(b) - len(a) :] == a for a, b in zip(few, many, strict=True))
            or all(b[: len(a)] == a for a, b in zip(few, many, strict=True))
        )
    shortest = min(len(row) for row in many)
    if shortest < width:
        return False
    positions = [*range(shortest), *range(-1, -shortest - 1, -1)]
    columns = {place: Counter(row[place] for row in many) for place in positions}
    choices = []
    for column in range(width):
        wanted = Counter(row[column] for row in few)
        choices.append([place for place in positions if columns[place] == wanted])
    if any(not places for places in choices):
        return False
    # Greedy on the first fitting place a column: ties hold equal multisets, and one retry from the right suffices.
    for end in (0, -1):
        projected = [tuple(row[places[end]] for places in choices) for row in many]
        if projected == few or (not ordered and Counter(projected) == Counter(few)):
            return True
    return False


def is_part(few: Record, many: Record) -> bool:
    """Is one record part of another: its beginning, its end, or a set of its words of which one is unmistakable?

    Inside one long line a short word or a small number is found too easily.
    """
    if len(few) >= len(many):
        return False
    if same_words(few, many[: len(few)]) or same_words(few, many[-len(few) :]):
        return True
    counts = Counter(many)
    return not Counter(few) - counts and any(is_unmistakable(word) and counts[word] == 1 for word in few)


def same_words(one: Record, two: Record) -> bool:
    """Equal word for word, sizes compared as sizes."""
    return one == two or all(a == b or same_size(a, b, 1) for a, b in zip(one, two, strict=True))


def is_unmistakable(word: str) -> bool:
    """A word that hardly occurs twice by chance: a path, a digest, a version, a large number."""
    return len(word) >= 5 and bool(re.search(r"[/\d]", word))


def is_contained(few: list[Record], many: list[Record]) -> bool:
    """Line for line, in order, the words of `few` are among those of `many`."""
    return len(few) == len(many) and all(not Counter(a) - Counter(b) for a, b in zip(few, many, strict=True))
