"""The whole loop on the embedded model: data, training, evaluation, verdict, report. `make demo`.

    python -m scripts.demo [RECIPE]       judged by the suite.yaml beside the recipe, else by configs/eval/demo.yaml
    python -m scripts.demo --keep RUN     copy a run's evidence, without weights, to results/demo

CPU only and offline. Interrupted, it continues where it was: a trained but unjudged run is only evaluated.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import CANNOT_EVALUATE, SHIP, UserError, run_command
from eval.common.places import ROOT
from eval.run.decided import Decided, reports_of
from eval.run.files import read_metrics
from eval.run.folder import RESULTS, read_run, resolve_run
from scripts.data.build_data import main as build_data
from scripts.data.build_safety import main as build_safety
from scripts.data.dataset_facts import describe_data
from scripts.setup.base_model import materialise
from scripts.training.lint_recipe import load_recipe, resolve_recipe
from scripts.training.train import is_trained, matching_runs, train

RECIPE, SUITE = "smollm2-135m-cpu", "demo"
EVIDENCE = RESULTS / "demo"
BUILT: dict[str, Callable[[list[str]], int]] = {"data/nl2bash": build_data, "data/safety": build_safety}


def suite_of(recipe: Path) -> str:
    """The suite that judges a recipe here: that of its product, where one lies beside it."""
    beside = recipe.parent / "suite.yaml"
    return str(beside.resolve()) if beside.is_file() else SUITE


def check_built(data: list[dict[str, Any]]) -> None:
    """UserError where rows of ours that a recipe trains on are not as built from their inputs."""
    for folder, build in BUILT.items():
        if any(str(row["path"]).startswith(f"{folder}/") for row in data):
            build(["--check"])


def keep_evidence(name: str) -> None:
    """Copy what a visitor should be able to read: no weights, no logs, no tracker files."""
    run = resolve_run(name)
    if "metrics.json" not in [path.name for path in run.iterdir()]:
        raise UserError(f"{run.name} has no metrics.json: run `make eval RUN={run.name}` first")
    shutil.rmtree(EVIDENCE, ignore_errors=True)
    left_out = shutil.ignore_patterns("adapter", "export", "publication", "training", "wandb", "*.log", "*.partial*")
    shutil.copytree(run, EVIDENCE, ignore=left_out)
    print(f"demo: evidence of {run.name} is in results/demo")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", nargs="?", default=RECIPE, help=f"name or path of a recipe (default: {RECIPE})")
    parser.add_argument("--keep", metavar="RUN", help="copy a run's evidence to results/demo and do nothing else")
    arguments = parser.parse_args()
    if arguments.keep:
        keep_evidence(arguments.keep)
        return 0
    started = time.monotonic()
    recipe_path = resolve_recipe(arguments.recipe)
    suite = suite_of(recipe_path)
    materialise()
    data = describe_data(load_recipe(recipe_path))
    check_built(data)
    unjudged = [run for run in matching_runs(recipe_path, data) if read_run(run)["stages"].get("eval") != "completed"]
    run = unjudged[0] if unjudged and is_trained(unjudged[0]) else train(recipe_path)
    trained = time.monotonic()
    evaluation = [sys.executable, "eval/run_eval_suite.py", "--config", suite, "--run", str(run)]
    code = subprocess.run(evaluation, cwd=ROOT, check=False).returncode
    judged = time.monotonic()
    decide = " DECISION=approve REVIEWER=you" if code == SHIP else "  (its report, in a browser)"
    print(
        f"\ndemo: {(judged - started) / 60:.1f} minutes (training {(trained - started) / 60:.1f}, evaluation "
        f"{(judged - trained) / 60:.1f}); next: make review RUN={run.name}{decide}"
    )
    files = reports_of(run)
    result = Decided.of(read_metrics(run / "metrics.json")) if files and code != CANNOT_EVALUATE else None
    return Answer(code, result, verdict=result.verdict if result else None, files=files)


if __name__ == "__main__":
    run_command(main)
