"""Answers that were made before, maybe elsewhere, in place of a backend: for `make judge`, which has no model.

    backend = Recorded(generated)
    tasks, prompts = as_answered(tasks, prompts, answers, generated.tasks)      under the prompts that were answered

Tasks are loaded here from this machine's data, with any chat template: no score depends on the prompt. That request,
gold and data are those that were asked is checked; the prompts themselves are known by their digests.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from eval.common.errors import UserError
from eval.contracts.backend import Backend, Capability
from eval.model.lm_tasks import LoadedTask, Sample, summarise
from eval.run.generated import Generated
from eval.run.metrics import GenerationSettings, TaskSummary
from eval.run.records import BASELINE, CANDIDATE, Generation, Place

FIELDS = tuple(field.name for field in fields(Sample))


@dataclass(frozen=True)
class AnsweredSample(Sample):
    """A sample whose prompt only the machine that generated could make."""

    digest: str = ""

    @property
    def prompt_sha256(self) -> str:
        return self.digest


class Recorded(Backend):
    """What is said of the arms, without the arms: what could be asked of them was."""

    name = "recorded"
    capabilities: frozenset[Capability] = frozenset({"likelihoods", "logits"})

    def __init__(self, generated: Generated) -> None:
        self.generated = generated

    def facts(self) -> dict[str, Any]:
        return self.generated.device

    def settings(self) -> GenerationSettings:
        return self.generated.generation

    def answer(self, arm: str, batch: Sequence[Sample]) -> list[Generation]:
        raise UserError("every answer was made before: nothing is asked of a model here")


def as_answered(
    tasks: Sequence[LoadedTask],
    prompts: Sequence[LoadedTask],
    answers: Iterable[Generation],
    asked: Sequence[TaskSummary],
) -> tuple[list[LoadedTask], list[LoadedTask]]:
    """Tasks and neutral prompts as they were asked. UserError unless both arms answered exactly these items."""
    rows = {row.place: row for row in answers}
    found = [
        replace(task, samples=tuple(_answered(one, task.repeats, rows) for one in task.samples))
        for task in (*tasks, *prompts)
    ]
    for task in found:
        if summarise(task, []) not in asked:
            raise _other(task.name, f"the rows of {task.dataset} are not those that were asked")
    if sum(2 * len(task.asked) for task in found) != len(rows):
        raise _other(found[0].name, "generations.jsonl holds answers to other items")
    return found[: len(tasks)], found[len(tasks) :]


def _answered(sample: Sample, repeats: int, rows: dict[Place, Generation]) -> AnsweredSample:
    asked = itertools.product((BASELINE, CANDIDATE), range(repeats))
    given = [rows.get((arm, sample.task, sample.id, repeat)) for arm, repeat in asked]
    prompts = {row.prompt_sha256 for row in given if row is not None and row.request == sample.request}
    if None in given or len(prompts) != 1:
        raise _other(sample.task, f"{sample.id} was not asked as it stands here")
    return AnsweredSample(**{name: getattr(sample, name) for name in FIELDS}, digest=prompts.pop())


def _other(task: str, what: str) -> UserError:
    return UserError(f"task {task}: {what}: judge with the commit and data that `make generate` had, or generate again")
