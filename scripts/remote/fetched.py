"""A run folder that came back: put into results/ in one step, and its verdict read."""

import re
import shutil
from pathlib import Path

from eval.common.errors import UserError
from eval.gates.decide import EXIT_CODES
from eval.run import folder as folders
from eval.run.digests import folder_digests
from eval.run.files import read_metrics
from eval.run.folder import point_latest_at, read_run

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


def place_run(there: Path | None, name: str | None) -> Path:
    """results/<name>, moved from where it was fetched and verified; found there when it was moved before.

    UserError when there is no such run, or results/ has another one of this name.
    """
    if name is None or not NAME.fullmatch(name) or name in folders.NOT_RUNS:
        raise UserError(f"the machine names no run ({str(name)[:60]!r}): see its log with `make remote-logs JOB=`")
    results = folders.RESULTS
    target, source = results / name, (there / name if there else None)
    if source is None or not source.is_dir():
        raise UserError(f"{name} is not among what came back: see the log with `make remote-logs JOB=`")
    if read_run(source)["run"] != name:
        raise UserError(f"{name} came back with the run.json of another run: nothing of it was kept")
    if target.exists():
        if folder_digests(target) != folder_digests(source):
            raise UserError(f"results/{name} is there already, and is another one: move it away, then run this again")
        shutil.rmtree(source)
        return target
    results.mkdir(parents=True, exist_ok=True)
    partial = results / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.move(source, partial)  # outputs/ may lie on another disk: only the rename is one step
    partial.rename(target)
    return target


def verdict_code(name: str) -> int:
    """The exit code of a run's verdict; results/latest then names it."""
    run = folders.RESULTS / name
    code = EXIT_CODES[read_metrics(run / "metrics.json").verdict]
    point_latest_at(run)
    return code
