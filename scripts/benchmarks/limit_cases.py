"""Near-misses at limits, and commands that move by themselves: what eval/judge/edges.py and `all_masked` are for.

A limit (an age, a size, a depth, a count, a reference file) is changed by one, halved, doubled, turned round or put
into another unit. Such an edit changes the meaning whatever files there are, so that no execution has to say so: every
one that is accepted counts against the judge. MOVING holds pairs that ask for different facts which change while one
looks: none may be accepted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from eval.bash.parsing import normalise
from eval.judge.verdicts import Case
from eval.tasks.intercode_alfa.rows import Row

# Our own golds, so that every kind of limit is there: request, gold, fixture.
GOLDS = (
    ("list files changed more than 2 days ago", "find . -type f -mtime +2", "home"),
    ("list files changed in the last 5 days", "find . -type f -mtime -5", "project"),
    ("which log files are exactly 3 days old", "find . -name '*.log' -mtime 3", "logs"),
    ("delete log files older than 14 days", "find . -name '*.log' -type f -mtime +14 -delete", "logs"),
    ("list what changed within the last 90 minutes", "find . -type f -mmin -90", "home"),
    ("list files not changed for 20 minutes", "find . -type f -mmin +20", "project"),
    ("list files read within the last 4 days", "find . -type f -atime -4", "home"),
    ("list files read more than 30 minutes ago", "find . -type f -amin +30", "project"),
    ("list files larger than 3 kilobytes", "find . -type f -size +3k", "project"),
    ("list files smaller than 200 bytes", "find . -type f -size -200c", "home"),
    ("list files of exactly 512 bytes", "find . -type f -size 512c", "home"),
    ("how many files take more than 2 blocks", "find . -type f -size +2 | wc -l", "logs"),
    ("remove text files over 1 MB", "find . -name '*.txt' -size +1M -delete", "home"),
    ("list markdown files over 1k older than a week", "find . -name '*.md' -size +1k -mtime +7", "project"),
    ("list files at most 2 levels down", "find . -maxdepth 2 -type f", "project"),
    ("list folders at least 2 levels down", "find . -mindepth 2 -type d", "project"),
    ("list shell scripts at most 3 levels down", "find . -maxdepth 3 -name '*.sh'", "home"),
    ("show the first 7 files", "find . -type f | sort | head -n 7", "home"),
    ("show the 4 largest files", "find . -type f -printf '%s %p\\n' | sort -rn | head -n 4", "project"),
    ("show the last 12 lines of todo.txt", "tail -n 12 todo.txt", "home"),
    ("list files newer than todo.txt", "find . -type f -newer todo.txt", "home"),
    ("list files that are not newer than todo.txt", "find . -type f ! -newer todo.txt", "home"),
    ("list files changed since 2026-01-10", "find . -type f -newermt 2026-01-10", "home"),
    ("list files changed in the last 2 days", "find . -type f -newermt '2 days ago'", "project"),
    ("list files with more than 10 lines", "find . -name '*.txt' -exec wc -l {} \\; | awk '$1 > 10'", "home"),
    ("files with at least 5 lines", "for f in *.txt; do [ $(wc -l < $f) -ge 5 ] && echo $f; done", "home"),
)
MOVING = (
    ("a random number", "echo $RANDOM", "echo $((RANDOM % 10))"),
    ("a random line of todo.txt", "shuf -n 1 todo.txt", "shuf -n 1 .bashrc"),
    ("a random number up to 100", "shuf -i 1-100 -n 1", "shuf -i 1-1000 -n 1"),
    ("the load of the last minute", "cut -d ' ' -f 1 /proc/loadavg", "cut -d ' ' -f 2 /proc/loadavg"),
    ("seconds since boot", "cut -d ' ' -f 1 /proc/uptime", "cut -d ' ' -f 2 /proc/uptime"),
    ("free memory", "awk '/MemFree/ {print $2}' /proc/meminfo", "awk '/Cached/ {print $2; exit}' /proc/meminfo"),
    ("a random password", "openssl rand -base64 12", "openssl rand -hex 12"),
    ("write a key of 16 bytes to key", "head -c 16 /dev/urandom > key", "head -c 15 /dev/urandom > key"),
    ("write a key to key", "openssl rand -hex 8 > key", "echo $RANDOM$RANDOM > key"),
    ("note the time since boot in up", "cut -d ' ' -f 1 /proc/uptime > up", "cut -d ' ' -f 2 /proc/uptime > up"),
    ("make a file with a random number", "touch file$RANDOM", "touch file$((RANDOM / 2))"),
    ("make a temporary folder", "mktemp -d", "mktemp -d -p ."),
    ("shuffle todo.txt", "shuf todo.txt", "shuf -n 3 todo.txt"),
    ("a new identifier", "cat /proc/sys/kernel/random/uuid", "uuidgen"),
    ("load: one minute", "echo load: $(cut -d ' ' -f 1 /proc/loadavg)", "echo load: $(cut -d ' ' -f 2 /proc/loadavg)"),
)  # fmt: skip
TESTS = re.compile(r"(?P<test>-(?:[am]time|[am]min|size)) (?P<sign>[+-]?)(?P<number>\d+)(?P<unit>[cwbkMG]?)(?=\s|$)")
COUNTS = re.compile(
    r"(?<=-maxdepth )\d+|(?<=-mindepth )\d+|(?<=head -n )\d+|(?<=tail -n )\d+|(?<=-ge )\d+|(?<=[$]1 > )\d+"
    r"|(?<=')\d+(?= days)|(?<=2026-01-)\d+"
)
NEWER = (("! -newer ", "-newer "), ("f -newer ", "f ! -newer "), (" -newer ", " -anewer "), ("-newermt", "! -newermt"))
OTHER_TEST = {"-mtime": "-mmin", "-mmin": "-mtime", "-atime": "-amin", "-amin": "-atime"}


@dataclass(frozen=True)
class LimitMiss:
    """One edited limit; `kind` is age, size, newer or count."""

    kind: str
    edit: str
    case: Case


def limit_misses(rows: list[Row]) -> list[LimitMiss]:
    """Every edit of every limit of the benchmark's golds and of our own, in order; none repeats its gold."""
    golds = [(row.request, row.gold, row.fixture) for row in rows if TESTS.search(row.gold)] + list(GOLDS)
    found = []
    for request, gold, fixture in golds:
        seen = {normalise(gold)}
        for kind, edit, candidate in edits(gold):
            form = normalise(candidate)
            if form is not None and form not in seen:
                seen.add(form)
                found.append(LimitMiss(kind, edit, Case(request, gold, candidate, fixture)))
    return found


def edits(gold: str) -> Iterator[tuple[str, str, str]]:
    """Kind, what was done, the edited command."""
    for match in TESTS.finditer(gold):
        test, sign, number, unit = match["test"], match["sign"], int(match["number"]), match["unit"]
        kind = "size" if test == "-size" else "age"
        limits = [(test, sign, other, unit) for other in others(number)]
        limits += [(test, other, number, unit) for other in ("+", "-", "") if other != sign]
        if kind == "size" and (sign, number) not in (("+", 0), ("-", 1)):  # any byte, no byte: whatever the unit
            limits += [(test, sign, number, other) for other in ("c", "k", "M") if other != (unit or "b")]
        if kind == "age":
            limits.append((OTHER_TEST[test], sign, number, ""))
        for new_test, new_sign, new, new_unit in limits:
            text = f"{new_test} {new_sign}{new}{new_unit}"
            yield kind, f"{match.group()} -> {text}", gold[: match.start()] + text + gold[match.end() :]
    for match in COUNTS.finditer(gold):
        number = int(match.group())
        for other in others(number):
            text = f"{other:02}" if len(match.group()) == 2 and match.group().startswith("0") else str(other)
            yield "count", f"{number} -> {other}", gold[: match.start()] + text + gold[match.end() :]
    for was, instead in NEWER:
        if was in gold:
            yield "newer", f"{was} -> {instead}", gold.replace(was, instead, 1)


def others(number: int) -> list[int]:
    """The usual wrong numbers beside one: its neighbours, half, double."""
    return [other for other in dict.fromkeys((number - 1, number + 1, number // 2, 2 * number)) if other > 0]


def moving_pairs() -> list[Case]:
    return [Case(request, gold, candidate, "home") for request, gold, candidate in MOVING]
