"""What run.json, train.json, data.json and environment.json of a run must hold to be read on: their types.

    problem = first_wrong(RunState, value)      "stages: Input should be a valid dictionary", or None

Readers keep the parsed JSON: stages may add keys, and earlier versions wrote fewer. What is listed here is what some
stage takes for granted, so that a file that was edited or damaged is named with its key and ends in one line.
"""

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

LARGEST_NUMBER = 1e100  # of a measurement; the square and the sum of a million such are still numbers
EARLIEST_YEAR, LATEST_YEAR = 1970, 9998  # what every library can turn into seconds
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
Curve = list[Pair]


class Facts(BaseModel):
    """Keys that are read, with their types; others may stand beside them."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Git(Facts):
    """Which commit, and whether the tree was that commit."""

    commit: str | None = None
    dirty: bool | None = None


class Adopted(Facts):
    """Of a run whose adapter was trained elsewhere: its source, what is known of its training, its data's licence."""

    source: str
    training: Literal["as found", "unknown"]
    licence: str | None = None


class RunState(Facts):
    """run.json."""

    run: str
    created: str
    base_model: str
    stages: dict[str, str]
    recipe: str | None = None
    base_revision: str | None = None
    seed: int | None = None
    suite: str | None = None
    verdict: str | None = None
    rehearsal: bool = False  # of random weights on a CPU: never published
    git: Git | None = None
    adopted: Adopted | None = None
    model: str | None = None  # a whole model as the candidate
    tracking: dict[str, str] = Field(default_factory=dict)
    domains: dict[str, str] = Field(default_factory=dict)  # name -> folder, of those that are not ours

    @field_validator("created")
    @classmethod
    def _is_a_time(cls, created: str) -> str:
        try:
            year = datetime.datetime.fromisoformat(created).year
        except ValueError:
            raise ValueError("not an ISO 8601 time") from None
        if not EARLIEST_YEAR <= year <= LATEST_YEAR:
            raise ValueError(f"the year {year} cannot be")
        return created


class Machine(Facts):
    """`system` of train.json: what the machine did, as columns and rows."""

    columns: list[str] = Field(min_length=1)
    rows: list[list[float | None]]
    mean: dict[str, float]
    peak: dict[str, float]

    @model_validator(mode="after")
    def _rows_fit(self) -> "Machine":
        if any(len(row) != len(self.columns) or row[0] is None for row in self.rows):
            raise ValueError("a row has not one value for each column, seconds first")
        return self


class Training(Facts):
    """train.json."""

    completed: bool
    steps: int | None = None
    planned_steps: int | None = None
    epochs: float | None = None
    examples: int | None = None
    seconds: float | None = None
    sessions: int | None = None
    peak_memory_gb: float | None = None
    final_loss: float | None = None
    curve: Curve = Field(default_factory=list)
    series: dict[str, Curve] = Field(default_factory=dict)
    system: Machine | None = None


class Span(Facts):
    """Neighbouring tokens of one row that are all learned, or all only read."""

    text: str = Field(max_length=65536)
    trained: bool
    tokens: int = Field(ge=0)


class TrainedRow(Facts):
    """row.json: one row as the model was trained on it. `shown` of its `tokens` are in the spans."""

    tokens: int = Field(ge=0)
    trained: int = Field(ge=0)
    shown: int = Field(ge=0)
    spans: list[Span] = Field(max_length=2048)


class Dataset(Facts):
    """One entry of data.json."""

    path: str
    sha256: str | None = None
    rows: int | None = None
    revision: str | None = None
    source: str | None = None
    licence: str | None = None


class Environment(Facts):
    """environment.json."""

    git: Git
    machine: dict[str, Any] = Field(default_factory=dict)
    packages: dict[str, str] = Field(default_factory=dict)


def first_wrong(kind: type[Facts], value: Any) -> str | None:
    """`key.path: what is wrong` for the first thing that does not fit; None when all does."""
    try:
        kind.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        return f"{where}: {problem['msg']}" if where else str(problem["msg"])
    return None
