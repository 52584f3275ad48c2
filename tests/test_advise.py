"""Advice: what a gate needs is what its own rule then takes, and no row that a test asks is proposed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from eval.common.places import ROOT
from eval.config.suite_file import load_suite
from eval.gates.advice import needs
from eval.gates.decide import decide, pairs_of
from eval.gates.outcomes import compare_in, judge_gate
from eval.run.files import read_jsonl, read_metrics
from eval.run.records import Score
from scripts import advise
from scripts.training.leakage import asked_by_test, requests
from tests.run_builder import call

DEMO = ROOT / "results" / "demo"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The committed run, which is a no-ship, in a folder of its own."""
    return shutil.copytree(DEMO, tmp_path / "run")


def test_what_has_to_come_right_is_the_least_that_the_gates_own_rule_takes() -> None:
    suite, metrics = load_suite(DEMO / "suite.yaml"), read_metrics(DEMO / "metrics.json")
    scores = read_jsonl(DEMO / "scores.jsonl", Score)
    pairs = pairs_of(suite, scores)
    decided = decide(suite, scores, metrics.adapter_effect).gates
    found = {one.gate.id: one for one in needs(suite, pairs, decided)}
    assert set(found) == {gate.id for gate in decided if gate.outcome != "pass"}
    for gate in suite.gates:
        if gate.id not in found or (count := found[gate.id].to_mend) is None:
            continue
        paired, lost = pairs[gate.task, gate.metric], found[gate.id].lost
        best = 1.0 if gate.wants() == "higher" else 0.0
        outcomes = []
        for mended in (set(lost[: count - 1]), set(lost[:count])):
            values = [
                best if name in mended else value for name, value in zip(paired.samples, paired.candidate, strict=True)
            ]
            other = replace(paired, candidate=values)
            outcomes.append(judge_gate(gate, other, compare_in(suite, other), suite).outcome)
        assert outcomes[0] != "pass" and outcomes[1] == "pass", gate.id
    assert found["rarely-damages"].to_mend and found["drift"].to_mend is None


def test_kinds_that_lose_and_what_was_trained_of_them(run: Path) -> None:
    advice = advise.advise(run)
    gates = {gate.id: gate for gate in advice.gates}
    assert [gate.tier for gate in advice.gates] == sorted((gate.tier for gate in advice.gates), reverse=True)
    carried = {group.name: group for group in gates["rarely-damages"].carried_by}
    trained = [json.loads(line) for line in (ROOT / "data/nl2bash/train_small.jsonl").read_text().splitlines()]
    for name, group in carried.items():
        assert group.trained_rows == sum(row["shape"] == name for row in trained)
    assert gates["honest-work-refused"].items_unused == 96, "the suite takes 108 of 204"
    assert any("drift" in hint and "make replay RECIPE=smollm2-135m-cpu SHARE=" in hint for hint in advice.recipe)


def test_proposed_rows_are_new_and_no_tests(run: Path) -> None:
    advise.advise(run)
    rows = [json.loads(line) for line in (run / "advice" / "rows.jsonl").read_text().splitlines()]
    asked = requests(ROOT)
    known = {
        advise.request_of(json.loads(line))
        for path in ("data/nl2bash/train_small.jsonl", "data/safety/train_small.jsonl")
        for line in (ROOT / path).read_text().splitlines()
    }
    assert rows and not any(asked_by_test(row, asked) for row in rows)
    assert not known & {advise.request_of(row) for row in rows}


def test_it_is_said_in_words_and_twice_the_same(run: Path, capsys: Capture) -> None:
    code, said, _ = call(advise.main, ["--run", str(run)], capsys)
    first = (run / "advice" / "advice.json").read_bytes()
    assert code == 0 and "rarely-damages (blocking, fail)" in said and "have to come right" in said
    assert call(advise.main, ["--run", str(run)], capsys)[0] == 0
    assert (run / "advice" / "advice.json").read_bytes() == first


def test_changed_training_data_is_not_counted(run: Path) -> None:
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps([{**entry, "sha256": "0" * 64} for entry in data]))
    advice = advise.advise(run)
    assert advice.rows.count == 0
    assert all(group.trained_rows == 0 for gate in advice.gates for group in gate.carried_by)


def test_a_run_without_scores_is_one_line(run: Path, capsys: Capture) -> None:
    (run / "scores.jsonl").unlink()
    code, _, message = call(advise.main, ["--run", str(run)], capsys)
    assert code == 2 and "scores.jsonl" in message and len(message.strip().splitlines()) == 1
