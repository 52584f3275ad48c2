"""scripts.runs: which runs there are, and when two may be compared."""

import re
import sys
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.report.rendering import render_report
from eval.report.trends import trends_of
from eval.run.folder import resolve_run
from eval.statistics.paired import tango_interval
from scripts import runs
from tests.run_builder import assert_one_line, build_run, call, edit_json


def call_runs(results: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    return call(lambda argv: runs.main(argv, results), list(argv), capsys)


def test_no_runs_says_how_to_make_one(tmp_path, capsys):
    code, _, err = call_runs(tmp_path, capsys)
    assert code == 2
    assert_one_line(err, "make demo", "make train")


def test_list_is_newest_first_with_verdicts_and_numbers(tmp_path, capsys):
    build_run(tmp_path, "older", created="2025-01-01T00:00:00+00:00")
    build_run(tmp_path, "newer", candidate_right=2, created="2025-02-01T00:00:00+00:00")
    code, out, _ = call_runs(tmp_path, capsys)
    assert code == 0
    newer, older = [line for line in out.split("\ntrend")[0].splitlines() if "toy" in line]
    assert newer.split()[:2] == ["newer", "no-ship"]
    assert older.split()[:2] == ["older", "ship"]
    assert "better 0.917 (+0.583)" in older and "safe 0.917 (+0.583)" in older


def test_list_survives_unevaluated_and_broken_runs(tmp_path, capsys):
    (build_run(tmp_path, "trained-only") / "metrics.json").unlink()
    (build_run(tmp_path, "broken") / "metrics.json").write_text("{")
    code, out, _ = call_runs(tmp_path, capsys)
    assert code == 0
    assert "not evaluated" in out and "unreadable" in out


def test_latest_link_is_no_second_row_and_demo_is_shown_last(tmp_path, capsys):
    run = build_run(tmp_path, "only")
    build_run(tmp_path, "demo", created="2030-01-01T00:00:00+00:00")
    (tmp_path / "latest").symlink_to(run.name)
    _, out, _ = call_runs(tmp_path, capsys)
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["only", "demo"]
    assert resolve_run(None, tmp_path) == run


def test_markup_in_names_is_shown_as_it_is(tmp_path, capsys):
    build_run(tmp_path, "odd[red]name")
    _, out, _ = call_runs(tmp_path, capsys)
    assert "odd[red]name" in out


def test_unknown_run_names_near_matches(tmp_path, capsys):
    build_run(tmp_path, "smollm2-first")
    code, _, err = call_runs(tmp_path, capsys, "compare", "smollm2-frist", "smollm2-first")
    assert code == 2
    assert_one_line(err, "smollm2-frist", "smollm2-first")
    with pytest.raises(UserError, match="no run"):
        resolve_run("nothing-like-it", tmp_path)


def test_compare_shows_both_runs_gates(tmp_path, capsys):
    build_run(tmp_path, "one")
    build_run(tmp_path, "two", candidate_right=2)
    code, out, _ = call_runs(tmp_path, capsys, "compare", "one", "two")
    assert code == 0
    better = next(line for line in out.splitlines() if line.startswith("better"))
    assert "pass 0.917 (+0.583) n 60" in better and "fail 0.033 (-0.300) n 60" in better


def test_compare_pairs_the_candidates_item_by_item(tmp_path, capsys):
    """A is right on samples 0 to 54, B on 0 to 39: fifteen lost in each task, none won."""
    build_run(tmp_path, "one", candidate_right=55)
    build_run(tmp_path, "two", candidate_right=40)
    code, out, _ = call_runs(tmp_path, capsys, "compare", "one", "two")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("translate / accuracy"))
    reference = tango_interval(0, 15, 60, 0.9)
    shown = f"−25.0 pts [{100 * reference.low:.1f}, {100 * reference.high:.1f}]".replace("-", "−")
    assert shown in row and "+0 −15" in row and row.split()[-1] == "0.000"
    page = (tmp_path / "compare" / "one--two.html").read_text()
    flipped = set(
        re.findall(r'<article class="item" data-lost="g\d" data-won="".*?<code>(s\d+)</code>', page, re.DOTALL)
    )
    assert flipped == {f"s{n}" for n in range(40, 55)} and "run A" in page


def test_compare_says_what_else_differs(tmp_path, capsys):
    build_run(tmp_path, "one")
    other = build_run(tmp_path, "two", candidate_right=40)
    edit_json(other / "metrics.json", lambda value: value["provenance"].update(packages={"torch": "1.0"}))
    edit_json(other / "metrics.json", lambda value: value["provenance"].update(git={"commit": "abc1234def"}))
    _, out, _ = call_runs(tmp_path, capsys, "compare", "one", "two")
    assert "note: library versions differ" in out and "abc1234" in out and "hold the same adapter" in out


def test_compare_refuses_another_backend(tmp_path, capsys):
    build_run(tmp_path, "one")
    other = build_run(tmp_path, "two")
    edit_json(other / "metrics.json", lambda value: value["provenance"]["backend"].update(dtype="bfloat16"))
    code, out, err = call_runs(tmp_path, capsys, "compare", "one", "two")
    assert (code, out) == (2, "") and not (tmp_path / "compare").exists()
    assert_one_line(err, "backend.dtype", "bfloat16")


def test_compare_without_scores_is_one_line(tmp_path, capsys):
    build_run(tmp_path, "one")
    (build_run(tmp_path, "two") / "scores.jsonl").unlink()
    code, _, err = call_runs(tmp_path, capsys, "compare", "one", "two")
    assert code == 2
    assert_one_line(err, "scores.jsonl is missing")


def test_trend_of_a_recipe_leaves_broken_runs_out_and_marks_other_samples(tmp_path, capsys):
    old = build_run(tmp_path, "old", candidate_right=30, created="2025-01-01T00:00:00+00:00")
    build_run(tmp_path, "mid", candidate_right=45, created="2025-01-02T00:00:00+00:00")
    build_run(tmp_path, "new", candidate_right=55, created="2025-01-03T00:00:00+00:00")
    (build_run(tmp_path, "broken") / "metrics.json").write_text("{")
    edit_json(old / "metrics.json", lambda value: value["tasks"][0].update(samples_sha256="c" * 64))
    _, out, _ = call_runs(tmp_path, capsys)
    trend = out.split("trend of toy, oldest first")[1].splitlines()
    better = next(line for line in trend if line.startswith("better"))
    assert "▁" in better and "█" in better and "50.0 %" in better and "91.7 %" in better
    assert better.strip().endswith("3, 1 on other samples")
    assert next(line for line in trend if line.startswith("safe")).strip().endswith("3")


def test_one_run_has_no_trend(tmp_path, capsys):
    build_run(tmp_path, "only")
    _, out, _ = call_runs(tmp_path, capsys)
    assert "trend" not in out


def test_a_report_shows_the_trend_up_to_its_own_run(tmp_path):
    runs_ = [
        build_run(tmp_path, f"run-{n}", candidate_right=30 + 10 * n, created=f"2025-01-0{n}T00:00:00+00:00")
        for n in (1, 2, 3)
    ]
    found = trends_of(runs_[1])
    assert [(trend.gate, [point.run for point in trend.points]) for trend in found] == [
        ("better", ["run-1", "run-2"]), ("safe", ["run-1", "run-2"]),
    ]  # fmt: skip
    assert found[0].points[1].value == 50 / 60 and not trends_of(runs_[0])
    render_report(runs_[1])
    assert 'id="trend"' in (runs_[1] / "report.html").read_text()
    assert "figures/trend.svg" in (runs_[1] / "report.md").read_text()


def test_compare_refuses_runs_that_were_asked_other_samples(tmp_path, capsys):
    build_run(tmp_path, "one")
    other = build_run(tmp_path, "two")
    edit_json(other / "metrics.json", lambda value: value["tasks"][1].update(samples_sha256="c" * 64))
    code, out, err = call_runs(tmp_path, capsys, "compare", "one", "two")
    assert (code, out) == (2, "")
    assert_one_line(err, "different samples in refuse")


def test_compare_needs_a_common_task(tmp_path, capsys):
    build_run(tmp_path, "one")
    other = build_run(tmp_path, "two")
    edit_json(other / "metrics.json", lambda value: [task.update(name="x") for task in value["tasks"]])
    code, _, err = call_runs(tmp_path, capsys, "compare", "one", "two")
    assert code == 2
    assert_one_line(err, "no task in common")


@pytest.mark.slow
def test_runs_needs_no_torch_and_no_scipy():
    assert not {"torch", "scipy", "transformers"} & set(_modules_after("import scripts.runs"))


def _modules_after(code: str) -> list[str]:
    import subprocess

    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()
