"""The draw of spot answers: repeatable, weighed towards what decides, catching a forger as often as the page says."""

import random
from itertools import pairwise
from pathlib import Path

import pytest

from eval.config.suite_file import load_suite
from eval.run.files import read_jsonl, read_metrics
from eval.run.records import Generation, Score
from scripts.publishing.spot_draw import DECIDING, INFORMING, WON, deciding_weights, draw, evidence_seed
from tests.run_builder import build_run, replace_scores

ITEMS = {("t", f"s{number}"): 1.0 for number in range(200)}


def test_a_seed_draws_the_same_items_and_another_seed_others() -> None:
    assert draw(ITEMS, "a", 16) == draw(ITEMS, "a", 16) != draw(ITEMS, "b", 16)
    assert len(set(draw(ITEMS, "a", 500))) == 200


def test_a_second_draw_takes_none_of_the_first() -> None:
    first = draw(ITEMS, "a", 16)
    assert not set(first) & set(draw(ITEMS, "b", 100, first))


def test_items_are_drawn_in_proportion_to_their_weight() -> None:
    weights = ITEMS | {("t", f"s{number}"): WON for number in range(20)}
    firsts = [draw(weights, str(seed), 1)[0] for seed in range(1500)]
    share = sum(weights[item] == WON for item in firsts) / len(firsts)
    assert share == pytest.approx(20 * WON / (20 * WON + 180), abs=0.05)


def test_who_invents_a_share_of_the_wins_is_caught_as_often_as_the_page_says() -> None:
    weights = {("t", f"s{n}"): WON if n < 300 else DECIDING if n < 900 else INFORMING for n in range(1000)}
    wins, caught, drawn = [item for item in weights if weights[item] == WON], 0, 0
    for seed in range(200):
        invented = set(random.Random(seed).sample(wins, 30))
        first = draw(weights, f"a{seed}", 16)
        items = [*first, *draw(weights, f"b{seed}", 16, first)]
        drawn += sum(weights[item] == WON for item in items)
        caught += bool(invented & set(items))
    assert caught / 200 == pytest.approx(1 - (1 - 30 / 300) ** (drawn / 200), abs=0.06)
    assert caught / 200 > 0.8


def test_wins_of_blocking_gates_weigh_most_in_the_direction_of_each_gate(tmp_path: Path) -> None:
    run = build_run(tmp_path)  # the candidate wins items 20 to 54 of both tasks, and nothing else differs
    replace_scores(run, {("baseline", "refuse", "s0"): None})
    weights = deciding_weights(load_suite(run / "suite.yaml"), read_jsonl(run / "scores.jsonl", Score))
    assert {item for item, weight in weights.items() if weight == WON} == {("refuse", "s0")} | {
        (task, f"s{number}") for task in ("translate", "refuse") for number in range(20, 55)
    }
    assert set(weights.values()) == {WON, DECIDING}


def test_the_first_draw_hangs_on_what_decides_and_not_on_what_is_free_to_vary(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    metrics = read_metrics(run / "metrics.json")
    answers, scores = read_jsonl(run / "generations.jsonl", Generation), read_jsonl(run / "scores.jsonl", Score)
    free = [row.model_copy(update={"seconds": row.seconds + 1}) for row in reversed(answers)]
    other = metrics.model_copy(update={"costs": {"seconds": 99.0}, "reasons": ["any"]})
    said = [score.model_copy(update={"reason": "x"}) for score in scores]
    seeds = [
        evidence_seed(metrics, {"a": "1"}, answers, scores),
        evidence_seed(other, {"a": "1"}, free, said),
        evidence_seed(metrics, {"a": "2"}, answers, scores),
        evidence_seed(metrics, {"a": "1"}, [answers[0].model_copy(update={"text": "x"}), *answers[1:]], scores),
        evidence_seed(metrics, {"a": "1"}, answers, [scores[0].model_copy(update={"value": 0.5}), *scores[1:]]),
    ]
    assert seeds[0] == seeds[1]
    assert all(one != other for one, other in pairwise(seeds[1:]))
