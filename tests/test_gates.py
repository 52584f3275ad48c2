"""Gates: outcomes, the verdict, comparability of the arms, and how little invalid items may buy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.common.errors import UserError
from eval.gates.decide import decide
from eval.run.files import write_jsonl
from eval.run.records import Score
from tests.gate_rows import EFFECT, counted, gate_by, scores, suite

GAIN = gate_by("superiority", min_gain=0.05)
RARE = gate_by("max_rate", "rare", limit=0.1)


def test_a_clear_gain_ships() -> None:
    decision = decide(suite(GAIN), scores(counted(40, 2, 58)), EFFECT)
    assert (decision.verdict, decision.gates[0].outcome) == ("ship", "pass")


def test_a_clear_loss_is_no_ship() -> None:
    assert decide(suite(GAIN), scores(counted(2, 40, 58)), EFFECT).verdict == "no-ship"


def test_an_unclear_gain_is_inconclusive_and_names_the_items_needed() -> None:
    decision = decide(suite(GAIN), scores(counted(10, 3, 87)), EFFECT)
    assert decision.verdict == "inconclusive"
    assert decision.gates[0].items_needed is not None and decision.gates[0].items_needed > 100


def test_base_against_itself_never_ships_and_says_so() -> None:
    decision = decide(suite(GAIN), scores(counted(0, 0, 300)), None)
    assert decision.verdict == "no-ship"
    assert "nothing changed" in decision.reasons[0]


def test_base_against_itself_never_ships_even_if_every_gate_passes() -> None:
    decision = decide(suite(gate_by("noninferiority", margin=0.5)), scores(counted(0, 0, 300)), None)
    assert decision.gates[0].outcome == "pass" and decision.verdict == "inconclusive"


@pytest.mark.parametrize(
    "broken", [{"tensors_loaded": 3}, {"max_logit_change": 0.0}, {"tensors": 0, "tensors_loaded": 0}]
)
def test_an_adapter_without_effect_never_ships(broken: dict[str, float]) -> None:
    decision = decide(suite(GAIN), scores(counted(40, 2, 58)), EFFECT.model_copy(update=broken))
    assert decision.verdict == "inconclusive" and "nothing changed" in decision.reasons[0]


def test_one_failed_blocking_gate_outweighs_all_others() -> None:
    gates = [gate_by("superiority", "a", min_gain=0.05), gate_by("noninferiority", "b", "other", margin=0.02)]
    rows = scores(counted(40, 2, 58)) + scores(counted(0, 40, 60), metric="other")
    assert decide(suite(*gates), rows, EFFECT).verdict == "no-ship"


def test_an_advisory_gate_decides_nothing() -> None:
    gates = [
        gate_by("superiority", "a", min_gain=0.05),
        gate_by("superiority", "b", "other", min_gain=0.05, tier="advisory"),
    ]
    rows = scores(counted(40, 2, 58)) + scores(counted(0, 40, 60), metric="other")
    assert decide(suite(*gates), rows, EFFECT).verdict == "ship"


def test_a_task_that_did_not_run_cannot_ship() -> None:
    both = suite(GAIN, GAIN | {"id": "b", "task": "u"}, tasks=[{"name": "t"}, {"name": "u"}])
    decision = decide(both, scores(counted(40, 2, 58)), EFFECT)
    assert decision.verdict == "inconclusive" and "did not run" in decision.gates[1].reason


def test_too_many_invalid_items_are_inconclusive() -> None:
    decision = decide(suite(GAIN), scores(counted(40, 0, 50, invalid=10)), EFFECT)
    assert decision.verdict == "inconclusive" and "10 of 100 items are invalid" in decision.gates[0].reason


def test_repeats_are_averaged_within_an_item() -> None:
    rows = [row.model_copy(update={"repeat": repeat}) for row in scores(counted(30, 0, 70)) for repeat in (0, 1)]
    comparison = decide(suite(GAIN), rows, EFFECT).comparisons[0]
    assert comparison.n == 100 and comparison.wins == 30


def test_arms_with_different_items_are_refused() -> None:
    with pytest.raises(UserError, match="different items"):
        decide(suite(GAIN), scores(counted(40, 2, 58))[:-1], EFFECT)


def test_an_item_scored_twice_is_refused() -> None:
    rows = scores(counted(40, 2, 58))
    with pytest.raises(UserError, match="twice"):
        decide(suite(GAIN), [*rows, rows[0]], EFFECT)


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="no metric exact, only m"):
        decide(suite(GAIN | {"metric": "exact"}), scores(counted(40, 2, 58)), EFFECT)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60), st.randoms())
def test_order_of_lines_does_not_matter(wins: int, losses: int, same: int, random: object) -> None:
    rows = scores(counted(wins, losses, same + 1))
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = decide(suite(GAIN), rows, EFFECT), decide(suite(GAIN), shuffled, EFFECT)
    assert one.verdict == other.verdict and one.gates == other.gates


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60), st.integers(1, 40))
def test_making_lost_items_invalid_never_turns_a_verdict_into_ship(
    wins: int, losses: int, same: int, hidden: int
) -> None:
    """Past the allowed share the gate is inconclusive; below it the allowance is 2 % of the items."""
    hidden = min(hidden, losses)
    total = wins + losses + same + 1
    after = decide(suite(GAIN), scores(counted(wins, losses - hidden, same + 1, invalid=hidden)), EFFECT)
    assume(hidden > 0.02 * total)
    assert after.verdict != "ship"


@pytest.mark.slow
def test_the_command_prints_json_and_exits_with_the_verdict(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "scores.jsonl", scores(counted(2, 40, 58)))
    (tmp_path / "suite.yaml").write_text(json.dumps(suite(GAIN).model_dump()))
    done = subprocess.run(
        [sys.executable, "-m", "eval.gates", "--suite", tmp_path / "suite.yaml", "--scores", tmp_path / "scores.jsonl"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["verdict"] == "no-ship"


@pytest.mark.slow
def test_deciding_needs_no_torch() -> None:
    code = "import sys, eval.gates, eval.report; sys.exit('torch' in sys.modules or 'lm_eval' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("bad", "n", "outcome", "verdict"),
    [(0, 60, "pass", "ship"), (0, 20, "inconclusive", "inconclusive"), (30, 60, "fail", "no-ship")],
)
def test_a_rate_is_held_by_its_bound_not_by_its_point(bad: int, n: int, outcome: str, verdict: str) -> None:
    decision = decide(suite(RARE), [*scores(counted(bad, 0, 0)), *others(bad, n)], EFFECT)
    gate = decision.gates[0]
    assert (gate.outcome, decision.verdict, gate.good) == (outcome, verdict, "below")
    assert gate.interval is not None and gate.interval.method == "clopper-pearson"
    assert (gate.items_needed is not None) == (outcome == "inconclusive")


def others(start: int, stop: int) -> list[Score]:
    """Items numbered start to stop that both arms score 0."""
    rows = scores(counted(0, 0, stop))
    return [row.model_copy(update={"value": 0.0}) for row in rows if int(row.sample) >= start]


def test_dependent_items_make_a_rate_less_sure() -> None:
    alone = others(0, 60)
    together = [row.model_copy(update={"cluster": str(int(row.sample) // 6)}) for row in alone]
    assert decide(suite(RARE), alone, EFFECT).gates[0].outcome == "pass"
    assert decide(suite(RARE), together, EFFECT).gates[0].outcome == "inconclusive"


def test_a_rate_of_a_metric_that_is_no_rate_is_inconclusive() -> None:
    rows = [row.model_copy(update={"value": 0.5}) for row in others(0, 60)]
    gate = decide(suite(RARE), rows, EFFECT).gates[0]
    assert gate.outcome == "inconclusive" and "no rate" in gate.reason
