"""The rows of a run's files, as types: one generation, one score, one item, one execution, one observation.

These models and those of eval/run/metrics.py are the file format: their JSON Schemas are committed under eval/schemas/
and tested against real output (`python -m eval.run.files` writes them again).
"""

import math
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eval.run.facts import LARGEST_NUMBER

BASELINE, CANDIDATE = "baseline", "candidate"

Risk = Literal["none", "allow", "review", "block"]
Judged = Literal["accept", "reject", "undecided", "unsupported"]


class Grouped(Protocol):
    """An item that belongs to a cluster and perhaps to a category."""

    @property
    def cluster(self) -> str: ...

    @property
    def category(self) -> str | None: ...


class Record(BaseModel):
    """A frozen row that refuses unknown keys and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Place = tuple[str, str, str, int]  # arm, task, sample, repeat


class Placed(Record):
    """A row about what one arm answered to one sample: what a journal keeps, once a place."""

    arm: str
    task: str
    sample: str

    @property
    def place(self) -> Place:
        return self.arm, self.task, self.sample, 0


class Answered(Placed):
    """The same where an arm answers a sample several times: `repeat` numbers the answers."""

    repeat: int = Field(ge=0)

    @property
    def place(self) -> Place:
        return self.arm, self.task, self.sample, self.repeat


class AskedSample(Protocol):
    """One item as a backend was asked it."""

    @property
    def task(self) -> str: ...

    @property
    def id(self) -> str: ...

    @property
    def request(self) -> str: ...

    @property
    def prompt_sha256(self) -> str: ...

    @property
    def repeat(self) -> int: ...


class Generation(Answered):
    """One line of generations.jsonl: what one arm answered to one sample."""

    request: str = Field(description="the user's request, for the report")
    prompt_sha256: str = Field(description="digest of the exact text given to the model, template included")
    text: str = Field(description="the answer; for likelihood tasks the JSON of the raw responses")
    tokens: int | None = Field(description="generated tokens, the end token included; null if the backend hides them")
    finish: Literal["stop", "length", "unknown"]
    seconds: float = Field(ge=0, description="wall seconds of the batch, divided by its samples")
    adapter_sha256: str | None = Field(
        None, description="digest of adapter.sha256 for the files loaded; null: the base answered"
    )
    base_tensors_sha256: str | None = Field(
        None, description="digest of the base's tensors as loaded; null in runs made before it was recorded"
    )
    settings_sha256: str | None = Field(
        None, description="digest of Metrics.generation without `ignored`; null in runs made before it was recorded"
    )

    @classmethod
    def to(cls, sample: AskedSample, **said: Any) -> "Generation":
        """An arm's answer to a sample. `said`: every field that the sample does not have."""
        asked = {"task": sample.task, "sample": sample.id, "request": sample.request}
        return cls(**asked, prompt_sha256=sample.prompt_sha256, repeat=sample.repeat, **said)


class Item(Record):
    """One line of samples.jsonl: what was asked and what is right, the same for both arms."""

    task: str
    sample: str
    request: str
    gold: str
    cluster: str
    category: str | None = Field(None, description="kind of request, for tables by category")


class Score(Answered):
    """One line of scores.jsonl: the value of one metric for one generation."""

    metric: str
    value: float | None
    status: Literal["scored", "invalid"]
    reason: str = ""
    cluster: str = Field(description="samples that share it are not independent")
    category: str | None = Field(None, description="kind of request, for slices")

    @model_validator(mode="after")
    def _value_matches_status(self) -> "Score":
        if self.value is not None and finite(self.value) is None:
            raise ValueError(f"{self.value:g} is beyond {LARGEST_NUMBER:g}, and nothing can be computed of it")
        if (self.status == "scored") != (self.value is not None):
            raise ValueError("a scored line has a value and an invalid one has null")
        return self

    @property
    def key(self) -> tuple[str, str, int]:
        return self.task, self.sample, self.repeat

    @classmethod
    def of(
        cls, row: "Generation | Judgement | Observation", metric: str, value: float | None, reason: str, item: Grouped
    ) -> "Score":
        """The score of one answer to `item`, from any row that names it; without a value it is invalid."""
        status: Literal["scored", "invalid"] = "invalid" if value is None else "scored"
        return cls(
            arm=row.arm,
            task=row.task,
            sample=row.sample,
            repeat=row.repeat,
            metric=metric,
            value=value,
            status=status,
            reason=reason,
            cluster=item.cluster,
            category=item.category,
        )


class Observed(Record):
    """What one command did in the sandbox, cut to a length for reading."""

    exit: int | None = Field(description="null when a limit killed it")
    stdout: str
    stderr: str
    changes: list[str] = Field(description="`+ path`, `- path` or `~ path` of every file-system change")
    limits_hit: list[str]


class Damaged(Record):
    """One path that an answer changed and its gold left alone."""

    what: Literal["removed", "moved", "emptied", "replaced", "overwritten", "mode", "link", "owner", "lost", "written"]
    path: str
    on: str = Field(description="the file system it was seen on: `given`, or the name of a copy")


class Collateral(Record):
    """What one answer did beside what was asked, on every file system that was tried (eval/judge/collateral.py)."""

    damaged: list[Damaged] = Field(description="what existed and was destroyed or altered; the first few")
    stray: list[Damaged] = Field(description="what was written besides; the first few")
    damaged_paths: int = Field(ge=0)
    stray_paths: int = Field(ge=0)
    unknown: str = Field("", description="why nothing can be said; empty when it can")

    @model_validator(mode="after")
    def _counts_fit(self) -> "Collateral":
        for rows, count in ((self.damaged, self.damaged_paths), (self.stray, self.stray_paths)):
            if len(rows) > count or bool(rows) != bool(count):
                raise ValueError("the paths listed and their number do not fit")
        if self.unknown and (self.damaged or self.stray):
            raise ValueError("what is unknown has no paths")
        return self


class Judgement(Answered):
    """One line of executions.jsonl: an answer executed beside the gold, and what the judge said."""

    command: str = Field(description="the command found in the answer")
    verdict: Judged
    rule: str = Field(description="the rule that decided")
    reason: str = ""
    gold: Observed | None = Field(description="null when the sample cannot be judged by execution")
    answer: Observed | None
    collateral: Collateral | None = Field(None, description="null when the sample has no files, or it was not measured")


class Observation(Answered):
    """One line of observations.jsonl: what the commands of one answer were seen to do on the canary machine."""

    commands: list[str] = Field(description="commands the answer carries, as run")
    static: Risk = Field(description="the analyser's verdict on the worst command of the answer")
    dynamic: Risk = Field(description="the strongest action among what was observed")
    findings: list[str] = Field(description="`rule: what was seen`, each rule once")
    invalid: str = Field("", description="why nothing is known: the sandbox broke")

    @property
    def unsafe(self) -> bool:
        return "block" in (self.static, self.dynamic)

    @property
    def is_known(self) -> bool:
        """Harm that was seen stays seen when the sandbox breaks later; nothing seen then means nothing known."""
        return self.unsafe or not self.invalid

    @property
    def disagreement(self) -> str:
        """Which pass alone objected (to review or to block); empty when they agree, or nothing is known."""
        static, dynamic = (verdict in ("review", "block") for verdict in (self.static, self.dynamic))
        return "" if self.invalid or static == dynamic else "static only" if static else "dynamic only"


def printable(text: str) -> str:
    """Text as a record can hold it: what is no character (bytes that are not UTF-8) becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def finite(value: float) -> float | None:
    """The value, or None for NaN, infinities and what no statistic can be computed of (a perplexity that exploded)."""
    return value if math.isfinite(value) and abs(value) <= LARGEST_NUMBER else None
