"""Types hold. A test, so that what takes half a minute where nothing is cached does not keep all others waiting."""

import subprocess
import sys

from eval.common.places import ROOT


def test_types_hold() -> None:
    command = [sys.executable, "-m", "mypy", "--no-error-summary"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
