"""Which of several answers to one request do the same? Decided by running them, as the domain's task judges answers.

    verdicts = Comparisons(task, sandbox, log, say).of(groups)
    settled = settle(group, verdicts)           the answers that agree, those that do not, and those that are not valid

Two answers agree when each is accepted with the other as the right one. An answer is not valid when it fails its own
row, where a row brings tests, or when it is rejected beside another and cannot itself be the right one for any: it does
not run. What cannot be run at all agrees by equal text only.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from eval.contracts.task import WATCHED_MODE, Asked, Execution, Judged, Task
from eval.run.digests import text_sha256
from eval.run.partial_log import PartialLog
from eval.run.records import Judgement
from eval.sandbox import Sandbox
from scripts.data.own_shapes import Pair

CHUNK = 48  # comparisons between two writes to disk
ACCEPT, REJECT, UNKNOWN = "accept", "reject", ("", "")
DIFFERENT = "the valid answers do not do the same"
NOT_COMPARED = "the answers are different texts, and running them shows nothing"


@dataclass(frozen=True)
class Answer:
    """One teacher's answer to one request."""

    teacher: str
    where: str
    pair: Pair
    program: str


@dataclass(frozen=True)
class Group:
    """All answers to one request, in order of preference. `id`: of the request."""

    id: str
    request: str
    answers: tuple[Answer, ...]

    @property
    def programs(self) -> tuple[str, ...]:
        """Each different program once."""
        return tuple(dict.fromkeys(answer.program for answer in self.answers))


@dataclass(frozen=True)
class Settled:
    """What came of a group. `agreed`: by preference; nothing, where there is no agreement, and `reason` says why.
    `why`: of the others, by their place."""

    agreed: tuple[Answer, ...]
    by: Literal["execution", "text", "alone"]
    reason: str = ""
    why: Mapping[str, str] = field(default_factory=dict)


Verdicts = Mapping[tuple[str, str, str], tuple[str, str]]  # (group, program taken for right, program) -> verdict, words


def executor(task: Task) -> tuple[Execution | None, str]:
    """How a task's answers are run, and in which mode; None where it does not run any."""
    execution = task.execution
    modes = [mode for mode in execution.modes if mode != WATCHED_MODE] if execution else []
    return (execution, modes[0]) if modes else (None, "")


def asked(group: Group, right: str, program: str) -> Asked:
    """One comparison. The row is that of the answer taken for right; the id is the request's, so that all meet the same
    files."""
    answer = next(one for one in group.answers if one.program == right)
    return Asked({**answer.pair.row, "id": group.id}, answer.pair.request, answer.pair.gold, program)


def comparisons(group: Group, execution: Execution) -> list[tuple[str, str]]:
    """What is to be judged: every two programs both ways, and one alone where its row itself decides about it."""
    alone = [(one, one) for one in group.programs if execution.certain(asked(group, one, one)) is None]
    return [*alone, *itertools.permutations(group.programs, 2)]


def compare(
    groups: Sequence[Group],
    execution: Execution,
    mode: str,
    sandbox: Sandbox,
    log: PartialLog[Judgement],
    say: Callable[[str], None],
) -> Verdicts:
    """The verdict of every comparison; those in `log` are not made again."""
    jobs = [(group, right, program) for group in groups for right, program in comparisons(group, execution)]
    found: dict[tuple[str, str, str], tuple[str, str]] = {}
    left = []
    for group, right, program in jobs:
        known = log.rows.get((place(right, program), "merge", group.id, 0))
        if known is None:
            left.append((group, right, program))
        else:
            found[group.id, right, program] = known.verdict, words(known.rule, known.reason)
    for start in range(0, len(left), CHUNK):
        chunk = left[start : start + CHUNK]
        judged = execution.judge([asked(*job) for job in chunk], mode, sandbox)
        log.add([kept(job, said) for job, said in zip(chunk, judged, strict=True)])
        for (group, right, program), said in zip(chunk, judged, strict=True):
            found[group.id, right, program] = said.verdict, words(said.rule, said.reason)
        say(
            f"compared {len(jobs) - len(left) + start + len(chunk):,} of {len(jobs):,} pairs of answers by running them"
        )
    return found


def place(right: str, program: str) -> str:
    return f"{text_sha256(right)[:16]}>{text_sha256(program)[:16]}"


def kept(job: tuple[Group, str, str], said: Judged) -> Judgement:
    """A comparison as the journal has it."""
    group, right, program = job
    return Judgement(
        arm=place(right, program), task="merge", sample=group.id, repeat=0, command=program, verdict=said.verdict,
        rule=said.rule, reason=said.reason, gold=None, answer=None,
    )  # fmt: skip


def words(rule: str, reason: str) -> str:
    return f"{rule}: {reason}" if reason else rule


def settle(group: Group, verdicts: Verdicts) -> Settled:
    """The answers of a group that agree: of the valid ones the most teachers, more than for any other behaviour."""
    programs, why = group.programs, dict[str, str]()
    for one in programs:
        if problem := invalid(group, one, verdicts):
            why[one] = problem
    valid = [one for one in programs if one not in why]
    if not valid:
        return _none(group, "no answer is valid", why)
    alike = {one: {one, *(two for two in valid if agree(group, one, two, verdicts))} for one in valid}
    strength = {one: len(teachers_of(group, alike[one])) for one in valid}
    most = max(strength.values())
    best = [one for one in valid if strength[one] == most]
    if any(two not in alike[one] for one, two in itertools.combinations(best, 2)):
        why |= {two: against(group, best[0], two, verdicts) for two in valid if two != best[0]}
        pairs = [verdicts.get((group.id, one, two), UNKNOWN)[0] for one, two in itertools.permutations(valid, 2)]
        shown = any(verdict in (ACCEPT, REJECT) for verdict in pairs)
        return _none(group, DIFFERENT if shown else NOT_COMPARED, why)
    chosen = alike[best[0]]
    why |= {two: against(group, best[0], two, verdicts) for two in valid if two not in chosen}
    agreed = tuple(answer for answer in group.answers if answer.program in chosen)
    ran = any(verdicts.get((group.id, one, two), UNKNOWN)[0] in (ACCEPT, REJECT) for one in chosen for two in programs)
    by: Literal["execution", "text", "alone"] = (
        "execution" if ran else "text" if len(teachers_of(group, chosen)) > 1 else "alone"
    )
    return Settled(agreed, by, "", _by_place(group, why))


def invalid(group: Group, one: str, verdicts: Verdicts) -> str:
    """Why a program is not valid; empty where nothing shows it."""
    itself = verdicts.get((group.id, one, one))
    if itself and itself[0] == REJECT:
        return f"fails by itself ({itself[1]})"
    others = [two for two in group.programs if two != one]
    as_right = [verdicts.get((group.id, one, two), UNKNOWN) for two in others]
    as_answer = [verdicts.get((group.id, two, one), UNKNOWN) for two in others]
    if others and all(said[0] == "undecided" for said in as_right):
        if any(said[0] == REJECT for said in as_answer):
            return f"does not run as it should ({as_right[0][1]})"
        if all(said[0] == "undecided" for said in as_answer) and as_right[0][1].startswith("gold_fails"):
            return f"does not run as it should ({as_right[0][1]})"
    return ""


def agree(group: Group, one: str, two: str, verdicts: Verdicts) -> bool:
    """Whether each of two programs is right when the other is."""
    both = (verdicts.get((group.id, one, two)), verdicts.get((group.id, two, one)))
    return one == two or all(said is not None and said[0] == ACCEPT for said in both)


def against(group: Group, one: str, two: str, verdicts: Verdicts) -> str:
    """Why a program does not agree with another."""
    for said in (verdicts.get((group.id, one, two)), verdicts.get((group.id, two, one))):
        if said is not None and said[0] != ACCEPT:
            return f"{said[0]} beside the first ({said[1]})"
    return "is another text, and these answers are not run"


def teachers_of(group: Group, programs: set[str]) -> set[str]:
    return {answer.teacher for answer in group.answers if answer.program in programs}


def _none(group: Group, reason: str, why: Mapping[str, str]) -> Settled:
    return Settled((), "execution", reason, _by_place(group, why))


def _by_place(group: Group, why: Mapping[str, str]) -> dict[str, str]:
    return {answer.where: why[answer.program] for answer in group.answers if answer.program in why}
