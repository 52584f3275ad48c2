"""The whole loop on the embedded model: data, training, evaluation, verdict, report. `make demo`.

CPU only and offline. Interrupted, it continues where it was: a trained but unjudged run is only evaluated.
"""

import subprocess
import sys
import time
from pathlib import Path

from eval.errors import run_command
from eval.run_folder import read_run
from scripts.base_model import materialise
from scripts.build_data import main as build_data
from scripts.lint_recipe import load_recipe, resolve_recipe
from scripts.train import describe_data, is_trained, matching_runs, train

ROOT = Path(__file__).resolve().parent.parent
RECIPE = "smollm2-135m-cpu"


def main() -> int:
    started = time.monotonic()
    materialise()
    build_data(["--check"])
    recipe_path = resolve_recipe(RECIPE)
    data = describe_data(load_recipe(recipe_path))
    unjudged = [run for run in matching_runs(recipe_path, data) if read_run(run)["stages"].get("eval") != "completed"]
    run = unjudged[0] if unjudged and is_trained(unjudged[0]) else train(recipe_path)
    trained = time.monotonic()
    evaluation = [sys.executable, "eval/run_eval_suite.py", "--run", str(run)]
    code = subprocess.run(evaluation, cwd=ROOT, check=False).returncode
    judged = time.monotonic()
    print(
        f"\ndemo: {(judged - started) / 60:.1f} minutes (training {(trained - started) / 60:.1f}, evaluation "
        f"{(judged - trained) / 60:.1f}); next: make review RUN={run.name} DECISION=approve REVIEWER=you"
    )
    return code


if __name__ == "__main__":
    run_command(main)
