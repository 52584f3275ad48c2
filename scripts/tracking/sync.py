"""Push the offline W&B runs of results/tracking to a W&B server: the one step of tracking that needs a login.

    make sync [RUN=]          WANDB_BASE_URL names another server than the public one

Only runs that this project wrote are pushed. What Axolotl recorded live in results/<run>/wandb holds console output and
is left to you: `wandb sync results/<run>/wandb/offline-run-*`.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

from eval.common.errors import UserError
from eval.run.files import read_json

MARK = "securecli.json"
SECONDS = 3600.0  # for all runs together; what did not arrive is pushed by the next `make sync`
NO_LOGIN = "No API key configured"


def sync(folder: Path, runs: list[str] | None) -> int:
    """Push every whole run below `folder` that was not pushed yet, or those of the named runs; returns 0.

    UserError when there is no login, W&B is not installed, or a run did not arrive.
    """
    found = [path for path in marked(folder, runs) if not is_pushed(path)]
    if not found:
        print("sync: nothing to push: all was pushed, or nothing tracked yet (`make track TO=wandb`)")
        return 0
    environment = {**os.environ, "WANDB_ERROR_REPORTING": "false", "WANDB_DATA_DIR": str(folder)}
    environment.pop("WANDB_MODE", None)  # `offline`, for evaluations on this machine, would push nothing
    command = [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, found)]
    no_login = False
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    ) as pushing:  # fmt: skip
        end = threading.Timer(SECONDS, pushing.kill)  # a server that answers a byte at a time is waited for no longer
        end.start()
        for line in pushing.stdout or ():  # as it comes: W&B tries again for long when a server does not answer
            print(line, end="", flush=True)
            no_login = no_login or NO_LOGIN in line
        end.cancel()
    if no_login:
        raise UserError("no W&B login: run `.venv/bin/wandb login`, or set WANDB_API_KEY, then `make sync` again")
    if missing := [path.name for path in found if not is_pushed(path)]:
        raise UserError(f"{len(missing)} of {len(found)} runs did not arrive, such as {missing[0]}: `make sync` again")
    print(f"sync: {len(found)} runs pushed")
    return 0


def marked(folder: Path, runs: list[str] | None) -> list[Path]:
    """Offline runs that were written to the end, of the named runs or of all."""
    marks = {path: read_mark(path) for path in sorted(folder.glob("wandb/offline-run-*"))}
    return [path for path, mark in marks.items() if mark and (runs is None or mark["run"] in runs)]


def read_mark(folder: Path) -> dict[str, str]:
    """The mark of an offline run: which run and part it holds; empty when it was not written to the end."""
    path = folder / MARK
    mark = read_json(path) if path.is_file() else {}
    if not isinstance(mark, dict) or (mark and not isinstance(mark.get("run"), str)):
        raise UserError(f"{path} names no run: remove {folder}, then `make track` and `make sync` again")
    return mark


def is_pushed(folder: Path) -> bool:
    """Whether `wandb sync` has marked an offline run as uploaded."""
    return any(folder.glob("*.wandb.synced"))
