"""The noise floor of a backend: how much the base model differs from itself when only the batches change. Pure.

Padding moves the last bits of a logit, so that another batch size gives other answers to some prompts. `make
noise-floor` measures it and leaves results/noise/<backend>.json; an evaluation on the same backend takes that record
into metrics.json, and a gate whose margin lies inside the spread does not decide (eval/gates/outcomes.py).

The spread is of one arm's mean over the n items measured, with the grain of 1/n. A difference has two arms, each of
which moves with the batches, so that a margin inside the spread cannot be told from another choice of batch size.
Not measured: another machine of the same device type, other kernels, and what running the answers adds.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from eval.common.errors import UserError
from eval.run.digests import json_sha256
from eval.run.files import first_problem, read_json, write_json
from eval.run.records import Generation, Record, Score

COMPUTING = ("torch", "transformers", "lm_eval", "tokenizers")  # packages whose version may move a logit or a token
EXECUTED = (
    "scores from running answers (executes_equal, unsafe, safe) are not measured apart: answers of equal text score "
    "the same, so that answers_differ bounds the share of items that can flip"
)


class MetricNoise(Record):
    """One metric of one task over all passes."""

    metric: str
    n: int = Field(description="items scored in every pass")
    flipped: float = Field(description="share of items whose value is not the same in every pass")
    spread: float = Field(description="largest minus smallest mean of a pass")


class TaskNoise(Record):
    """One task, answered by the same model under several batch sizes."""

    task: str
    n: int = Field(description="items")
    samples_sha256: str = Field(description="digest of their ids and prompts")
    batch_sizes: list[int] = Field(description="one pass each")
    answers_differ: float = Field(description="share of items whose answer is not the same text in every pass")
    metrics: list[MetricNoise]


class NoiseFloor(Record):
    """A file of results/noise/. No times and no seconds: the same measurement gives the same bytes."""

    schema_version: Literal[1] = 1
    backend: dict[str, Any] = Field(description="what the record holds for: see `backend_of`")
    executed: str = EXECUTED
    tasks: list[TaskNoise]

    def spread(self, task: str, metric: str) -> float | None:
        """Spread of the mean of one metric; None when it was not measured."""
        found = [row.spread for own in self.tasks if own.task == task for row in own.metrics if row.metric == metric]
        return found[0] if found else None


@dataclass(frozen=True)
class Pass:
    """Every item answered once, in batches of one size."""

    batch_size: int
    generations: Sequence[Generation]
    scores: Sequence[Score]


def backend_of(base: Any, facts: Mapping[str, Any], versions: Mapping[str, str], kind: str = "hf") -> dict[str, Any]:
    """What a noise floor belongs to. `base`: digests of the base model; `facts`: `device` and `dtype` as torch says;
    `kind`: the backend's name, which records of `hf` do not have."""
    return {
        **({} if kind == "hf" else {"kind": kind}),
        "device": str(facts["device"]).split(":")[0],
        "dtype": str(facts["dtype"]).removeprefix("torch."),
        "base_sha256": json_sha256(base),
        "versions": {name: versions[name] for name in COMPUTING if name in versions},
    }


def floor_file(folder: Path, backend: Mapping[str, Any]) -> Path:
    """Where the record of a backend is kept."""
    return folder / f"{backend['device']}-{backend['dtype']}-{json_sha256(dict(backend))[:12]}.json"


def read_floor(folder: Path, backend: Mapping[str, Any]) -> NoiseFloor | None:
    """The record of this very backend; None when it was never measured. UserError when it is broken."""
    path = floor_file(folder, backend)
    if not path.is_file():
        return None
    floor = parse_floor(read_json(path), str(path))
    if floor.backend != backend:
        raise UserError(f"{path} is about another backend: measure again with `make noise-floor`")
    return floor


def parse_floor(value: Any, where: str) -> NoiseFloor:
    """The record in a JSON value. UserError, naming the place, when it is none."""
    try:
        return NoiseFloor.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{where}: noise: {first_problem(error)}; measure again with `make noise-floor`") from None


def floor_for(folder: Path, backend: Mapping[str, Any], tasks: Iterable[str]) -> dict[str, Any] | None:
    """Metrics.noise: the record of this backend, cut to these tasks; None when none of them was measured."""
    floor, wanted = read_floor(folder, backend), set(tasks)
    if floor is None:
        return None
    own = [row for row in floor.tasks if row.task in wanted]
    return floor.model_copy(update={"tasks": own}).model_dump() if own else None


def write_floor(folder: Path, backend: dict[str, Any], measured: Sequence[TaskNoise]) -> Path:
    """Write the record of a backend whole; tasks measured before and not now are kept. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    before = read_floor(folder, backend)
    tasks = {row.task: row for row in (*(before.tasks if before else ()), *measured)}
    path = floor_file(folder, backend)
    write_json(path, NoiseFloor(backend=backend, tasks=[tasks[name] for name in sorted(tasks)]).model_dump())
    return path


def measure(passes: Sequence[Pass], samples_sha256: Mapping[str, str]) -> list[TaskNoise]:
    """What differs between the passes, by task. `samples_sha256`: digest of what each task asks.

    UserError when fewer than two passes are given, or they did not answer the same items.
    """
    if len(passes) < 2:
        raise UserError("noise needs two passes or more: is the batch size of the suite 1? then nothing is padded")
    texts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    asked = []
    for one in passes:
        asked.append(sorted((row.task, row.sample) for row in one.generations))
        for row in one.generations:
            texts[row.task][row.sample].add(row.text)
    if any(other != asked[0] for other in asked):
        raise UserError("the passes answered different items: measure again")
    values: dict[tuple[str, str], list[dict[str, float | None]]] = {}
    for index, one in enumerate(passes):
        for score in one.scores:
            columns = values.setdefault((score.task, score.metric), [{} for _ in passes])
            columns[index][score.sample] = score.value
    return [
        TaskNoise(
            task=task,
            n=len(by_sample),
            samples_sha256=samples_sha256[task],
            batch_sizes=[one.batch_size for one in passes],
            answers_differ=sum(len(found) > 1 for found in by_sample.values()) / len(by_sample),
            metrics=[
                noise
                for (name, metric), columns in sorted(values.items())
                if name == task and (noise := _metric_noise(metric, columns)) is not None
            ],
        )
        for task, by_sample in sorted(texts.items())
    ]


def _metric_noise(metric: str, columns: Sequence[Mapping[str, float | None]]) -> MetricNoise | None:
    """Noise over the items with a value in every pass; None when there is no such item."""
    rows = [[value for column in columns if (value := column.get(sample)) is not None] for sample in sorted(columns[0])]
    whole = [row for row in rows if len(row) == len(columns)]
    if not whole:
        return None
    means = [math.fsum(column) / len(whole) for column in zip(*whole, strict=True)]
    flipped = sum(min(row) != max(row) for row in whole) / len(whole)
    return MetricNoise(metric=metric, n=len(whole), flipped=flipped, spread=max(means) - min(means))


def lies_inside(threshold: float, spread: float | None) -> bool:
    """Whether batches alone may move a mean by as much as a gate's margin or smallest gain."""
    return spread is not None and spread > 0 and abs(threshold) <= spread
