"""Several trainings of one recipe: the interval holds the luck of the seed, and only what all agree on ships."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.run.files import read_json, read_metrics
from eval.run.metrics import GateResult, Interval, Metrics
from eval.statistics.paired import difference_interval
from eval.statistics.repeats import repeated_interval
from scripts import repeat
from scripts.training import judged
from scripts.training.lint_recipe import load_recipe
from tests.run_builder import assert_one_line, call

RECIPE = ROOT / "configs" / "train" / "smollm2-135m-cpu.yaml"
DEMO = read_metrics(ROOT / "results" / "demo" / "metrics.json")
Capture = pytest.CaptureFixture[str]
ITEMS = 300


def test_without_a_spread_it_is_the_interval_of_one_training() -> None:
    found = repeated_interval([0.2] * 3, [0.1] * 3, [0.35] * 3, 0.9)
    assert (found.mean, found.low, found.high, found.spread) == pytest.approx((0.2, 0.1, 0.35, 0.0))
    with pytest.raises(ValueError, match="takes two"):
        repeated_interval([0.2], [0.1], [0.3], 0.9)


@cache
def interval_of(wins: int, losses: int) -> Interval:
    """The suite's own, of ITEMS items won, lost or the same: nothing else counts where none share a cluster."""
    differences = [1.0] * wins + [-1.0] * losses + [0.0] * (ITEMS - wins - losses)
    interval = difference_interval(differences, [str(one) for one in range(ITEMS)], 0.9, True)
    assert interval is not None
    return interval


@pytest.mark.parametrize(("trainings", "spread"), [(2, 0.03), (3, 0.0), (3, 0.02), (3, 0.05), (5, 0.03)])
def test_a_recipe_at_the_margin_passes_in_one_of_twenty(trainings: int, spread: float) -> None:
    """The items' part is that of the suite's own paired interval, and shared by all trainings."""
    draw, margin, items, passed, times = np.random.default_rng(5), 0.12, ITEMS, 0, 400
    for _ in range(times):
        hard = draw.random(items)  # how hard an item is, the same for every training
        spans = []
        for _ in range(trainings):
            loss = margin + draw.normal(0.0, spread)
            difference = -(hard < max(0.0, loss) + 0.02).astype(float) + (hard > 0.98)
            interval = interval_of(int((difference > 0).sum()), int((difference < 0).sum()))
            spans.append((float(difference.mean()), interval.low, interval.high))
        found = repeated_interval(*map(list, zip(*spans, strict=True)), 0.9)
        passed += found.low > -margin
    assert passed / times <= 0.05 + 3 * (0.05 * 0.95 / times) ** 0.5


def gate(estimate: float, width: float, **changes: Any) -> GateResult:
    interval = Interval(low=estimate - width, high=estimate + width, confidence=0.9, method="made up")
    outcome = "pass" if interval.low > 0 else "fail" if interval.high < 0 else "inconclusive"
    given = {
        "id": "g",
        "task": "t",
        "metric": "m",
        "rule": "superiority",
        "tier": "blocking",
        "threshold": 0.0,
        "good": "above",
    }
    more = {"estimate": estimate, "interval": interval, "outcome": outcome, "reason": "", "items_needed": None}
    return GateResult.model_validate({**given, **more, **changes})


def made_up(*gates: GateResult, verdict: str) -> Metrics:
    return DEMO.model_copy(update={"gates": list(gates), "verdict": verdict})


@pytest.mark.parametrize(
    ("trainings", "verdict", "code"),
    [
        ([(gate(0.3, 0.1), "ship")] * 3, "ship", 0),
        ([(gate(-0.3, 0.1), "no-ship")] * 3, "no-ship", 1),
        ([(gate(0.3, 0.1), "ship"), (gate(0.3, 0.1), "ship"), (gate(0.3, 0.1), "inconclusive")], "inconclusive", 3),
        ([(gate(0.15, 0.1), "ship"), (gate(0.9, 0.1), "ship")], "inconclusive", 3),  # luck: twelve times the spread
    ],
    ids=["all ship", "all fail", "one did not", "by luck"],
)
def test_the_recipes_verdict(
    trainings: list[tuple[GateResult, str]], verdict: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: Capture,
) -> None:  # fmt: skip
    monkeypatch.setattr(repeat, "FOLDER", tmp_path)
    left = iter(trainings)

    def found(recipe: Path, suite: Path) -> tuple[Path, Metrics]:
        one, said = next(left)
        return Path(recipe.stem), made_up(one, verdict=said)

    monkeypatch.setattr(repeat, "judged_run", found)
    ended, said, _ = call(repeat.main, ["smollm2-135m-cpu", "--seeds", str(len(trainings)), "--suite", "demo"], capsys)
    written = read_json(tmp_path / RECIPE.stem / "repeat.json")
    assert (ended, written["verdict"]) == (code, verdict) and f"trained {len(trainings)} times: {verdict}" in said
    assert [run["run"] for run in written["runs"]] == [
        f"{RECIPE.stem}-seed-{42 + place}" for place in range(len(trainings))
    ]


def test_copies_differ_in_the_seed_alone(tmp_path: Path) -> None:
    copies = repeat.with_seeds(RECIPE, 3, tmp_path)
    recipes = [load_recipe(path) for path in copies]
    assert [one.pop("seed") for one in recipes] == [42, 43, 44]
    assert all(one == {key: value for key, value in load_recipe(RECIPE).items() if key != "seed"} for one in recipes)
    before = [path.stat().st_mtime_ns for path in copies]
    assert [path.stat().st_mtime_ns for path in repeat.with_seeds(RECIPE, 3, tmp_path)] == before
    unseeded = tmp_path / "plain.yaml"
    unseeded.write_text("base_model: x\nadapter: lora")
    assert [yaml.safe_load(path.read_text())["seed"] for path in repeat.with_seeds(unseeded, 2, tmp_path)] == [42, 43]
    unseeded.write_text("seed: often\n")
    with pytest.raises(UserError, match="no whole number"):
        repeat.with_seeds(unseeded, 2, tmp_path)


def test_what_is_trained_and_judged_is_not_done_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = ROOT / "results" / "demo"
    monkeypatch.setattr(judged, "describe_data", lambda recipe: [])
    monkeypatch.setattr(judged, "matching_runs", lambda recipe, data: [demo])
    monkeypatch.setattr(judged, "is_trained", lambda run: True)
    monkeypatch.setattr(judged, "train", None)
    run, metrics = judged.judged_run(RECIPE, demo / "suite.yaml")
    assert run == demo and metrics.verdict == DEMO.verdict


def test_a_number_of_trainings_that_shows_nothing_is_refused(capsys: Capture) -> None:
    for seeds in ("1", "0", "-3", "100"):
        code, _, message = call(repeat.main, ["smollm2-135m-cpu", "--seeds", seeds], capsys)
        assert code == 2 and "between 2 and 20" in message
        assert_one_line(message)
