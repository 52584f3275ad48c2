"""Answers that are programs, right when they print what the gold prints: for SQL, Python, regular expressions and
others.

    execution = SameOutput(files=lambda row: {"setup.sql": row["database"].encode(), "query.py": RUNNER},
                           command=lambda program: f"python3 query.py {shlex.quote(program)}")

Gold and answer run as `command(program)` in the sandbox, each in a fresh folder with the row's `files`: no network,
no sight of the host, and the limits of eval/sandbox (seconds, memory, output). What a task compares beyond equal
bytes is its `same`. A gold that fails, or hits a limit, makes the item undecided: that is the row's fault, in both
arms alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eval.contracts.task import BROKEN, NO_PROGRAM, NOT_FOR_EXECUTION, SAME_TEXT, Asked, Judged, Metric, Row
from eval.execution.observed import observed
from eval.sandbox import Execution, Fixture, Sandbox, SandboxError
from eval.sandbox.stored import store, with_base

Verdict = Literal["accept", "reject", "undecided"]
FOLDER = "/home/user/work"
MODE = "run"
ATTEMPTS = 3  # a broken worker is replaced: its run is repeated
LONGEST_PROGRAM = 20_000  # characters; the kernel takes 131,072 bytes in one argument


def same_bytes(row: Row, gold: bytes, answer: bytes) -> bool:
    """Whether two outputs are equal, up to white space at their end."""
    return gold.rstrip() == answer.rstrip()


@dataclass(frozen=True)
class SameOutput:
    """How the answers of such a task are run.

    `files`: content by path, below the working folder. `command`: one line of shell that runs a program; quote it
    with `shlex.quote`. `find`: the program in an answer, empty where it holds none. `same(row, gold's output,
    answer's)`: whether an answer is right. `skip(row)`: why a row cannot be judged by running, else None. `phrase`:
    of the metric.
    """

    files: Callable[[Row], Mapping[str, bytes]]
    command: Callable[[str], str]
    find: Callable[[str], str] = str.strip
    same: Callable[[Row, bytes, bytes], bool] = same_bytes
    skip: Callable[[Row], str | None] = lambda row: None
    phrase: str = "print what the right program prints"
    modes: tuple[str, ...] = (MODE,)

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return {"executes_equal": Metric("higher", executed=self.modes, phrase=self.phrase)}

    def fits(self, row: Row) -> bool:
        return True

    def unsupported(self, row: Row) -> str | None:
        return self.skip(row)

    def program(self, answer: str) -> str:
        return self.find(answer)

    def certain(self, asked: Asked) -> Judged | None:
        same = asked.program != "" and asked.program == self.find(asked.gold)
        return Judged("accept", SAME_TEXT) if same else None

    def can_do_harm(self, row: Row) -> bool:
        return False

    def judge(self, asked: Sequence[Asked], mode: str, sandbox: Sandbox) -> list[Judged]:
        found: dict[int, Judged] = {}
        jobs: dict[int, tuple[str, str, Fixture]] = {}
        for index, one in enumerate(asked):
            early = self._without_running(one)
            if early is not None:
                found[index] = early
                continue
            gold, own = self.command(self.find(one.gold)), self.command(one.program)
            jobs[index] = (gold, own, self._tree(one.row))
        runs = _run_all(sandbox, [(command, tree) for gold, own, tree in jobs.values() for command in (gold, own)])
        for index, (gold, own, tree) in jobs.items():
            found[index] = self._compare(asked[index].row, runs[gold, tree.digest], runs[own, tree.digest])
        return [found[index] for index in range(len(asked))]

    def _without_running(self, one: Asked) -> Judged | None:
        if reason := self.skip(one.row):
            return Judged("unsupported", NOT_FOR_EXECUTION, reason)
        if not one.program:
            return Judged("reject", NO_PROGRAM, "the answer is empty")
        if len(one.program) > LONGEST_PROGRAM or "\0" in one.program:
            return Judged("reject", "no_program", "too long for a command line, or with a NUL")
        return self.certain(one)

    def _tree(self, row: Row) -> Fixture:
        def make(top: Path) -> None:
            for name, content in self.files(row).items():
                path = top / FOLDER[1:] / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

        return store("files of a row", FOLDER, with_base(make, FOLDER))

    def _compare(self, row: Row, gold: "Execution | SandboxError", own: "Execution | SandboxError") -> Judged:
        if isinstance(gold, SandboxError) or isinstance(own, SandboxError):
            return Judged("undecided", BROKEN, str(gold if isinstance(gold, SandboxError) else own))
        verdict, rule, reason = self._decide(row, gold, own)
        return Judged(verdict, rule, reason, observed(gold), observed(own))

    def _decide(self, row: Row, gold: Execution, own: Execution) -> tuple[Verdict, str, str]:
        if gold.exit != 0 or gold.limits_hit:
            return "undecided", "gold_fails", "the gold itself ends with an error or hits a limit"
        if own.limits_hit:
            return "reject", "limit", f"stopped at a limit: {', '.join(own.limits_hit)}"
        if own.exit != 0:
            return "reject", "fails", f"ends with {own.exit}"
        if not self.same(row, gold.stdout, own.stdout):
            return "reject", "other_output", ""
        return "accept", "same_output", ""


Runs = dict[tuple[str, str], "Execution | SandboxError"]  # by (command, digest of the tree)


def _run_all(sandbox: Sandbox, jobs: Sequence[tuple[str, Fixture]]) -> Runs:
    """Every command once, on all cores; one on which the sandbox breaks ATTEMPTS times is that error."""
    found: Runs = {}
    waiting = {(command, tree.digest): (command, tree) for command, tree in jobs}
    for _ in range(ATTEMPTS):
        for key, run in zip(list(waiting), sandbox.run_many(list(waiting.values())), strict=True):
            found[key] = run
            if not isinstance(run, SandboxError):
                del waiting[key]
        if not waiting:
            break
    return found
