"""Is metrics.json about the files beside it, and does it say of them what they say themselves? Raises Refused.

    data = check_measured(folder, state, recipe, suite, metrics)      the datasets of the run

The card prints what metrics.json says of training, machine and packages: each has a file of its own to agree with.

Not protected against: files that were invented together.
"""

from pathlib import Path
from typing import Any

from eval.config import ROOT, Suite
from eval.errors import Refused, UserError
from eval.files import read_json
from eval.provenance import file_sha256, json_sha256
from eval.results import Metrics
from scripts.dataset_entries import inputs
from scripts.publishing.committed import committed_sha256

RECORDED = ("git_training", "machine", "packages", "backend")  # parts of the provenance that the card prints


def check_measured(
    folder: Path, state: dict[str, Any], recipe: dict[str, Any], suite: Suite, metrics: Metrics
) -> list[dict[str, Any]]:
    """data.json, once run, suite, recipe, data, base and adapter are those that metrics.json is about."""
    for name in ("adapter.sha256", "recipe.yaml"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: train again")
    measured = metrics.provenance
    for name in RECORDED:
        if not isinstance(measured.get(name) or {}, dict):
            raise UserError(f"{folder / 'metrics.json'}: provenance.{name} is no mapping: `make eval` again")
    data, digest = read_json(folder / "data.json"), file_sha256(folder / "recipe.yaml")
    environment = read_environment(folder)
    base = {"path": recipe.get("base_model"), "revision": recipe.get("revision_of_model")}
    for what, recorded, found in (
        ("run", metrics.run, state["run"]),
        ("suite", metrics.suite, suite.name),
        ("recipe", measured.get("recipe_sha256"), digest),
        ("data manifest", measured.get("data"), data),
        ("adapter", measured.get("adapter_sha256"), file_sha256(folder / "adapter.sha256")),
        ("base model", measured.get("base_model"), base),
        ("training", metrics.training, read_json(folder / "train.json")),
        ("commit of the training", measured.get("git_training"), state.get("git")),
        ("machine", measured.get("machine"), environment.get("machine")),
        ("set of packages", measured.get("packages"), installed(environment, measured.get("packages") or {})),
        ("backend", measured.get("backend"), suite.backend.model_dump()),
    ):
        if recorded != found:
            raise Refused(f"{folder / 'metrics.json'} was measured on another {what}: `make eval` again")
    if state.get("recipe_sha256", digest) != digest or state["base_model"] != recipe.get("base_model"):
        raise Refused(f"{folder / 'recipe.yaml'} is not the recipe that was trained: train again")
    check_data(folder, state, recipe, data)
    return data


def read_environment(folder: Path) -> dict[str, Any]:
    """environment.json. UserError when it is missing or of another form."""
    environment = read_json(folder / "environment.json")
    if not isinstance(environment, dict) or not isinstance(environment.get("packages"), dict):
        raise UserError(f"{folder / 'environment.json'} is not a description of a machine: `make eval` again")
    return environment


def installed(environment: dict[str, Any], claimed: dict[str, Any]) -> dict[str, Any]:
    """Versions of the claimed packages as the environment has them."""
    return {name: environment["packages"].get(name) for name in claimed}


def check_data(folder: Path, state: dict[str, Any], recipe: dict[str, Any], data: Any) -> None:
    """Refused unless data.json lists every input of the recipe, each with bytes or a revision that still hold."""
    if not isinstance(data, list) or not all(isinstance(row, dict) and row.get("path") for row in data):
        raise UserError(f"{folder / 'data.json'} is not a list of datasets: train again")
    asked = [entry.path for entry in inputs(recipe)]
    if not asked or asked != [str(row["path"]) for row in data]:
        raise Refused(f"{folder / 'data.json'} does not list the inputs of recipe.yaml: train again")
    commit = str((state.get("git") or {}).get("commit"))
    for row in data:
        path, digest = ROOT / str(row["path"]), row.get("sha256")
        if row.get("rows_in_tests"):
            raise Refused(f"{folder / 'data.json'}: {row['path']} holds rows of a test: remove them and train again")
        if isinstance(row.get("files"), dict):
            check_files(folder, commit, row)
            continue
        if digest is None and not (row.get("revision") and not path.exists()):
            raise Refused(f"{folder / 'data.json'}: {row['path']} has neither a digest nor a revision: train again")
        if digest and path.is_file() and file_sha256(path) != digest and committed_sha256(commit, path) != digest:
            raise Refused(f"{folder / 'data.json'}: {row['path']} has other bytes than those trained on: train again")


def check_files(folder: Path, commit: str, row: dict[str, Any]) -> None:
    """Refused unless an input of several files has the digest of their digests, and each the bytes trained on."""
    if row.get("sha256") != json_sha256(row["files"]):
        raise Refused(f"{folder / 'data.json'}: {row['path']} has another digest than its files: train again")
    for name, digest in row["files"].items():
        path = ROOT / str(name)
        if path.is_file() and file_sha256(path) != digest and committed_sha256(commit, path) != digest:
            raise Refused(f"{folder / 'data.json'}: {name} has other bytes than those trained on: train again")
