"""What an evaluation checks about itself: each check is ok on sound rows and not ok on the defect it is there for."""

import time
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.gates.self_checks import adapter_took_effect, baseline_against_itself, comparable_arms, extremes, self_checks
from eval.run.metrics import Interval, SelfCheck
from tests.gate_rows import EFFECT, counted, gate_by, generations, scores, suite
from tests.patience import slowness

LOSS = gate_by("noninferiority", "loss", margin=0.05)
RATE = gate_by("max_rate", "rate", limit=0.05)
GAIN = gate_by("superiority", "gain", min_gain=0.05)
NAMED = gate_by("no_hard_break", "named", samples=["0", "1"])


def named(checks: list[SelfCheck], name: str) -> SelfCheck:
    return next(check for check in checks if check.name == name)


def test_a_sound_evaluation_passes_every_check() -> None:
    rows = scores(counted(20, 0, 40))
    checks = self_checks(suite(LOSS, GAIN), generations(60), rows, EFFECT)
    assert [check.name for check in checks if not check.ok] == []
    assert len(checks) == 5 and "unknown" in named(checks, "noise floor").said


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("mode", ["fixed", "sequential"])
def test_the_baseline_against_itself_is_ok_whatever_it_scores(rate: float, mode: str) -> None:
    values = [float(number < 80 * rate) for number in range(80)]
    gates = (LOSS, RATE, GAIN, NAMED)
    check = baseline_against_itself(suite(*gates, mode=mode), scores((value, 1.0 - value) for value in values))
    assert check.ok, check.said


def test_slices_of_the_baseline_against_itself_are_ok() -> None:
    rows = scores([(0.0, 0.0), (1.0, 0.0)] * 40)
    rows = [row.model_copy(update={"category": "ab"[int(row.sample) % 2]}) for row in rows]
    assert baseline_against_itself(suite(LOSS | {"slice": "category"}), rows).ok


@pytest.mark.parametrize(
    ("interval", "said"), [((-0.5, -0.4), "fails loss"), ((0.4, 0.5), "verdict inconclusive, no gate sees a loss")]
)
def test_an_interval_that_sees_a_loss_where_nothing_changed_is_found(
    interval: tuple[float, float], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign error in the interval: the adapter's run could look right, the baseline against itself cannot."""
    wrong = Interval(low=interval[0], high=interval[1], confidence=0.9, method="wrong")
    monkeypatch.setattr("eval.gates.outcomes.difference_interval", lambda *_: wrong)
    check = baseline_against_itself(suite(LOSS), scores([(0.0, 1.0), (1.0, 1.0)] * 30))
    assert said in check.said and check.ok == (interval[0] > 0)


def test_a_suite_that_fails_the_baseline_against_itself_has_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Interval(low=-0.5, high=-0.4, confidence=0.9, method="wrong")
    monkeypatch.setattr("eval.gates.outcomes.difference_interval", lambda *_: wrong)
    with pytest.raises(UserError, match="bug of the suite"):
        self_checks(suite(LOSS), generations(60), scores([(0.0, 1.0), (1.0, 1.0)] * 30), EFFECT)


def test_a_decision_that_ships_without_an_adapter_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from eval.gates.decide import decide

    monkeypatch.setattr("eval.gates.self_checks.decide", lambda suite, scores, effect: decide(suite, scores, EFFECT))
    check = baseline_against_itself(suite(LOSS), scores(counted(0, 0, 300)))
    assert not check.ok and "got ship" in check.said


def test_other_items_in_one_arm_are_refused() -> None:
    with pytest.raises(UserError, match="1 answers are in one arm only, first t/9, repeat 0, in baseline"):
        comparable_arms(generations(10)[:-1], [])


def test_other_prompts_in_one_arm_are_refused() -> None:
    rows = generations(10)
    rows[-1] = rows[-1].model_copy(update={"prompt_sha256": "another"})
    with pytest.raises(UserError, match="1 items had other prompts, first t/9"):
        comparable_arms(rows, [])


def test_other_repeats_in_one_arm_are_refused() -> None:
    rows = generations(10)
    more = [*rows, rows[-1].model_copy(update={"repeat": 1})]
    with pytest.raises(UserError, match="first t/9, repeat 1, in candidate"):
        comparable_arms(more, [])


def test_an_item_answered_twice_is_refused() -> None:
    rows = generations(10)
    with pytest.raises(UserError, match="candidate answers t/9, repeat 0, twice"):
        comparable_arms([*rows, rows[-1]], [])


def test_other_metrics_in_one_arm_are_refused() -> None:
    rows = scores(counted(0, 0, 10))
    rows[-1] = rows[-1].model_copy(update={"metric": "other"})
    with pytest.raises(UserError, match="2 scores are in one arm only, first m of t/9"):
        comparable_arms(generations(10), rows)


def test_a_score_without_an_answer_is_refused() -> None:
    rows = [*scores(counted(0, 0, 9)), scores(counted(0, 0, 10))[-1]]
    with pytest.raises(UserError, match="a score of t/9 in candidate belongs to no answer"):
        comparable_arms(generations(9), rows)


def test_an_unknown_arm_is_refused() -> None:
    with pytest.raises(UserError, match="an arm other"):
        comparable_arms([generations(1)[0].model_copy(update={"arm": "other"})], [])


@pytest.mark.parametrize(
    ("value", "gate", "ok", "said"),
    [
        (0.0, LOSS, False, "loss: both arms are at the floor (all 0), no loss can show"),
        (1.0, GAIN, False, "gain: both arms are at the ceiling (all 1), no gain can show"),
        (0.0, RATE, True, "rate: both arms are at the floor (all 0)"),
    ],
)
def test_a_metric_at_an_end_in_both_arms_is_said(value: float, gate: dict[str, Any], ok: bool, said: str) -> None:
    check = extremes(suite(gate), scores([(value, value)] * 20))
    assert (check.ok, check.said) == (ok, said)


def test_a_metric_at_an_end_in_one_arm_is_no_matter() -> None:
    check = extremes(suite(LOSS), scores([(0.0, 0.0)] * 19 + [(0.0, 1.0)]))
    assert check.ok and "no gated metric" in check.said


@pytest.mark.parametrize("broken", [{"tensors_loaded": 3}, {"max_logit_change": 0.0}])
def test_an_adapter_without_effect_is_not_ok(broken: dict[str, float]) -> None:
    assert adapter_took_effect(EFFECT).ok
    assert not adapter_took_effect(EFFECT.model_copy(update=broken)).ok
    assert not adapter_took_effect(None).ok


def test_ten_thousand_items_are_checked_within_a_second() -> None:
    n = 10_000
    rows, answers = scores(counted(n // 2, 0, n // 2)), generations(n)
    spent = []
    for _ in range(3):  # the best: a long test process collects the garbage of others in between
        started = time.process_time()
        self_checks(suite(LOSS, RATE), answers, rows, EFFECT)
        spent.append(time.process_time() - started)
    assert min(spent) < 1.0 * slowness()


@pytest.mark.parametrize("field", ["base_tensors_sha256", "settings_sha256", "adapter_sha256"])
def test_answers_of_more_than_one_base_adapter_or_kind_of_settings_are_not_comparable(field: str) -> None:
    rows = generations(4)
    rows[0] = rows[0].model_copy(update={field: "a" * 64})
    with pytest.raises(UserError, match="more than one base, adapter or kind of settings"):
        comparable_arms(rows, [])
