"""Everything that an evaluation wrote about its items, read once: no row twice, no file missing.

rows = read_rows(suite, scores, folder)      every file that the suite needs, no item in it twice
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.common.errors import Refused
from eval.config.suite_file import Suite
from eval.contracts.task import WATCHED_MODE
from eval.execution.judging import judged_modes
from eval.run.files import read_jsonl
from eval.run.records import Generation, Item, Judgement, Observation, Place, Score
from scripts.publishing.verify_data import AGAIN

EXECUTIONS, OBSERVATIONS = "executions.jsonl", "observations.jsonl"


@dataclass(frozen=True)
class Rows:
    """Everything that an evaluation wrote about its items."""

    folder: Path
    scores: list[Score]
    generations: list[Generation]
    items: list[Item]
    judgements: list[Judgement]
    observations: list[Observation]

    @cached_property
    def by_item(self) -> dict[tuple[str, str], Item]:
        return {(item.task, item.sample): item for item in self.items}

    @cached_property
    def by_place(self) -> dict[Place, Generation]:
        return {answer.place: answer for answer in self.generations}

    def of(self, task: str) -> list[Item]:
        return [item for item in self.items if item.task == task]


def read_rows(suite: Suite, scores: list[Score], folder: Path) -> Rows:
    """The files of a run. Refused when one that the suite needs is missing, or has a row twice."""
    modes = {task.execute for task in suite.tasks}
    rows = Rows(
        folder,
        scores,
        read_jsonl(folder / "generations.jsonl", Generation),
        read_jsonl(folder / "samples.jsonl", Item),
        _read_executed(folder / EXECUTIONS, Judgement, bool(judged_modes(suite))),
        _read_executed(folder / OBSERVATIONS, Observation, WATCHED_MODE in modes),
    )
    _refuse_twice(folder / "generations.jsonl", (row.place for row in rows.generations))
    _refuse_twice(folder / "samples.jsonl", ((item.task, item.sample) for item in rows.items))
    _refuse_twice(folder / EXECUTIONS, (row.place for row in rows.judgements))
    _refuse_twice(folder / OBSERVATIONS, (row.place for row in rows.observations))
    _refuse_twice(folder / "scores.jsonl", ((*line.place, line.metric) for line in scores))
    return rows


def _read_executed(file: Path, kind: type[Any], needed: bool) -> list[Any]:
    if needed and not file.is_file():
        raise Refused(f"{file} is missing, and the suite executes answers: {AGAIN}")
    return read_jsonl(file, kind) if file.is_file() else []


def _refuse_twice(file: Path, keys: Iterable[tuple[Any, ...]]) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            raise Refused(f"{file}: {' '.join(map(str, key))} is there twice: {AGAIN}")
        seen.add(key)
