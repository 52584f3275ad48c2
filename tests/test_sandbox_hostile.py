"""Every hostile attempt on each backend: nothing escapes, the harness lives, and the next run is clean.

The pod backend runs inside an emulation of a default unprivileged Docker container (tests/hostile/container.py).
"""

import json
import subprocess
import sys

import pytest

from tests.hostile.drive import attempts

CONTAINER = [sys.executable, "-m", "tests.hostile.container"]


@pytest.mark.parametrize(("backend", "launcher"), [("namespaces", []), ("pod", CONTAINER)], ids=["namespaces", "pod"])
def test_every_attempt_is_contained(backend: str, launcher: list[str]) -> None:
    command = [*launcher, sys.executable, "-m", "tests.hostile.drive", backend]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    problems = dict(json.loads(done.stdout))
    assert problems.keys() == {*attempts(), "root-unchanged"}
    assert {name: problem for name, problem in problems.items() if problem} == {}


def test_there_are_at_least_120_attempts() -> None:
    assert len(attempts()) >= 120
