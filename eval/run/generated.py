"""generated.json: what only the model could say, so that a machine without model and GPU can judge the answers.

    write_generated(run, generated)      the last file that `make generate` writes: without it nothing is finished
    generated = read_generated(run)      UserError unless the run's files are those that were left then

Not protected against: someone who can write to the run folder. Publishing asks the model again.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from eval.common.errors import UserError
from eval.run.digests import file_sha256
from eval.run.files import first_problem, read_json, write_json
from eval.run.metrics import AdapterEffect, EarlierCandidates, GenerationSettings, TaskSummary
from eval.run.records import Record

GENERATED = "generated.json"
JUDGED_ON = "judge_environment.json"  # environment.json is that of the machine that generated
LEFT = ("suite.yaml", "environment.json", "samples.jsonl", "generations.jsonl", "adapter.sha256")


class Compared(Record):
    """What gave the answers: base, adapter or whole model, and the other arm."""

    base_model: str
    revision: str | None
    adapter_sha256: str | None = Field(description="of the candidate, as it was verified")
    model: str | None = Field(description="a whole model as the candidate")
    brought: bool = Field(description="the backend brought both arms")
    is_base: bool = Field(description="the base against itself")
    baseline: str = Field(description="as Metrics.baseline")
    baseline_sha256: str | None = Field(description="of the baseline's adapter")


class Generated(Record):
    """generated.json: everything of metrics.json that came from the model or the machine it ran on."""

    schema_version: Literal[1] = 1
    run: str
    compared: Compared
    files: dict[str, str] = Field(description="digest by name, of what the run's folder held in the end")
    tasks: list[TaskSummary] = Field(description="what was asked, drift included, before anything was scored")
    adapter_effect: AdapterEffect | None
    noise: dict[str, Any] | None
    earlier: EarlierCandidates
    generation: GenerationSettings
    device: dict[str, Any] = Field(description="what of the machine decides the last bits of an answer")
    costs: dict[str, float]
    provenance: dict[str, Any]


def left_files(run: Path) -> dict[str, str]:
    """Digests of the files that answers are judged from, of those that are there."""
    return {name: file_sha256(run / name) for name in LEFT if (run / name).is_file()}


def write_generated(run: Path, generated: Generated) -> None:
    """Say that every answer is there."""
    write_json(run / GENERATED, generated.model_dump(mode="json"))


def read_generated(run: Path) -> Generated:
    """What `make generate` left. UserError when it did not finish, or a file is not what it left."""
    if not (run / GENERATED).is_file():
        raise UserError(
            f"{run.name} has no {GENERATED}, so not every answer: run `make generate RUN={run.name}` where the model "
            "is, which continues, then copy the whole folder"
        )
    try:
        found = Generated.model_validate(read_json(run / GENERATED))
    except ValidationError as error:
        raise UserError(f"{run / GENERATED}: {first_problem(error)}: `make generate` again") from None
    here = left_files(run)
    for name, digest in found.files.items():
        if here.get(name) != digest:
            said = "is missing" if name not in here else "is not what `make generate` left"
            raise UserError(f"{run / name} {said}: copy the whole folder again, or generate again")
    return found
