"""Train a recipe: lint, preflight, a run folder, Axolotl in a process of its own, completion mark.

    python -m scripts.training.train RECIPE [--gpus 1]      exit 0: results/<run>/adapter is complete

The recipe is trained as it is, byte for byte; only where files go is decided here (checkpoints into the
run, prepared data into a folder named by the data's digest, since Axolotl's own cache ignores content).
An interrupted run of the same recipe on the same data is continued from its last whole checkpoint. A run
is complete when the worker's mark says how training ended and which checkpoint is the result: an exit code
of 0 is no proof. Nobody else may write into a run while it is trained.
"""

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import Refused, UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.run.digests import file_sha256
from eval.run.environment import capture_environment, git_state
from eval.run.files import read_json, write_json
from eval.run.folder import RESULTS, list_runs, locked, new_run, read_data, read_run, read_training
from eval.run.records import Record
from eval.run.secret_patterns import find_secrets, refuse_secrets
from scripts.data.dataset_facts import describe_data, same_data
from scripts.training.dataset_entries import START, BrokenRow, inputs, read_rows
from scripts.training.devices import Devices, chosen_devices, same_number
from scripts.training.launch import launch_worker
from scripts.training.leakage import texts
from scripts.training.lint_recipe import lint_recipe, load_recipe, resolve_recipe
from scripts.training.preflight import preflight
from scripts.training.sharded import refuse_to_train
from scripts.training.training_end import complete, how_it_ended, result_line


def train(recipe_path: Path, results: Path = RESULTS, gpus: int | None = None, keep_checkpoints: bool = False) -> Path:
    """Train to the end, or continue an interrupted run; returns the finished run folder.

    `gpus` is how many of the visible GPUs train; None: all. `keep_checkpoints`: also those that are not the result.
    Raises UserError for a bad recipe, an unfit machine, a failed or an interrupted training.
    """
    recipe = load_recipe(recipe_path)
    refuse_credentials(recipe_path, recipe)
    problems = lint_recipe(recipe_path)
    if problems:
        raise UserError(f"{len(problems)} problem(s): {'; '.join(problems)}")
    refuse_to_train(recipe, recipe_path)
    devices = chosen_devices(recipe, os.environ, gpus)
    failures = [check.message for check in preflight(recipe, recipe_path) if check.fatal and not check.ok]
    if failures:
        raise UserError(f"this machine is not fit for {recipe_path.name}: {'; '.join(failures)}")

    data = describe_data(recipe)
    results.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with locked(results, wait=True):  # two that start together do not both find nothing, or the same
            run = next((run for run in matching_runs(recipe_path, data, results) if not has_ended(run)), None)
            begun = "continuing" if run else "new run"
            run = run or start_run(recipe_path, recipe, data, results, devices)
            lock = held.enter_context(locked(run))
        print(f"train: {begun} {run.name}", flush=True)
        if how_it_ended(run, recipe) is None:
            same_number(run.name, read_run(run).get("processes") or 1, devices.processes)
            launch_worker(run, recipe, devices, lock)
        complete(run, recipe, keep_checkpoints)
    return run


def refuse_credentials(recipe_path: Path, recipe: dict[str, Any]) -> None:
    """Refused when the recipe, its name or a local input holds one: a run keeps the first, a model learns the last."""
    if found := find_secrets("the recipe's file name", recipe_path.stem):
        raise Refused(f"{found[0]}: rename it, revoke it, and train again")
    files = [(entry, file) for entry in inputs(recipe) for file in entry.files(ROOT) or []]
    refuse_secrets([recipe_path, *(file for _, file in files)], ROOT, then="train again")
    for entry, file in files:
        if entry.role != START:
            refuse_in_rows(file, entry.given)


def refuse_in_rows(file: Path, given: dict[str, Any]) -> None:
    """The same for what only shows in the rows as Axolotl reads them: packed files, columns, escaped letters."""
    searched = set[str]()  # every row holds the roles' names, and most the same instruction
    try:
        for where, row in read_rows(file, given):
            for text in texts(row):
                if text in searched:
                    continue
                searched.add(text)
                if found := find_secrets(f"{file.name}, {where}", text):
                    raise Refused(f"{found[0]}: remove it, revoke it, and train again")
    except BrokenRow:
        pass  # lint names it


def start_run(
    recipe_path: Path,
    recipe: dict[str, Any],
    data: list[dict[str, Any]],
    results: Path = RESULTS,
    devices: Devices = Devices(),  # noqa: B008  frozen
    rehearsal: bool = False,
) -> Path:
    """A new run folder holding everything known before training."""
    fields = {
        "recipe": recipe_path.stem,
        "recipe_sha256": file_sha256(recipe_path),
        "base_model": recipe["base_model"],
        "base_revision": recipe.get("revision_of_model"),
        "seed": recipe.get("seed"),
        **({"processes": devices.processes} if devices.processes > 1 else {}),
        **({"rehearsal": True} if rehearsal else {}),
        "command": f"python -m scripts.training.train {recipe_path.stem}",
        "stages": {"train": "running"},
    }
    run = new_run(recipe_path.stem, git_state(), fields, results)
    (run / "recipe.yaml").write_bytes(read_bytes(recipe_path))
    write_json(run / "data.json", data)
    write_json(run / "environment.json", capture_environment())
    write_json(run / "train.json", {"completed": False})
    return run


def matching_runs(recipe_path: Path, data: list[dict[str, Any]], results: Path = RESULTS) -> list[Path]:
    """Runs of exactly this recipe on exactly this data, newest first."""

    def matches(run: Path) -> bool:
        recipe, described, state = run / "recipe.yaml", run / "data.json", run / "train.json"
        if not (recipe.is_file() and described.is_file() and state.is_file()):
            return False
        return read_bytes(recipe) == read_bytes(recipe_path) and same_data(read_data(run), data)

    return [run for run in list_runs(results) if matches(run)]


def is_trained(run: Path) -> bool:
    """Whether every planned step ran and the adapter is in place."""
    return bool(read_training(run)["completed"])


def has_ended(run: Path) -> bool:
    """Whether there is nothing to continue: trained, or ended without a result that another try would change."""
    return is_trained(run) or bool(read_json(run / "train.json").get("ended"))


class Trained(Record):
    """A run whose training ended; `ended` says how, and which step the adapter is of."""

    run: str
    recipe: str
    ended: str
    steps: int | None
    seconds: float | None
    final_loss: float | None
    peak_memory_gb: float | None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.training.train", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("recipe", help="recipe name or file")
    parser.add_argument("--gpus", type=int, metavar="N", help="how many of the visible GPUs; default: all")
    arguments = parser.parse_args()
    run = train(resolve_recipe(arguments.recipe), gpus=arguments.gpus)
    done, state = read_run(run), read_json(run / "train.json")
    ended = result_line(state)
    print(f"train: {done['run']} is complete ({ended}): results/{run.name}/adapter, results/{run.name}/train.json")
    known = {name: state.get(name) for name in ("steps", "seconds", "final_loss", "peak_memory_gb")}
    result = Trained(run=run.name, recipe=str(done["recipe"]), ended=ended, **known)
    return Answer(0, result, files=[run / "adapter", run / "train.json"])


if __name__ == "__main__":
    run_command(main)
