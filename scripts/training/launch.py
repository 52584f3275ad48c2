"""Axolotl in a process of its own, or one for each GPU: started, signalled, and what its end means.

launch_worker(run, recipe, devices, lock)      UserError for a failed or an interrupted training
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from eval.common.errors import CANNOT_EVALUATE, UserError
from eval.common.memory import says_out_of_memory, smaller_step
from eval.common.places import ROOT
from eval.common.quota import cores
from eval.common.reading import read_bytes
from eval.run.digests import file_sha256, json_sha256
from eval.run.folder import read_data, update_run
from eval.run.secret_patterns import redact_file
from scripts.training.dataset_entries import START
from scripts.training.devices import Devices
from scripts.training.ranks import no_ranks
from scripts.training.system_metrics import Sampler
from scripts.training.training_end import checkpoints, name_best_here, remove_torn_checkpoints

INTERRUPTED = 130
FEW_ROWS = 5_000  # six seconds of one process; starting a pool for each step takes about as long


def launch_worker(
    run: Path,
    recipe: dict[str, Any],
    devices: Devices,
    lock: int | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Train until it ends; SIGTERM and Ctrl-C reach the worker, or each of them, and make it save a checkpoint first.

    `lock` is the descriptor of the run's lock: the child holds it too, so that a worker whose command was killed keeps
    others out until it has saved and gone. `more`: variables of the worker beside the usual ones.
    """
    remove_torn_checkpoints(run)
    name_best_here(run)
    (run / "training").mkdir(exist_ok=True)
    print(f"train: {devices.said(recipe)}", flush=True)
    with no_ranks(run):
        # A session of its own: a signal to the whole group would kill Axolotl's data loaders before it can save.
        worker = subprocess.Popen(
            command(run, devices),
            cwd=ROOT,
            env={**environment_of(run, recipe, devices), **more},
            start_new_session=True,
            pass_fds=[] if lock is None else [lock],
        )
    signals: list[int] = []

    def stop(number: int, _: Any) -> None:
        signals.append(number)
        worker.terminate()

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, stop)
    with Sampler(worker.pid, run / "training" / "system.jsonl"):
        code = worker.wait()
    redact_file(run / "train.log")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if code != 0:
        ended_early(run, recipe, code, signalled=bool(signals))


def command(run: Path, devices: Devices) -> list[str]:
    """What is started: the worker itself, or for several devices what starts one on each."""
    prepared = prepared_folder(run)
    if devices.processes == 1:
        return [sys.executable, "-m", "scripts.training.train_worker", str(run), str(prepared)]
    return [sys.executable, "-m", "scripts.training.ranks", str(devices.processes), str(run), str(prepared)]


def prepared_folder(run: Path) -> Path:
    """Where Axolotl keeps the tokenised rows: named by what they are made of, since its own cache ignores content."""
    return ROOT / "prepared" / json_sha256([read_data(run), file_sha256(run / "recipe.yaml")])[:16]


def environment_of(run: Path, recipe: dict[str, Any], devices: Devices) -> dict[str, str]:
    """The worker's variables: no telemetry, the chosen devices and no others, threads that fit the quota."""
    environment = {**os.environ, "AXOLOTL_DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment["WANDB_DIR"] = str(run)
    environment["WANDB_ERROR_REPORTING"] = "false"  # W&B sends crash reports from offline runs too
    environment["WANDB_DISABLE_GIT"] = environment["WANDB_DISABLE_CODE"] = "true"
    environment["PYTHONHASHSEED"] = "0"  # PEFT keeps target modules in a set: its order goes into adapter_config.json
    environment["CUDA_VISIBLE_DEVICES"] = devices.visible
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):  # of a cluster's own launcher: torchrun sets them, for several
        environment.pop(name, None)
    if not devices.gpus:
        environment.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # fewer page faults: steps 5 to 9 % shorter
    environment.setdefault("AXOLOTL_DATASET_NUM_PROC", str(row_processes(run)))
    if devices.processes > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // devices.processes)))
    elif cores() < len(os.sched_getaffinity(0)):
        environment.setdefault("OMP_NUM_THREADS", str(cores()))
    if (ROOT / recipe["base_model"]).is_dir():
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def row_processes(run: Path) -> int:
    """Processes beside the worker that turn rows into tokens: 0 for few rows, else as many as cores may be used, which
    on a pod are fewer than its host has."""
    rows: list[Any] = [row.get("rows") for row in read_data(run) if row.get("role") != START]
    few = None not in rows and sum(rows) < FEW_ROWS  # of a dataset on the Hub nobody knows
    return 0 if few else cores()


def ended_early(run: Path, recipe: dict[str, Any], code: int, signalled: bool) -> NoReturn:
    """What an exit code of the worker other than 0 means, in one line."""
    if code == INTERRUPTED and checkpoints(run):
        update_run(run, stages={"train": "interrupted"})
        raise UserError(f"interrupted, checkpoint saved: run the same command again to continue {run.name}")
    if signalled and code in (-signal.SIGTERM, INTERRUPTED):
        update_run(run, stages={"train": "interrupted"})
        raise UserError(f"interrupted before the first step: run the same command again to begin {run.name} anew")
    update_run(run, stages={"train": "failed"})
    said = last_error(run / "train.log")
    if said.startswith("error: ") and code in (1, CANNOT_EVALUATE):  # of several processes, torchrun ends with 1
        raise UserError(f"{said.removeprefix('error: ')}; see {run.name}/train.log")
    if says_out_of_memory(said):
        raise UserError(f"out of memory while training: {smaller_step(recipe)}; see {run.name}/train.log")
    raise UserError(f"Axolotl ended with code {code}: {said}; see {run.name}/train.log")


def last_error(log: Path) -> str:
    """The last line of a log that looks like an error, shortened."""
    lines = read_bytes(log).decode("utf-8", errors="replace").splitlines() if log.is_file() else []
    errors = [line.strip() for line in lines if "Error" in line or "error:" in line]
    return errors[-1][:300] if errors else "no error was logged (killed, perhaps for want of memory?)"
