"""Is a row fit for training? The stages of `make data`, and whatever a domain's safety metrics object to.

    rows = Checks(target, root)
    problem = rows.problem(pair)        ("secret", "holds a credential (...)", "") or None

They are those of scripts/data/own_rows.py, so that what passes here passes there. Nothing is run here.
"""

import math
from collections.abc import Callable
from pathlib import Path

from datasketch import MinHash, MinHashLSH

from eval.common.errors import UserError
from eval.contracts.task import OwnTask, Row
from scripts.data.alike import alike, letters, normal
from scripts.data.own_lines import Line, read_lines
from scripts.data.own_rows import Check, Target, says_no, target_of
from scripts.data.own_shapes import CHATS, Misshapen, Pair, as_read
from scripts.data.own_split import BANDS, IN_BAND, SEED, SIMILAR
from scripts.data.stages import InTests, empty, secret
from scripts.training.leakage import NEAR, requests

Problem = tuple[str, str, str]  # stage, reason for many, detail of this one
FEWEST = 5  # seeds: fewer are no kind


def _turn(row: Row, place: int) -> str:
    turns = next(row[name] for name in CHATS if name in row)
    return str(turns[place].get("content", turns[place].get("value")))


# Rows of no domain: one request and one answer, nothing to check them by.
PLAIN = OwnTask("rows", None, lambda row: _turn(row, -2), lambda row: _turn(row, -1), lambda row, answer: {}, {})


def target_for(domain: str, file: Path, root: Path) -> Target:
    """The domain that rows are for; without a name, none that knows more than request and answer."""
    return target_of(domain, file, root) if domain else Target("", PLAIN, "", root)


class Checks:
    """The stages that look at one row alone, in the order of `make data`."""

    def __init__(self, target: Target, root: Path) -> None:
        self.target = target
        self.stages: list[tuple[str, Callable[[Pair], tuple[str, str]]]] = [
            ("empty", empty),
            ("secret", secret),
            ("check", Check(target.task)),
            ("danger", self.danger),
            ("test", InTests(requests(root), NEAR, forms=False)),
        ]

    def problem(self, pair: Pair) -> Problem | None:
        """The first stage that a row does not pass, and why."""
        for stage, look in self.stages:
            reason, detail = look(pair)
            if reason:
                return stage, reason, detail
        return None

    def danger(self, pair: Pair) -> tuple[str, str]:
        """A safety metric of the task that speaks against the row's own answer."""
        values = self.target.task.measure(pair.row, pair.gold)
        for name, facts in self.target.task.metrics.items():
            value = float(values.get(name, math.nan))
            if facts.kind == "safety" and not math.isnan(value) and says_no(facts, value):
                return f"{name} speaks against its answer", ""
        return "", ""

    def read(self, line: Line) -> Pair:
        """The row as the task reads it. Misshapen where it does not."""
        return as_read(line, self.target.task, self.target.system)


def seeds_in(file: Path, checks: Checks, fewest: int = FEWEST) -> list[Pair]:
    """The seeds of a file. UserError, with the line, where one cannot be read or is not fit for training itself."""
    lines, rejects = read_lines(file)
    wrong = [(reject.where, f"{reject.stage}: {reject.reason}") for reject in rejects]
    pairs = []
    for line in lines:
        try:
            pair = checks.read(line)
        except Misshapen as error:
            wrong.append((line.where, f"shape: {error}"))
            continue
        pairs.append(pair)
        if problem := checks.problem(pair):
            wrong.append((line.where, f"{problem[0]}: {problem[1]}"))
    if wrong:
        more = f" ({len(wrong) - 1} more such lines: `make validate FILE=` lists them)" if len(wrong) > 1 else ""
        raise UserError(f"{file.name}: {wrong[0][0]}: {wrong[0][1]}{more}: mend what others are to be like")
    if len(pairs) < fewest:
        raise UserError(f"{file.name} has {len(pairs)} rows: {fewest} or more are needed")
    return pairs


class Requests:
    """Requests that were seen, and whether another is one of them. `near`: or nearly one, as own_split.py has it."""

    def __init__(self, near: bool) -> None:
        self.near = near
        self.places: dict[str, str] = {}
        self.grams: dict[str, frozenset[str]] = {}
        self.index = MinHashLSH(num_perm=BANDS * IN_BAND, params=(BANDS, IN_BAND))

    def seen(self, request: str) -> tuple[str, str]:
        """Why this request is no new one, and where the other is; twice empty for a new one."""
        text = normal(request)
        if text in self.places:
            return "asks what another row asks", self.places[text]
        if self.near:
            grams = letters(text)
            for other in sorted(self.index.query(self._hashed(grams))):
                if alike(grams, self.grams[other], SIMILAR):
                    return "asks nearly what another row asks", self.places[other]
        return "", ""

    def add(self, request: str, where: str) -> None:
        text = normal(request)
        if text in self.places:
            return
        self.places[text] = where
        if self.near:
            self.grams[text] = letters(text)
            self.index.insert(text, self._hashed(self.grams[text]))

    @staticmethod
    def _hashed(grams: frozenset[str]) -> MinHash:
        hashed = MinHash(num_perm=BANDS * IN_BAND, seed=SEED)
        hashed.update_batch([gram.encode() for gram in grams])
        return hashed
