"""What is compared: a base model and the adapter that a run trained on top of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.config.template_arguments import template_arguments
from eval.contracts.numerics import AS_IT_IS, Numerics, trained_in
from eval.run.base_files import at_revision, base_identity
from eval.run.digests import file_sha256, json_sha256, read_manifest, verify_manifest
from eval.run.environment import git_state
from eval.run.folder import (
    RESULTS,
    label_of,
    list_runs,
    new_run,
    read_recipe,
    read_resolved,
    read_run,
    read_training,
    resolve_run,
)
from eval.run.generated import Generated

BROUGHT = "brought"  # key of run.json: digest of backend and suite of a run that trained nothing


@dataclass(frozen=True)
class Candidate:
    """What is compared: a base model and the adapter on top of it (None: the base against itself)."""

    run: Path
    base_model: str
    revision: str | None
    adapter: Path | None
    adapter_sha256: str | None = None  # of its manifest, when it was verified; of a whole model, its files or commit
    template_arguments: dict[str, Any] = field(default_factory=dict)  # what training gave the chat template
    trained: Numerics = AS_IT_IS  # how training loaded the base
    model: str | None = None  # a whole model in place of an adapter
    brought: bool = False  # by the backend, which alone knows what it is
    generated: Generated | None = None  # its answers are there, and all that only the model can say

    @property
    def is_base(self) -> bool:
        """Whether there is nothing but the base."""
        return self.adapter is None and self.model is None and not self.brought

    @property
    def said(self) -> str:
        """What stands on the base, in words."""
        if self.brought:
            return "what is served as its adapter"
        return self.model or ("its adapter" if self.adapter else "no adapter")


def candidate_of(run: Path) -> Candidate:
    """A run's finished adapter, or what a backend brought. UserError when training is incomplete or it was changed."""
    state = read_run(run)
    if BROUGHT in state:
        return Candidate(run, state["base_model"], None, None, brought=True)
    if model := state.get("model"):
        return Candidate(run, state["base_model"], state.get("base_revision"), None, digest_of(model), model=model)
    recipe = read_recipe(run)
    if not read_training(run)["completed"]:
        raise UserError(
            f"{run.name} is not fully trained: run `make train RECIPE={state.get('recipe')}` to continue it"
        )
    adapter, manifest = run / "adapter", run / "adapter.sha256"
    if problems := verify_manifest(adapter, manifest):
        raise UserError(f"{run.name}/adapter is not what was trained: {problems[0]}")
    arguments = template_arguments(recipe, f"{run.name}/recipe.yaml")
    revision = recipe.get("revision_of_model")
    trained = numerics_of(run, recipe)
    return Candidate(run, recipe["base_model"], revision, adapter, file_sha256(manifest), arguments, trained)


def resolve_trained(name: str | None) -> Path:
    """A run by name or path; for None the newest that trained, not a form that was made of one. UserError for none."""
    if name is None:
        states = ((run, read_run(run)) for run in list_runs())
        made = ("model", BROUGHT)
        name = next(
            (str(run) for run, state in states if state.get("recipe") and not any(key in state for key in made)), None
        )
    return resolve_run(name)


def numerics_of(run: Path, recipe: dict[str, Any]) -> Numerics:
    """How a run's training loaded the base. UserError for a way that cannot be loaded again."""
    resolved = {"torch_dtype": read_resolved(run).get("torch_dtype")}
    return trained_in({**recipe, **resolved}, f"{run.name}/recipe.yaml")


def check_base(folder: Path, digests: dict[str, str]) -> None:
    """UserError when files of a local base model are not those that its own manifest lists."""
    manifest = folder / "MANIFEST.sha256"
    if not manifest.is_file():
        return
    try:
        listed = read_manifest(manifest)
    except ValueError as error:
        raise UserError(f"{folder}: {error}: remove the folder and run `make model`") from None
    if changed := [name for name, digest in listed.items() if digests.get(name) != digest]:
        raise UserError(f"{folder / changed[0]} is not what {manifest.name} lists: remove the folder, run `make model`")


def digest_of(model: str) -> str:
    """What a whole model is. UserError for one of the Hub without a commit, and for a folder that holds none."""
    identity = base_identity(*at_revision(model), None)
    if Path(model).is_dir() and not (Path(model) / "config.json").is_file():
        raise UserError(f"{model} holds no config.json, so no model: an adapter's folder is RUN={model}")
    if identity is None:
        raise UserError(f"{model} is no folder, and names no commit of the Hub: MODEL=org/name@<40 digits>")
    return json_sha256(identity)


def whole_model(model: str, base: str) -> Candidate:
    """A run for a whole model against a base: a new one, or that which was begun for them and has no verdict."""
    name = label_of(Path(model).name, "model")
    base, revision = at_revision(base)
    state = {"base_model": base, "base_revision": revision, "model": model}
    for known in list_runs():
        found = read_run(known)
        if found.get("verdict") is None and {key: found.get(key) for key in state} == state:
            return candidate_of(known)
    fields = {"recipe": f"model-{name}", **state, "stages": {"train": "completed"}}
    return candidate_of(new_run(f"model-{name}", git_state(), fields))


def self_check(base_model: str, results: Path = RESULTS) -> Candidate:
    """A new run that compares a base with itself, through the same code."""
    run = new_run("self-check", git_state(), {"recipe": None, "base_model": base_model, "stages": {}}, results)
    return Candidate(run, base_model, None, None)


def brought(base_model: str, backend: dict[str, Any], suite: str, results: Path = RESULTS) -> Candidate:
    """What the suite's backend brings, in a new run; in one that was begun with the same and did not end, so that the
    same command continues it. `backend`: its kind and settings."""
    key = json_sha256([backend, suite])
    for run in list_runs(results):
        state = read_run(run)
        if state.get(BROUGHT) == key and state["stages"].get("eval") != "completed":
            return Candidate(run, base_model, None, None, brought=True)
    label = str(backend["kind"])
    run = new_run(label, git_state(), {"recipe": None, "base_model": base_model, "stages": {}, BROUGHT: key}, results)
    return Candidate(run, base_model, None, None, brought=True)
