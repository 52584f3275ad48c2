"""A recipe trained, and runs judged, where neither was done before: what `make repeat` and `make sweep` have in common.

run = trained_run(recipe)              found, continued or made
judge_runs([run], suite)               those that this suite has not judged, in one process: the base is loaded once
run, metrics = judged_run(recipe, suite)
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.contracts.domains import data_of
from eval.gates.decide import EXIT_CODES
from eval.run.digests import file_sha256, files_sha256
from eval.run.files import read_metrics
from eval.run.folder import read_training
from eval.run.metrics import Metrics
from scripts.data.dataset_facts import describe_data
from scripts.training.lint_recipe import load_recipe
from scripts.training.train import is_trained, matching_runs, train


def trained_run(recipe: Path, keep_checkpoints: bool = False) -> Path:
    """A run of exactly this recipe on the data as it is, trained to its end. UserError as of training."""
    runs = matching_runs(recipe, describe_data(load_recipe(recipe)))
    found = next((run for run in runs if is_trained(run)), None)
    return found or train(recipe, keep_checkpoints=keep_checkpoints)


def trained_or_why(recipe: Path, keep_checkpoints: bool = False) -> Path | str:
    """The same, or why training this recipe ended without an adapter, which another try would not change."""
    try:
        return fruitless(recipe) or trained_run(recipe, keep_checkpoints)
    except UserError:
        if why := fruitless(recipe):
            return why
        raise


def fruitless(recipe: Path) -> str:
    """Why all runs of this recipe on the data as it is ended without an adapter; empty where one did not."""
    runs = matching_runs(recipe, describe_data(load_recipe(recipe)))
    whys = [str(read_training(run).get("ended") or "") for run in runs if not is_trained(run)]
    return whys[0] if whys and all(whys) and len(whys) == len(runs) else ""


def is_judged(run: Path, suite: Path) -> bool:
    """Whether metrics.json of a run is this suite's verdict on it as it is now."""
    metrics = run / "metrics.json"
    return metrics.is_file() and is_about(read_metrics(metrics), run, suite)


def is_about(found: Metrics, run: Path, suite: Path) -> bool:
    """Whether an evaluation is of the adapter that a run has, by this suite, on the rows that its tasks have now.

    Rows of tasks that no domain here offers are taken for the same.
    """
    manifest = run / "adapter.sha256"
    if manifest.is_file() and found.provenance.get("adapter_sha256") != file_sha256(manifest):
        return False
    files = {task.name: data_of(task.name) for task in found.tasks}
    now = {name: files_sha256([file]) for name, file in files.items() if file and file.is_file()}
    asked = {task.name: task.dataset_sha256 for task in found.tasks}
    return found.suite_sha256 == file_sha256(suite) and now.items() <= asked.items()


def judge_runs(runs: Sequence[Path], suite: Path) -> None:
    """Judge the runs that this suite has not judged. UserError for those that it could not judge."""
    left = [run for run in runs if not is_judged(run, suite)]
    if not left:
        return
    named = [word for run in left for word in ("--run", str(run))]
    command = [sys.executable, "eval/run_eval_suite.py", "--config", str(suite.absolute()), *named]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code not in EXIT_CODES.values() or any(not is_judged(run, suite) for run in left):
        names = ", ".join(run.name for run in left if not is_judged(run, suite)) or left[0].name
        raise UserError(f"{names} could not be judged: see above, then run the same command to continue")


def judged_run(recipe: Path, suite: Path) -> tuple[Path, Metrics]:
    """A run of this recipe judged by this suite: found, continued or made."""
    run = trained_run(recipe)
    judge_runs([run], suite)
    return run, read_metrics(run / "metrics.json")
