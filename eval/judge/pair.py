"""Two commands on one file system, and what they did in comparable form."""

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from eval.judge.forms import Record, absolute_words, masked, records, whole_lines
from eval.sandbox.execution import Change, Execution
from eval.tasks.nl2bash import utilities

MAX_FILES, MAX_SHOWN = 3, 200_000  # files whose contents are compared by rule, bytes of each
ORDER_ASKED = re.compile(
    r"\b(sort(ed|ing)?|order(ed)?|ascending|descending|revers\w*|rank\w*|alphabetical\w*|chronological\w*"
    r"|(largest|smallest|biggest|newest|oldest|most|least) first|by (size|name|number|date|time|depth|length)\b)",
    re.IGNORECASE,
)
BLANKS_ASKED = re.compile(
    r"\b(white ?space|spaces?|tabs?|blanks?|indent\w*|trim\w*|newlines?|leading|trailing)\b", re.IGNORECASE
)
# Utilities that list what they find: unless asked, the order of their lines means nothing. grep -r and diff -r too.
LISTERS = frozenset(
    ("find", "ls", "du", "tree", "ps", "env", "printenv", "locate", "who", "w", "last", "lsof", "netstat", "ss",
     "getent", "dpkg", "apt", "set", "compgen", "declare", "lsattr", "zipinfo", "tar", "unzip")
)  # fmt: skip
RECURSIVE = re.compile(r"\b(e?grep|diff) (-\S+ )*-[a-zA-Z]*[rR]|\brgrep\b")
# `_` holds the last command and SHLVL the nesting: they differ between env and printenv by construction.
SHELL_NOISE = re.compile(r"^(_|SHLVL|OLDPWD|COLUMNS|LINES)=.*$", re.MULTILINE)
DRAWN = re.compile(r"[A-Za-z0-9]{6,}")
MESSAGE = re.compile(r"^[\w./-]+: .*$", re.MULTILINE)


@dataclass(frozen=True)
class Pair:
    """The executions of gold and candidate (two of each where the gold is volatile), the request, and where it was.

    `contents` holds the two commands again, showing the files they wrote with different contents. `tree` is that of
    the fixture: it tells a bare word that is a path from one that is not.
    """

    request: str
    gold: str
    candidate: str
    gold_runs: tuple[Execution, ...]
    candidate_runs: tuple[Execution, ...]
    cwd: str = "/"
    tree: Path | None = None
    contents: "Pair | None" = None

    @cached_property
    def paths(self) -> frozenset[str]:
        return paths_of(self.tree) if self.tree else frozenset()

    @cached_property
    def outputs(self) -> tuple[str, str]:
        return shown(self.gold_runs[0]), shown(self.candidate_runs[0])

    @cached_property
    def effects(self) -> tuple[dict[str, str], dict[str, str]]:
        return effects(self.gold_runs), effects(self.candidate_runs)

    @cached_property
    def ordered(self) -> bool:
        """Does the order of lines mean something: the request asks for it, or the gold shows a text as it is?"""
        if ORDER_ASKED.search(self.request):
            return True
        names = {name.rsplit("/", 1)[-1] for name in utilities(self.gold)}
        return not LISTERS & names and not RECURSIVE.search(self.gold)

    def rows(self, separators: bool = False) -> tuple[list[Record], list[Record]]:
        """Both outputs as records with absolute paths; as whole lines where the request is about blanks."""
        if BLANKS_ASKED.search(self.request):
            return whole_lines(self.outputs[0]), whole_lines(self.outputs[1])
        one, two = (absolute_words(records(text, separators), self.cwd, self.paths) for text in self.outputs)
        return one, two

    @cached_property
    def still(self) -> tuple[list[Record], list[Record]]:
        """Both outputs as records with absolute paths, and with all that moves from run to run masked."""
        if BLANKS_ASKED.search(self.request):
            return self.rows()
        gold, candidate = (tuple(shown(run) for run in runs) for runs in (self.gold_runs, self.candidate_runs))
        one, two = (absolute_words(rows, self.cwd, self.paths) for rows in masked(gold, candidate))
        return one, two


@cache
def paths_of(tree: Path) -> frozenset[str]:
    """Every path of a fixture's tree, absolute."""
    return frozenset("/" + str(path.relative_to(tree)) for path in tree.rglob("*"))


def shown(run: Execution) -> str:
    """What a command shows: its output, or, when it does nothing else and succeeds, what it says on stderr
    (ssh -V, time). Complaints of utilities (tar: Removing leading...) show nothing; of two that complain at once the
    lines are torn apart, so that beside a complaint nothing on stderr counts."""
    if run.stdout or run.exit != 0 or run.changes:
        return SHELL_NOISE.sub("", run.stdout.decode(errors="replace"))
    said = run.stderr.decode(errors="replace")
    return "" if MESSAGE.search(said) else said


def effects(runs: tuple[Execution, ...]) -> dict[str, str]:
    """Path -> what became of it. Between two runs of one command, names and contents that differ are volatile: the
    names of new files are masked, the contents left out."""
    tables = [{change.path: effect(change) for change in run.changes} for run in runs]
    common = set.intersection(*(set(table) for table in tables))
    tables = [named(table, common) for table in tables]
    return {
        path: text if tables[-1].get(path) == text else text.split(" ")[0] + " volatile"
        for path, text in tables[0].items()
    }


def named(table: dict[str, str], common: set[str]) -> dict[str, str]:
    """The table with the paths masked that are not common to all runs (mktemp), numbered in the order of effects."""
    drawn = table.keys() - common
    hidden = sorted((without_drawn(path, drawn), table[path]) for path in drawn)
    kept = {path: text for path, text in table.items() if path in common}
    return kept | {f"{path} ({number})": text for number, (path, text) in enumerate(hidden, start=1)}


def without_drawn(path: str, drawn: Collection[str]) -> str:
    """The path with drawn names masked, so that templates are told apart: `/tmp/tmp.*` of `/tmp/tmp.9m1EZYzrsZ`."""
    parts = path.split("/")
    return "/".join(
        DRAWN.sub("*", part) if "/".join(parts[:end]) in drawn else part for end, part in enumerate(parts, start=1)
    )


def effect(change: Change) -> str:
    after = change.after
    if after is None:
        return "removed"
    mode = f"{after.mode & 0o7777:o}" if after.type != "link" else ""
    return f"{change.kind}:{after.type} {mode} {after.digest or after.target or ''}"


def rewritten(pair: Pair) -> list[str]:
    """Files that both commands wrote, with different contents; empty when they differ in anything else."""
    before, after = pair.effects
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    tables = [{change.path: change for change in runs[0].changes} for runs in (pair.gold_runs, pair.candidate_runs)]
    for path in paths:
        one, two = (table[path].after if path in table else None for table in tables)
        if one is None or two is None or not one.type == two.type == "file" or one.mode != two.mode:
            return []
        if max(one.size, two.size) > MAX_SHOWN:
            return []
    return paths if len(paths) <= MAX_FILES else []


def showing(command: str, paths: list[str]) -> str:
    """The command, silenced, followed by the contents of the files it wrote."""
    return f"{{ {command}\n}} >/dev/null 2>&1\ncat -- {' '.join(shlex.quote(path) for path in paths)}"
