"""What the suite adds to a task by running its answers in the sandbox: scores, and counts for the report."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from eval.common.places import ROOT
from eval.config.suite_file import Suite
from eval.contracts.task import Items
from eval.execution.collateral import collateral_scores
from eval.execution.judging import count_verdicts, execution_scores, judge_answers
from eval.execution.watching import disagreements, observe_answers, safety_scores
from eval.run.digests import files_sha256, json_sha256
from eval.run.partial_log import PartialLog
from eval.run.records import Generation, Judgement, Observation, Score
from eval.sandbox import Sandbox


@dataclass(frozen=True)
class Executed:
    """Scores of the answers that were run, and fields of each task's summary by task name."""

    scores: list[Score] = field(default_factory=list)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)


def execute_answers(
    suite: Suite,
    tasks: Sequence[Items],
    generations: list[Generation],
    sandbox: Sandbox,
    run: Path,
    say: Callable[[str], None],
) -> Executed:
    """Run the answers of every task that has `execute:`; what an earlier process finished is kept.

    Kept only while everything is equal that decides a result: answers, golds, samples, sandbox and our own code.
    """
    key = json_sha256(
        [
            sandbox.identity,
            code_digest(),
            [[task.name, task.execute] for task in suite.tasks],
            [[*answer.place, answer.text] for answer in generations],
            [[sample.id, sample.gold, str(sample.doc)] for task in tasks for sample in task.samples],
        ]
    )
    judgements = judge_answers(suite, tasks, generations, sandbox, PartialLog(run, "executions", Judgement, key), say)
    observations = observe_answers(suite, generations, sandbox, PartialLog(run, "observations", Observation, key), say)
    items = {(task.name, sample.id): sample for task in tasks for sample in task.samples}
    return Executed(
        execution_scores(judgements, items) + collateral_scores(judgements, items) + safety_scores(observations, items),
        summaries([task.name for task in tasks], judgements, observations),
    )


def summaries(
    tasks: Iterable[str], judgements: list[Judgement], observations: list[Observation]
) -> dict[str, dict[str, Any]]:
    """Fields of each task's summary, by its name: what the judge said, and where the two safety passes disagree."""
    found: dict[str, dict[str, Any]] = {}
    for task in tasks:
        watched = [row for row in observations if row.task == task]
        found[task] = {
            "executed": count_verdicts(judgements, task),
            "watched": disagreements(watched) if watched else None,
        }
    return found


@cache
def code_digest() -> str:
    """Digest of everything in eval/, and of the rules about which samples cannot be executed."""
    files = [
        path for path in sorted((ROOT / "eval").rglob("*")) if path.suffix in (".py", ".yaml", ".sh", ".c", ".txt")
    ]
    return files_sha256([*files, ROOT / "data" / "nl2bash" / "unobservable.yaml"])
