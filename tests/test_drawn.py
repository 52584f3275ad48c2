"""Items answered several times by drawing: what their scores say, that draws repeat, and what cannot be asked for."""

import itertools
import json
import math
import secrets
import shutil
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.api.instance import Instance
from pydantic import ValidationError

from eval.common.errors import Refused, UserError
from eval.config.suite_file import load_suite
from eval.contracts.drawn import at_least_one, base_and_k
from eval.gates.comparisons import Pairs, compare_pairs, pair_scores
from eval.gates.decide import decide, pairs_of
from eval.gates.outcomes import judge_gate
from eval.model.lm_tasks import LoadedTask, Sample
from eval.run.files import read_jsonl, read_metrics, write_jsonl
from eval.run.metrics import GateResult
from eval.run.records import BASELINE, CANDIDATE, Generation, Item, Judgement, Score
from eval.statistics.paired import difference_interval
from scripts.noise_floor import limited
from scripts.publishing.run_rows import Rows
from scripts.publishing.spot_draw import DECIDING, WON, deciding_weights
from scripts.publishing.spot_model import ModelSpot
from scripts.publishing.verify_scores import check_decision, check_items
from tests import preloaded
from tests.dictionary_backend import Dictionary
from tests.gate_rows import EFFECT, gate_by, suite
from tests.test_suite import KILLED, evaluate, evaluation, make_run, make_suite

FIVE = {"name": "t", "repeats": 5, "temperature": 0.8}
Row = Sequence[float | None]  # scores of one item's answers


def drawn(*items: tuple[Row, Row], task: str = "t") -> list[Score]:
    """The scores of both arms' answers to each item."""
    return [
        Score(
            arm=arm, task=task, sample=str(number), repeat=repeat, metric="m", value=value, cluster=str(number),
            status="invalid" if value is None else "scored", reason="",
        )
        for number, both in enumerate(items)
        for arm, answers in zip((BASELINE, CANDIDATE), both, strict=True)
        for repeat, value in enumerate(answers)
    ]  # fmt: skip


def ones(count: int, of: int = 5) -> list[float]:
    return [1.0] * count + [0.0] * (of - count)


def gate_of(rows: list[Score], **gate: Any) -> GateResult:
    (found,) = decide(suite(gate_by(**gate), tasks=[FIVE]), rows, EFFECT).gates
    return found


def test_one_of_k_is_the_share_of_all_draws_of_k_that_hold_a_one() -> None:
    for n in range(1, 7):
        for c, k in itertools.product(range(n + 1), range(1, n + 1)):
            subsets = list(itertools.combinations(ones(c, n), k))
            assert at_least_one(ones(c, n), k) == pytest.approx(sum(map(any, subsets)) / len(subsets)), (n, c, k)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_one_of_k_is_unbiased(k: int) -> None:
    n, p = 5, Fraction(3, 10)
    mean = sum(
        Fraction(at_least_one(ones(c, n), k)).limit_denominator(1000) * math.comb(n, c) * p**c * (1 - p) ** (n - c)
        for c in range(n + 1)
    )
    assert mean == 1 - (1 - p) ** k


def test_one_of_k_takes_k_scores_of_0_or_1() -> None:
    assert at_least_one([0.25, 0.75], 1) == 0.5
    for values, k in (([1.0], 2), ([0.5, 1.0], 2)):
        with pytest.raises(ValueError, match="takes 2 scores of 0 or 1"):
            at_least_one(values, k)


def test_a_name_says_of_how_many() -> None:
    names = ["m@5", "m", "m@1", "m@0", "m@500", "pass@k", "@5", "m,filter@10"]
    assert [base_and_k(name) for name in names] == [
        ("m", 5), ("m", 1), ("m@1", 1), ("m@0", 1), ("m@500", 1), ("pass@k", 1), ("@5", 1), ("m,filter", 10),
    ]  # fmt: skip


def test_the_item_is_the_unit_and_not_the_answer() -> None:
    items = [(ones(number % 3), ones(number % 3 + 1)) for number in range(60)]
    rows = drawn(*items)
    pairs = pairs_of(suite(gate_by("superiority", min_gain=0.1), tasks=[FIVE]), rows)["t", "m"]
    assert len(pairs.samples) == 60 and not pairs.binary and pairs.shares
    assert pairs.differences == pytest.approx([0.2] * 60)
    twice = [row.model_copy(update={"repeat": row.repeat + 5 * again}) for row in rows for again in (0, 1)]
    varied = [(ones(number % 3), ones(number % 4)) for number in range(60)]
    one, more = (pair_scores(copies) for copies in (drawn(*varied), drawn(*((b * 2, c * 2) for b, c in varied))))
    widths = [difference_interval(own.differences, own.clusters, 0.9, own.binary) for own in (one, more)]
    assert widths[0] == widths[1], "the same answers twice are no more evidence"
    assert pair_scores(twice).baseline == pairs.baseline


def test_gates_read_the_mean_and_one_of_k() -> None:
    rows = drawn(*[(ones(0), ones(1)), (ones(1), ones(2))] * 40)
    gates = [gate_by("superiority", id=name, metric=name, min_gain=0.1) for name in ("m", "m@2", "m@5")]
    decision = decide(suite(*gates, tasks=[FIVE]), rows, EFFECT)
    found = {row.metric: row for row in decision.comparisons}
    assert {row.n for row in found.values()} == {80}
    assert found["m"].candidate == pytest.approx(0.3) and found["m"].baseline == pytest.approx(0.1)
    assert found["m@2"].candidate == pytest.approx((0.4 + 0.7) / 2)
    assert found["m@5"].candidate == 1 and found["m@5"].binary and not found["m@2"].binary
    assert [gate.outcome for gate in decision.gates] == ["pass"] * 3


def test_an_answer_that_could_not_be_scored_counts_as_the_worst_of_its_item() -> None:
    right = [(ones(0), ones(5))] * 60
    lost: Row = [None, 0.0, 0.0, 0.0, 0.0]
    for k, worst in ((1, -0.2), (2, -0.4)):
        pairs = pair_scores(drawn(*right, (lost, ones(0))), k=k)
        assert pairs.invalid == 1
        assert pairs.at_worst("above").differences[-1] == pytest.approx(worst)


def test_too_few_answers_for_k_are_one_line() -> None:
    with pytest.raises(UserError, match="m@5 takes 5 answers to an item"):
        pair_scores(drawn((ones(1, 4), ones(1, 4))), k=5)


def test_a_gate_on_a_pool_is_about_all_of_it_wherever_it_stands() -> None:
    """Of answers to one task none does harm, of those to the other half: whichever gate is named first."""
    tasks = [{**FIVE, "name": name} for name in ("mild", "wild")]
    rows = [*drawn(*[(ones(0), ones(0))] * 60, task="mild"), *drawn(*[(ones(2), ones(2))] * 60, task="wild")]
    gates = [gate_by("max_rate", id=name, metric="m@5", limit=0.2) | {"task": name} for name in ("mild", "both")]
    for order in (gates, gates[::-1]):
        asked = suite(*order, tasks=tasks, pools=[{"name": "both", "tasks": ["mild", "wild"]}])
        found = {gate.id: gate for gate in decide(asked, rows, EFFECT).gates}
        assert (found["mild"].outcome, found["both"].outcome) == ("pass", "fail")
        assert found["both"].estimate == 0.5


@pytest.mark.parametrize("rising", [False, True])
def test_the_order_of_a_file_decides_nothing(rising: bool) -> None:
    """Test sets stand in the order of their categories: here a rate of exactly 5 %, all of it in the last 50 of 200
    items, or in the first."""
    random, passed, runs = np.random.default_rng(7), 0, 60
    rates = np.repeat([0.0, 0.2] if rising else [0.2, 0.0], [150, 50] if rising else [50, 150])
    for _ in range(runs):
        answers = (random.random((200, 5)) < rates[:, None]).astype(float).tolist()
        found = gate_of(drawn(*((own, own) for own in answers)), rule="max_rate", limit=0.05)
        other = gate_of(drawn(*((own, own) for own in answers[::-1])), rule="max_rate", limit=0.05)
        assert found.interval == other.interval
        passed += found.outcome == "pass"
    assert passed / runs <= 0.09, "5 % and what 60 runs leave to chance"


def test_what_never_happened_in_5_answers_to_80_items_is_bounded_by_items() -> None:
    """None of 400 answers of 80 items says what none of 80 says, and less than none of 400."""
    never = drawn(*[(ones(0), ones(0))] * 80)
    found = gate_of(never, rule="max_rate", limit=0.06)
    assert found.outcome == "pass" and found.interval is not None and 0.037 < found.interval.high < 0.06
    assert gate_of(never, rule="max_rate", limit=0.03).outcome == "inconclusive"
    assert gate_of(drawn(*[(ones(0), ones(1))] * 80), rule="max_rate", limit=0.1).outcome == "fail"


def test_arms_that_never_differ_are_as_close_as_their_items_can_show() -> None:
    alike = drawn(*[(ones(5), ones(5))] * 80)
    assert gate_of(alike, rule="noninferiority", margin=0.1).outcome == "pass"
    assert gate_of(alike, rule="noninferiority", margin=0.03).outcome == "inconclusive"


@pytest.mark.parametrize(("rule", "settings"), [("superiority", {"min_gain": 0.05}), ("max_rate", {"limit": 0.05})])
@pytest.mark.parametrize("n", [20, 80])
def test_at_its_threshold_a_gate_rarely_passes(rule: str, settings: dict[str, float], n: int) -> None:
    """Items of very different difficulty, five answers each, the truth exactly at the threshold: at most about 5 %."""
    random, passed, runs = np.random.default_rng(7), 0, 150
    asked = suite(gate_by(rule, **settings), tasks=[FIVE])
    for _ in range(runs):
        if rule == "max_rate":
            base, rates = np.zeros(n), random.beta(0.05, 0.95, n)
        else:
            base = random.beta(0.3, 0.9, n) * 0.9
            rates = base + 0.5 * (random.random(n) < 0.1)  # a gain of 0.05 in the mean, all of it in few items
            rates = np.minimum(rates, 1.0) - (np.minimum(rates, 1.0) - base).mean() + 0.05
        shares = [(random.random((n, 5)) < np.clip(own, 0, 1)[:, None]).mean(axis=1).tolist() for own in (base, rates)]
        names = [str(number) for number in range(n)]
        pairs = Pairs("t", "m", names, *shares, names, [None] * n, shares=True)
        passed += judge_gate(asked.gates[0], pairs, compare_pairs(pairs, asked.confidence), asked).outcome == "pass"
    assert passed / runs <= 0.09, "5 % and what 150 runs leave to chance"


@pytest.mark.parametrize(
    ("task", "gate", "said"),
    [
        ({"repeats": 5}, {}, "repeats and top_p take a temperature"),
        ({"top_p": 0.9}, {}, "repeats and top_p take a temperature"),
        ({"repeats": 3, "temperature": 1}, {"metric": "m@5"}, "m@5 takes `repeats: 5` or more of task t"),
        ({"name": "securecli_nl2bash_known"}, {"metric": "command_only@2"}, "takes `repeats: 2` or more"),
        ({"repeats": 3, "temperature": 1}, {"rule": "no_hard_break", "samples": ["1"]}, "has several"),
        ({"temperature": 0}, {}, "greater than 0"),
        (
            {"name": "drift", "temperature": 1},
            {"metric": "kl", "rule": "max_value", "limit": 1},
            "no answers that could",
        ),
        ({"repeats": 0}, {}, "greater than or equal to 1"),
        (
            {"name": "securecli_adversarial", "execute": "canary", "repeats": 5, "temperature": 1},
            {"metric": "safe@5", "rule": "noninferiority", "margin": 0.05},
            "one of 5 answers may do no harm where all others do: use unsafe@5",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_when_the_suite_loads(
    task: dict[str, Any], gate: dict[str, Any], said: str
) -> None:
    one = gate_by(**({"rule": "superiority", "min_gain": 0.1} if "rule" not in gate else {}) | gate)
    one["task"] = task.get("name", "t")
    with pytest.raises(ValidationError, match=said):
        suite(one, tasks=[{"name": "t"} | task])


def test_a_metric_of_lm_eval_with_such_a_name_is_its_own() -> None:
    rows = [row.model_copy(update={"metric": "pass@10"}) for row in drawn(([0.0], [1.0]), ([0.0], [0.5]))]
    pairs = pairs_of(suite(gate_by("superiority", metric="pass@10", min_gain=0.1)), rows)["t", "pass@10"]
    assert pairs.candidate == [1.0, 0.5] and pairs.k == 1


def test_an_item_is_drawn_for_publishing_by_all_of_its_answers() -> None:
    rows = drawn((ones(2), ones(1)), (ones(1), ones(2)), (ones(1), ones(1)))
    weights = deciding_weights(suite(gate_by("superiority", metric="m@5", min_gain=0.1), tasks=[FIVE]), rows)
    assert list(weights.values()) == [DECIDING, WON, DECIDING]


def test_a_noise_floor_is_of_greedy_answers() -> None:
    gate = gate_by("superiority", min_gain=0.1)
    mixed = suite(gate, tasks=[FIVE, {"name": "greedy"}])
    assert [task.name for task in limited(mixed, 8).tasks] == ["greedy"]
    with pytest.raises(UserError, match="draws all of its answers"):
        limited(suite(gate, tasks=[FIVE]), 8)


class Drawing(Dictionary):
    """Answers that name arm, item and repeat, and whoever is asked."""

    def __init__(self, who: str) -> None:
        super().__init__({})
        self.who, self.asked = who, 0

    def answer(self, arm: str, batch: Sequence[Sample]) -> list[Generation]:
        self.asked += len(batch)
        said = {"tokens": 3, "finish": "stop", "seconds": 0.0}
        return [Generation.to(one, arm=arm, text=f"{self.who} {arm} {one.id} {one.repeat}", **said) for one in batch]


def spot_of(recorded: str, model: Drawing, same_machine: bool, repeats: int = 2) -> ModelSpot:
    """A run of eight items with two drawn answers each, in batches of four, that `recorded` gave."""
    samples = [
        Sample(
            "t", str(number), f"r{number}", "", "c", None, {}, (Instance("generate_until", {}, (f"p{number}", {}), 0),)
        )
        for number in range(8)
    ]
    task = LoadedTask("t", None, tuple(samples), "d", "0" * 64, repeats=repeats, sampling={"temperature": 1.0})
    given = [row for arm in (BASELINE, CANDIDATE) for row in Drawing(recorded).answer(arm, task.asked)]
    items = [Item(task="t", sample=one.id, request=one.request, gold="", cluster="c") for one in samples]
    asking = suite(
        gate_by("superiority", min_gain=0.1), backend={"batch_size": 4}, tasks=[{**FIVE, "repeats": repeats}]
    )
    spot = ModelSpot(asking, Any, Rows(Path("run"), [], given, items, [], []), model, [task], [])  # type: ignore[arg-type]
    spot.__dict__["same_machine"] = same_machine
    return spot


def test_publishing_draws_two_batches_again_where_the_run_was_evaluated() -> None:
    model = Drawing("the model")
    spot_of("the model", model, same_machine=True).check_drawn([("t", str(number)) for number in (7, 0, 6, 1, 3)])
    assert model.asked == 2 * 2 * 4, "two batches of four answers in both arms"
    with pytest.raises(Refused, match="is not what the model answers in its batch"):
        spot_of("a forger", Drawing("the model"), same_machine=True).check_drawn([("t", "2")])
    with pytest.raises(UserError, match="repeats only on the machine of the evaluation"):
        spot_of("the model", Drawing("the model"), same_machine=False).check_drawn([("t", "2")])


@pytest.mark.parametrize(("which", "caught"), [(0, False), (-1, True)])
def test_every_answer_of_an_item_can_be_drawn_again(which: int, caught: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eight answers the last four are a batch of their own, which chance may choose. They are invented."""
    monkeypatch.setattr(secrets, "choice", lambda batches: batches[which])
    spot = spot_of("the model", Drawing("the model"), same_machine=True, repeats=8)
    for place, row in spot.rows.by_place.items():
        if row.repeat > 3 and row.arm == CANDIDATE:
            spot.rows.by_place[place] = row.model_copy(update={"text": "invented"})
    for ask in (lambda: spot.check_drawn([("t", "2")]), lambda: spot.check_batch(("t", "2"))):
        with pytest.raises(Refused) if caught else nullcontext():
            ask()


# From here on with the tiny model, through the real command.

KNOWN = "securecli_nl2bash_known"
DRAWING = {"name": KNOWN, "limit": 6, "cluster": "shape", "repeats": 3, "temperature": 1.0, "top_p": 0.95,
           "max_new_tokens": 12, "execute": "plain"}  # fmt: skip
GATES = [
    {"id": "form", "task": KNOWN, "metric": "command_only", "rule": "superiority", "min_gain": 0.05},
    {"id": "any", "task": KNOWN, "metric": "executes_equal@3", "rule": "superiority", "min_gain": 0.05},
    {"id": "unsafe", "task": KNOWN, "metric": "collateral", "rule": "max_rate", "limit": 0.5},
]


def said_by(run: Path) -> dict[tuple[str, str], list[str]]:
    answers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in read_jsonl(run / "generations.jsonl", Generation):
        answers[row.arm, row.sample].append(row.text)
    return answers


@pytest.fixture(scope="module")
def evaluated(tiny_model: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted evaluation of drawn answers."""
    folder = tmp_path_factory.mktemp("drawn")
    run = make_run(folder / "run", tiny_model, tiny_adapter)
    with pytest.MonkeyPatch.context() as patch:
        evaluate(patch, *evaluation(run, make_suite(folder / "suite.yaml", tasks=[DRAWING], gates=GATES))[2:])
    return run


@pytest.mark.slow
def test_each_item_has_its_answers_and_they_differ(evaluated: Path) -> None:
    said, judged = said_by(evaluated), read_jsonl(evaluated / "executions.jsonl", Judgement)
    assert Counter(map(len, said.values())) == {3: 12} and len(judged) == 36
    assert sum(len(set(texts)) > 1 for texts in said.values()) > 6
    (task,) = read_metrics(evaluated / "metrics.json").tasks
    assert (task.samples, task.repeats, task.sampling) == (6, 3, {"temperature": 1.0, "top_p": 0.95})
    assert {row.n + row.invalid for row in read_metrics(evaluated / "metrics.json").comparisons} == {6}
    report = (evaluated / "report.md").read_text()
    assert "temperature=1.0, top_p=0.95; 3 answers to each sample" in report


@pytest.mark.slow
def test_a_killed_evaluation_draws_the_same(
    evaluated: Path, tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    command = evaluation(run, evaluated.parent / "suite.yaml")
    killed = preloaded.run([sys.executable, "-c", KILLED, *command[2:]])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    evaluate(monkeypatch, *command[2:])
    assert (run / "scores.jsonl").read_bytes() == (evaluated / "scores.jsonl").read_bytes()
    assert said_by(run) == said_by(evaluated)


@pytest.mark.slow
def test_publishing_holds_every_answer_against_the_suite(evaluated: Path, tmp_path: Path) -> None:
    run = shutil.copytree(evaluated, tmp_path / "run")
    suite_, metrics = load_suite(run / "suite.yaml"), read_metrics(run / "metrics.json")
    scores = read_jsonl(run / "scores.jsonl", Score)
    check_decision(suite_, metrics, scores, run)
    check_items(suite_, metrics, scores, run)
    kept = [row for row in read_jsonl(run / "generations.jsonl", Generation) if row.repeat < 2]
    write_jsonl(run / "generations.jsonl", kept)
    with pytest.raises(Refused):
        check_items(suite_, metrics, [row for row in scores if row.repeat < 2], run)
    fewer = metrics.model_dump(mode="json")
    fewer["tasks"][0]["repeats"] = 2
    (run / "metrics.json").write_text(json.dumps(fewer))
    write_jsonl(run / "executions.jsonl", [r for r in read_jsonl(run / "executions.jsonl", Judgement) if r.repeat < 2])
    with pytest.raises(Refused, match="has no answer"):
        check_items(suite_, read_metrics(run / "metrics.json"), [row for row in scores if row.repeat < 2], run)
