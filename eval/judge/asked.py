"""Rungs that look at what the request asks for: more than that, or the same told another way, is no other answer.

Each removes one kind of presentation, says which in its docstring, and asks the request where the same words could
also be what was wanted (a count, line numbers, hidden files).
"""

import posixpath
import re
from collections import Counter

from eval.judge.dumps import dumped, without_addresses
from eval.judge.file_facts import file_facts, states
from eval.judge.forms import records
from eval.judge.hints import CASE_FREE, command_words
from eval.judge.pair import Pair


def words(pattern: str) -> re.Pattern[str]:
    """A pattern of whole words, in either case."""
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


COUNT_ASKED = words(r"how many|how often|count|number of|total number")
PLACES_ASKED = words(r"offsets?|address(?:es)?|positions?|numbered|line numbers?")
MATCHING_FILES = words(
    r"files?(?: \S+){0,4}? (?:that |which )?(?:contain|containing|contains|include|including|mention|mentioning)"
)
LINES_ASKED = words(r"lines?|occurrences?|matches|count|number|how many|contents?")
NAMES_ASKED = words(r"(?:display|print|list|show|output)\b[^.;]{0,30}\b(?:file ?names?|names|paths)")
MORE_ASKED = words(r"sizes?|counts?|numbers?|permissions?|modes?|owners?|dates?|times?|lines?|details?|usage|space")
FILES_ONLY = words("files")
FOLDERS_TOO = words(r"folders|directories|dirs|subdirectories|everything|entries|items|links?")
PREFIX = re.compile(r"([^:\s][^:]*):(?:\d+:)?")
CHECKSUM = re.compile(r"^[\w-]+ ?\((.+)\) ?= ?([0-9a-f]{8,})", re.MULTILINE)


def numbered(pair: Pair) -> bool:
    """A count was asked, and the candidate lists what is counted with running numbers, the last of which it is."""
    one, two = pair.rows()
    if not COUNT_ASKED.search(pair.request) or len(one) != 1 or len(one[0]) != 1 or len(two) < 2:
        return False
    numbers = [str(number) for number in range(1, len(two) + 1)]
    return one[0][0] == numbers[-1] and [row[0] if row else "" for row in two] == numbers


def located(pair: Pair) -> bool:
    """The gold's lines, each as it is or behind the file, or file and line number, that it comes from (grep -H)."""
    gold, candidate = (text.removesuffix("\n").split("\n") for text in pair.outputs)
    wanted, left, places = Counter(gold), [], 0
    for line in candidate:
        match = PREFIX.match(line)
        if wanted[line] <= 0 and match and is_path(pair, match.group(1)):
            line, places = line[match.end() :], places + 1
        wanted[line] -= 1
        left.append(line)
    return places > 0 and (left == gold if pair.ordered else Counter(left) == Counter(gold))


def matching_files(pair: Pair) -> bool:
    """Files that contain something were asked for: one side names them, the other the lines in them as well."""
    if not MATCHING_FILES.search(pair.request) or LINES_ASKED.search(pair.request):
        return False
    sides = [text_lines(text) for text in pair.outputs]
    files, prefixed = zip(*((named_files(pair, lines), matched_files(pair, lines)) for lines in sides), strict=True)
    return any(
        list_ is not None and lines is not None and list_ == lines
        for list_, lines in ((files[0], prefixed[1]), (files[1], prefixed[0]))
    )


def letter_case(pair: Pair) -> bool:
    """Where the request says that case does not matter, neither does that of the answer (uniq -i, tolower)."""
    if not CASE_FREE.search(pair.request):
        return False
    one, two = ([tuple(word.casefold() for word in row) for row in rows] for rows in pair.rows())
    return any(one) and (one == two if pair.ordered else sorted(one) == sorted(two))


def addresses(pair: Pair) -> bool:
    """Dumps of the same bytes with and without the address before each line and after the last (od -An)."""
    if PLACES_ASKED.search(pair.request):
        return False
    one, two = ([tuple(line.split()) for line in text.splitlines()] for text in pair.outputs)
    bare = [without_addresses(rows) for rows in (one, two)]
    return any(
        first is not None and first == second for first, second in ((bare[0], two), (one, bare[1]), (bare[0], bare[1]))
    )


def dumps(pair: Pair) -> bool:
    """The same bytes shown as characters, in the layout of another tool (od -c, hexdump -C, xxd)."""
    one, two = map(dumped, pair.outputs)
    return one is not None and one == two


def checksums(pair: Pair) -> bool:
    """The same digests of the same files, as `digest file` or as `ALGORITHM(file)= digest`."""
    texts = [CHECKSUM.sub(r"\2 \1", text) for text in pair.outputs]
    if texts == list(pair.outputs):
        return False
    one, two = map(records, texts)
    return any(one) and (one == two if pair.ordered else sorted(one) == sorted(two))


def described(pair: Pair) -> bool:
    """Every fact about the same files that the gold states, in another layout (ls -l, find -ls, stat, stat -t)."""
    one, two = (file_facts(text, pair.cwd) for text in pair.outputs)
    if not one or len(one) != len(two):
        return False
    if not pair.ordered:
        one, two = (sorted(files, key=lambda facts: facts["path"]) for files in (one, two))
    return all(map(states, one, two))


def sort_key(pair: Pair) -> bool:
    """Names were asked, in an order; the gold leaves the number it sorted by before each, the candidate does not."""
    if not pair.ordered or not NAMES_ASKED.search(pair.request) or MORE_ASKED.search(pair.request):
        return False
    one, two = pair.rows()
    keys = [row[0] for row in one if row]
    if len(keys) < 2 or len(keys) != len(one) or not all(key.isdigit() for key in keys):
        return False
    values = [int(key) for key in keys]
    return values in (sorted(values), sorted(values, reverse=True)) and [row[1:] for row in one] == two


def files_only(pair: Pair) -> bool:
    """Files were asked for, and the candidate says so (-type f); the gold, which does not, lists folders as well."""
    if not FILES_ONLY.search(pair.request) or FOLDERS_TOO.search(pair.request) or pair.tree is None:
        return False
    if "-type" in command_words(pair.gold) or not re.search(r"-type f\b", pair.candidate):
        return False
    top, (one, two) = pair.tree, pair.rows()
    files = [row for row in one if not (len(row) == 1 and (top / row[0].lstrip("/")).is_dir())]
    return bool(files) and (files == two if pair.ordered else sorted(files) == sorted(two))


# --- parts of rules -----------------------------------------------------------------------------------------------


def text_lines(text: str) -> list[str]:
    """Lines that hold anything, with single blanks."""
    return [line for line in (" ".join(line.split()) for line in text.splitlines()) if line]


def absolute(pair: Pair, name: str) -> str:
    return posixpath.normpath(posixpath.join(pair.cwd, name))


def is_path(pair: Pair, name: str) -> bool:
    return absolute(pair, name) in pair.paths


def named_files(pair: Pair, lines: list[str]) -> set[str] | None:
    """The files that lines of nothing else name; None for other lines."""
    return {absolute(pair, line) for line in lines} if lines and all(is_path(pair, line) for line in lines) else None


def matched_files(pair: Pair, lines: list[str]) -> set[str] | None:
    """The files before the colon of every line; None where a line has none."""
    found = [PREFIX.match(line) for line in lines]
    names = [match.group(1) for match in found if match and is_path(pair, match.group(1))]
    return {absolute(pair, name) for name in names} if names and len(names) == len(lines) else None
