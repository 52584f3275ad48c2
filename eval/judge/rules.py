"""The ladder: an ordered list of small named rules over what two commands did on one file system.

`decide(pair)` first compares the file-system changes, then climbs. Each rule either accepts, or settles that nothing
can be said, or passes on to the next; where none speaks, the outputs differ and the answer is reject. Every rule
can be switched off by name (scripts/bench_judge.py reports what each contributes).

What this cannot see: effects outside the file system and the output (network, other processes, time of day), and
commands that agree here and differ elsewhere. The second is what perturbed copies are for (eval/judge/perturb.py).
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from eval.judge.forms import (
    Record,
    absolute_words,
    base_names,
    drawn_names,
    is_contained,
    is_part,
    is_projection,
    masked,
    records,
    same_size,
    without_frame,
)
from eval.judge.queries import facts_asked
from eval.judge.verdicts import Verdict
from eval.sandbox.execution import Change, Entry, Execution
from eval.tasks.nl2bash import known_utilities, utilities

ORDER_ASKED = re.compile(
    r"\b(sort(ed|ing)?|order(ed)?|ascending|descending|revers\w*|rank\w*|alphabetical\w*|chronological\w*"
    r"|(largest|smallest|biggest|newest|oldest|most|least) first|by (size|name|number|date|time|depth|length)\b)",
    re.IGNORECASE,
)
# Utilities that list what they find: unless asked, the order of their lines means nothing.
LISTERS = frozenset(
    ("find", "ls", "du", "tree", "ps", "env", "printenv", "grep", "egrep", "fgrep", "rgrep", "locate", "sort", "uniq",
     "comm", "stat", "md5sum", "sha1sum", "sha256sum", "sha512sum", "wc", "file", "who", "w", "last", "lsof", "netstat",
     "ss", "getent", "dpkg", "apt", "set", "compgen", "declare", "diff", "lsattr", "zipinfo")
)  # fmt: skip
# `_` holds the last command and SHLVL the nesting: they differ between env and printenv by construction.
SHELL_NOISE = re.compile(r"^(_|SHLVL|OLDPWD|COLUMNS|LINES)=.*$", re.MULTILINE)
MAX_FILES, MAX_SHOWN = 3, 200_000  # files whose contents are compared by rule, bytes of each
MAX_MESSAGE = 2000  # bytes of output of a failed command searched for a reason
MESSAGE = re.compile(r"^[\w./-]+: .*$", re.MULTILINE)
ARCHIVE = re.compile(r"\.(tar|tgz|zip|cpio|gz|bz2|xz)$")
SHOW_ASKED = re.compile(r"\b(print|show|display|list|output|report|count)\w*", re.IGNORECASE)
NOT_FOUND = re.compile(r"(?:line \d+: |^|: )([\w.+/-]+): (?:command )?not found", re.MULTILINE)
NOT_OFFERED = re.compile(
    r"Could not resolve host|Temporary failure in name resolution|Network is unreachable|no servers could be reached"
    r"|communications error|connection timed out|Couldn't connect|Failed to connect|Function not implemented"
    r"|Operation not permitted|/proc (?:is not|must be) mounted|[Nn]o /proc|/dev/fd/\d+: No such file"
    r"|/proc/[\w/]+'?: No such file|must be run from a terminal|not a tty|Inappropriate ioctl"
)


@dataclass(frozen=True)
class Pair:
    """Two commands on one file system: the executions of each (the second of a command only where the first is
    volatile), the request, and the folder they ran in."""

    request: str
    gold: str
    candidate: str
    gold_runs: tuple[Execution, ...]
    candidate_runs: tuple[Execution, ...]
    cwd: str = "/"
    contents: "Pair | None" = None  # the two commands again, showing the files they wrote with different contents
    tree: Path | None = None  # of the fixture: tells a bare word that is a path from one that is not

    @cached_property
    def paths(self) -> frozenset[str]:
        return paths_of(self.tree) if self.tree else frozenset()

    @cached_property
    def outputs(self) -> tuple[str, str]:
        return shown(self.gold_runs[0]), shown(self.candidate_runs[0])

    @cached_property
    def effects(self) -> tuple[dict[str, str], dict[str, str]]:
        return effects(self.gold_runs), effects(self.candidate_runs)

    @property
    def ordered(self) -> bool:
        """Does the order of lines mean something: the request asks for it, or the gold shows a text as it is."""
        return bool(ORDER_ASKED.search(self.request)) or not LISTERS & {
            name.rsplit("/", 1)[-1] for name in utilities(self.gold)
        } - ({"grep", "egrep", "wc"} if len(self.outputs[0].splitlines()) < 2 else set())

    def rows(self, separators: bool = False) -> tuple[list[Record], list[Record]]:
        """Both outputs as records with absolute paths."""
        one, two = (absolute_words(records(text, separators), self.cwd, self.paths) for text in self.outputs)
        return one, two

    @cached_property
    def still(self) -> tuple[list[Record], list[Record]]:
        """Both outputs as records with absolute paths, and with all that moves from run to run masked."""
        gold, candidate = (tuple(shown(run) for run in runs) for runs in (self.gold_runs, self.candidate_runs))
        one, two = (absolute_words(rows, self.cwd, self.paths) for rows in masked(gold, candidate))
        return one, two


@cache
def paths_of(tree: Path) -> frozenset[str]:
    """Every path of a fixture's tree, absolute."""
    return frozenset("/" + str(path.relative_to(tree)) for path in tree.rglob("*"))


def shown(run: Execution) -> str:
    """What a command shows: its output, or, when it does nothing else and succeeds, what it says on stderr
    (ssh -V, time), messages of utilities left out (tar: Removing leading...)."""
    if run.stdout or run.exit != 0 or run.changes:
        return SHELL_NOISE.sub("", run.stdout.decode(errors="replace"))
    return MESSAGE.sub("", run.stderr.decode(errors="replace"))


def effects(runs: tuple[Execution, ...]) -> dict[str, str]:
    """Path -> what became of it. Contents that differ between two runs of the command are volatile: left out."""
    tables = [{change.path: effect(change) for change in run.changes} for run in runs]
    table = tables[0]
    if len(tables) > 1:
        table = {
            path: text if tables[1].get(path) == text else text.split(" ")[0] + " volatile"
            for path, text in table.items()
        }
    return table


def rewritten(pair: Pair) -> list[str]:
    """Files that both commands wrote, with different contents; empty when they differ in anything else."""
    before, after = pair.effects
    paths = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    tables = [{change.path: change for change in runs[0].changes} for runs in (pair.gold_runs, pair.candidate_runs)]
    for path in paths:
        entries = [table[path].after if path in table else None for table in tables]
        if any(entry is None or entry.type != "file" or entry.size > MAX_SHOWN for entry in entries):
            return []
        if entries[0] and entries[1] and entries[0].mode != entries[1].mode:
            return []
    return sorted(paths)[:MAX_FILES] if len(paths) <= MAX_FILES else []


def showing(command: str, paths: list[str]) -> str:
    """The command, silenced, followed by the contents of the files it wrote."""
    return f"{{ {command}\n}} >/dev/null 2>&1\ncat -- {' '.join(shlex.quote(path) for path in paths)}"


def effect(change: Change) -> str:
    after: Entry | None = change.after
    if after is None:
        return "removed"
    content = after.digest or after.target or ""
    mode = f"{after.mode & 0o7777:o}" if after.type != "link" else ""
    return f"{change.kind}:{after.type} {mode} {content}"


# --- rules: each takes a pair and says accept ("accept"), undecided, or nothing -----------------------------------

Rule = Callable[[Pair], bool]


def exact(pair: Pair) -> bool:
    """Same output byte for byte, same exit code."""
    gold, candidate = pair.gold_runs[0], pair.candidate_runs[0]
    return pair.outputs[0] == pair.outputs[1] and gold.exit == candidate.exit


def whitespace(pair: Pair) -> bool:
    """Same words in the same lines, whatever the blanks; the exit code of a command that shows something is ignored."""
    one, two = (records(text) for text in pair.outputs)
    return one == two


def line_order(pair: Pair) -> bool:
    """Same lines in any order, unless the order was asked for."""
    one, two = (records(text) for text in pair.outputs)
    return not pair.ordered and sorted(one) == sorted(two)


def path_spelling(pair: Pair) -> bool:
    """Same lines once every path is absolute and unquoted."""
    one, two = pair.rows()
    return same_records(one, two, pair.ordered)


def effects_only(pair: Pair) -> bool:
    """The gold changes files and is silent: what the candidate prints on the way does not matter (cp -v)."""
    return bool(pair.effects[0]) and not pair.gold_runs[0].stdout.strip()


def report(pair: Pair) -> bool:
    """Both change the same, and what either prints only names what it changed (find -print -delete, tar -v)."""
    changed = pair.effects[0].keys()
    if not changed or (SHOW_ASKED.search(pair.request) and not all(text.strip() for text in pair.outputs)):
        return False
    names = {path.rsplit("/", 1)[-1] for path in changed} | set(changed)
    archives = [path for path in changed if ARCHIVE.search(path)]
    known = names | (pair.paths if archives else frozenset())
    words = [row for rows in pair.rows() for row in rows]
    return all(any(word in known or word.strip("'‘’:,") in known for word in row) for row in words)


def volatile(pair: Pair) -> bool:
    """Same lines once instants, and the words that change from run to run, are masked on both sides."""
    return same_records(*pair.still, pair.ordered)


def units(pair: Pair) -> bool:
    """Same lines once sizes are compared as sizes: 4.0K, 4096 and 4 blocks; headers are ignored."""
    one, two = (without_frame(rows) for rows in pair.rows())
    if len(one) != len(two) or not one:
        return False
    if not pair.ordered:
        one, two = sorted(one, key=by_name), sorted(two, key=by_name)
    return any(
        all(
            len(a) == len(b) and all(x == y or same_size(x, y, unit) for x, y in zip(a, b, strict=True))
            for a, b in zip(one, two, strict=True)
        )
        for unit in (1, 1024)
    )


def columns(pair: Pair) -> bool:
    """One output is some columns of the other, record for record (ls and ls -l)."""
    return any(projects(one, two, pair.ordered) for one, two in readings(pair))


def names(pair: Pair) -> bool:
    """Same lines, or columns, once the paths of one output are cut to names, as in the other; names stay distinct."""
    for one, two in readings(pair):
        for few, many in ((one, two), (two, one)):
            short = base_names(many)
            if any("/" in word for row in few for word in row) or len(set(short)) != len(set(many)):
                continue
            if same_records(few, short, pair.ordered) or projects(few, short, pair.ordered):
                return True
    return False


def drawing(pair: Pair) -> bool:
    """One output, or both, draw a tree: the names in them are the same, in any order."""
    one, two = drawn(pair)
    return bool(one) and sorted(one) == sorted(two)


def drawn(pair: Pair) -> tuple[list[Record], list[Record]]:
    """Names of both outputs where at least one is a drawing of a tree, else nothing."""
    found = [drawn_names(text) for text in pair.outputs]
    if found[0] is None and found[1] is None:
        return [], []
    plain = [base_names([(line.strip(),) for line in text.splitlines() if line.strip()]) for text in pair.outputs]
    one, two = (names if names is not None else rest for names, rest in zip(found, plain, strict=True))
    return one, two


def contained(pair: Pair) -> bool:
    """Line for line, the words of one output are among those of the other (grep -o and grep)."""
    return any(
        is_contained(few, many)
        for one, two in readings(pair)
        for few, many in ((one, two), (two, one))
        if len(few) > 1 or pair.gold_runs[1:]
    )


def same_query(pair: Pair) -> bool:
    """Both ask the machine for the same fact, by their manuals (who -b and uptime -s)."""
    return not pair.effects[0] and bool(facts_asked(pair.gold) & facts_asked(pair.candidate))


def similar(pair: Pair) -> bool:
    """More than half of all words are shared. Chases the score of the published protocol: accepts the nearly right."""
    for one, two in (pair.rows(separators=True), drawn(pair)):
        first, second = (Counter(word for row in rows for word in row) for rows in (one, two))
        if 2 * sum((first & second).values()) > sum((first | second).values()):
            return True
    return False


def readings(pair: Pair) -> list[tuple[list[Record], list[Record]]]:
    """The ways to read both outputs as records: as they are, split at separators, without headers, masked."""
    found = []
    for one, two in (pair.rows(), pair.rows(separators=True), pair.still):
        found += [(one, two), (without_frame(one), without_frame(two))]
    return found


def summary(pair: Pair) -> bool:
    """One output is the closing line of the other, which states the same result after its parts (du and du -s)."""
    one, two = pair.rows()
    for few, many in ((one, two), (two, one)):
        if len(few) == 1 and len(many) > 1 and (few[0] == many[-1] or is_part(few[0], many[-1])):
            return True
    return False


RULES: dict[str, Rule] = {
    "exact": exact,
    "whitespace": whitespace,
    "line_order": line_order,
    "path_spelling": path_spelling,
    "effects_only": effects_only,
    "report": report,
    "volatile": volatile,
    "units": units,
    "columns": columns,
    "names": names,
    "drawing": drawing,
    "contained": contained,
    "summary": summary,
    "same_query": same_query,
    "similar": similar,
}
# What gates use: without the rung that accepts what is nearly right.
ROBUST = (frozenset(RULES) | {"same_text", "nothing_observable", "contents"}) - {"similar"}
# Rules that do not accept: they are part of the ladder and switchable all the same.
GUARDS = ("same_text", "nothing_observable", "contents")
# By which rules the contents of a written file may agree.
CONTENT_RULES = ("whitespace", "line_order", "path_spelling", "volatile", "units")
ALL = frozenset(RULES) | frozenset(GUARDS)


def decide(pair: Pair, rules: Collection[str] = ALL) -> Verdict:
    """The verdict on one file system."""
    gold, candidate = pair.gold_runs[0], pair.candidate_runs[0]
    evidence = {"exit": [gold.exit, candidate.exit]}
    if "same_query" in rules and candidate.exit is not None and same_query(pair):
        return Verdict("accept", "same_query", evidence)
    if gold.exit is None or gold.limits_hit:
        return Verdict("unsupported", "gold_limit", {"limits": list(gold.limits_hit)})
    if reason := not_offered(gold, missing_is_ours=True):
        return Verdict("unsupported", "gold_needs_more", {"reason": reason})
    if candidate.exit is None or candidate.limits_hit:
        return Verdict("reject", "candidate_limit", {"limits": list(candidate.limits_hit)})
    if reason := not_offered(candidate, missing_is_ours=False):
        return Verdict("unsupported", "candidate_needs_more", {"reason": reason})

    before, after = pair.effects
    if before != after and "contents" in rules and pair.contents is not None:
        for name in CONTENT_RULES:
            if name in rules and RULES[name](pair.contents):
                return Verdict("accept", "contents", evidence | {"by": name})
    if before != after:
        paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        return Verdict("reject", "effects", evidence | {"paths": paths[:5]})
    if "nothing_observable" in rules and not before and not any(text.strip() for text in pair.outputs):
        return Verdict("undecided", "nothing_observable", evidence)
    for name, rule in RULES.items():
        if name in rules and rule(pair):
            return Verdict("accept", name, evidence)
    return Verdict("reject", "output", evidence)


def not_offered(run: Execution, missing_is_ours: bool) -> str:
    """Why the sandbox could not give this command what it needs; empty when it could.

    A tool that is missing is our gap for a gold, and for a candidate when the name is a known utility; an invented
    name is the candidate's own fault.
    """
    text = run.stderr.decode(errors="replace")
    if run.exit != 0 or not run.stdout:
        text += run.stdout[:MAX_MESSAGE].decode(errors="replace")
        for name in NOT_FOUND.findall(text):
            if missing_is_ours or name.rsplit("/", 1)[-1] in known_utilities():
                return f"{name} is not installed in the sandbox"
        if match := NOT_OFFERED.search(text):
            return match.group(0)
    return ""


def same_records(one: list[Record], two: list[Record], ordered: bool) -> bool:
    return one == two if ordered else sorted(one) == sorted(two)


def projects(one: list[Record], two: list[Record], ordered: bool) -> bool:
    """Is either a projection of the other, with more than one distinct record unless there is only one?"""
    return any(
        is_projection(few, many, ordered) and (len(set(few)) > 1 or len(few) == 1)
        for few, many in ((one, two), (two, one))
    )


def by_name(row: Record) -> tuple[str, ...]:
    """Sort key that ignores sizes: the last word first."""
    return row[::-1]
