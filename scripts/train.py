"""Train a recipe: lint, preflight, a run folder, Axolotl in a process of its own, completion mark.

    python -m scripts.train RECIPE      exit 0: results/<run>/adapter is complete

The recipe is trained as it is, byte for byte; only where files go is decided here (checkpoints into the
run, prepared data into a folder named by the data's digest, since Axolotl's own cache ignores content).
An interrupted run of the same recipe on the same data is continued from its last whole checkpoint. A run
is complete when the trainer did every planned step, and at no other time: an exit code of 0 is no proof.
"""

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from eval.environment import capture_environment, git_state
from eval.errors import UserError, run_command
from eval.files import read_json, write_json
from eval.provenance import file_sha256, json_sha256, write_manifest
from eval.run_folder import RESULTS, list_runs, new_run, read_run, update_run
from scripts.dataset_facts import describe_data, same_data
from scripts.lint_recipe import is_cpu_recipe, lint_recipe, load_recipe, resolve_recipe
from scripts.preflight import preflight
from scripts.secret_patterns import redact_file, refuse_secrets
from scripts.system_metrics import Sampler, read_samples, summarise

ROOT = Path(__file__).resolve().parent.parent
ADAPTER_FILES = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
INTERRUPTED = 130
SERIES = ("learning_rate", "grad_norm")  # of the trainer's log, beside the loss


def train(recipe_path: Path, results: Path = RESULTS) -> Path:
    """Train to the end, or continue an interrupted run; returns the finished run folder.

    Raises UserError for a bad recipe, an unfit machine, a failed or an interrupted training.
    """
    recipe = load_recipe(recipe_path)
    refuse_credentials(recipe_path, recipe)
    problems = lint_recipe(recipe_path)
    if problems:
        raise UserError(f"{len(problems)} problem(s): {'; '.join(problems)}")
    failures = [check.message for check in preflight(recipe, recipe_path) if check.fatal and not check.ok]
    if failures:
        raise UserError(f"this machine is not fit for {recipe_path.name}: {'; '.join(failures)}")

    data = describe_data(recipe)
    run = next((run for run in matching_runs(recipe_path, data, results) if not is_trained(run)), None)
    if run is None:
        run = start_run(recipe_path, recipe, data, results)
        print(f"train: new run {run.name}", flush=True)
    else:
        print(f"train: continuing {run.name}", flush=True)
    if finished_checkpoint(run) is None:
        launch_worker(run, recipe)
    complete(run, recipe)
    return run


def refuse_credentials(recipe_path: Path, recipe: dict[str, Any]) -> None:
    """Refused when the recipe or a local dataset holds one: a run keeps the first, a model learns the second."""
    data = [ROOT / dataset["path"] for dataset in recipe.get("datasets") or []]
    refuse_secrets([recipe_path, *(path for path in data if path.is_file())], ROOT, then="train again")


def start_run(recipe_path: Path, recipe: dict[str, Any], data: list[dict[str, Any]], results: Path = RESULTS) -> Path:
    """A new run folder holding everything known before training."""
    fields = {
        "recipe": recipe_path.stem,
        "recipe_sha256": file_sha256(recipe_path),
        "base_model": recipe["base_model"],
        "base_revision": recipe.get("revision_of_model"),
        "seed": recipe.get("seed"),
        "command": f"python -m scripts.train {recipe_path.stem}",
        "stages": {"train": "running"},
    }
    run = new_run(recipe_path.stem, git_state(), fields, results)
    (run / "recipe.yaml").write_bytes(recipe_path.read_bytes())
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
        return recipe.read_bytes() == recipe_path.read_bytes() and same_data(read_json(described), data)

    return [run for run in list_runs(results) if matches(run)]


def is_trained(run: Path) -> bool:
    """Whether every planned step ran and the adapter is in place."""
    return bool(read_json(run / "train.json").get("completed"))


def launch_worker(run: Path, recipe: dict[str, Any]) -> None:
    """Run Axolotl in a child process; SIGTERM and Ctrl-C reach it and make it save a checkpoint first."""
    remove_torn_checkpoints(run)
    (run / "training").mkdir(exist_ok=True)
    environment = {**os.environ, "AXOLOTL_DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment["WANDB_DIR"] = str(run)
    environment["WANDB_ERROR_REPORTING"] = "false"  # W&B sends crash reports from offline runs too
    environment["WANDB_DISABLE_GIT"] = environment["WANDB_DISABLE_CODE"] = "true"
    environment["PYTHONHASHSEED"] = "0"  # PEFT keeps target modules in a set: its order goes into adapter_config.json
    if is_cpu_recipe(recipe):
        environment["CUDA_VISIBLE_DEVICES"] = ""
        environment.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # fewer page faults: steps 5 to 9 % shorter
    if (ROOT / recipe["base_model"]).is_dir():
        environment["HF_HUB_OFFLINE"] = "1"
    prepared = ROOT / "prepared" / json_sha256([read_json(run / "data.json"), file_sha256(run / "recipe.yaml")])[:16]
    # A session of its own: a signal to the whole group would kill Axolotl's data loaders before it can save.
    worker = subprocess.Popen(
        [sys.executable, "-m", "scripts.train_worker", str(run), str(prepared)],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: worker.terminate())
    with Sampler(worker.pid, run / "training" / "system.jsonl"):
        code = worker.wait()
    redact_file(run / "train.log")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if code == INTERRUPTED:
        update_run(run, stages={"train": "interrupted"})
        raise UserError(f"interrupted, checkpoint saved: run the same command again to continue {run.name}")
    if code != 0:
        update_run(run, stages={"train": "failed"})
        raise UserError(f"Axolotl ended with code {code}: {last_error(run / 'train.log')}; see {run.name}/train.log")


def last_error(log: Path) -> str:
    """The last line of a log that looks like an error, shortened."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    errors = [line.strip() for line in lines if "Error" in line or "error:" in line]
    return errors[-1][:300] if errors else "no error was logged (killed?)"


def trainer_state(checkpoint: Path) -> dict[str, Any] | None:
    """trainer_state.json of a checkpoint, which the trainer writes last; None when it is not whole."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return state if isinstance(state, dict) else None


def checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first."""
    return sorted((run / "training").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def remove_torn_checkpoints(run: Path) -> None:
    """A kill may leave a half-written checkpoint, which the trainer would load and crash on."""
    for checkpoint in checkpoints(run):
        if trainer_state(checkpoint) is None:
            shutil.rmtree(checkpoint)


def finished_checkpoint(run: Path) -> Path | None:
    """The checkpoint after the last planned step, if training got there."""
    for checkpoint in reversed(checkpoints(run)):
        state = trainer_state(checkpoint)
        if state and state["global_step"] >= state["max_steps"] > 0:
            return checkpoint
    return None


def complete(run: Path, recipe: dict[str, Any]) -> None:
    """Promote the last checkpoint to adapter/, write its digests and the completion mark; safe to repeat."""
    checkpoint = finished_checkpoint(run)
    if checkpoint is None:
        update_run(run, stages={"train": "failed"})
        raise UserError(f"{run.name}: not all planned steps ran; run the same command again to continue")
    partial = run / "adapter.partial"
    for folder in (partial, run / "adapter"):
        shutil.rmtree(folder, ignore_errors=True)
    partial.mkdir()
    for name in ADAPTER_FILES:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, partial / name)
    write_manifest(partial, run / "adapter.sha256")
    partial.rename(run / "adapter")
    update_run(run, stages={"train": "completed"})
    write_json(run / "train.json", summary(run, checkpoint, recipe))  # last: it is the completion mark
    shutil.rmtree(run / "training")


def summary(run: Path, checkpoint: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    """train.json: what ran, how long, the loss curve as [step, loss] pairs, and what the machine did."""
    state = trainer_state(checkpoint) or {}
    sessions = [json.loads(line) for line in (run / "training" / "sessions.jsonl").read_bytes().splitlines()]
    seconds = sum(
        max(row["seconds"] for row in sessions if row["session"] == session)
        for session in {row["session"] for row in sessions}
    )
    steps = [row for row in state["log_history"] if "loss" in row]
    curve = [[row["step"], row["loss"]] for row in steps]
    return {
        "completed": True,
        "steps": state["global_step"],
        "planned_steps": state["max_steps"],
        "epochs": recipe.get("num_epochs"),
        "examples": sum(entry["rows"] or 0 for entry in read_json(run / "data.json")),
        "seconds": round(seconds, 1),
        "sessions": len({row["session"] for row in sessions}),
        "peak_memory_gb": max(row["peak_memory_gb"] for row in sessions),
        "final_loss": curve[-1][1] if curve else None,
        "curve": curve,
        "series": {name: series(steps, name) for name in SERIES},
        "system": summarise(read_samples(run / "training" / "system.jsonl")),
    }


def series(steps: list[dict[str, Any]], name: str) -> list[list[float]]:
    """[step, value] of what the trainer logged under a name; a value that is no number (a NaN gradient) is left out."""
    logged = [[row["step"], row[name]] for row in steps if isinstance(row.get(name), int | float)]
    return [point for point in logged if math.isfinite(point[1])]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", help="recipe name or file")
    arguments = parser.parse_args()
    run = train(resolve_recipe(arguments.recipe))
    done = read_run(run)
    print(f"train: {done['run']} is complete: results/{run.name}/adapter, results/{run.name}/train.json")
    return 0


if __name__ == "__main__":
    run_command(main)
