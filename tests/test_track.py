"""The track command: which trackers, and those that are missing, crash, hang or cannot write."""

import json
import sys
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.config.suite_file import TRACKERS, Suite, check_trackers, load_suite
from scripts.track import main
from scripts.tracking import trackers
from scripts.tracking.finished_run import read_finished_run
from tests.packages import install
from tests.run_builder import SUITE, assert_one_line, call
from tests.tracked_run import finished, installed


def with_library(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, code: str) -> None:
    """Put a package of this name before the installed one, in the tracker's process alone."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)
    real = trackers.environment
    monkeypatch.setattr(trackers, "environment", lambda own: {**real(own), "PYTHONPATH": str(folder)})


def test_a_missing_library_fails_nothing_but_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed("tensorboard")
    absent = "raise ModuleNotFoundError(\"No module named 'mlflow'\", name='mlflow')"
    with_library(monkeypatch, tmp_path / "libraries", "mlflow", absent)
    run = finished(tmp_path)
    before = (run / "metrics.json").read_bytes()
    arguments = ["--run", str(run), "--to", "mlflow,tensorboard", "--folder", str(tmp_path / "stored")]
    code, out, _ = call(main, arguments, capsys)
    outcomes = json.loads((run / "run.json").read_text())["tracking"]
    assert (code, outcomes["tensorboard"]) == (2, "ok")
    assert outcomes["mlflow"].startswith("not installed, needs the package mlflow")
    assert [line for line in out.splitlines() if "mlflow" in line and "not installed" in line]
    assert (run / "metrics.json").read_bytes() == before


def test_a_crash_and_a_hang_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = read_finished_run(finished(tmp_path))
    with_library(monkeypatch, tmp_path / "libraries", "mlflow", "import os; os.abort()")
    (tmp_path / "libraries/wandb").mkdir()
    (tmp_path / "libraries/wandb/__init__.py").write_text("raise RuntimeError('the server is down')")
    (tmp_path / "libraries/trackio").mkdir()
    (tmp_path / "libraries/trackio/__init__.py").write_text("import time; time.sleep(600)")
    assert "failed" in trackers.log_to("mlflow", tracked, tmp_path / "stored")
    assert "RuntimeError: the server is down" in trackers.log_to("wandb", tracked, tmp_path / "stored")
    monkeypatch.setattr(trackers, "TIMEOUT_SECONDS", 3)
    assert "no answer for 3 s" in trackers.log_to("trackio", tracked, tmp_path / "stored")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    tracked = read_finished_run(finished(tmp_path))
    (tmp_path / "stored").write_text("a file is in the way")
    assert "cannot write" in trackers.log_to("tensorboard", tracked, tmp_path / "stored")


def test_the_suite_names_the_trackers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed("tensorboard")
    run = finished(tmp_path)
    suite = (run / "suite.yaml").read_text()
    (run / "suite.yaml").write_text(suite + "tracking: [tensorboard]\n")
    assert call(main, ["--run", str(run), "--folder", str(tmp_path / "stored")], capsys)[0] == 0
    assert (tmp_path / "stored/tensorboard/toy/eval").is_dir()
    (run / "suite.yaml").write_text(suite)
    code, out, _ = call(main, ["--run", str(run), "--quiet"], capsys)
    assert (code, out) == (0, "")


def test_unknown_and_doubled_trackers_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = finished(tmp_path)
    code, _, err = call(main, ["--run", str(run), "--to", "comet"], capsys)
    assert code == 2
    assert_one_line(err, "no tracker comet", "tensorboard")
    with (run / "suite.yaml").open("a") as stream:
        stream.write("tracking: [wandb, wandb]\n")
    with pytest.raises(UserError, match="tracker wandb is listed twice"):
        load_suite(run / "suite.yaml")


THEIRS = '''
"""A tracker of somebody else's: one file a run, and the whole environment of its process."""

import json
import os


class Lines:
    def log(self, tracked, folder):
        (folder / f"{tracked.name}.json").write_text(tracked.model_dump_json())
        (folder / "environment.json").write_text(json.dumps(dict(os.environ)))
'''


def test_a_tracker_of_an_installed_package_runs_in_the_same_confinement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    offers = {"lines": "their_lines:Lines", "../lines": "their_lines:Lines"}
    install(site, "their-lines", {"their_lines.py": THEIRS}, {"trackers": offers})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("WANDB_API_KEY", "planted")
    real = trackers.environment
    monkeypatch.setattr(trackers, "environment", lambda own: {**real(own), "PYTHONPATH": str(site)})
    run = finished(tmp_path / "results")
    with (run / "suite.yaml").open("a") as stream:
        stream.write("tracking: [lines]\n")
    check_trackers(load_suite(run / "suite.yaml"))
    arguments = ["--run", str(run), "--folder", str(tmp_path / "stored")]
    code, _, err = call(main, arguments, capsys)
    assert code == 0, err
    stored = json.loads((tmp_path / "stored/lines/toy.json").read_text())
    assert stored["name"] == "toy" and stored["evaluation"]["labels"]["verdict"] == "ship"
    given = json.loads((tmp_path / "stored/lines/environment.json").read_text())
    assert "planted" not in given.values() and given["HOME"].startswith(str(tmp_path))
    assert "their_lines" not in sys.modules

    code, _, err = call(main, [*arguments, "--to", "../lines"], capsys)
    assert code == 2
    assert_one_line(err, "no tracker ../lines: there are lines, mlflow")
    for broken, said in (("import nowhere", "No module named 'nowhere'"), ("class Lines: ...", "has no method log")):
        (site / "their_lines.py").write_text(broken)
        code, out, _ = call(main, arguments, capsys)
        assert code == 2 and len(out.splitlines()) == 1 and said in out, out


def test_a_tracker_that_nobody_offers_is_told_before_an_evaluation() -> None:
    assert tuple(trackers.OURS) == TRACKERS
    check_trackers(Suite.model_validate({**SUITE, "tracking": list(TRACKERS)}))
    with pytest.raises(UserError, match="suite toy: no tracker comet: there are mlflow, "):
        check_trackers(Suite.model_validate({**SUITE, "tracking": ["comet"]}))
