"""The rungs of the ladder: small named rules, each of which may say that two commands did the same.

A rule sees a Pair whose file-system changes agree (eval/judge/ladder.py has seen to it) and compares what the two
show. Each removes one difference that is presentation rather than meaning, and says which in its docstring. The
lenient ones are for the published protocol only: they also accept commands that are nearly right.
"""

import re
from collections import Counter
from collections.abc import Callable

from eval.judge.forms import (
    Record,
    absolute_words,
    base_names,
    drawn_names,
    is_contained,
    is_part,
    is_projection,
    records,
    same_size,
    without_frame,
)
from eval.judge.hints import command_words
from eval.judge.instants import same_instant, without_value
from eval.judge.pair import BLANKS_ASKED, Pair
from eval.judge.queries import facts_asked

Rule = Callable[[Pair], bool]

TREE = "\u251c\u2500\u2500"  # ├──
HIDDEN_ASKED = re.compile(r"\b(hidden|dot ?files?|all)\b", re.IGNORECASE)
ARCHIVE = re.compile(r"\.(tar|tgz|zip|cpio|gz|bz2|xz)$")
SHOW_ASKED = re.compile(r"\b(print|show|display|list|output|report|count)\w*", re.IGNORECASE)


def exact(pair: Pair) -> bool:
    """Same output byte for byte, same exit code."""
    return pair.outputs[0] == pair.outputs[1] and pair.gold_runs[0].exit == pair.candidate_runs[0].exit


def whitespace(pair: Pair) -> bool:
    """Same words in the same lines, whatever the blanks; the exit code of a command that shows something is ignored."""
    if BLANKS_ASKED.search(pair.request):
        return pair.rows()[0] == pair.rows()[1]
    one, two = (records(text) for text in pair.outputs)
    return one == two


def line_order(pair: Pair) -> bool:
    """Same lines in any order, unless the order means something."""
    if pair.ordered:
        return False
    one, two = pair.rows() if BLANKS_ASKED.search(pair.request) else map(records, pair.outputs)
    return same_records(one, two, ordered=False)


def path_spelling(pair: Pair) -> bool:
    """Same lines once every path is absolute and unquoted."""
    return same_records(*pair.rows(), pair.ordered)


def effects_only(pair: Pair) -> bool:
    """The gold changes files and is silent: what the candidate prints on the way does not matter (cp -v)."""
    return bool(pair.effects[0]) and not pair.gold_runs[0].stdout.strip()


def report(pair: Pair) -> bool:
    """Both change the same, and what either prints only names what it changed, or a folder around it (find -print
    -delete, tar -v, rmdir -pv)."""
    changed = pair.effects[0].keys()
    if not changed or (SHOW_ASKED.search(pair.request) and not all(text.strip() for text in pair.outputs)):
        return False
    known = set(changed) | {path[:end] for path in changed for end, letter in enumerate(path) if letter == "/" and end}
    known |= {path.rsplit("/", 1)[-1] for path in known}
    if any(ARCHIVE.search(path) for path in changed):
        known |= pair.paths
    rows = [row for side in pair.rows() for row in side]
    return all(any(word in known or word.strip("'‘’:,") in known for word in row) for row in rows)


def volatile(pair: Pair) -> bool:
    """Same lines once instants are compared as instants (`date` and `date -R`), and what moves is masked."""
    one, two = pair.still
    if not pair.ordered:
        one, two = (sorted(rows, key=lambda row: (*map(without_value, row), *row)) for rows in (one, two))
    return any(one) and len(one) == len(two) and all(map(same_moments, one, two))


def units(pair: Pair) -> bool:
    """Same lines once sizes are compared as sizes: 4.0K, 4096 and 4 blocks; headers are ignored."""
    one, two = (without_frame(rows) for rows in pair.rows())
    if len(one) != len(two) or not one:
        return False
    if not pair.ordered:
        one, two = sorted(one, key=from_the_right), sorted(two, key=from_the_right)
    return any(
        all(
            len(a) == len(b) and all(x == y or same_size(x, y, unit) for x, y in zip(a, b, strict=True))
            for a, b in zip(one, two, strict=True)
        )
        for unit in (1, 1024)
    )


def labels(pair: Pair) -> bool:
    """One line each, equal without the words that only repeat the command's own operands (wc -l f, wc -l < f), or
    without the candidate's own words before its answer (`umask 0022`, `bash is /usr/bin/bash`)."""
    one, two = pair.rows()
    if len(one) != 1 or len(two) != 1:
        return False
    own = {*command_words(pair.candidate), "is"}
    answer = two[0][next((place for place, word in enumerate(two[0]) if word not in own), 0) :]
    if one[0] == answer and not {*one[0]} <= {*command_words(pair.gold)}:
        return True
    bare = []
    for row, command in ((one[0], pair.gold), (two[0], pair.candidate)):
        operands = set(absolute_words([tuple(command_words(command))], pair.cwd, pair.paths)[0])
        bare.append(tuple(word for word in row if not (word.startswith("/") and word in operands)))
    return bool(bare[0]) and bare[0] == bare[1]


def columns(pair: Pair) -> bool:
    """The gold's output is some columns of the candidate's, record for record (ls asked, ls -l given)."""
    return any(projects(gold, candidate, pair.ordered) for gold, candidate in readings(pair))


def names(pair: Pair) -> bool:
    """The gold's output, or columns, once the candidate's paths are cut to names as the gold's are; all distinct."""
    return any(shortens(gold, candidate, pair.ordered) for gold, candidate in readings(pair))


def drawing(pair: Pair) -> bool:
    """One output, or both, draw a tree: the names in them are the same, in any order. `tree` leaves hidden files out
    by itself: beside it another tool may list them, unless the request speaks of them."""
    one, two = drawn(pair)
    if TREE in pair.outputs[0] and TREE not in pair.outputs[1] and not HIDDEN_ASKED.search(pair.request):
        one, two = ([row for row in rows if not (row[0].startswith(".") and row[0] != ".")] for rows in (one, two))
    return bool(one) and sorted(one) == sorted(two)


def fields(pair: Pair) -> bool:
    """As columns and names, with words also split at `: = , ; |` and brackets (sha512sum and openssl dgst)."""
    gold, candidate = pair.rows(separators=True)
    return projects(gold, candidate, pair.ordered) or shortens(gold, candidate, pair.ordered)


def fewer(pair: Pair) -> bool:
    """As columns, names and fields, with the candidate showing less than the gold."""
    return any(
        projects(candidate, gold, pair.ordered) or shortens(candidate, gold, pair.ordered)
        for gold, candidate in (*readings(pair), pair.rows(separators=True))
    )


def contained(pair: Pair) -> bool:
    """Line for line, the words of one output are among those of the other (grep -o and grep)."""
    return any(
        is_contained(few, many)
        for one, two in (*readings(pair), pair.rows(separators=True))
        for few, many in ((one, two), (two, one))
        if len(few) > 1 or pair.gold_runs[1:]
    )


def summary(pair: Pair) -> bool:
    """One output is the closing line of the other, which states the same result after its parts (du and du -s)."""
    one, two = pair.rows()
    return any(
        len(few) == 1 and len(many) > 1 and (few[0] == many[-1] or is_part(few[0], many[-1]))
        for few, many in ((one, two), (two, one))
    )


def same_query(pair: Pair) -> bool:
    """Both ask the machine for the same fact, by their manuals (who -b and uptime -s)."""
    return not pair.effects[0] and bool(facts_asked(pair.gold) & facts_asked(pair.candidate))


def similar(pair: Pair) -> bool:
    """More than half of all words are shared. Chases the score of the published protocol."""
    for one, two in (pair.rows(separators=True), drawn(pair)):
        first, second = (Counter(word for row in rows for word in row) for rows in (one, two))
        if 2 * sum((first & second).values()) > sum((first | second).values()):
            return True
    return False


# --- parts of rules -----------------------------------------------------------------------------------------------


def readings(pair: Pair) -> list[tuple[list[Record], list[Record]]]:
    """The ways to read both outputs as records: as they are, or with what moves masked; headers removed from both."""
    found = []
    for one, two in (pair.rows(), pair.still):
        found += [(one, two), (without_frame(one), without_frame(two))]
    return found


def drawn(pair: Pair) -> tuple[list[Record], list[Record]]:
    """Names of both outputs where at least one is a drawing of a tree, else nothing."""
    found = [drawn_names(text) for text in pair.outputs]
    if found[0] is None and found[1] is None:
        return [], []
    plain = [base_names([(line.strip(),) for line in text.splitlines() if line.strip()]) for text in pair.outputs]
    one, two = (names if names is not None else rest for names, rest in zip(found, plain, strict=True))
    return one, two


def same_moments(one: Record, two: Record) -> bool:
    """Equal word for word, instants compared as instants."""
    return len(one) == len(two) and all(a == b or same_instant(a, b) for a, b in zip(one, two, strict=True))


def same_records(one: list[Record], two: list[Record], ordered: bool) -> bool:
    return any(one) and (one == two if ordered else sorted(one) == sorted(two))


def projects(few: list[Record], many: list[Record], ordered: bool) -> bool:
    """Is `few` a projection of `many`, with more than one distinct record unless there is only one?"""
    return is_projection(few, many, ordered) and (len(set(few)) > 1 or len(few) == 1)


def shortens(few: list[Record], many: list[Record], ordered: bool) -> bool:
    """Is `few` what remains of `many`, or of some columns, when paths are cut to names, all of them distinct?"""
    short = base_names(many)
    if short == many or any("/" in word for row in few for word in row) or len(set(short)) != len(set(many)):
        return False
    return same_records(few, short, ordered) or projects(few, short, ordered)


def from_the_right(row: Record) -> tuple[str, ...]:
    """Sort key that looks at names before sizes."""
    return row[::-1]
