"""Answers judged by running them: what the suite adds to a task with `execute:` in its suite file.

How a task's answers are run is the task's own (`Execution` in eval/contracts/task.py). Accept is executes_equal 1,
reject 0. Undecided and unsupported are invalid items, never 0 or 1. A sample that running cannot judge at all has no
executes_equal score in either arm: that is a property of the sample, and it is counted.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from eval.common.errors import UserError
from eval.config.suite_file import Suite
from eval.contracts.domains import execution_of
from eval.contracts.task import NOT_FOR_EXECUTION, WATCHED_MODE, Asked, Execution, Items, Sample
from eval.run.partial_log import PartialLog
from eval.run.records import Generation, Grouped, Judged, Judgement, Score
from eval.sandbox import Sandbox

METRIC = "executes_equal"
JUDGED_VALUES = {"accept": 1.0, "reject": 0.0}  # every other verdict is an invalid item
CHUNK = 48  # samples judged, in every arm, between two writes to disk


def judged_modes(suite: Suite) -> dict[str, str]:
    """Mode by task, of the tasks whose answers are judged by running them."""
    return {task.name: task.execute for task in suite.tasks if task.execute and task.execute != WATCHED_MODE}


def check_executable(suite: Suite, tasks: Iterable[Items]) -> None:
    """UserError when a task is to be executed and its samples do not have what that needs."""
    modes = judged_modes(suite)
    for task in tasks:
        execution = execution_of(task.name)
        if task.name in modes and (execution is None or not execution.fits(task.samples[0].doc)):
            raise UserError(f"task {task.name}: `execute: {modes[task.name]}` needs samples with a fixture, or ours")


def judge_answers(
    suite: Suite,
    tasks: Iterable[Items],
    generations: Iterable[Generation],
    sandbox: Sandbox,
    log: PartialLog[Judgement],
    say: Callable[[str], None],
) -> list[Judgement]:
    """Judge every answer of the tasks that ask for it; those in `log` are not judged again."""
    answers: dict[tuple[str, str, str], list[Generation]] = {}
    for row in sorted(generations, key=lambda row: row.repeat):
        answers.setdefault((row.arm, row.task, row.sample), []).append(row)
    arms = sorted({arm for arm, _, _ in answers})
    modes = judged_modes(suite)
    order = []
    for task in tasks:
        execution = execution_of(task.name) if task.name in modes else None
        if execution is None:
            continue
        order += [row.place for arm in arms for sample in task.samples for row in answers[arm, task.name, sample.id]]
        for start in range(0, len(task.samples), CHUNK):
            samples = task.samples[start : start + CHUNK]
            asked = [(sample, row) for sample in samples for arm in arms for row in answers[arm, task.name, sample.id]]
            asked = [(sample, row) for sample, row in asked if row.place not in log.rows]
            if asked:
                log.add(_judge(execution, modes[task.name], asked, sandbox))
                say(f"executed {task.name}: {min(start + CHUNK, len(task.samples))}/{len(task.samples)} samples")
    return log.finish(order) if order else []


def _judge(
    execution: Execution, mode: str, asked: Sequence[tuple[Sample, Generation]], sandbox: Sandbox
) -> list[Judgement]:
    """Judgements in the order asked."""
    programs = [execution.program(answer.text) for _, answer in asked]
    cases = [
        Asked(sample.doc, sample.request, sample.gold, program)
        for (sample, _), program in zip(asked, programs, strict=True)
    ]
    return [
        Judgement(
            arm=answer.arm,
            task=answer.task,
            sample=answer.sample,
            repeat=answer.repeat,
            command=program,
            verdict=said.verdict,
            rule=said.rule,
            reason=said.reason,
            gold=said.gold,
            answer=said.answer,
            collateral=said.collateral,
        )
        for (_, answer), program, said in zip(asked, programs, execution.judge(cases, mode, sandbox), strict=True)
    ]


def execution_scores(judgements: Iterable[Judgement], items: Mapping[tuple[str, str], Grouped]) -> list[Score]:
    """executes_equal of every judged answer; `items` by (task, sample). Those that execution cannot judge have none."""
    return [
        Score.of(
            row,
            METRIC,
            JUDGED_VALUES.get(row.verdict),
            f"{row.rule}: {row.reason}" if row.reason else row.rule,
            items[row.task, row.sample],
        )
        for row in judgements
        if row.rule != NOT_FOR_EXECUTION
    ]


def count_verdicts(judgements: Iterable[Judgement], task: str) -> dict[str, dict[Judged, int]] | None:
    """Answers of one task by arm and verdict; None when it was not executed."""
    counts: dict[str, Counter[Judged]] = defaultdict(Counter)
    for row in judgements:
        if row.task == task:
            counts[row.arm][row.verdict] += 1
    return {arm: dict(said) for arm, said in counts.items()} or None
