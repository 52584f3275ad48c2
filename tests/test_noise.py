"""The noise floor: what the passes measure, where the record goes, and what a gate does with it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.common.errors import UserError
from eval.gates.decide import decide
from eval.gates.noise import (
    MetricNoise,
    NoiseFloor,
    Pass,
    TaskNoise,
    backend_of,
    floor_file,
    floor_for,
    measure,
    parse_floor,
    read_floor,
    write_floor,
)
from eval.gates.self_checks import margins_above_noise
from eval.model.answer_cache import AnswerCache
from eval.run.records import Generation, Score
from scripts.noise_floor import batch_sizes, limited, measure_backend
from tests.gate_rows import EFFECT, counted, gate_by, generations, scores, suite

VERSIONS = {"torch": "2.0", "transformers": "5.0", "lm_eval": "0.4", "tokenizers": "0.2", "axolotl": "0.1"}
BACKEND = backend_of({"model": "abc"}, {"device": "cuda:0", "dtype": "torch.bfloat16"}, VERSIONS)
LOSS = gate_by("noninferiority", margin=0.05)


def one_pass(batch_size: int, texts: list[str], values: list[float | None]) -> Pass:
    answers: list[Generation] = [
        row.model_copy(update={"text": text, "arm": "baseline"})
        for row, text in zip(generations(len(texts)), texts, strict=False)
    ]
    rows = [Score.of(row, "m", value, "", Item) for row, value in zip(answers, values, strict=True)]
    return Pass(batch_size, answers, rows)


class Item:
    cluster = "c"
    category = None


def floor(spread: float, metric: str = "m") -> dict[str, Any]:
    row = MetricNoise(metric=metric, n=64, flipped=spread, spread=spread)
    task = TaskNoise(task="t", n=64, samples_sha256="a", batch_sizes=[2, 1], answers_differ=0.5, metrics=[row])
    return NoiseFloor(backend=BACKEND, tasks=[task]).model_dump()


def test_flips_and_spread_are_those_of_the_passes() -> None:
    texts = ["a", "b", "c", "d"]
    passes = [
        one_pass(8, texts, [1.0, 1.0, 0.0, 0.0]),
        one_pass(4, [*texts[:3], "x"], [1.0, 1.0, 0.0, 1.0]),
        one_pass(2, texts, [0.0, 1.0, 0.0, 0.0]),
    ]
    task = measure(passes, {"t": "digest"})[0]
    assert (task.n, task.answers_differ, task.batch_sizes, task.samples_sha256) == (4, 0.25, [8, 4, 2], "digest")
    noise = task.metrics[0]
    assert (noise.metric, noise.n, noise.flipped, noise.spread) == ("m", 4, 0.5, 0.5)  # means 1/2, 3/4, 1/4


def test_a_backend_without_noise_has_none() -> None:
    same = [one_pass(size, ["a", "b"], [1.0, 0.0]) for size in (4, 2)]
    task = measure(same, {"t": "digest"})[0]
    assert (task.answers_differ, task.metrics[0].flipped, task.metrics[0].spread) == (0, 0, 0)


def test_an_item_without_a_value_in_some_pass_does_not_count() -> None:
    task = measure([one_pass(4, ["a", "b"], [1.0, None]), one_pass(2, ["a", "b"], [1.0, 1.0])], {"t": "d"})[0]
    assert (task.n, task.metrics[0].n, task.metrics[0].spread) == (2, 1, 0)


def test_one_pass_and_other_items_are_refused() -> None:
    with pytest.raises(UserError, match="two passes"):
        measure([one_pass(4, ["a"], [1.0])], {"t": "d"})
    with pytest.raises(UserError, match="different items"):
        measure([one_pass(4, ["a"], [1.0]), one_pass(2, ["a", "b"], [1.0, 1.0])], {"t": "d"})


def test_a_record_belongs_to_device_dtype_base_and_versions_that_compute() -> None:
    assert BACKEND["device"] == "cuda" and BACKEND["dtype"] == "bfloat16" and "axolotl" not in BACKEND["versions"]
    others = [
        backend_of({"model": "xyz"}, {"device": "cuda", "dtype": "torch.bfloat16"}, VERSIONS),
        backend_of({"model": "abc"}, {"device": "cpu", "dtype": "torch.bfloat16"}, VERSIONS),
        backend_of({"model": "abc"}, {"device": "cuda", "dtype": "torch.float32"}, VERSIONS),
        backend_of({"model": "abc"}, {"device": "cuda", "dtype": "torch.bfloat16"}, VERSIONS | {"torch": "2.1"}),
    ]
    assert len({floor_file(Path(), backend) for backend in (BACKEND, *others)}) == 5


def test_a_record_is_found_again_and_other_tasks_are_kept(tmp_path: Path) -> None:
    tasks = parse_floor(floor(0.1), "here").tasks
    other = tasks[0].model_copy(update={"task": "u"})
    write_floor(tmp_path, BACKEND, [other])
    path = write_floor(tmp_path, BACKEND, tasks)
    found = read_floor(tmp_path, BACKEND)
    assert found is not None and [row.task for row in found.tasks] == ["t", "u"]
    before = path.read_bytes()
    assert write_floor(tmp_path, BACKEND, tasks).read_bytes() == before
    shown = floor_for(tmp_path, BACKEND, ["t"])
    assert shown is not None and [row["task"] for row in shown["tasks"]] == ["t"]
    assert floor_for(tmp_path, BACKEND, ["v"]) is None
    assert floor_for(tmp_path, BACKEND | {"dtype": "float32"}, ["t"]) is None


def test_a_broken_or_moved_record_is_one_line(tmp_path: Path) -> None:
    path = floor_file(tmp_path, BACKEND)
    path.write_text('{"backend": {}}')
    with pytest.raises(UserError, match="measure again"):
        read_floor(tmp_path, BACKEND)
    path.write_text(json.dumps(floor(0.1) | {"backend": {"device": "cpu"}}))
    with pytest.raises(UserError, match="another backend"):
        read_floor(tmp_path, BACKEND)


def test_a_margin_inside_the_noise_does_not_pass() -> None:
    rows = scores(counted(2, 2, 300))
    assert decide(suite(LOSS), rows, EFFECT, floor(0.04)).verdict == "ship"
    noisy = decide(suite(LOSS), rows, EFFECT, floor(0.06))
    assert noisy.verdict == "inconclusive"
    assert "the margin, 5 points, is inside the noise of this backend, 6.0" in noisy.gates[0].reason


def test_a_loss_inside_the_noise_does_not_fail_and_a_larger_one_does() -> None:
    gate = LOSS | {"margin": 0.01}
    assert decide(suite(gate), scores(counted(0, 30, 470)), EFFECT).verdict == "no-ship"
    assert decide(suite(gate), scores(counted(0, 30, 470)), EFFECT, floor(0.1)).verdict == "inconclusive"
    assert decide(suite(gate), scores(counted(0, 200, 300)), EFFECT, floor(0.1)).verdict == "no-ship"


def test_a_gain_beyond_the_noise_passes_whatever_was_asked_for() -> None:
    gate = gate_by("superiority", min_gain=0.0)
    assert decide(suite(gate), scores(counted(100, 0, 100)), EFFECT, floor(0.06)).verdict == "ship"
    small = decide(suite(gate), scores(counted(15, 2, 283)), EFFECT, floor(0.06))
    assert small.verdict == "inconclusive" and "the smallest gain, 0 points, is inside" in small.gates[0].reason


def test_noise_of_another_metric_or_of_a_rate_changes_nothing() -> None:
    rows = scores(counted(2, 2, 300))
    assert decide(suite(LOSS), rows, EFFECT, floor(0.5, metric="other")).verdict == "ship"
    rare = gate_by("max_rate", limit=0.1)
    unseen = [row.model_copy(update={"value": 0.0}) for row in scores(counted(0, 0, 60))]
    assert decide(suite(rare), unseen, EFFECT, floor(0.5)).verdict == "ship"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 200), st.floats(0, 1))
def test_noise_never_makes_a_ship(wins: int, losses: int, same: int, spread: float) -> None:
    rows = scores(counted(wins, losses, same))
    assume(decide(suite(LOSS), rows, EFFECT).verdict != "ship")
    assert decide(suite(LOSS), rows, EFFECT, floor(spread)).verdict != "ship"


def test_broken_noise_in_metrics_json_is_one_line() -> None:
    with pytest.raises(UserError, match=r"metrics\.json: noise: "):
        decide(suite(LOSS), scores(counted(40, 2, 58)), EFFECT, {"tasks": 1})


@pytest.mark.parametrize(
    ("noise", "ok", "said"),
    [
        (None, True, "unknown: not measured"),
        (floor(0.04), True, "1 thresholds lie outside"),
        (floor(0.06), False, "the threshold of g, -0.05, lies inside the spread of 0.06"),
        (floor(0.06, metric="other"), True, "unknown for g"),
    ],
)
def test_the_self_check_compares_margins_with_the_noise(noise: dict[str, Any] | None, ok: bool, said: str) -> None:
    check = margins_above_noise(suite(LOSS), noise)
    assert check.ok == ok and said in check.said


def test_sizes_go_down_from_the_suites_own() -> None:
    assert batch_sizes(128) == [128, 96, 64, 48, 32]
    assert batch_sizes(4) == [4, 3, 2, 1] and batch_sizes(1) == [1]
    assert limited(suite(LOSS, tasks=[{"name": "t", "limit": 10}]), 64).tasks[0].limit == 10
    assert limited(suite(LOSS), 64).tasks[0].limit == 64


@pytest.mark.slow
def test_a_real_model_is_measured_the_same_twice(tiny_model: Path, tmp_path: Path) -> None:
    name = "securecli_nl2bash_known"
    gate = gate_by("superiority", metric="command_only", min_gain=0.05) | {"task": name}
    small = suite(gate, tasks=[{"name": name, "limit": 6}], backend={"dtype": "bfloat16", "batch_size": 4})
    path, measured = measure_backend(small, str(tiny_model), None, tmp_path, AnswerCache(tmp_path / "one"))
    before = path.read_bytes()
    assert path.name.startswith("cpu-bfloat16-") and measured[0].n == 6 and measured[0].batch_sizes == [4, 3, 2, 1]
    assert {"command_only", "syntax_valid"} <= {row.metric for row in measured[0].metrics}
    for cache in ("one", "two"):  # from kept answers, as after a kill, and from none
        measure_backend(small, str(tiny_model), None, tmp_path, AnswerCache(tmp_path / cache))
        assert path.read_bytes() == before
