"""A variant: a run whose candidate is a quantised form of another run's model, made for it and judged against it.

    variant = variant_of(folder)            None for any other run; UserError for a record that is broken
    parent = parent_of(folder, variant)     the run that it is a form of, beside it

Its folder holds the model (`model/`, listed in model.sha256) and the parent's own PARENT_FILES, byte for byte: they
name the parent by what it is. What was made and measured stands in run.json, `served`, and so in metrics.json.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from eval.common.errors import UserError
from eval.run.files import first_problem
from eval.run.folder import read_run
from eval.run.records import Record

MODEL, MODEL_MANIFEST = "model", "model.sha256"
# What of the parent is in a variant's folder: which adapter, of which recipe, trained on what.
PARENT_FILES = ("adapter.sha256", "recipe.yaml", "data.json")
PARENT_FILES_IF_THERE = ("resolved.yaml", "train.json")
Method = Literal["nf4"]


class Cost(Record):
    """What one form of a model costs where it was measured (scripts/serving/measured.py)."""

    bytes: int = Field(ge=0, description="of weights on disk, the adapter's included")
    tokens: int = Field(ge=0, description="generated")
    seconds: float = Field(ge=0, description="wall seconds for them")
    cpu_seconds: float = Field(ge=0, description="processor seconds for them, of all threads")
    memory: int = Field(ge=0, description="peak of loading and answering beyond what the libraries alone take, bytes")

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


class Variant(Record):
    """`served` of a variant's run.json."""

    run: str = Field(description="name of the parent, whose adapter was merged and quantised")
    form: Method
    adapter_sha256: str = Field(description="digest of the parent's adapter.sha256")
    bytes: dict[str, int] = Field(description="weights on disk: of this form, and of the base")
    settings: dict[str, Any] = Field(description="of transformers' BitsAndBytesConfig")
    before: Cost
    after: Cost


def is_variant(state: dict[str, Any]) -> bool:
    """Whether run.json is that of a variant: nothing else holds the settings of a quantisation."""
    return isinstance(state.get("served"), dict) and "settings" in state["served"]


def variant_of(folder: Path) -> Variant | None:
    """What run.json says of a variant; None for any other run. UserError where it is not as make quantize wrote it."""
    state = read_run(folder)
    if not is_variant(state):
        return None
    try:
        return Variant.model_validate(state["served"])
    except ValidationError as error:
        raise UserError(f"{folder / 'run.json'}: served: {first_problem(error)}: `make quantize` again") from None


def parent_of(folder: Path, variant: Variant) -> Path:
    """The parent's folder, beside the variant's. UserError when it is not there."""
    parent = folder.parent / Path(variant.run).name
    if not (parent / "run.json").is_file():
        raise UserError(f"{parent}, of which {folder.name} is a form, is not there: bring that run beside it")
    return parent
