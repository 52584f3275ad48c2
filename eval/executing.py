"""What the suite adds to a task by running its answers in the sandbox: scores, and counts for the report."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.config import Suite
from eval.judgements import count_verdicts, execution_scores, judge_answers
from eval.observations import disagreements, observe_answers, safety_scores
from eval.partial_log import PartialLog
from eval.provenance import json_sha256
from eval.records import Generation, Judgement, Observation, Score
from eval.sandbox import Sandbox

if TYPE_CHECKING:
    from eval.lm_tasks import LoadedTask


@dataclass(frozen=True)
class Executed:
    """Scores of the answers that were run, and fields of each task's summary by task name."""

    scores: list[Score] = field(default_factory=list)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)


def execute_answers(
    suite: Suite,
    tasks: "list[LoadedTask]",
    generations: list[Generation],
    sandbox: Sandbox,
    run: Path,
    key: str,
    say: Callable[[str], None],
) -> Executed:
    """Run the answers of every task that has `execute:`; what an earlier process finished under `key` is kept."""
    key = json_sha256([key, sandbox.identity])
    judgements = judge_answers(suite, tasks, generations, sandbox, PartialLog(run, "executions", Judgement, key), say)
    observations = observe_answers(
        suite, tasks, generations, sandbox, PartialLog(run, "observations", Observation, key), say
    )
    summaries: dict[str, dict[str, Any]] = {}
    for task in tasks:
        watched = [row for row in observations if row.task == task.name]
        summaries[task.name] = {
            "executed": count_verdicts(judgements, task.name),
            "watched": disagreements(watched) if watched else None,
        }
    return Executed(execution_scores(judgements, tasks) + safety_scores(observations, tasks), summaries)
