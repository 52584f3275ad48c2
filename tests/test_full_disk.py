"""A disk that is full, at each stage that writes: one line that names the path, exit 2, and what was there stays.

The disk is a real one: a tmpfs of one megabyte, mounted in a namespace of its own. An answer cache is optional: one
that cannot be written is said once, and the evaluation goes on.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.model.answer_cache import AnswerCache, Answers
from eval.run.partial_log import PartialLog
from eval.run.records import BASELINE, Generation
from tests.dictionary_backend import one_by_one
from tests.run_builder import build_run, generation

DRIVER = """
import json, os, shutil, sys
from pathlib import Path
from eval.common import error_log
from eval.common.errors import run_command
from eval.run.partial_log import PartialLog
from eval.run.records import Generation
from eval.report import rendering
from eval.run.folder import update_run
from scripts import export, review, track
from tests.run_builder import generation
disk, run = Path(sys.argv[1]), Path(sys.argv[2])
run = shutil.copytree(run, disk / "toy")
error_log.FOLDER = disk / "errors"
log = PartialLog(run, "generations", Generation, "key")
track.log_to = lambda *_: "ok"
def add():
    log.add([generation("baseline", "t", str(number)) for number in range(100)])
stages = {
    "report": (rendering.main, ["--run", str(run)]),
    "export": (export.main, ["--run", str(run)]),
    "review": (review.main, ["--run", str(run), "--decision", "approve", "--reviewer", "Ada"]),
    "track": (track.main, ["--run", str(run), "--to", "mlflow"]),
    "answers": (add, []),
    "state": (lambda: update_run(run, stages={"eval": "x" * 9999}), []),
}
before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
with open(disk / "filler", "wb", buffering=0) as filler:
    for size in (4096, 1):
        try:
            while True:
                filler.write(bytes(size))
        except OSError:
            pass
found = {}
for name, (main, words) in stages.items():
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 2)
        sys.argv = ["python -m x", *words]
        try:
            run_command(main)
        except SystemExit as ended:
            os._exit(ended.code)
    os.close(writing)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = os.fdopen(reading, "rb").read().decode()
    kept = {name: content for name, content in before.items() if not name.endswith(".partial.jsonl")}
    same = all((run / name).read_bytes() == content for name, content in kept.items())
    found[name] = [code, said, same, sorted(path.name for path in run.glob("*.partial"))]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each stage did on a full disk."""
    disk = tmp_path_factory.mktemp("disk")
    run = build_run(tmp_path_factory.mktemp("results"))
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    shell = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    command = ["unshare", *own, "--mount", "sh", "-c", shell, disk, sys.executable, "-c", DRIVER, disk, run]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("stage", ["report", "export", "review", "track", "answers", "state"])
def test_a_full_disk_is_one_line_that_names_the_path_and_loses_nothing(
    stage: str, stages: dict[str, list[Any]]
) -> None:
    code, said, same, left_over = stages[stage]
    assert code == 2, said
    assert said.startswith("error: /") and said.count("\n") == 1, said
    assert "No space left on device: free some space" in said
    assert same and not left_over


def answers_on(cache: Path, run: Path, said: list[str]) -> Answers:
    log = PartialLog(run, "generations", Generation, "key")

    def generate(arm: str, batch: list[Any]) -> list[Generation]:
        return [generation(arm, sample.task, sample.id) for sample in batch]

    return Answers(log, one_by_one(generate), {BASELINE: "maker"}, AnswerCache(cache), said.append)


def a_file(path: Path) -> None:
    path.write_text("no folder")


def no_room(path: Path) -> None:
    path.symlink_to("/proc/self/fd")  # where nobody can make a folder, root neither


@pytest.mark.parametrize("make", [a_file, no_room])
def test_a_cache_that_cannot_be_written_is_said_once_and_the_answers_are_there(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "cache")
    said: list[str] = []
    answers = answers_on(tmp_path / "cache", tmp_path, said)
    kind = "generate_until"
    asked = {"task": "t", "request": "r", "kind": kind, "repeat": 0, "instances": [SimpleNamespace(request_type=kind)]}
    batches: list[Any] = [[SimpleNamespace(id=f"s{n}", prompt_sha256=f"{n}", **asked)] for n in range(3)]
    answers.answer(batches)
    answers.keep()
    assert len(answers.log.rows) == 3
    assert sum("cannot be written" in line for line in said) == 1
