"""Run folders under results/: find one, read and update its run.json, make a new one, and keep others out of it.

    with locked(folder):
        ...                 nobody else who asks may write there; UserError at once when somebody does

The lock is the kernel's (flock on the folder itself): no file is left behind, and a process that is killed lets go.
"""

import datetime
import difflib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.run.facts import Dataset, RunState, TrainedRow, Training, first_wrong
from eval.run.files import read_facts, read_json, write_json

RESULTS = ROOT / "results"
LOGS = "logs"  # the stage of a verdict over logs (eval/logs), which has no other
NOT_RUNS = ("demo", "latest")  # committed evidence, and the link to the newest evaluated run


def list_runs(results: Path = RESULTS) -> list[Path]:
    """Run folders, newest first."""
    found = [path for path in results.glob("*") if path.name not in NOT_RUNS and (path / "run.json").is_file()]
    return sorted(found, key=lambda path: (read_run(path)["created"], path.name), reverse=True)


def resolve_run(name: str | None, results: Path = RESULTS) -> Path:
    """A run folder by name or path; the newest for None. UserError when there is none."""
    if name is None:
        runs = [run for run in list_runs(results) if read_run(run).get("recipe")]  # self-checks trained nothing
        if not runs:
            raise UserError("no runs in results/: run `make demo` or `make train RECIPE=...` first")
        return runs[0]
    for path in (Path(name), results / name):
        if (path / "run.json").is_file() or (path / "metrics.json").is_file():
            return path.resolve()
    if Path(name).is_dir() or (results / name).is_dir():
        raise UserError(f"{name} is a folder without run.json and metrics.json, so not a run")
    known = [path.name for path in results.glob("*") if (path / "run.json").is_file()]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    raise UserError(f"no run {name}" + (f": did you mean {', '.join(near)}?" if near else ": see `make runs`"))


def label_of(text: str, otherwise: str) -> str:
    """A text as it may stand in a run's name; `otherwise` where nothing of it may."""
    return re.sub(r"[^\w-]+", "-", text, flags=re.ASCII).strip("-")[:60] or otherwise


def new_run(label: str, git: dict[str, Any], fields: dict[str, Any], results: Path = RESULTS) -> Path:
    """Make results/<label>-<UTC time>-<git7>/ with its run.json; returns the folder."""
    while True:
        now = datetime.datetime.now(datetime.UTC)
        name = f"{label}-{now:%Y%m%dT%H%M%SZ}-{(git['commit'] or 'nogit')[:7]}"
        folder = results / name
        results.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
            break
        except FileExistsError:  # somebody began a run of this name within the same second
            time.sleep(0.2)
    created = now.isoformat(timespec="microseconds")
    write_json(folder / "run.json", {"schema_version": 1, "run": name, "created": created, "git": git, **fields})
    return folder


def read_run(folder: Path) -> dict[str, Any]:
    """run.json. UserError when it is missing, broken or lacks what every run has."""
    return read_facts(folder / "run.json", RunState)


def read_training(folder: Path) -> dict[str, Any]:
    """train.json; `{"completed": False}` when there is none. UserError when it is broken."""
    path = folder / "train.json"
    return read_facts(path, Training) if path.is_file() else {"completed": False}


def read_row(folder: Path) -> dict[str, Any] | None:
    """row.json; None for a run that was trained before there was one. UserError when it is broken."""
    path = folder / "row.json"
    return read_facts(path, TrainedRow) if path.is_file() else None


def read_data(folder: Path) -> list[dict[str, Any]]:
    """data.json: what was trained on; nothing when there is none. UserError when it is broken."""
    path = folder / "data.json"
    rows = read_json(path) if path.is_file() else []
    if not isinstance(rows, list):
        raise UserError(f"{path} is not a list of datasets: restore it or train again")
    for place, row in enumerate(rows):
        if wrong := first_wrong(Dataset, row):
            raise UserError(f"{path}: {place}.{wrong}: restore it or train again")
    return rows


def read_recipe(folder: Path) -> dict[str, Any]:
    """recipe.yaml, what a run was trained by. UserError when it is missing, broken or names no base model."""
    path = folder / "recipe.yaml"
    try:
        recipe = parse_yaml(read_bytes(path).decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder.name} has no recipe.yaml: it was not made by `make train`") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file: {error}") from None
    except BrokenYaml as error:
        raise UserError(f"{path}: broken YAML: {error}") from None
    if not isinstance(recipe, dict) or not isinstance(recipe.get("base_model"), str):
        raise UserError(f"{path} is not a recipe: it names no base_model")
    return recipe


def read_resolved(folder: Path) -> dict[str, Any]:
    """resolved.yaml, what Axolotl made of the recipe; empty where there is none. UserError when it is broken."""
    path = folder / "resolved.yaml"
    try:
        resolved = parse_yaml(read_bytes(path).decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (BrokenYaml, UnicodeDecodeError) as error:
        raise UserError(f"{path}: broken YAML: {error}") from None
    if not isinstance(resolved, dict):
        raise UserError(f"{path} is no mapping: train again")
    return resolved


def point_latest_at(run: Path) -> None:
    """results/latest -> the run just written (replaced in one step)."""
    if run.parent != RESULTS:
        return
    link = RESULTS / ".latest.partial"
    link.unlink(missing_ok=True)
    link.symlink_to(run.name)
    link.replace(RESULTS / "latest")


def update_run(folder: Path, **fields: Any) -> None:
    """Merge fields into run.json; `stages` is merged a level deeper."""
    state = read_run(folder)
    stages = {**state["stages"], **fields.pop("stages", {})}
    write_json(folder / "run.json", {**state, **fields, "stages": stages})


_held: dict[Path, int] = {}  # folders that this process has locked -> file descriptor


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[int]:
    """Hold a folder for writing; inside the block the same process may ask again. Yields the lock's descriptor.

    UserError when another process holds it, or with `wait` as soon as it lets go. A file system that knows no locks
    locks nothing.
    """
    place = folder.resolve()
    if place in _held:
        yield _held[place]
        return
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise UserError(
                f"{folder.name} is in use by another command (training, evaluation or review): wait until it has ended"
            ) from None
        except OSError:
            print(f"warning: {folder} is on a file system without locks: run one command at a time", flush=True)
        _held[place] = descriptor
        yield descriptor
    finally:
        _held.pop(place, None)
        os.close(descriptor)
