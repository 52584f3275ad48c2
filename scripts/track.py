"""Log a finished run with experiment trackers, from its files alone; or push offline W&B runs.

    python -m scripts.track [--run RUN] [--to wandb,mlflow,...]     default: the trackers that the run's suite names
    python -m scripts.track --sync [--run RUN]                      push what is not pushed yet (needs a W&B login)
    python -m scripts.track --sync --to trackio --space USER/SPACE  the same for trackio (needs a Hugging Face login)

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
from scripts.tracking.space import push
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
    parser.add_argument("--sync", action="store_true", help="push what is stored offline, all or those of --run")
    parser.add_argument("--space", metavar="USER/SPACE", help="with --sync --to trackio: the Space that takes it")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where trackers store (default: results/tracking)")
    arguments = parser.parse_args(argv)
    root = arguments.folder.resolve()
    runs = [resolve_run(name) for name in arguments.run or [None]] if arguments.run or not arguments.sync else []
    if arguments.sync:
        return pushed(root, [run.name for run in runs] or None, arguments.to or "wandb", arguments.space)
    outcomes = {run.name: show(run, wanted(run, arguments.to), root, arguments.quiet) for run in runs}
    failed = [f"{name}: {said}" for of_run in outcomes.values() for name, said in of_run.items() if said != "ok"]
    files = {root / name for of_run in outcomes.values() for name, said in of_run.items() if said == "ok"}
    error = "; ".join(failed) or None
    return Answer(CANNOT_EVALUATE if failed else 0, Logged(runs=outcomes), files=sorted(files), error=error)


def pushed(root: Path, runs: list[str] | None, to: str, space: str | None) -> Answer:
    """Push with W&B or trackio. UserError for another tracker."""
    if to == "wandb" and space is None:
        return Answer(sync(root / "wandb", runs), Pushed(to=to, space=None, rows=None))
    if to != "trackio" or space is None:
        raise UserError(f"nothing is pushed to {to}: TO=wandb, or TO=trackio with SPACE=user/space")
    rows = push(root / "trackio", space, runs)
    print(f"sync: {space} has {rows} rows of {'all runs' if runs is None else ', '.join(runs)}")
    return Answer(0, Pushed(to=to, space=space, rows=rows))


class Pushed(Record):
    """Where to; `rows` are trackio's, those that the Space had before counted as well."""

    to: str
    space: str | None
    rows: int | None


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
