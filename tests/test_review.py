"""scripts.review: a decision about exact bytes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eval.provenance import file_sha256
from scripts import review
from tests.run_builder import assert_one_line, build_run, call

ROOT = Path(review.__file__).parents[1]


def decide(run: Path, decision: str, capsys: pytest.CaptureFixture[str], reviewer: str = "Ada") -> tuple[int, str, str]:
    argv = ["--run", str(run), "--decision", decision, "--reviewer", reviewer, "--comment", "read it"]
    return call(review.main, argv, capsys)


def test_without_a_decision_it_only_shows(tmp_path, capsys):
    run = build_run(tmp_path)
    code, out, _ = call(review.main, ["--run", str(run)], capsys)
    assert code == 0
    assert "verdict  ship" in out and "report.md" in out and "--decision approve|reject" in out
    assert "better: pass" in out
    assert not (run / "review.json").exists()


def test_approval_binds_every_reviewed_file(tmp_path, capsys):
    run = build_run(tmp_path)
    code, _, _ = decide(run, "approve", capsys)
    assert code == 0
    written = json.loads((run / "review.json").read_text())
    assert written["digests"] == {name: file_sha256(run / name) for name in review.REVIEWED}
    assert (written["decision"], written["reviewer"], written["verdict"]) == ("approve", "Ada", "ship")
    assert written["time"].endswith("+00:00") and written["previous"] == []


def test_only_a_ship_can_be_approved(tmp_path, capsys):
    for name, right in (("worse", 2), ("unclear", 21)):
        run = build_run(tmp_path, name, candidate_right=right)
        code, _, err = decide(run, "approve", capsys)
        assert code == 1
        assert_one_line(err, "only a ship can be approved")
        assert not (run / "review.json").exists()


def test_anything_can_be_rejected(tmp_path, capsys):
    worse = build_run(tmp_path, "worse", candidate_right=2)
    broken = build_run(tmp_path, "broken")
    (broken / "metrics.json").write_text("{")
    (broken / "report.md").unlink()
    assert decide(worse, "reject", capsys)[0] == 0
    assert decide(broken, "reject", capsys)[0] == 0
    written = json.loads((broken / "review.json").read_text())
    assert written["verdict"] is None and "report.md" not in written["digests"]


@pytest.mark.parametrize("reviewer", ["", "   ", "Ada\n# heading", "a" * 101])
def test_a_reviewer_has_a_name(tmp_path, capsys, reviewer):
    run = build_run(tmp_path)
    code, _, err = decide(run, "approve", capsys, reviewer)
    assert code == 2
    assert_one_line(err, "--reviewer")


def test_a_second_review_keeps_the_first(tmp_path, capsys):
    run = build_run(tmp_path)
    for decision, reviewer in (("approve", "Ada"), ("reject", "Bob"), ("approve", "Cyd")):
        decide(run, decision, capsys, reviewer)
    written = json.loads((run / "review.json").read_text())
    assert written["reviewer"] == "Cyd"
    assert [(row["decision"], row["reviewer"]) for row in written["previous"]] == [
        ("approve", "Ada"),
        ("reject", "Bob"),
    ]


def test_an_unreadable_review_is_replaced_and_remembered(tmp_path, capsys):
    run = build_run(tmp_path)
    (run / "review.json").write_text("{")
    digest = file_sha256(run / "review.json")
    assert decide(run, "reject", capsys)[0] == 0
    assert json.loads((run / "review.json").read_text())["previous"] == [{"unreadable_sha256": digest}]


def test_show_says_when_the_reviewed_bytes_changed(tmp_path, capsys):
    run = build_run(tmp_path)
    decide(run, "approve", capsys)
    (run / "report.md").write_text("another report\n")
    _, out, _ = call(review.main, ["--run", str(run)], capsys)
    assert "approve by Ada" in out and "but report.md changed since" in out


def test_approving_with_a_missing_file_says_which(tmp_path, capsys):
    run = build_run(tmp_path)
    (run / "data.json").unlink()
    code, _, err = decide(run, "approve", capsys)
    assert code == 2
    assert_one_line(err, "data.json is missing")


def test_the_real_command_ends_with_one_line(tmp_path):
    run = build_run(tmp_path, candidate_right=2)
    command = [sys.executable, "-m", "scripts.review", "--run", str(run), "--decision", "approve"]
    done = subprocess.run([*command, "--reviewer", "Ada"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, "no-ship")
