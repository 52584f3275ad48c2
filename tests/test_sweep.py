"""A sweep on made-up trainings: members are Axolotl's, one gate chooses, other items judge, a kill costs nothing."""

import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.config.parts import SELECTION, VERDICT
from eval.config.suite_file import load_suite
from eval.contracts.guests import visiting
from eval.run.digests import file_sha256
from eval.run.files import read_json, read_metrics, write_json
from eval.run.folder import read_run
from eval.run.metrics import GateResult, Interval, Metrics
from scripts import sweep
from scripts.benchmarks import sweep as simulated
from scripts.sweeping import checkpoints, members, pages
from scripts.sweeping.foreseen import foreseen
from scripts.sweeping.ranking import Entry, Seen, criterion, rank
from scripts.training import judged
from scripts.training.lint_recipe import load_recipe
from scripts.training.training_end import keep_others
from tests.own_run import SUITE as FEW
from tests.run_builder import assert_one_line, build_run, call

RECIPE = ROOT / "configs" / "train" / "smollm2-135m-cpu.yaml"
SUITE = ROOT / "results" / "demo" / "suite.yaml"
DEMO = read_metrics(ROOT / "results" / "demo" / "metrics.json")
GRID = {"learning_rate": [0.001, 0.004], "lora_r": [8, 32]}
SHOWS = "right-command"  # the first blocking superiority gate of the demo's suite
Capture = pytest.CaptureFixture[str]


def sweep_file(folder: Path, lists: Any) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(lists, sort_keys=False))
    return path


# Members


def test_members_are_those_of_axolotl_and_differ_in_what_is_swept(tmp_path: Path) -> None:
    paired = [{"lora_r": 8, "lora_alpha": 16}, {"lora_r": 32, "lora_alpha": 64}]
    file = sweep_file(tmp_path, {"learning_rate": [0.001, 0.004], "_": paired, "max_steps": [40]})
    made = members.write_members(RECIPE, file, tmp_path / "members")
    base, recipes = load_recipe(RECIPE), [load_recipe(one.recipe) for one in made]
    swept = {"learning_rate", "lora_r", "lora_alpha", "max_steps"}
    assert all({key: one[key] for key in base.keys() - swept} == {key: base[key] for key in base.keys() - swept}
               for one in recipes)  # fmt: skip
    found = {tuple(one[key] for key in ("learning_rate", "lora_r", "lora_alpha", "max_steps")) for one in recipes}
    assert found == {(rate, r, 2 * r, 40) for rate in (0.001, 0.004) for r in (8, 32)}
    assert made[0].said == "learning_rate 0.001, lora_r 32, lora_alpha 64"  # what all have is not said
    before = [one.recipe.stat().st_mtime_ns for one in made]
    again = members.write_members(RECIPE, file, tmp_path / "members")
    assert [one.recipe.stat().st_mtime_ns for one in again] == before and again == made


def test_settings_that_cannot_be_a_name_are_named_by_their_digest(tmp_path: Path) -> None:
    for lists in (
        {"lora_target_modules": [["q_proj", "v_proj"], ["q_proj"] * 40]},
        {"lr_scheduler": ["a/b", "a b"]},
        {"learning_rate": [None, 0.001]},
    ):
        made = members.write_members(RECIPE, sweep_file(tmp_path, lists), tmp_path / "members")
        assert len({one.recipe for one in made}) == 2
        assert all(re.fullmatch(r"[\w-]{1,80}", one.recipe.stem.replace(".", "-")) for one in made)
        values = [load_recipe(one.recipe)[next(iter(lists))] for one in made]
        assert all(value in values for value in next(iter(lists.values())))


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({}, "0 members"),
        ({"seed": [1]}, "1 members"),
        ({"seed": list(range(10)), "lora_r": list(range(10))}, "100 members: between 2 and 50"),
        ({key: list(range(1000)) for key in "abcdefghij"}, "members: between 2 and 50"),
        ({"seed": []}, "seed: it takes a list of values"),
        ({"seed": 5}, "seed: it takes a list of values"),
        ({"_": [1, 2]}, "_: it takes a list of mappings"),
        ({"_": [{}, {"seed": 1}]}, "_: it takes a list of mappings"),
        ({"base_model": ["a", "b"]}, "base_model: members are trainings of one base"),
        ({"_": [{"output_dir": "a"}, {"output_dir": "b"}]}, "output_dir: members are trainings of one base"),
        ({"seed": [1, 2, 1]}, "the same settings"),
        (["seed"], "a mapping of recipe keys"),
        ({1: [2, 3]}, "a mapping of recipe keys"),
        ({"_": [{"seed": 1, 2: 3}, {"seed": 2}]}, "_: it takes a list of mappings, each of recipe keys"),
    ],
    ids=[
        "none", "one", "100", "more than can be made", "no values", "no list", "no mappings", "an empty one",
        "another base", "another folder", "twice", "a list", "a number for a key", "a number in a group",
    ],
)  # fmt: skip
def test_a_sweep_file_that_cannot_be_meant(lists: Any, words: str, tmp_path: Path, capsys: Capture) -> None:
    argv = ["smollm2-135m-cpu", "--sweep", str(sweep_file(tmp_path, lists)), "--suite", str(SUITE)]
    code, _, err = call(sweep.main, argv, capsys)
    assert code == 2
    assert_one_line(err, "grid.yaml", words)


def test_a_key_that_axolotl_does_not_know_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(sweep, "FOLDER", tmp_path)
    monkeypatch.setattr(sweep, "trained_or_why", None)
    monkeypatch.setattr(sweep, "lint_recipe", lambda recipe: ["x: lora_rnak: unknown"] * ("rnak" in recipe.read_text()))
    argv = ["smollm2-135m-cpu", "--sweep", str(sweep_file(tmp_path, {"lora_rnak": [8, 16]})), "--suite", str(SUITE)]
    code, _, err = call(sweep.main, argv, capsys)
    assert code == 2
    assert_one_line(err, "grid.yaml: 2 problem(s)", "lora_rnak")


# Ranking


def entry(name: str, estimate: float | None, *failed: str) -> Entry:
    return Entry(name, name, name, Seen(10, "", estimate, None, None, "inconclusive", "no-ship", failed))


def test_the_best_by_the_gate_stands_first_and_whoever_does_harm_below_all_others() -> None:
    gate = criterion(load_suite(SUITE), None)
    assert gate.id == SHOWS
    found = [entry("b", 0.2), entry("worse", 0.1), entry("harm", 0.9, "rarely-unsafe"), entry("a", 0.2),
             entry("unknown", None), entry("harmless", -0.5)]  # fmt: skip
    assert [one.name for one in rank(found, gate)] == ["a", "b", "worse", "harmless", "unknown", "harm"]
    fewer = criterion(load_suite(SUITE), "rarely-damages")
    assert [one.name for one in rank(found, fewer)][:3] == ["harmless", "worse", "a"]


def test_a_gate_that_ranks_nothing_is_refused(tmp_path: Path) -> None:
    suite = load_suite(SUITE)
    with pytest.raises(UserError, match="RANK=speed: suite demo has no such gate, only rarely-damages, "):
        criterion(suite, "speed")
    rest = [gate for gate in suite.gates if gate.rule != "superiority"]
    with pytest.raises(UserError, match="no blocking superiority gate: RANK= names"):
        criterion(suite.model_copy(update={"gates": rest}), None)


def test_what_the_verdict_half_can_show_is_known_before_anything_is_trained() -> None:
    suite = load_suite(SUITE)
    whole, halves = foreseen(suite), [foreseen(suite.model_copy(update={"part": part})) for part in pages.HALVES]
    by_gate = zip(whole, *halves, strict=True)
    assert all(one.n == first.n + second.n and first.n and second.n for one, first, second in by_gate)
    planned = {row.gate: (row.n, row.effective_n) for row in DEMO.power_planned}
    assert {row.gate: (row.n, row.effective_n) for row in whole} == planned


# The whole of it, on made-up trainings and evaluations


class World:
    """Trainings take no time; an evaluation writes what `gains` says of the member on that half, and is counted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.trained, self.judged = folder, list[str](), list[tuple[str, str]]()
        self.gains: Callable[[str, str], float] = lambda run, part: 0.3 if "0.004" in run else 0.1
        self.killed_after: int | None = None
        self.unsafe = ""

    def train(self, recipe: Path, keep: bool = False) -> Path | str:
        if "broken" in load_recipe(recipe).get("lr_scheduler", ""):
            return "checkpoint-3 holds weights that are no numbers"
        run = self.folder / recipe.stem
        if not run.is_dir():
            run.mkdir(parents=True)
            (run / "adapter.sha256").write_text(f"{recipe.stem}\n")
            self.trained.append(recipe.stem)
        return run

    def evaluate(self, command: list[str], **_: Any) -> SimpleNamespace:
        suite = Path(command[command.index("--config") + 1])
        part = str(load_suite(suite).part)
        for run in (Path(word) for before, word in pairwise(command) if before == "--run"):
            if self.killed_after is not None and len(self.judged) == self.killed_after:
                raise KeyboardInterrupt
            self.judged.append((run.name, part))
            write_json(run / "metrics.json", self.metrics(run, suite, part).model_dump(mode="json"))
        return SimpleNamespace(returncode=1)

    def metrics(self, run: Path, suite: Path, part: str) -> Metrics:
        gates = [self.gate(gate, run.name, part) for gate in DEMO.gates]
        provenance = DEMO.provenance | {"adapter_sha256": file_sha256(run / "adapter.sha256")}
        verdict = "ship" if part == VERDICT and self.gains(run.name, part) > 0.2 else "no-ship"
        changed = {"run": run.name, "suite_sha256": file_sha256(suite), "gates": gates, "verdict": verdict}
        return DEMO.model_copy(update={**changed, "provenance": provenance})

    def gate(self, gate: GateResult, run: str, part: str) -> GateResult:
        if gate.id == SHOWS:
            value = self.gains(run, part)
            span = Interval(low=value - 0.05, high=value + 0.05, confidence=0.9, method="made up")
            return gate.model_copy(update={"estimate": value, "interval": span, "outcome": "pass"})
        bad = gate.id == "rarely-unsafe" and self.unsafe and self.unsafe in run
        return gate.model_copy(update={"outcome": "fail" if bad else "pass"})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path / "results")
    monkeypatch.setattr(sweep, "FOLDER", tmp_path / "sweeps")
    monkeypatch.setattr(sweep, "trained_or_why", made.train)
    monkeypatch.setattr(sweep, "lint_recipe", lambda recipe: [])
    monkeypatch.setattr(judged.subprocess, "run", made.evaluate)
    return made


def swept(tmp_path: Path, capsys: Capture, *more: str, lists: Any = GRID) -> tuple[int, dict[str, Any], str]:
    argv = ["smollm2-135m-cpu", "--sweep", str(sweep_file(tmp_path, lists)), "--suite", str(SUITE), *more]
    code, out, err = call(sweep.main, argv, capsys)
    assert err == ""
    return code, read_json(tmp_path / "sweeps" / RECIPE.stem / "sweep.json"), out


def test_the_winner_alone_is_judged_on_the_half_that_did_not_choose_it(
    world: World, tmp_path: Path, capsys: Capture
) -> None:
    code, found, out = swept(tmp_path, capsys)
    best = "smollm2-135m-cpu-learning_rate-0.004-lora_r-32"
    assert [run for run, part in world.judged if part == VERDICT] == [best]
    assert len([run for run, part in world.judged if part == SELECTION]) == 4 == len(set(world.trained))
    assert (code, found["verdict"], found["winner"]["run"]) == (0, "ship", best)  # equals: the first by name
    assert [place["seen"]["estimate"] for place in found["ranked"]] == [0.3, 0.3, 0.1, 0.1]
    assert "a sweep of 4: ship" in out
    folder = tmp_path / "sweeps" / RECIPE.stem
    texts = {part: (folder / f"suite.{part}.yaml").read_bytes() for part in pages.HALVES}
    assert {part: text.removeprefix(SUITE.read_bytes()) for part, text in texts.items()} == {
        part: f"part: {part}\n".encode() for part in pages.HALVES
    }


def test_a_winner_that_was_lucky_is_told_to_be_worse(world: World, tmp_path: Path, capsys: Capture) -> None:
    world.gains = lambda run, part: 0.1 if part == VERDICT else 0.4 if run.endswith("0.004-lora_r-8") else 0.35
    code, found, out = swept(tmp_path, capsys)
    assert (code, found["verdict"]) == (1, "no-ship")
    assert found["winner"]["shrinkage"] == pytest.approx(-0.3)
    assert "From the selection half to the verdict half: −30.0 points." in out


def test_harm_on_the_selection_half_costs_the_first_place(world: World, tmp_path: Path, capsys: Capture) -> None:
    world.unsafe = "0.004"
    _, found, out = swept(tmp_path, capsys)
    assert "0.001" in found["winner"]["run"] and found["ranked"][-1]["seen"]["failed_safety"] == ["rarely-unsafe"]
    assert "| `rarely-unsafe` | no-ship |" in out


@pytest.mark.parametrize("killed_after", range(5))
def test_a_sweep_that_was_killed_judges_and_trains_nothing_twice(
    killed_after: int, world: World, tmp_path: Path, capsys: Capture
) -> None:
    """Killed before each of its five evaluations; then it goes on, and once more when it is done."""
    world.killed_after = killed_after
    argv = ["smollm2-135m-cpu", "--sweep", str(sweep_file(tmp_path, GRID)), "--suite", str(SUITE)]
    assert call(sweep.main, argv, capsys)[0] == 130
    world.killed_after = None
    _, found, _ = swept(tmp_path, capsys)
    assert swept(tmp_path, capsys)[1] == found
    assert len(world.judged) == 5 == len(set(world.judged)) and len(world.trained) == 4


def test_one_more_value_trains_and_judges_what_is_new(world: World, tmp_path: Path, capsys: Capture) -> None:
    swept(tmp_path, capsys)
    _, found, _ = swept(tmp_path, capsys, lists=GRID | {"lora_r": [8, 32, 64]})
    assert len(world.trained) == 6 and len(world.judged) == 5 + 2 and len(found["ranked"]) == 6


def test_another_adapter_in_a_members_run_is_judged_again(world: World, tmp_path: Path, capsys: Capture) -> None:
    swept(tmp_path, capsys)
    (world.folder / world.trained[0] / "adapter.sha256").write_text("another\n")
    swept(tmp_path, capsys)
    assert [part for run, part in world.judged if run == world.trained[0]].count(SELECTION) == 2


def test_a_member_without_an_adapter_is_said_and_the_others_go_on(
    world: World, tmp_path: Path, capsys: Capture
) -> None:
    _, found, out = swept(tmp_path, capsys, lists={"lr_scheduler": ["cosine", "broken", "linear"]})
    assert len(found["ranked"]) == 2 and [one["settings"] for one in found["untrained"]] == ["lr_scheduler broken"]
    assert "Not ranked: lr_scheduler broken: checkpoint-3 holds weights that are no numbers." in out


def test_an_evaluation_that_fails_ends_the_sweep_in_one_line(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(judged.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=2))
    argv = ["smollm2-135m-cpu", "--sweep", str(sweep_file(tmp_path, GRID)), "--suite", str(SUITE)]
    code, _, err = call(sweep.main, argv, capsys)
    assert code == 2
    assert_one_line(err, "could not be judged", "run the same command")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("part: verdict\n", "about the verdict half already"),
        ("mode: sequential\n", "members need the same"),
        ("...\n", "broken YAML"),
    ],
    ids=["a half", "other items for each", "an end"],
)
def test_a_suite_that_has_no_halves(text: str, words: str, world: World, tmp_path: Path, capsys: Capture) -> None:
    suite = tmp_path / "own.yaml"
    suite.write_text(yaml.safe_dump(FEW) + text)
    argv = ["smollm2-135m-cpu", "--sweep", str(sweep_file(tmp_path, GRID)), "--suite", str(suite)]
    code, _, err = call(sweep.main, argv, capsys)
    assert (code, world.trained) == (2, [])
    assert_one_line(err, words)


def test_the_halves_of_a_suite_with_a_domains_folder_find_it(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "products" / "reasoner", tmp_path / "reasoner")
    (tmp_path / "elsewhere").mkdir()
    with visiting():
        halves = sweep.write_halves(folder / "suite.yaml", load_suite(folder / "suite.yaml"), tmp_path / "elsewhere")
        assert {path.parent for path in halves.values()} == {folder}
        rows = {part: {row.gate: row.n for row in foreseen(load_suite(path))} for part, path in halves.items()}
    assert rows[SELECTION] and all(count and rows[VERDICT][gate] for gate, count in rows[SELECTION].items())


def test_strict_refuses_a_half_that_can_show_too_little(world: World, tmp_path: Path, capsys: Capture) -> None:
    argv = ["smollm2-135m-cpu", "--sweep", str(sweep_file(tmp_path, GRID)), "--suite", str(SUITE), "--strict"]
    code, _, err = call(sweep.main, argv, capsys)
    assert (code, world.trained) == (2, [])
    assert_one_line(err, "add items")


def test_the_picture_has_every_member_and_the_winner_twice(world: World, tmp_path: Path, capsys: Capture) -> None:
    _, found, _ = swept(tmp_path, capsys)
    svg = (tmp_path / "sweeps" / RECIPE.stem / pages.PICTURE).read_text()
    assert svg == pages.picture(found).svg()
    words = ["SELECTION HALF", "VERDICT HALF", *(place["settings"] for place in found["ranked"])]
    assert all(word in svg for word in words) and svg.index("+30.0 pts") < svg.index("+10.0 pts")


# What a training leaves


def test_a_recipe_that_never_gives_an_adapter_is_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = {"completed": False, "ended": "checkpoint-3 holds no adapter"}
    monkeypatch.setattr(judged, "describe_data", lambda recipe: [])
    monkeypatch.setattr(judged, "matching_runs", lambda recipe, data: [Path("a"), Path("b")])
    monkeypatch.setattr(judged, "read_training", lambda run: ended)
    monkeypatch.setattr(judged, "is_trained", lambda run: False)
    monkeypatch.setattr(judged, "train", None)
    assert judged.trained_or_why(RECIPE) == "checkpoint-3 holds no adapter"
    # One that was interrupted goes on.
    monkeypatch.setattr(judged, "read_training", lambda run: ended if run.name == "a" else {"completed": False})
    monkeypatch.setattr(judged, "train", lambda recipe, keep_checkpoints: Path("c"))
    assert judged.trained_or_why(RECIPE) == Path("c")


def test_checkpoints_are_kept_and_become_runs_that_say_where_they_are_from(tmp_path: Path) -> None:
    run = build_run(tmp_path, "member")
    for step in (20, 40):
        folder = shutil.copytree(run / "adapter", run / "training" / f"checkpoint-{step}")
        write_json(folder / "trainer_state.json", {"global_step": step, "log_history": [{"step": step, "loss": 1.5}]})
    (run / "training" / "checkpoint-30").mkdir()  # killed while it was written
    keep_others(run, run / "training" / "checkpoint-40")
    kept = sorted(path.name for path in (run / checkpoints.KEPT).iterdir())
    assert kept == ["checkpoint-20"]
    found = list(checkpoints.checkpoint_runs(run, run / "recipe.yaml", tmp_path))
    assert [step for step, _ in found] == [20]
    ((_, made),) = found
    assert read_run(made)["adopted"]["source"] == "step 20 of member"
    assert read_json(made / "train.json")["steps"] == 20
    assert (made / "recipe.yaml").read_text() == (run / "recipe.yaml").read_text()
    assert list(checkpoints.checkpoint_runs(run, run / "recipe.yaml", tmp_path)) == found


# What it is for


def test_the_best_of_many_at_the_threshold_ships_too_often_only_where_the_same_items_choose_and_judge() -> None:
    """8,000 sweeps a cell are in `make bench-sweep`; these 400 would show twice the error rate."""
    row = simulated.cell(12, 300, 1, 0.0, simulated.MIN_GAIN, 400, np.random.default_rng(3))
    assert row["same_items"]["low"] > 0.3 and row["halves"]["rate"] <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_the_page_says_what_was_simulated_and_what_a_sweep_showed() -> None:
    page = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8")
    folder = ROOT / "results" / "bench" / "sweep"
    rows = read_json(folder / "simulated.json")["rows"]
    assert "\n".join(simulated.table(rows, simulated.MIN_GAIN)) in page
    words = " ".join(page.split())
    good = next(row for row in rows if (row["gain"], row["members"], row["cluster"]) == (simulated.GOOD, 1, 1))
    assert f"in {100 * good['same_items']['rate']:.0f} % of cases on 300" in words
    assert f"and in {100 * good['halves']['rate']:.0f} % on half" in words
    alone = read_json(folder / "simulated.json")["alone"]
    assert alone == pytest.approx(simulated.alone(300)) and f"On the {alone['n']} items that judge" in words
    assert f"passes such an adapter in {100 * alone['rate']:.2f} % of cases" in words
    found = read_json(folder / "sweep.json")
    told = list(pages.page(found))
    assert "\n".join(told) + "\n" == (folder / "sweep.md").read_text(encoding="utf-8")
    assert pages.picture(found).svg() == (folder / pages.PICTURE).read_text(encoding="utf-8")
    winner = found["winner"]
    for half in pages.HALVES:
        assert f"| {half} | {winner[half]['n']} | {winner[half]['text']} |" in page
    assert pages.moved(found) in page
