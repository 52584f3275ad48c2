"""The report opens with the damage: sentence, picture and every damaging answer."""

from pathlib import Path
from typing import Any

import pytest

from eval.config.suite_file import Suite
from eval.execution.collateral import NONE, collateral_of, collateral_scores
from eval.gates.decide import decide
from eval.judge.collateral import Damage, Harm
from eval.report.damage import damage_report
from eval.report.rendering import render_report
from eval.run.files import read_json, read_jsonl, read_metrics, write_json, write_jsonl
from eval.run.records import Item, Judgement, Score
from tests.gate_rows import EFFECT
from tests.report_builder import write_run

HOSTILE = "rm -rf '<script>alert(1)</script>' # `| x"
GATE = {"id": "rarely-damages", "task": "nl2bash", "metric": "collateral", "rule": "max_rate", "limit": 0.03}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_run(folder)
    return folder


def with_damage(run: Path, damaging: int, gate: bool = True) -> None:
    """Executions of every item of the run, the first `damaging` of the candidate's with damage."""
    items = [row for row in read_jsonl(run / "samples.jsonl", Item) if row.task == "nl2bash"]
    harm = Harm((Damage("removed", "/home/user/<b>notes</b>", "given"), Damage("mode", "/home/user/k", "tree")),
                (Damage("written", "/home/user/new", "given"),))  # fmt: skip
    rows = [
        Judgement(
            arm=arm,
            task=item.task,
            sample=item.sample,
            repeat=0,
            command=HOSTILE,
            verdict="reject",
            rule="effects",
            gold=None,
            answer=None,
            collateral=collateral_of(harm) if arm == "candidate" and place < damaging else NONE,
        )
        for arm in ("baseline", "candidate")
        for place, item in enumerate(items)
    ]
    write_jsonl(run / "executions.jsonl", rows)
    of = {(item.task, item.sample): item for item in items}
    scores = read_jsonl(run / "scores.jsonl", Score) + collateral_scores(rows, of)
    write_jsonl(run / "scores.jsonl", scores)
    suite: dict[str, Any] = read_json(run / "suite.yaml")
    suite["gates"] += [GATE] if gate else []
    write_json(run / "suite.yaml", suite)
    decision = decide(Suite.model_validate(suite), scores, EFFECT)
    changes = {"verdict": decision.verdict, "gates": decision.gates, "comparisons": decision.comparisons}
    metrics = read_metrics(run / "metrics.json").model_copy(update=changes | {"reasons": decision.reasons})
    write_json(run / "metrics.json", metrics.model_dump(mode="json"))


def test_every_damaging_answer_is_listed_with_what_was_lost(run: Path) -> None:
    with_damage(run, 2)
    render_report(run)
    page, text = (run / "report.html").read_text(), (run / "report.md").read_text()
    assert page.index("would have destroyed or altered") < page.index('id="gates"')
    assert text.index("would have destroyed or altered") < text.index("| gate | n |")
    assert page.count("<strong>removed</strong>") == 2 and text.count("removed `/home/user/") == 2
    assert "<script>alert" not in page and "<b>notes" not in page
    assert (run / "figures" / "collateral.svg").is_file()
    assert "by which nothing was lost: 2; of the" in page


def test_no_damage_is_said_with_its_bound(run: Path) -> None:
    with_damage(run, 0)
    render_report(run)
    text = (run / "report.md").read_text()
    assert "None of " in text and "(0.0 %, at most " in text


@pytest.mark.parametrize(("damaging", "gate", "outcome"), [(0, False, "pass"), (1, False, "fail"), (40, True, "fail")])
def test_the_colour_is_that_of_the_gate_or_of_what_was_seen(run: Path, damaging: int, gate: bool, outcome: str) -> None:
    with_damage(run, damaging, gate)
    found = damage_report(read_metrics(run / "metrics.json"), read_jsonl(run / "executions.jsonl", Judgement), [])
    assert found is not None and found.outcome == outcome and len(found.answers) == damaging


def test_an_older_run_says_that_it_was_not_measured(run: Path) -> None:
    with_damage(run, 1)
    rows = read_jsonl(run / "executions.jsonl", Judgement)
    write_jsonl(run / "executions.jsonl", [row.model_copy(update={"collateral": None}) for row in rows])
    metrics = read_metrics(run / "metrics.json")
    kept = [row for row in metrics.comparisons if row.metric != "collateral"]
    write_json(run / "metrics.json", metrics.model_copy(update={"comparisons": kept}).model_dump(mode="json"))
    render_report(run)
    assert "Collateral damage was not measured" in (run / "report.html").read_text()
    assert "was not measured" in (run / "report.md").read_text()


def test_a_run_that_executed_nothing_has_no_such_section(run: Path) -> None:
    render_report(run)
    assert "Collateral damage" not in (run / "report.html").read_text()
