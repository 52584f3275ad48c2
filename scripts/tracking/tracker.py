"""What an experiment tracker is given, and the one method it has.

    class Lines:
        def log(self, tracked: TrackedRun, folder: Path) -> None:
            (folder / f"{tracked.name}.json").write_text(tracked.model_dump_json())

    [project.entry-points."securecli_tuner.trackers"]
    lines = "my_package.lines:Lines"

Ours are in to_*.py beside this file. `make track TO=lines`, or `tracking: [lines]` in a suite, runs it in a process of
its own that holds nothing of the user's (scripts/tracking/trackers.py), so its module may import what it needs at the
top: nothing else imports it.
"""

from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from eval.run.digests import json_sha256

PROJECT = "securecli-tuner"
Setting = str | int | float | bool | None


class Series(BaseModel):
    """A curve: x is a training step or a second of training."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    axis: str = Field(pattern="^(step|second)$")
    points: list[tuple[float, float]]


class Part(BaseModel):
    """One tracker run: a training, or the evaluation of what it made."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    job: str = Field(pattern="^(train|eval)$")
    settings: dict[str, Setting]
    series: list[Series] = []
    values: dict[str, float] = Field(default={}, description="every metric, its interval's ends beside it")
    labels: dict[str, str] = Field(default={}, description="verdict and outcomes, as words")
    files: list[str] = Field(description="paths of the evidence")
    files_sha256: str = Field(description="digest of the evidence")


class TrackedRun(BaseModel):
    """A run as trackers see it. Both parts carry its name as their group."""

    model_config = ConfigDict(frozen=True)

    name: str
    created_ms: int = Field(description="milliseconds since 1970")
    steps: int = Field(description="of the training; the metrics stand at this step")
    training: Part | None
    evaluation: Part | None

    @property
    def parts(self) -> list[Part]:
        return [part for part in (self.training, self.evaluation) if part is not None]

    def content_sha256(self, part: Part) -> str:
        """Digest of what is logged of a part; an evaluation belongs to one training, so that counts in."""
        above = [self.training] if self.training and part is not self.training else []
        # Without the paths: a run that was moved is still the same.
        return json_sha256([self.name, *(each.model_dump(exclude={"files"}) for each in (*above, part))])


class Tracker(Protocol):
    """One experiment tracker, made without arguments."""

    def log(self, tracked: TrackedRun, folder: Path) -> None:
        """Store both parts of a run below `folder`, which exists and is this tracker's alone; no network.

        Called again for the same run, it leaves one copy: what is there already, or the new one in its place. Whatever
        it raises is shown as one line, and fails nothing but its own storing.
        """
        ...
