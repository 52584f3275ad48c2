"""Is it the recipe or the luck? The same recipe trained under several seeds, each judged, and one verdict over all.

    python -m scripts.repeat [--seeds 3] [--suite SUITE] -- RECIPE

Writes repeat.json and repeat.md into outputs/repeats/<recipe>/.

Seeds are the recipe's own and those that follow it. Each training is a run of its own in results/, by a copy of the
recipe in which only `seed` differs; the same command continues after a kill, and trains or judges nothing twice.

The recipe ships when every training ships and, for each blocking gate, the interval over all trainings passes too
(eval/statistics/repeats.py). It does not when such an interval fails. Else nobody knows yet. A gate without an interval
decides by what all trainings agree on. What is published is still one run, by its own verdict.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.config.gate_rules import kind_of
from eval.config.suite_file import resolve_suite
from eval.contracts.gate import side_of
from eval.gates.decide import EXIT_CODES
from eval.run.digests import file_sha256
from eval.run.files import write_json, write_text
from eval.run.metrics import GateResult, Interval, Outcome, Verdict
from eval.run.records import Record
from eval.statistics.repeats import repeated_interval
from scripts.training.judged import judged_run
from scripts.training.lint_recipe import load_recipe, resolve_recipe

FOLDER = ROOT / "outputs" / "repeats"
MOST = 20  # trainings
SEED = re.compile(r"^seed:.*$", re.MULTILINE)


class JudgedTraining(Record):
    run: str
    verdict: Verdict


class OverTrainings(Record):
    """A gate's figure over all trainings, as eval/statistics/repeats.py makes it."""

    mean: float
    low: float
    high: float
    spread: float
    next_low: float
    next_high: float


class RepeatedGate(Record):
    """One gate, training by training and over all; `repeated` is null where a training has no interval."""

    id: str
    tier: str
    rule: str
    threshold: float
    good: str
    outcomes: list[Outcome]
    estimates: list[float | None]
    outcome: Outcome
    repeated: OverTrainings | None


class RepeatedVerdict(Record):
    """repeat.json: the verdict on the recipe."""

    recipe: str
    recipe_sha256: str
    suite_sha256: str
    runs: list[JudgedTraining]
    verdict: Verdict
    gates: list[RepeatedGate]


def with_seeds(recipe: Path, count: int, folder: Path) -> list[Path]:
    """Copies of the recipe under its own seed and those after it. UserError for a seed that is no number."""
    text, first = read_text(recipe), load_recipe(recipe).get("seed", 42)
    if not isinstance(first, int) or isinstance(first, bool):
        raise UserError(f"{recipe}: seed: {first!r} is no whole number: the trainings count up from it")
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for seed in range(first, first + count):
        line = f"seed: {seed}"
        changed = SEED.sub(line, text) if SEED.search(text) else f"{text.rstrip()}\n{line}\n"
        copies.append(folder / f"{recipe.stem}-seed-{seed}.yaml")
        if not copies[-1].is_file() or read_text(copies[-1]) != changed:
            write_text(copies[-1], changed)
    return copies


def over_all(found: Sequence[GateResult]) -> dict[str, Any]:
    """One gate over all trainings, as it stands in repeat.json."""
    first = found[0]
    outcomes = [gate.outcome for gate in found]
    row: dict[str, Any] = {
        "id": first.id, "tier": first.tier, "rule": first.rule, "threshold": first.threshold, "good": first.good,
        "outcomes": outcomes, "estimates": [gate.estimate for gate in found],
    }  # fmt: skip
    spans = [
        (gate.estimate, gate.interval) for gate in found if gate.estimate is not None and gate.interval is not None
    ]
    if len(spans) < len(found):
        return {**row, "outcome": outcomes[0] if len(set(outcomes)) == 1 else "inconclusive", "repeated": None}
    confidence = found[0].interval.confidence if found[0].interval else 0.9
    repeated = repeated_interval(
        [value for value, _ in spans], [span.low for _, span in spans], [span.high for _, span in spans], confidence
    )
    interval = Interval(low=repeated.low, high=repeated.high, confidence=confidence, method="mover over trainings")
    return {**row, "outcome": side_of(interval, first.threshold, first.good), "repeated": repeated._asdict()}


def verdict_over(rows: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> Verdict:
    """ship when all do and every blocking gate passes over all; no-ship when one fails over all; else inconclusive."""
    outcomes: list[Outcome] = [row["outcome"] for row in rows if row["tier"] == "blocking"]
    if "fail" in outcomes:
        return "no-ship"
    agreed: Literal["ship", "inconclusive"] = "ship" if set(verdicts) == {"ship"} else "inconclusive"
    return agreed if set(outcomes) == {"pass"} else "inconclusive"


def repeat(recipe: Path, suite: Path, count: int, folder: Path) -> dict[str, Any]:
    """Train and judge under `count` seeds; returns what is written as repeat.json. UserError as of training."""
    runs = []
    for number, copy in enumerate(with_seeds(recipe, count, folder), start=1):
        print(f"repeat: training {number} of {count}, {copy.stem}", flush=True)
        runs.append(judged_run(copy, suite))
    by_gate = zip(*(metrics.gates for _, metrics in runs), strict=True)
    gates = [over_all(found) for found in by_gate]
    verdicts = [metrics.verdict for _, metrics in runs]
    found = {
        "recipe": recipe.stem, "recipe_sha256": file_sha256(recipe), "suite_sha256": file_sha256(suite),
        "runs": [{"run": run.name, "verdict": metrics.verdict} for run, metrics in runs],
        "verdict": verdict_over(gates, verdicts), "gates": gates,
    }  # fmt: skip
    write_json(folder / "repeat.json", found)
    write_text(folder / "repeat.md", "\n".join(page(found)) + "\n")
    return found


def page(found: dict[str, Any]) -> Iterator[str]:
    """repeat.md: the verdict, and each gate over all trainings."""
    runs = found["runs"]
    yield f"# {found['recipe']}, trained {len(runs)} times: {found['verdict']}\n"
    yield from (f"- {run['run']}: {run['verdict']}" for run in runs)
    yield "\n| gate | each training | mean | interval | between trainings | one more | threshold | |"
    yield "|---|---|--:|--:|--:|--:|--:|---|"
    for row in found["gates"]:
        each = ", ".join("none" if value is None else number(row, value) for value in row["estimates"])
        if (over := row["repeated"]) is None:
            yield f"| `{row['id']}` | {each} | | | | | | {row['outcome']} |"
            continue
        cells = [
            number(row, over["mean"]), f"{number(row, over['low'])} to {number(row, over['high'])}",
            f"sd {number(row, over['spread'])}", f"{number(row, over['next_low'])} to {number(row, over['next_high'])}",
            f"{'>' if row['good'] == 'above' else '<'} {number(row, row['threshold'])}", f"**{row['outcome']}**",
        ]  # fmt: skip
        yield f"| `{row['id']}` | {each} | {' | '.join(cells)} |"
    yield "\nPoints of a difference, percent of a rate, else the metric's own unit. *One more*: where another training"
    yield "would land on the same items. Which seed is published must not be chosen by these figures: take the first."


def number(row: dict[str, Any], value: float) -> str:
    """A value as the gate's kind has it: in the metric's own unit, in points of a difference, or in percent."""
    kind = kind_of(row["rule"])
    return f"{value:.3g}" if kind.quantity else f"{100 * value:+.1f}" if kind.paired else f"{100 * value:.1f}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.repeat", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", help="name in configs/train, or a file")
    parser.add_argument("--seeds", type=int, default=3, help="how many trainings (default: 3)")
    parser.add_argument("--suite", help="suite name or file (default: configs/eval/nl2bash.yaml)")
    arguments = parser.parse_args(argv)
    if not 2 <= arguments.seeds <= MOST:
        raise UserError(f"SEEDS={arguments.seeds}: between 2 and {MOST} trainings can be compared")
    recipe = resolve_recipe(arguments.recipe)
    folder = FOLDER / recipe.stem
    found = repeat(recipe, resolve_suite(arguments.suite), arguments.seeds, folder)
    print("\n".join(page(found)))
    print(f"repeat: {folder / 'repeat.md'} and repeat.json")
    files = [folder / "repeat.json", folder / "repeat.md"]
    result = RepeatedVerdict.model_validate(found)
    return Answer(EXIT_CODES[result.verdict], result, verdict=result.verdict, files=files)


if __name__ == "__main__":
    run_command(main)
