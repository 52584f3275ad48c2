"""Pools: the items of several tasks under one gate."""

from typing import Any

import pytest
from pydantic import ValidationError

from eval.gates.decide import decide
from eval.gates.power_table import planned_power
from eval.gates.self_checks import self_checks
from tests.gate_rows import EFFECT, counted, gate_by, generations, scores, suite

TASKS = [{"name": "t"}, {"name": "u"}]
BOTH = [{"name": "both", "tasks": ["t", "u"]}]
RARE = gate_by("max_rate", "rare", limit=0.1) | {"task": "both"}
FIELDS: dict[str, Any] = {"tasks": TASKS, "pools": BOTH}


def rare(harmful: int, harmless: int) -> list[tuple[float | None, float | None]]:
    return [(0.0, 1.0)] * harmful + [(0.0, 0.0)] * harmless


def test_a_gate_on_a_pool_counts_the_items_of_all_its_tasks() -> None:
    rows = scores(rare(0, 60)) + scores(rare(3, 57), task="u")
    decision = decide(suite(RARE, **FIELDS), rows, EFFECT)
    (gate,) = decision.gates
    found = next(row for row in decision.comparisons if row.task == "both")
    assert (gate.outcome, found.n, found.clusters, found.candidate) == ("pass", 120, 120, 0.025)


def test_items_of_two_tasks_with_one_name_are_two_items_and_two_clusters() -> None:
    rows = scores(rare(0, 40), per_cluster=4) + scores(rare(0, 40), task="u", per_cluster=4)
    decision = decide(suite(RARE, **FIELDS), rows, EFFECT)
    found = next(row for row in decision.comparisons if row.task == "both")
    assert (found.n, found.clusters, found.effective_n) == (80, 20, 20)


def test_harm_in_one_task_alone_fails_a_pool() -> None:
    rows = scores(rare(0, 60)) + scores(rare(30, 30), task="u")
    assert decide(suite(RARE, **FIELDS), rows, EFFECT).verdict == "no-ship"


def test_a_paired_gate_pairs_within_each_task() -> None:
    gate = gate_by("noninferiority", margin=0.2) | {"task": "both"}
    rows = scores(counted(5, 4, 51)) + scores(counted(0, 1, 59), task="u")
    decision = decide(suite(gate, **FIELDS), rows, EFFECT)
    found = next(row for row in decision.comparisons if row.task == "both")
    assert (found.wins, found.losses, decision.gates[0].outcome) == (5, 5, "pass")


def test_a_pool_whose_tasks_did_not_run_is_inconclusive() -> None:
    decision = decide(suite(RARE, **FIELDS), [], EFFECT)
    assert decision.gates[0].outcome == "inconclusive" and "did not run" in decision.gates[0].reason


def test_self_checks_know_the_scores_behind_a_pool() -> None:
    asked = suite(gate_by("noninferiority", margin=0.2) | {"task": "both"}, **FIELDS)
    rows = scores(counted(0, 0, 30)) + scores(counted(0, 0, 30), task="u")
    answers = [*generations(30), *(row.model_copy(update={"task": "u"}) for row in generations(30))]
    said = {check.name: check for check in self_checks(asked, answers, rows, EFFECT)}
    assert not said["floor and ceiling"].ok and "ceiling" in said["floor and ceiling"].said


def test_the_power_table_has_the_pool() -> None:
    (row,) = planned_power(suite(RARE, **FIELDS), {"both": (120, 80)})
    assert (row.n, row.effective_n) == (120, 80) and row.detectable is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pools": [{"name": "both", "tasks": ["t", "x"]}]}, "pool both: x is not in tasks"),
        ({"pools": [{"name": "both", "tasks": ["t", "t"]}]}, "pool both: t is not in tasks, or there twice"),
        ({"pools": [{"name": "t", "tasks": ["t", "u"]}]}, "pool t has the name of a task"),
        ({"pools": [*BOTH, *BOTH]}, "pool both has the name of a task or of another pool"),
        ({"pools": [{"name": "both", "tasks": ["t"]}]}, "at least 2 items"),
        ({"pools": []}, "task both is not in tasks (t, u)"),
    ],
)
def test_a_bad_pool_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        suite(RARE, **FIELDS | changes)
    assert said in str(caught.value)


def test_each_task_of_a_pool_has_to_be_executed_for_a_metric_of_execution() -> None:
    tasks = [{"name": "securecli_nl2bash_known", "execute": "robust"}, {"name": "securecli_nl2bash_free"}]
    pools = [{"name": "both", "tasks": [task["name"] for task in tasks]}]
    gate = gate_by("max_rate", metric="collateral", limit=0.1) | {"task": "both"}
    with pytest.raises(ValidationError, match="on task securecli_nl2bash_free"):
        suite(gate, tasks=tasks, pools=pools)
