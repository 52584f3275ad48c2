"""scripts.runs: which runs there are, and when two may be compared."""

import sys
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.run_folder import resolve_run
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
    newer, older = [line for line in out.splitlines() if "toy" in line]
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


def test_runs_needs_no_torch_and_no_scipy():
    assert not {"torch", "scipy", "transformers"} & set(_modules_after("import scripts.runs"))


def _modules_after(code: str) -> list[str]:
    import subprocess

    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(runs.__file__).parents[1])
    return done.stdout.split()
