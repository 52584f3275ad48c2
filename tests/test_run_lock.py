"""Nobody writes into a run that somebody else writes into; a process that is killed lets go."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.run.folder import locked, new_run
from scripts import bless, export, publish, review, track
from tests.patience import PATIENCE, wait_until
from tests.run_builder import build_run

HOLD = (
    "import sys, time; from pathlib import Path; from eval.run.folder import locked\n"
    "with locked(Path(sys.argv[1])): Path(sys.argv[2]).touch(); time.sleep(900)"
)


@contextmanager
def held(folder: Path, ready: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """The folder, held by another process."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), str(ready)])
    try:
        wait_until(ready.exists, process)
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_a_folder_in_use_is_refused_in_one_line_and_free_after_a_kill(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with held(run, tmp_path / "ready") as process:
        with pytest.raises(UserError, match="run is in use by another command"), locked(run):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
        with locked(run), locked(run):
            assert list(run.iterdir()) == [], "no file is left behind"


def test_the_commands_that_write_into_a_run_ask_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = build_run(tmp_path)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    calls: list[Any] = [
        lambda: review.main(["--run", str(run), "--decision", "approve", "--reviewer", "Ada"]),
        lambda: publish.main(["--run", str(run), "--repo", "someone/toy", "--dry-run"]),
        lambda: track.main(["--run", str(run), "--to", "tensorboard", "--folder", str(tmp_path / "tracking")]),
        lambda: export.main(["--run", str(run)]),
        lambda: bless.bless(run, tmp_path),
    ]
    with held(run, tmp_path / "ready"):
        for call in calls:
            with pytest.raises(UserError, match="in use by another command"):
                call()
        for module in ("eval.report", "eval.run_eval_suite"):
            done = subprocess.run(
                [sys.executable, "-m", module, "--run", str(run)], capture_output=True, text=True, timeout=PATIENCE
            )
            assert done.returncode == 2 and done.stderr.startswith("error: "), (module, done.stderr)
            assert done.stderr.count("\n") == 1
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert not (run / "export").exists() and not (tmp_path / "blessed.json").exists()


def test_runs_that_begin_in_the_same_second_get_a_folder_each(tmp_path: Path) -> None:
    fields = {"recipe": "r", "base_model": "b", "stages": {}}
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda _: new_run("r", {"commit": "c" * 40}, fields, tmp_path), range(3)))
    assert len({run.name for run in made}) == 3 and all((run / "run.json").is_file() for run in made)
