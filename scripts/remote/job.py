"""The record of one job, outputs/remote/<job>/job.json: written before anything is asked of a provider.

    job = new_job(...); job.save()            phase `prepared`
    job = unfinished(provider, recipe, digest)   what the same command goes on with

A computer that is lost at any moment loses no machine: the job's name is the machine's name.
"""

import datetime
import re
import secrets
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.run.files import first_problem, read_json, write_json
from eval.run.folder import label_of
from scripts.remote import clock
from scripts.remote.provider import PREFIX

JOBS = ROOT / "outputs" / "remote"
NAME = re.compile(PREFIX + r"[a-z0-9-]{1,58}")
SECONDS_AN_HOUR = 3600.0

# prepared: nothing was asked yet. asking: a machine may exist. running: it does. ending: it has to be proved gone.
# fetching: its results are on the Hub. judging: they are here. paused: may go on. done: nothing is left to do.
Phase = Literal["prepared", "asking", "running", "ending", "fetching", "judging", "paused", "done"]


class Attempt(BaseModel):
    """One machine of a job. Times are seconds since 1970; `deadline` is when it must be gone."""

    model_config = ConfigDict(extra="forbid")
    number: int
    deadline: float
    machine: str | None = None
    started: float | None = None
    ended: float | None = None


class Outcome(BaseModel):
    """How a job ended: the exit code (0, 1, 3: the verdict's), and why in one line."""

    model_config = ConfigDict(extra="forbid")
    code: int
    said: str


class Job(BaseModel):
    """One recipe to train on one provider. Money is in US dollars."""

    model_config = ConfigDict(extra="forbid")
    schema_version: int = 1
    name: str
    provider: str
    recipe: str
    recipe_sha256: str
    commit: str
    gpu: str
    count: int
    image: str
    evaluate: Literal["here", "there"]
    max_hours: float
    budget_usd: float
    usd_per_hour: float
    repo: str
    created: str
    phase: Phase = "prepared"
    then: Literal["asking", "fetching", "paused", "done"] = "done"  # what follows `ending`
    attempts: list[Attempt] = Field(default_factory=list)
    run: str | None = None
    log_cursor: str = ""
    log_machine: str = ""
    outcome: Outcome | None = None

    @property
    def folder(self) -> Path:
        return JOBS / self.name

    @property
    def attempt(self) -> Attempt:
        """The newest."""
        return self.attempts[-1]

    def save(self, **changes: object) -> None:
        """Set fields and write the record, whole."""
        for name, value in changes.items():
            setattr(self, name, value)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "job.json", self.model_dump())

    def hours_used(self) -> float:
        """Of all its machines; one whose end nobody saw counts until its deadline."""
        used = 0.0
        for attempt in self.attempts:
            if attempt.started is not None:
                ended = attempt.ended if attempt.ended is not None else min(clock.now(), attempt.deadline)
                used += max(0.0, ended - attempt.started)
        return used / SECONDS_AN_HOUR

    def spent_usd(self) -> float:
        """What its machines cost so far, at the price that was quoted: an estimate, the provider's bill counts."""
        return self.hours_used() * self.usd_per_hour

    def seconds_left(self) -> int:
        """The shorter of MAX_HOURS and BUDGET over the price, less what was used."""
        hours = self.max_hours
        if self.usd_per_hour > 0:
            hours = min(hours, self.budget_usd / self.usd_per_hour)
        return max(0, int((hours - self.hours_used()) * SECONDS_AN_HOUR))


def at(moment: float) -> str:
    """A moment in seconds since 1970 as a person reads it."""
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def new_name(recipe: str) -> str:
    """A name that no other job has: sct-<recipe>-<UTC time>-<random>."""
    now = datetime.datetime.fromtimestamp(clock.now(), datetime.UTC)
    label = label_of(recipe, "recipe").lower().replace("_", "-")[:28].strip("-")
    return f"{PREFIX}{label}-{now:%y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def read_job(name: str) -> Job:
    """A job by its name. UserError when there is none, or its record is broken."""
    if not NAME.fullmatch(name):
        raise UserError(f"{name[:80]!r} is no job's name ({PREFIX}...): see `make remote-status`")
    path = JOBS / name / "job.json"
    if not path.is_file():
        raise UserError(f"no job {name} on this computer: see `make remote-status`")
    try:
        return Job.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}: restore it, and end the machine by its name") from None


def all_jobs() -> list[Job]:
    """Every job of this computer, newest first."""
    found = [read_job(path.parent.name) for path in JOBS.glob(f"{PREFIX}*/job.json")]
    return sorted(found, key=lambda job: job.created, reverse=True)


def unfinished(provider: str, recipe_sha256: str) -> Job | None:
    """The newest job of exactly this recipe at this provider that is not done."""
    fits = (job for job in all_jobs() if (job.provider, job.recipe_sha256) == (provider, recipe_sha256))
    return next((job for job in fits if job.phase != "done"), None)
