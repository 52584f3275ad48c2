"""Two commands on one file system, and what they did in comparable form."""

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from eval.bash.parsing import utilities
from eval.judge.forms import Record, absolute_words, has_substance, masked, records, whole_lines
from eval.judge.instants import with_instants
from eval.sandbox.execution import Change, Execution

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
DRAWN = re.compile(r"[A-Za-z0-9]{6,}|\d+")
HIDDEN, COUNTED = " volatile", "<number>"  # in effects: contents that move; digits of a name that may be a clock's
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
    def moving(self) -> bool:
        """Does what the gold shows change from run to run? Then equal words may be equal by chance."""
        return shown(self.gold_runs[0]) != shown(self.gold_runs[-1])

    @cached_property
    def candidate_moves(self) -> bool:
        return shown(self.candidate_runs[0]) != shown(self.candidate_runs[-1])

    @cached_property
    def outputs(self) -> tuple[str, str]:
        """What both show; of a moving gold with all that moves masked."""
        if not self.moving:
            return shown(self.gold_runs[0]), shown(self.candidate_runs[0])
        one, two = ("".join(" ".join(row) + "\n" for row in rows) for rows in self.masked)
        return one, two

    @cached_property
    def masked(self) -> tuple[list[Record], list[Record]]:
        gold, candidate = (tuple(shown(run) for run in runs) for runs in (self.gold_runs, self.candidate_runs))
        return masked(gold, candidate)

    @cached_property
    def all_moves(self) -> bool:
        """Is no word of the gold's output the same in both runs, or is it not even alike once masked?"""
        if not self.moving:
            return False
        texts = tuple(shown(run) for run in self.gold_runs)
        one, two = masked(texts, texts[::-1])
        return one != two or not has_substance(one)

    @cached_property
    def covered(self) -> bool:
        """Does what moves by itself cover all that could tell the two apart? Then nothing was compared."""
        if self.all_moves or any(COUNTED in path for path in self.effects[0]):
            return True
        return bool(self.hidden) and (self.contents is None or self.contents.all_moves)

    @cached_property
    def hidden(self) -> list[str]:
        """Files whose contents change from run to run, as both commands wrote them."""
        return sorted(path for path, text in self.effects[0].items() if HIDDEN in text)

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
        return self._at_separators if separators else self._at_blanks

    @cached_property
    def _at_blanks(self) -> tuple[list[Record], list[Record]]:
        return self._records(separators=False)

    @cached_property
    def _at_separators(self) -> tuple[list[Record], list[Record]]:
        return self._records(separators=True)

    def _records(self, separators: bool) -> tuple[list[Record], list[Record]]:
        if BLANKS_ASKED.search(self.request):
            return whole_lines(self.outputs[0]), whole_lines(self.outputs[1])
        one, two = (absolute_words(records(text, separators), self.cwd, self.paths) for text in self.outputs)
        return one, two

    @cached_property
    def still(self) -> tuple[list[Record], list[Record]]:
        """Both outputs as records with absolute paths, instants as what they mean, what moves masked."""
        if BLANKS_ASKED.search(self.request):
            return self.rows()
        one, two = (absolute_words(records(with_instants(text)), self.cwd, self.paths) for text in self.outputs)
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
    names of new files are masked; of contents the size stays, where it is the same."""
    tables = [{change.path: effect(change) for change in run.changes} for run in runs]
    common = set.intersection(*(set(table) for table in tables))
    sizes = [{change.path: change.after.size if change.after else 0 for change in run.changes} for run in runs]
    tables = [named(table, common) for table in tables]

    def lasting(path: str, text: str) -> str:
        if tables[-1].get(path) == text:
            return text
        size = sizes[0].get(path)
        kept = f" of {size} bytes" if size is not None and sizes[-1].get(path) == size else ""
        return text.rsplit(" ", 1)[0] + HIDDEN + kept

    return {path: lasting(path, text) for path, text in tables[0].items()}


def steady(runs: tuple[Execution, ...]) -> tuple[str, ...]:
    """What a command shows and does, but for what moves by itself: equal for two file systems that do not matter."""
    texts = tuple(shown(run) for run in runs)
    rows, _ = masked(texts, texts)
    return repr(rows), repr(sorted(effects(runs).items()))


def named(table: dict[str, str], common: set[str]) -> dict[str, str]:
    """The table with the paths masked that are not common to all runs (mktemp), numbered in the order of effects."""
    drawn = table.keys() - common
    hidden = sorted((without_drawn(path, drawn), table[path]) for path in drawn)
    kept = {path: text for path, text in table.items() if path in common}
    return kept | {f"{path} ({number})": text for number, (path, text) in enumerate(hidden, start=1)}


def without_drawn(path: str, drawn: Collection[str]) -> str:
    """The path with drawn names masked, so that templates are told apart: `/tmp/tmp.*10` of `/tmp/tmp.9m1EZYzrsZ`.

    Letters at random say nothing but how many they are. Digits alone may be a time, a size or a process: what they
    say cannot be compared, so that they are marked.
    """

    def mask(match: re.Match[str]) -> str:
        return COUNTED if match.group().isdigit() else f"*{len(match.group())}"

    parts = path.split("/")
    return "/".join(
        DRAWN.sub(mask, part) if "/".join(parts[:end]) in drawn else part for end, part in enumerate(parts, start=1)
    )


def effect(change: Change) -> str:
    after = change.after
    if after is None:
        return "removed"
    mode = f"{after.mode & 0o7777:o}" if after.type != "link" else ""
    return f"{change.kind}:{after.type} {mode} {after.digest or after.target or ''}"


def rewritten(pair: Pair) -> list[str]:
    """Files that both commands wrote, with contents that differ or move; empty when they differ in anything else."""
    before, after = pair.effects
    paths = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    paths |= {*pair.hidden}
    tables = [{change.path: change for change in runs[0].changes} for runs in (pair.gold_runs, pair.candidate_runs)]
    for path in sorted(paths):
        one, two = (table[path].after if path in table else None for table in tables)
        if one is None or two is None or not one.type == two.type == "file" or one.mode != two.mode:
            return []
        if max(one.size, two.size) > MAX_SHOWN:
            return []
    return sorted(paths) if len(paths) <= MAX_FILES else []


def showing(command: str, paths: list[str]) -> str:
    """The command, silenced, followed by the contents of the files it wrote."""
    return f"{{ {command}\n}} >/dev/null 2>&1\ncat -- {' '.join(shlex.quote(path) for path in paths)}"
