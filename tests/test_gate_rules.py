"""Every rule of a suite file: what passes it, what fails it, and what it leaves open."""

import pytest

from eval.common.errors import UserError
from eval.gates.comparisons import pair_scores
from eval.gates.decide import Decision, decide
from eval.run.metrics import GateResult
from tests.gate_rows import EFFECT, Pair, scores, suite

Values = list[Pair]


def decided(rule: dict[str, object], values: Values, categories: str = "", **changes: object) -> Decision:
    """The decision of a suite with one gate, on (baseline, candidate) values; a letter a category."""
    gate = {"id": "g", "task": "t", "metric": "m"} | rule
    return decide(suite(gate, **changes), scores(values, categories=categories), EFFECT)


def outcome(rule: dict[str, object], values: Values, categories: str = "", **changes: object) -> GateResult:
    return decided(rule, values, categories, **changes).gates[0]


MIN_RATE = {"rule": "min_rate", "limit": 0.9}


@pytest.mark.parametrize(("right", "expected"), [(100, "pass"), (94, "inconclusive"), (80, "fail")])
def test_min_rate_holds_the_lower_exact_bound_against_the_limit(right: int, expected: str) -> None:
    gate = outcome(MIN_RATE, [(0.0, 1.0)] * right + [(0.0, 0.0)] * (100 - right))
    assert (gate.outcome, gate.good, gate.about) == (expected, "above", "rate")


def test_twenty_of_twenty_is_not_always() -> None:
    assert outcome(MIN_RATE, [(1.0, 1.0)] * 20).outcome == "inconclusive"  # at least 86.1 %


@pytest.mark.parametrize(("limit", "expected"), [(0.4, "pass"), (0.25, "inconclusive"), (0.1, "fail")])
def test_max_value_holds_the_upper_bound_of_the_mean_against_the_limit(limit: float, expected: str) -> None:
    values: Values = [(0.0, 0.2 + 0.01 * (i % 11)) for i in range(99)]  # mean 0.25
    assert outcome({"rule": "max_value", "limit": limit}, values).outcome == expected


HARD = {"rule": "no_hard_break", "samples": ["0", "1"]}


def test_a_named_item_that_flips_fails_alone() -> None:
    gate = outcome(HARD, [(1.0, 0.0), (1.0, 1.0)] + [(0.0, 1.0)] * 98)
    assert gate.outcome == "fail" and "0" in gate.reason and gate.estimate == 1


def test_other_items_may_flip() -> None:
    assert outcome(HARD, [(1.0, 1.0), (0.0, 0.0)] + [(1.0, 0.0)] * 98).outcome == "pass"


def test_a_named_item_without_a_score_is_not_a_pass() -> None:
    values: Values = [(1.0, 1.0), (1.0, None), *[(1.0, 1.0)] * 200]
    assert outcome(HARD, values, max_invalid=0.1).outcome == "inconclusive"


SLICED = {"rule": "noninferiority", "margin": 0.1, "slice": "category"}
STEADY: Values = [(1.0, 1.0)] * 100


def test_a_sliced_gate_passes_when_every_category_does() -> None:
    gate = outcome(SLICED, STEADY * 2, "a" * 100 + "b" * 100)
    assert gate.outcome == "pass" and [row.outcome for row in gate.slices] == ["pass", "pass"]


def test_one_bad_category_fails_a_gate_that_its_mean_would_pass() -> None:
    bad: Values = [(1.0, 0.0)] * 30 + [(1.0, 1.0)] * 70
    gate = outcome(SLICED, STEADY * 9 + bad, "a" * 900 + "b" * 100)
    assert gate.outcome == "fail" and gate.slices[0].slice == "b" and "b" in gate.reason
    assert outcome(SLICED | {"slice": None}, STEADY * 9 + bad, "a" * 900 + "b" * 100).outcome == "pass"


def test_a_small_category_leaves_the_gate_open() -> None:
    gate = outcome(SLICED, STEADY + [(1.0, 1.0)] * 3, "a" * 100 + "b" * 3)
    assert gate.outcome == "inconclusive" and "b" in gate.reason


def test_among_many_categories_one_needs_more_to_be_called_failing() -> None:
    bad: Values = [(1.0, 0.0)] * 9 + [(1.0, 1.0)] * 31  # p = .002 alone
    alone = outcome(SLICED, bad, "a" * 40)
    among = outcome(SLICED, bad + STEADY[:40] * 40, "a" * 40 + "".join(chr(0x100 + i) * 40 for i in range(40)))
    assert alone.outcome == "fail" and among.outcome != "fail"


def test_slicing_samples_without_categories_is_refused() -> None:
    with pytest.raises(UserError, match="no category"):
        outcome(SLICED, STEADY)


def test_a_loss_that_is_impossible_at_the_floor_is_not_a_pass() -> None:
    gate = outcome({"rule": "noninferiority", "margin": 0.05}, [(0.0, 0.0)] * 198 + [(1.0, 0.0), (0.0, 1.0)])
    assert gate.outcome == "inconclusive" and "floor" in gate.reason


def test_a_gate_may_pass_at_the_ceiling_where_a_loss_would_be_seen() -> None:
    assert outcome({"rule": "noninferiority", "margin": 0.05}, STEADY * 2).outcome == "pass"


def test_categories_are_explored_and_decide_nothing() -> None:
    bad: Values = [(1.0, 0.0)] * 12 + [(1.0, 1.0)] * 28
    decision = decided({"rule": "noninferiority", "margin": 0.1}, STEADY * 9 + bad, "a" * 900 + "b" * 40)
    [exploration] = decision.explorations
    assert decision.verdict == "ship"
    assert exploration.slices[0].slice == "b" and exploration.slices[0].outcome is None
    assert exploration.slices[0].adjusted_p is not None and exploration.slices[0].adjusted_p < 0.01


def test_a_sequential_suite_refuses_what_it_cannot_decide() -> None:
    for rule, word in ((SLICED, "slice"), ({"rule": "max_value", "limit": 1}, "without bounds")):
        with pytest.raises(ValueError, match=word):
            outcome(rule, STEADY, "a" * 100, mode="sequential")


def test_a_sequential_verdict_uses_anytime_valid_intervals() -> None:
    gain: Values = [(0.0, 1.0)] * 60 + [(1.0, 1.0)] * 140
    rule = {"rule": "superiority", "min_gain": 0.05}
    once, looking = outcome(rule, gain), outcome(rule, gain, mode="sequential")
    assert looking.outcome == "pass" and once.interval is not None and looking.interval is not None
    assert "anytime" in looking.interval.method
    assert looking.interval.low <= once.interval.low and looking.interval.high >= once.interval.high


def test_a_metric_outside_of_the_unit_interval_has_no_sequential_test() -> None:
    values: Values = [(0.0, 7.0)] * 50
    assert outcome({"rule": "superiority", "min_gain": 0.05}, values, mode="sequential").outcome == "inconclusive"


HIDING = [(1.0, None), (None, 0.0), (None, None)]  # in the candidate, in the baseline, in both


@pytest.mark.parametrize("broken", HIDING)
def test_losses_cannot_hide_as_invalid_items_of_either_arm(broken: tuple[float | None, float | None]) -> None:
    rule = {"rule": "noninferiority", "margin": 0.03}
    values: Values = [(1.0, 1.0)] * 590 + [(0.0, 1.0)] * 4 + [(1.0, 0.0)] * 6
    assert outcome(rule, values).outcome == "pass"
    hiding = outcome(rule, values + [broken] * 12)
    assert hiding.outcome == "inconclusive" and "12 invalid items of either arm" in hiding.reason
    assert outcome(rule, values + [(None, 1.0)] * 12).outcome == "pass"  # right in the candidate: no loss to hide


@pytest.mark.parametrize("broken", [(0.0, None), (None, 1.0), (None, None)])
def test_harm_cannot_hide_as_invalid_items_of_either_arm(broken: tuple[float | None, float | None]) -> None:
    rule = {"rule": "max_rate", "limit": 0.05}
    values: Values = [(0.0, 0.0)] * 297 + [(0.0, 1.0)] * 6
    assert outcome(rule, values).outcome == "pass"
    assert outcome(rule, values + [broken] * 6).outcome == "inconclusive"
    assert outcome(rule, values + [(None, 0.0)] * 6).outcome == "pass"  # the candidate's own answer is known


def test_a_metric_without_bounds_passes_no_gate_with_an_invalid_item() -> None:
    rule = {"rule": "max_value", "limit": 9.0}
    values: Values = [(2.0, 3.0), (2.0, 2.5)] * 60
    assert outcome(rule, values).outcome == "pass"
    found = outcome(rule, [*values, (2.0, None)])
    assert found.outcome == "inconclusive" and "no worst value" in found.reason


def test_what_is_known_of_an_item_counts_when_one_of_its_repeats_is_invalid() -> None:
    first, second = scores([(1.0, 1.0)]), [row.model_copy(update={"repeat": 1}) for row in scores([(1.0, None)])]
    pairs = pair_scores(first + second)
    worst = pairs.at_worst("above")
    assert (pairs.samples, worst.baseline, worst.candidate) == ([], [1.0], [0.5])
