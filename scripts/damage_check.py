"""Does the gate catch a bad adapter? Blow up a run's adapter and evaluate it: the verdict must be no-ship.

    python -m scripts.damage_check [--run RUN] [--suite SUITE]      exit 0: it was caught

The damaged copy lives in a temporary folder and is deleted afterwards; the run itself is not touched.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from eval.common.answer import Answer
from eval.common.errors import NO_SHIP, Refused, UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import copy_regular
from eval.run.digests import write_manifest
from eval.run.files import read_json, write_json
from eval.run.folder import resolve_run
from eval.run.records import Record

FACTOR = -8.0  # the update points the other way, and is eight times as large
KEPT = ("run.json", "recipe.yaml", "data.json", "train.json")


def damaged_copy(run: Path, folder: Path) -> Path:
    """A run like `run` whose adapter's update is multiplied by FACTOR. UserError when there is no adapter."""
    if not (run / "adapter" / "adapter_model.safetensors").is_file():
        raise UserError(f"{run.name} has no adapter: train it first")
    import safetensors.torch

    copy = folder / f"{run.name}-damaged"
    try:
        shutil.copytree(run / "adapter", copy / "adapter", copy_function=copy_regular)
    except shutil.Error as error:  # all that could not be copied, each with its reason
        raise UserError(f"{error.args[0][0][0]} cannot be copied: {error.args[0][0][2]}") from None
    for name in KEPT:
        copy_regular(run / name, copy / name)
    weights = copy / "adapter" / "adapter_model.safetensors"
    try:
        tensors = safetensors.torch.load_file(weights)
    except safetensors.SafetensorError as error:
        raise UserError(f"{run / 'adapter' / weights.name} is no safetensors file: {error}") from None
    damaged = {name: tensor * FACTOR if "lora_B" in name else tensor for name, tensor in tensors.items()}
    safetensors.torch.save_file(damaged, weights)
    write_manifest(copy / "adapter", copy / "adapter.sha256")
    write_json(copy / "run.json", read_json(copy / "run.json") | {"run": copy.name})
    return copy


class Damaged(Record):
    """The verdict that the damaged adapter of a run got."""

    run: str
    damaged: Literal["no-ship"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.damage_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run name or folder (default: the newest)")
    parser.add_argument("--suite", help="suite name or file (default: configs/eval/nl2bash.yaml)")
    arguments = parser.parse_args()
    run = resolve_run(arguments.run)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "eval/run_eval_suite.py", "--run", str(damaged_copy(run, Path(folder)))]
        command += ["--config", arguments.suite] if arguments.suite else []
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code != NO_SHIP:
        raise Refused(f"the damaged adapter of {run.name} ended with exit code {code}, not with no-ship ({NO_SHIP})")
    print(f"damage-check: the damaged adapter of {run.name} got no-ship, as it must")
    return Answer(0, Damaged(run=run.name, damaged="no-ship"))


if __name__ == "__main__":
    run_command(main)
