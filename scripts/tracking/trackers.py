"""Runs trackers: each in a process of its own, with an environment that holds nothing of the user's.

    log_to("mlflow", tracked, Path("results/tracking"))     -> "ok", or in one line why not

A tracker cannot fail a run: it may be missing, crash or hang, and costs TIMEOUT_SECONDS at most. Its process gets PATH,
language and time zone, an empty home folder (no login, no netrc, no settings) and switches that keep it offline, so
that no credential or other environment value can reach what it stores. What it prints goes to FOLDER/<name>.log. That
holds for a tracker of an installed package as for ours.

Not protected against: a tracker library that is malicious. It runs as the user, with the user's network.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from eval.common.places import ROOT
from eval.common.reading import open_regular
from eval.contracts.plugins import Table, names
from eval.run.folder import RESULTS
from scripts.tracking.tracker import TrackedRun

OURS: Table = {
    "wandb": "scripts.tracking.to_wandb:WeightsAndBiases",
    "trackio": "scripts.tracking.to_trackio:Trackio",
    "mlflow": "scripts.tracking.to_mlflow:MLflow",
    "tensorboard": "scripts.tracking.to_tensorboard:TensorBoard",
}
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")  # it is a folder, too
FAILED, NOT_INSTALLED = 2, 3  # how a worker exits
FOLDER = RESULTS / "tracking"
TIMEOUT_SECONDS = 300
LAST_BYTES = 1 << 16  # of a tracker's log, where its last line is looked for
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
OFFLINE = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "WANDB_MODE": "offline",
    "WANDB_ERROR_REPORTING": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def known() -> list[str]:
    """Names of every tracker, ours and those of installed packages; none is imported."""
    return [name for name in names("trackers", OURS) if NAME.fullmatch(name)]


def log_to(name: str, tracked: TrackedRun, root: Path = FOLDER) -> str:
    """Store a run with one tracker; "ok", or one line that says why it is not stored."""
    folder = root / name
    try:
        (folder / "home").mkdir(parents=True, exist_ok=True)
        with (root / f"{name}.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "scripts.tracking.worker", name, str(folder.resolve())],
                cwd=ROOT,
                env=environment(folder.resolve()),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that helpers a tracker starts end with it
            )
            return wait_for(worker, tracked.model_dump_json().encode(), root / f"{name}.log")
    except OSError as error:
        return f"cannot write {error.filename or folder}: {error.strerror}"


def wait_for(worker: "subprocess.Popen[bytes]", content: bytes, log: Path) -> str:
    try:
        worker.communicate(content, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        return f"no answer for {TIMEOUT_SECONDS} s, stopped: see {log}"
    if worker.returncode == 0:
        return "ok"
    with open_regular(log) as stream:  # its end: a tracker may print without one
        stream.seek(max(0, log.stat().st_size - LAST_BYTES))
        lines = stream.read(LAST_BYTES).decode("utf-8", "replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    if worker.returncode == NOT_INSTALLED:
        return f"not installed, {said}: `make tracking-setup`"
    return f"failed: {said[:200]}; see {log}"


def environment(folder: Path) -> dict[str, str]:
    """The whole environment of a tracker's process."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    places = {
        "HOME": folder / "home",
        "TRACKIO_DIR": folder,
        "WANDB_DATA_DIR": folder,
        "WANDB_CACHE_DIR": folder / "home",
        "WANDB_CONFIG_DIR": folder / "home",
    }
    return {**kept, **OFFLINE, **{name: str(path) for name, path in places.items()}}
