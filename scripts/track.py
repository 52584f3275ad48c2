"""Log a finished run with experiment trackers, from its files alone; or push offline W&B runs.

    python -m scripts.track [--run RUN] [--to wandb,mlflow,...]     default: the trackers that the run's suite names
    python -m scripts.track --sync [--run RUN]                      push what is not pushed yet (needs a W&B login)

Everything is local and needs no account: results/tracking/<tracker>. Running it again changes nothing unless the run's
files changed. What became of each tracker is written into run.json (`tracking`). Exit codes: 0 all stored, 2 not all.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import CANNOT_EVALUATE, Refused, UserError, run_command
from eval.config.suite_file import load_suite
from eval.run.folder import locked, read_run, resolve_run, update_run
from eval.run.records import Record
from scripts.tracking.finished_run import read_finished_run
from scripts.tracking.sync import sync
from scripts.tracking.trackers import FOLDER, known, log_to


def track(run: Path, names: list[str], root: Path = FOLDER) -> dict[str, str]:
    """Log a run with each tracker; returns and records `ok` or why not, by tracker."""
    try:
        tracked = read_finished_run(run)
    except Refused as refusal:
        record(run, dict.fromkeys(names, f"refused: {refusal}"))
        raise
    with ThreadPoolExecutor() as pool:
        outcomes = dict(zip(names, pool.map(lambda name: log_to(name, tracked, root), names), strict=True))
    record(run, outcomes)
    return outcomes


def record(run: Path, outcomes: dict[str, str]) -> None:
    with locked(run):
        update_run(run, tracking={**read_run(run).get("tracking", {}), **outcomes})


def wanted(run: Path, to: str | None) -> list[str]:
    """Names of trackers, from the command line or the run's suite. UserError for an unknown one."""
    if to is None:
        names = list(load_suite(run / "suite.yaml").tracking) if (run / "suite.yaml").is_file() else []
    else:
        names = [name.strip() for name in to.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known()]:
        raise UserError(f"no tracker {', '.join(unknown)}: there are {', '.join(known())} (`make plugins`)")
    return list(dict.fromkeys(names))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.track", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", action="append", help="run name or folder (default: the newest); may be repeated")
    parser.add_argument("--to", metavar="NAMES", help=f"trackers, with commas between: {', '.join(known())}")
    parser.add_argument("--quiet", action="store_true", help="say nothing when the suite names no tracker")
    parser.add_argument("--sync", action="store_true", help="push offline W&B runs, all or those of --run")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where trackers store (default: results/tracking)")
    arguments = parser.parse_args(argv)
    root = arguments.folder.resolve()
    runs = [resolve_run(name) for name in arguments.run or [None]] if arguments.run or not arguments.sync else []
    if arguments.sync:
        return sync(root / "wandb", [run.name for run in runs] or None)
    outcomes = {run.name: show(run, wanted(run, arguments.to), root, arguments.quiet) for run in runs}
    failed = [f"{name}: {said}" for of_run in outcomes.values() for name, said in of_run.items() if said != "ok"]
    files = {root / name for of_run in outcomes.values() for name, said in of_run.items() if said == "ok"}
    error = "; ".join(failed) or None
    return Answer(CANNOT_EVALUATE if failed else 0, Logged(runs=outcomes), files=sorted(files), error=error)


class Logged(Record):
    """By run and tracker: `ok`, or why it is not stored."""

    runs: dict[str, dict[str, str]]


def show(run: Path, names: list[str], root: Path, quiet: bool) -> dict[str, str]:
    """Track one run, print a line a tracker, return what became of each."""
    if not names and not quiet:
        print(f"track: the suite of {run.name} names no tracker; --to {','.join(known())} does, or `tracking:` in it")
    outcomes = track(run, names, root) if names else {}
    for name, outcome in outcomes.items():
        print(f"track: {run.name}: {name}: {root / name if outcome == 'ok' else outcome}")
    return outcomes


if __name__ == "__main__":
    run_command(main, "sync" if "--sync" in sys.argv else "track")
