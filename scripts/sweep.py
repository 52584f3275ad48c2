"""The best of several trainings, and an honest verdict on it: chosen on one half of the items, judged on the other.

    python -m scripts.sweep --sweep FILE [--suite SUITE] [--rank GATE] [--checkpoints] [--strict] -- RECIPE

Writes sweep.json, sweep.md and sweep.svg into outputs/sweeps/<recipe>/.

FILE is Axolotl's sweep file. Each member is a run of its own in results/; all are judged on the selection half by a
copy of the suite, and the best by one gate is then judged on the verdict half, which nobody has looked at. Both halves
follow from the suite (eval/config/parts.py). The base answers each item once. The same command continues after a kill,
and trains or judges nothing twice. docs/sweep.md has the rest.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.config.gate_rules import kind_of
from eval.config.parts import SELECTION, VERDICT, Part, with_part
from eval.config.suite_file import Suite, load_suite, resolve_suite
from eval.contracts.gate import Gate
from eval.gates.decide import EXIT_CODES
from eval.gates.power_table import power_lines, refuse_weak_gates
from eval.run.digests import file_sha256
from eval.run.earlier import said
from eval.run.files import read_metrics, write_bytes, write_json, write_text
from eval.run.folder import locked
from eval.run.metrics import Metrics, Verdict
from eval.run.records import Record
from scripts.sweeping.checkpoints import checkpoint_runs
from scripts.sweeping.foreseen import foreseen
from scripts.sweeping.members import Member, write_members
from scripts.sweeping.pages import PICTURE, page, picture
from scripts.sweeping.ranking import Entry, criterion, rank, result_of, seen_in
from scripts.training.judged import is_about, judge_runs, trained_or_why
from scripts.training.lint_recipe import lint_recipe, resolve_recipe

FOLDER = ROOT / "outputs" / "sweeps"
Halves = dict[Part, Path]
Contender = tuple[str, str, Path]  # name, settings in words, run


class Swept(Record):
    """The winner of a sweep, and what the gate that ranks showed of it on both halves."""

    recipe: str
    members: int
    rank_by: str
    winner: str
    verdict: Verdict
    selection_estimate: float | None
    verdict_estimate: float | None


def sweep(
    recipe: Path, file: Path, suite_path: Path, folder: Path, rank_by: str | None = None, checkpoints: bool = False,
    strict: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Train, choose and judge; returns what is written as sweep.json. UserError as of training and evaluation."""
    suite = load_suite(suite_path)
    gate = criterion(suite, rank_by)
    members = write_members(recipe, file, folder / "members")
    halves = write_halves(suite_path, suite, folder)
    show_power(load_suite(halves[VERDICT]), strict)
    refuse_broken(members, file)
    contenders, untrained = train_all(members, checkpoints)
    chosen = judged_on_selection([run for _, _, run in contenders], halves[SELECTION], folder / "selection")
    entries = [Entry(name, settings, run.name, seen_in(chosen[run], suite, gate)) for name, settings, run in contenders]
    ranked = rank(entries, gate)
    winner = next(run for _, _, run in contenders if run.name == ranked[0].run)
    say(f"{ranked[0].settings} is the best of {len(ranked)} by {gate.id}; judging it on the verdict half")
    judge_runs([winner], halves[VERDICT])
    metrics = read_metrics(winner / "metrics.json")
    found = {
        "recipe": recipe.stem, "recipe_sha256": file_sha256(recipe), "sweep_sha256": file_sha256(file),
        "suite": suite.name, "suite_sha256": file_sha256(suite_path),
        "halves": {part: file_sha256(path) for part, path in halves.items()},
        "rank_by": about(gate, chosen[winner], suite), "ranked": [entry.record() for entry in ranked],
        "untrained": untrained, **outcome(ranked[0], metrics, suite, gate),
    }  # fmt: skip
    write_json(folder / "sweep.json", found)
    write_text(folder / "sweep.md", "\n".join(page(found)) + "\n")
    write_text(folder / PICTURE, picture(found).svg())
    return found


def write_halves(suite_path: Path, suite: Suite, folder: Path) -> Halves:
    """The suite about each half. UserError for one that is about a half already, or asks each adapter other items.

    A suite that names a domain's folder finds it from its own place, so that its halves lie beside it.
    """
    if suite.part is not None:
        raise UserError(f"{suite_path} is about the {suite.part} half already: name the suite it was made from")
    if suite.mode == "sequential":
        raise UserError(f"{suite_path} asks each adapter other items (mode: sequential): members need the same ones")
    beside = any(domain.folder for domain in suite.domains.values())
    halves: Halves = {}
    for part in (SELECTION, VERDICT):
        path = (suite_path.parent if beside else folder) / f"{suite_path.stem}.{part}.yaml"
        text = with_part(read_bytes(suite_path), part)
        if not path.is_file() or read_bytes(path) != text:
            write_bytes(path, text)
        if load_suite(path).part != part:  # the line landed inside a value
            raise UserError(f"{suite_path}: nothing can be added at its end: end it with a line of its own")
        halves[part] = path
    return halves


def show_power(suite: Suite, strict: bool) -> None:
    """Say what each gate can see on the verdict half, before anything is spent. UserError with `strict` for too few."""
    rows = foreseen(suite)
    for line in power_lines(suite, rows):
        say(f"verdict half: {line}")
    if strict:
        refuse_weak_gates(rows)


def refuse_broken(members: Sequence[Member], file: Path) -> None:
    """UserError unless every member can be trained, before one is."""
    say(f"checking {len(members)} members against Axolotl's schema, about 10 s")
    problems = [problem for member in members for problem in lint_recipe(member.recipe)]
    if problems:
        raise UserError(f"{file}: {len(problems)} problem(s) of its members: {problems[0]}")


def train_all(members: Sequence[Member], checkpoints: bool) -> tuple[list[Contender], list[dict[str, str]]]:
    """Everything that was trained, checkpoints included, and the members that no training can give an adapter."""
    contenders: list[Contender] = []
    untrained = []
    for number, member in enumerate(members, start=1):
        say(f"member {number} of {len(members)}: {member.said}")
        run = trained_or_why(member.recipe, checkpoints)
        if isinstance(run, str):
            say(f"it has no adapter: {run}")
            untrained.append({"name": member.recipe.stem, "settings": member.said, "why": run})
            continue
        contenders.append((member.recipe.stem, member.said, run))
        for step, other in checkpoint_runs(run, member.recipe) if checkpoints else ():
            contenders.append((f"{member.recipe.stem}, step {step}", f"{member.said}, step {step}", other))
    if not contenders:
        raise UserError(f"no member has an adapter; the first: {untrained[0]['why']}")
    return contenders, untrained


def judged_on_selection(runs: Sequence[Path], suite: Path, kept: Path) -> dict[Path, Metrics]:
    """The evaluation of each run on the selection half, kept aside: the winner's run is judged again on the other."""
    kept.mkdir(parents=True, exist_ok=True)

    def known(run: Path) -> bool:
        try:
            return is_about(read_metrics(kept / f"{run.name}.json"), run, suite)
        except UserError:  # not there, or not as it was written
            return False

    left = [run for run in runs if not known(run)]
    say(f"selection half: {len(runs) - len(left)} of {len(runs)} were judged before")
    judge_runs(left, suite)
    for run in left:
        write_bytes(kept / f"{run.name}.json", read_bytes(run / "metrics.json"))
    return {run: read_metrics(kept / f"{run.name}.json") for run in runs}


def about(gate: Gate, metrics: Metrics, suite: Suite) -> dict[str, Any]:
    """The gate that ranks, with the axis of its figures."""
    axis = kind_of(gate.rule).axis(*result_of(metrics, gate))
    if axis is None:
        raise UserError(f"RANK={gate.id}: a gate without an interval ranks nothing: name another")
    given = {name: getattr(gate, name) for name in ("id", "task", "metric", "rule", "threshold", "good")}
    return {**given, "confidence": suite.confidence, "axis": asdict(axis)}


def outcome(best: Entry, metrics: Metrics, suite: Suite, gate: Gate) -> dict[str, Any]:
    """The winner on both halves, and its verdict, which is that of the verdict half alone."""
    seen = seen_in(metrics, suite, gate)
    before, after = best.seen.estimate, seen.estimate
    winner = {
        "name": best.name, "settings": best.settings, "run": best.run, "selection": asdict(best.seen),
        "verdict": asdict(seen), "shrinkage": None if before is None or after is None else after - before,
    }  # fmt: skip
    return {"winner": winner, "verdict": metrics.verdict, "earlier": said(metrics.earlier) if metrics.earlier else ""}


def say(message: str) -> None:
    print(f"sweep: {message}", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.sweep", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", help="name in configs/train, or a file")
    parser.add_argument("--sweep", required=True, type=Path, help="Axolotl's sweep file: lists of values by key")
    parser.add_argument("--suite", help="suite name or file (default: configs/eval/nl2bash.yaml)")
    parser.add_argument("--rank", help="gate to rank by (default: the first blocking superiority gate)")
    parser.add_argument("--checkpoints", action="store_true", help="the members' checkpoints take part")
    parser.add_argument("--strict", action="store_true", help="refuse a blocking gate that has too few items")
    given = parser.parse_args(argv)
    recipe = resolve_recipe(given.recipe)
    folder = FOLDER / recipe.stem
    folder.mkdir(parents=True, exist_ok=True)
    suite = resolve_suite(given.suite)
    with locked(folder):  # two that start together would train the same members
        found = sweep(recipe, given.sweep, suite, folder, given.rank, given.checkpoints, given.strict)
    print("\n".join(page(found)))
    say(f"{folder / 'sweep.md'}, sweep.json and {PICTURE}")
    winner = found["winner"]
    result = Swept(
        recipe=recipe.stem, members=len(found["ranked"]), rank_by=found["rank_by"]["id"], winner=winner["run"],
        verdict=found["verdict"], selection_estimate=winner["selection"]["estimate"],
        verdict_estimate=winner["verdict"]["estimate"],
    )  # fmt: skip
    files = [folder / name for name in ("sweep.json", "sweep.md", PICTURE)]
    return Answer(EXIT_CODES[found["verdict"]], result, verdict=found["verdict"], files=files)


if __name__ == "__main__":
    run_command(main)
