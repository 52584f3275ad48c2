"""Commands judged by running them: the way of every task whose answers are Bash.

    COMMANDS.judge(asked, "robust", sandbox)        robust: beside the gold on its tree and on a second one; plain: on
    one

What decides is eval/judge. What an answer damages besides (eval/judge/collateral.py) is looked for in every answer
that has files to damage, also where running the gold shows nothing. Rows are those of data/nl2bash and data/safety,
rows of anyone that name a file tree (`fixture`), or rows that `make data CONFIG=` held out, which say of themselves
where no tree can be made (`not_executed`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eval.bash.parsing import extract_command
from eval.contracts.task import (
    BROKEN,
    NO_PROGRAM,
    NOT_FOR_EXECUTION,
    SAME_TEXT,
    WATCHED_MODE,
    Asked,
    Judged,
    Metric,
    Row,
)
from eval.execution.collateral import NONE, collateral_of
from eval.execution.observed import observed
from eval.judge.collateral import Harm, measure_harm
from eval.judge.judging import judge_many
from eval.judge.scenes import Runs, base_fixture
from eval.judge.spelling import same_text
from eval.judge.verdicts import Case, Verdict
from eval.run.records import Collateral
from eval.sandbox import Execution, Fixture, Sandbox, SandboxError, load_fixture
from eval.tasks.command_metrics import JUDGED, RUN
from eval.tasks.nl2bash.fixture import VARIANTS, changes_asked_of, fixture_for, unsupported_reason


@dataclass(frozen=True)
class Commands:
    """Runs commands. `metrics`: what running adds to a task."""

    modes: tuple[str, ...] = (*JUDGED, WATCHED_MODE)

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return RUN

    def fits(self, row: Row) -> bool:
        return "fixture" in row or {"id", "messages"} <= row.keys()

    def unsupported(self, row: Row) -> str | None:
        if row.get("not_executed"):
            return str(row["not_executed"])
        if "fixture" not in row:
            return unsupported_reason(row)
        return None if row["fixture"] else "needs processes, a network or files that no fixture has"

    def program(self, answer: str) -> str:
        return extract_command(answer)

    def certain(self, asked: Asked) -> Judged | None:
        same = asked.program != "" and same_text(asked.gold, asked.program, asked.request)
        return Judged("accept", SAME_TEXT) if same else None

    def can_do_harm(self, row: Row) -> bool:
        return gold_for_harm(row, "") is not None

    def judge(self, asked: Sequence[Asked], mode: str, sandbox: Sandbox) -> list[Judged]:
        judged: dict[int, Judged] = {}
        cases: dict[int, Case] = {}
        for index, one in enumerate(asked):
            if reason := self.unsupported(one.row):
                judged[index] = Judged("unsupported", NOT_FOR_EXECUTION, reason)
            elif not one.program:
                judged[index] = Judged("reject", NO_PROGRAM, "the answer is empty")
            else:
                try:
                    cases[index] = Case(one.request, one.gold, one.program, *fixtures_of(one.row, sandbox))
                except SandboxError as error:
                    judged[index] = Judged("undecided", BROKEN, str(error))
        runs, robust = Runs(sandbox), mode == "robust"
        try:
            verdicts = judge_many(sandbox, cases.values(), robust=robust, runs=runs)
        except SandboxError:
            verdicts = [_judge_alone(sandbox, case, robust, runs) for case in cases.values()]
        for (index, case), verdict in zip(cases.items(), verdicts, strict=True):
            judged[index] = _judged(case, verdict, runs)
        found = [judged[index] for index in range(len(asked))]
        harms = _harms(list(zip(asked, found, strict=True)), cases, runs, robust)
        return [replace(said, collateral=harm) for said, harm in zip(found, harms, strict=True)]


COMMANDS = Commands()


def _judged(case: Case, verdict: Verdict, runs: Runs) -> Judged:
    """A verdict with what a reader is shown of it."""
    if verdict.rule == "candidate_needs_more":
        # The sandbox is the machine that the samples are about, and their golds run on it.
        verdict = Verdict("reject", "not_on_this_machine", {"why": verdict.evidence.get("reason", "")})
    shown = None
    if verdict.rule not in (SAME_TEXT, BROKEN):
        shown = _shown(runs, case, base_fixture(case.fixture, runs.sandbox))
    gold, own = (observed(run) for run in shown) if shown else (None, None)
    return Judged(verdict.verdict, verdict.rule, str(verdict.evidence.get("why", "")), gold, own)


def _harms(
    judged: Sequence[tuple[Asked, Judged]], known: Mapping[int, Case], runs: Runs, robust: bool
) -> list[Collateral | None]:
    """What each answer did besides; None where its sample has no files that could be damaged.

    `known`: the cases of those that were judged, by their place.
    """
    found: list[Collateral | None] = [None] * len(judged)
    cases: dict[int, Case] = {}
    for index, (one, said) in enumerate(judged):
        gold = gold_for_harm(one.row, one.gold)
        if gold is None:
            continue
        found[index] = NONE
        if one.program and said.rule != SAME_TEXT:
            try:
                made = known.get(index)  # its trees are there already, unless the gold is not for execution
                trees = (made.fixture, made.more) if made else fixtures_of(one.row, runs.sandbox)
                cases[index] = Case(one.request, gold, one.program, *trees)
            except SandboxError as error:
                found[index] = collateral_of(Harm(unknown=str(error)))
    try:
        harms = measure_harm(runs, cases.values(), robust)
    except SandboxError:
        harms = [_harm_alone(runs, case, robust) for case in cases.values()]
    for index, harm in zip(cases, harms, strict=True):
        found[index] = collateral_of(harm)
    return found


def _harm_alone(runs: Runs, case: Case, robust: bool) -> Harm:
    """One case; a sandbox that breaks on it leaves unknown what this answer did, and no other."""
    try:
        return measure_harm(runs, [case], robust)[0]
    except SandboxError as error:
        return Harm(unknown=str(error))


def _judge_alone(sandbox: Sandbox, case: Case, robust: bool, runs: Runs) -> Verdict:
    """One case; a sandbox that breaks on it costs this item only, which is then invalid."""
    try:
        return judge_many(sandbox, [case], robust=robust, runs=runs)[0]
    except SandboxError as error:
        return Verdict("undecided", BROKEN, {"why": str(error)})


def _shown(runs: Runs, case: Case, given: Fixture) -> list[Execution] | None:
    """Gold and answer on the given files, for readers; None when the sandbox breaks, which changes no verdict."""
    try:
        return runs.get([(case.gold, given), (case.candidate, given)])
    except SandboxError:
        return None


def gold_for_harm(row: Row, gold: str) -> str | None:
    """The command whose changes were asked for; None where no file system can show what else was changed."""
    if row.get("not_executed"):
        return None
    if "fixture" in row:
        return gold if row["fixture"] else None
    return changes_asked_of(row)


def fixtures_of(row: Row, sandbox: Sandbox) -> tuple[Fixture, tuple[Fixture, ...]]:
    """The file tree of a sample, and further trees on which an answer has to do the same as the gold."""
    if "fixture" in row:
        return load_fixture(row["fixture"], sandbox), ()
    return fixture_for(row, sandbox), tuple(fixture_for(row, sandbox, variant) for variant in range(1, VARIANTS))
