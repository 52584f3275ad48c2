"""What the suite's `baseline` field stands for: the base model, an earlier run's adapter, or the blessed one.

    baseline = resolve_baseline(suite.baseline, candidate)

results/blessed.json holds, by recipe, the runs that `make bless` accepted, the last one being in force. Each entry is
bound to digests, so that an adapter swapped since is refused.

Not protected against: someone who can write results/blessed.json can bless anything. It is committed; review it there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from eval.common.errors import UserError
from eval.run.candidate import Candidate, candidate_of
from eval.run.files import first_problem, read_json
from eval.run.folder import RESULTS, read_run, resolve_run
from eval.run.records import Record

BASE, BLESSED, RUN = "base", "blessed", "run:"


@dataclass(frozen=True)
class Baseline:
    """The other arm: its name for Metrics.baseline, and its adapter (None: the base model itself)."""

    name: str
    adapter: Path | None
    adapter_sha256: str | None  # of its manifest, when it was verified


class Blessing(Record):
    """One accepted run, with what it was when it was accepted."""

    run: str
    adapter_sha256: str = Field(description="digest of adapter.sha256")
    metrics_sha256: str
    suite_sha256: str
    time: str = Field(description="UTC, ISO 8601")
    by: str = Field(description="git user name")

    @property
    def digests(self) -> tuple[str, str, str]:
        return self.adapter_sha256, self.metrics_sha256, self.suite_sha256


class Blessings(Record):
    """results/blessed.json: every blessing by recipe, oldest first."""

    schema_version: Literal[1] = 1
    recipes: dict[str, list[Blessing]] = Field(default_factory=dict)


def blessings_file(results: Path) -> Path:
    return results / "blessed.json"


def read_blessings(results: Path = RESULTS) -> Blessings:
    """All blessings; none when the file is not there. UserError when it is broken."""
    path = blessings_file(results)
    if not path.is_file():
        return Blessings()
    try:
        return Blessings.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; restore it from git") from None


def resolve_baseline(name: str, candidate: Candidate, results: Path = RESULTS) -> Baseline:
    """The adapter that `name` (`base`, `run:<run>`, `blessed`) stands for, verified to fit this candidate.

    UserError (one line) when there is none, when its files are not what was trained or blessed, when it was trained on
    another base, or when it is the candidate itself. Without an adapter (a self-check) it is always the base.
    """
    if candidate.brought and name != BASE:
        raise UserError(f"baseline {name}: the suite's backend brings its own: use `baseline: {BASE}`")
    if name == BASE or candidate.adapter is None:
        return Baseline(BASE, None, None)
    if name == BLESSED:
        blessing = last_blessing(candidate, results)
        found = _adapter_of(blessing.run, f"blessed run {blessing.run}", candidate, results)
        if found.adapter_sha256 != blessing.adapter_sha256:
            raise UserError(f"{blessing.run} holds another adapter than was blessed: `make bless RUN={blessing.run}`")
        return Baseline(f"blessed, {RUN}{blessing.run}", found.adapter, found.adapter_sha256)
    run = name.removeprefix(RUN)
    if run == name or not run:
        raise UserError(f"baseline {name!r} of the suite is not one of `{BASE}`, `{BLESSED}` and `{RUN}<run>`")
    return _adapter_of(run, f"baseline {name}", candidate, results)


def last_blessing(candidate: Candidate, results: Path = RESULTS) -> Blessing:
    """The blessing in force for the candidate's recipe. UserError when there is none."""
    recipe = str(read_run(candidate.run).get("recipe"))
    history = read_blessings(results).recipes.get(recipe)
    if not history:
        raise UserError(f"no run of recipe {recipe} is blessed: `make bless RUN=...` one, or use `baseline: {BASE}`")
    return history[-1]


def _adapter_of(run: str, what: str, candidate: Candidate, results: Path) -> Baseline:
    try:
        folder = resolve_run(run, results)
        other = candidate_of(folder)
    except UserError as error:
        raise UserError(f"{what} cannot be used: {error}") from None
    if other.adapter is None:
        raise UserError(f"{what} has no adapter: name a run that was trained, or use `baseline: {BASE}`")
    if (_base(other), other.revision) != (_base(candidate), candidate.revision):
        raise UserError(
            f"{what} is an adapter of {_said(other)}, the candidate is one of {_said(candidate)}: "
            f"compare runs of one base model, or use `baseline: {BASE}`"
        )
    if other.template_arguments != candidate.template_arguments:
        raise UserError(
            f"{what} was trained with chat_template_kwargs {other.template_arguments}, the candidate with "
            f"{candidate.template_arguments}: no prompt is right for both; use `baseline: {BASE}`"
        )
    if other.trained != candidate.trained:
        raise UserError(
            f"{what} was trained on the base in {other.trained.words}, the candidate in {candidate.trained.words}: one "
            f"base is loaded for both; use `baseline: {BASE}`"
        )
    if other.adapter_sha256 == candidate.adapter_sha256:
        raise UserError(f"{what} is the candidate itself: name an earlier run, or use `baseline: {BASE}`")
    return Baseline(f"{RUN}{folder.name}", other.adapter, other.adapter_sha256)


def _base(candidate: Candidate) -> str:
    """A local folder by where it is, anything else by its name on the Hub."""
    folder = Path(candidate.base_model)
    return str(folder.resolve()) if folder.is_dir() else candidate.base_model


def _said(candidate: Candidate) -> str:
    return f"{candidate.base_model} at {candidate.revision or 'no pinned revision'}"
