"""Every hostile attempt on each backend: nothing escapes, the harness lives, and the next run is clean.

The pod backend runs inside an emulation of a default unprivileged Docker container (tests/hostile/container.py).
"""

import json
import subprocess
import sys

import pytest

from tests.hostile.drive import attempts

LAUNCHERS = {"namespaces": [], "pod": [sys.executable, "-m", "tests.hostile.container"]}
NAMES = [*attempts(), "root-unchanged"]


@pytest.fixture(scope="module")
def problems(request: pytest.FixtureRequest) -> dict[str, str]:
    """The problem of every attempt on one backend, found in one go."""
    backend = request.param
    command = [*LAUNCHERS[backend], sys.executable, "-m", "tests.hostile.drive", backend]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("problems", LAUNCHERS, indirect=True)
def test_contained(problems: dict[str, str], name: str) -> None:
    assert problems[name] == ""


def test_there_are_at_least_120_attempts() -> None:
    assert len(attempts()) >= 120
