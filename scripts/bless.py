"""Bless a run: later runs of the same recipe may be compared with it (`baseline: blessed` in a suite).

    python -m scripts.bless                 the history, by recipe
    python -m scripts.bless --run RUN       bless it

Only a ship can be blessed, decided again from its scores, and only while its adapter is what was trained. The history
in results/blessed.json is appended to and committed with the repository. To go back, bless the earlier run again.

Not protected against: someone who can write to the run folder and to results/ (see eval/run/baselines.py).
"""

import argparse
import datetime
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import Refused, UserError, run_command
from eval.run.baselines import Blessing, Blessings, blessings_file, read_blessings
from eval.run.digests import file_sha256, verify_manifest
from eval.run.files import read_jsonl, read_metrics, write_json
from eval.run.folder import RESULTS, locked, read_run, resolve_run
from eval.run.records import Score
from scripts.publishing.signing import git_settings
from scripts.publishing.verify_run import read_suite, refuse_selection
from scripts.publishing.verify_scores import check_decision, check_items


def blessing_of(run: Path) -> Blessing:
    """The entry for a run as it is on disk now, not written yet. Refused unless it is a ship whose bytes hold."""
    verdict = read_metrics(run / "metrics.json").verdict
    if verdict != "ship":
        raise Refused(f"the verdict of {run.name} is {verdict}: only a ship is blessed")
    suite, metrics = read_suite(run)
    refuse_selection(run, suite)
    scores = read_jsonl(run / "scores.jsonl", Score)
    check_decision(suite, metrics, scores, run)
    check_items(suite, metrics, scores, run)
    if problems := verify_manifest(run / "adapter", run / "adapter.sha256"):
        raise Refused(f"{run.name}/adapter is not what was trained: {problems[0]}")
    adapter = file_sha256(run / "adapter.sha256")
    if metrics.provenance.get("adapter_sha256") != adapter or metrics.run != run.name:
        what = "adapter" if metrics.run == run.name else f"run, {metrics.run}"
        raise Refused(f"{run / 'metrics.json'} was measured on another {what}: `make eval` again")
    return Blessing(
        run=run.name,
        adapter_sha256=adapter,
        metrics_sha256=file_sha256(run / "metrics.json"),
        suite_sha256=file_sha256(run / "suite.yaml"),
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        by=git_settings("user.name")["user.name"] or "unknown",
    )


def bless(run: Path, results: Path) -> tuple[str, Blessing, bool]:
    """Add a run to the history of its recipe: recipe, entry, and False when it was the last one already.

    The file is written whole, and nobody writes into the run or adds another entry meanwhile. Raises Refused or
    UserError as `blessing_of` does.
    """
    if run.parent != results.resolve():
        raise UserError(f"{run} is not in {results}, where `baseline: blessed` looks for it")
    with locked(run), locked(results, wait=True):
        return _add(run, results)


def _add(run: Path, results: Path) -> tuple[str, Blessing, bool]:
    entry = blessing_of(run)
    recipe = str(read_run(run).get("recipe"))
    recipes = read_blessings(results).recipes
    history = recipes.get(recipe, [])
    if history and (history[-1].run, history[-1].digests) == (entry.run, entry.digests):
        return recipe, history[-1], False
    blessings = Blessings(recipes={**recipes, recipe: [*history, entry]})
    write_json(blessings_file(results), blessings.model_dump())
    return recipe, entry, True


def show(results: Path) -> None:
    """Every recipe's history, the one in force last."""
    recipes = read_blessings(results).recipes
    if not recipes:
        print("no run is blessed yet: `make bless RUN=...` after a ship")
    for recipe, history in sorted(recipes.items()):
        print(recipe)
        for entry in history:
            mark = "*" if entry is history[-1] else " "
            print(f"  {mark} {entry.time}  {entry.run}  by {entry.by}, adapter {entry.adapter_sha256[:12]}")
    if recipes:
        print("* in force: what `baseline: blessed` in a suite means")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.bless", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="name or path of a run; without it, only show the history")
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        show(RESULTS)
        return Answer(0, read_blessings(RESULTS))
    recipe, entry, added = bless(resolve_run(arguments.run), RESULTS)
    if added:
        print(f"{entry.run} is blessed for recipe {recipe} by {entry.by}; commit {blessings_file(RESULTS)}")
    else:
        print(f"{entry.run} is already the blessed run of {recipe}, since {entry.time}: nothing was changed")
    return Answer(0, read_blessings(RESULTS), files=[blessings_file(RESULTS)])


if __name__ == "__main__":
    run_command(main)
