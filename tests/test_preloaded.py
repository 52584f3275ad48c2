"""Processes forked from the session's server are what Python would have been: the program of `preloaded.python()`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from eval.common.places import ROOT
from tests import preloaded
from tests.patience import PATIENCE, wait_until

pytestmark = pytest.mark.slow
SAYS = (
    "import json, os, sys; held = sys.stdin.read(); "
    "print(json.dumps([sys.argv, held, os.getcwd(), os.environ.get('OWN'), 'torch' in sys.modules])); "
    "os.write(int(sys.argv[1]), b'written'); sys.exit(7)"
)


@pytest.fixture(scope="module")
def python() -> str:
    return preloaded.python()


def test_arguments_input_descriptors_environment_folder_and_code_are_those_of_the_caller(
    python: str, tmp_path: Path
) -> None:
    end, given = os.pipe()
    done = subprocess.run(
        [python, "-c", SAYS, str(given), "a b"], input="held", cwd=tmp_path, env=os.environ | {"OWN": "x"},
        pass_fds=[given], capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout) == [["-c", str(given), "a b"], "held", str(tmp_path), "x", True], done.stderr
    assert (done.returncode, os.read(end, 99)) == (7, b"written")
    os.close(end)
    os.close(given)


@pytest.mark.parametrize("options", [["-I", "-c"], ["-S", "-c"]])
def test_what_no_fork_can_be_is_started_by_python(python: str, options: list[str]) -> None:
    code = "import sys; print(sys.executable, 'torch' in sys.modules)"
    done = subprocess.run([python, *options, code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.split() == [sys.executable, "False"]


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "PYTHONHASHSEED"])
def test_a_variable_that_is_read_at_the_start_is_read(python: str, name: str) -> None:
    command = [python, "-c", f"import os, sys; print(os.environ['{name}'], 'torch' in sys.modules)"]
    said = subprocess.run(command, env=os.environ | {name: "7"}, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["7", "False"]


def test_a_signal_reaches_it_and_is_its_end(python: str, tmp_path: Path) -> None:
    code = f"import pathlib, time; pathlib.Path({str(tmp_path / 'there')!r}).touch(); time.sleep(900)"
    process = subprocess.Popen([python, "-c", code])
    wait_until((tmp_path / "there").exists, process)
    process.terminate()
    assert process.wait(PATIENCE) == -signal.SIGTERM


def test_killed_it_takes_with_it_what_was_forked(python: str, tmp_path: Path) -> None:
    code = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(900)"
    process = subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout
    forked = int(process.stdout.readline())
    assert psutil.pid_exists(forked)
    process.kill()
    process.wait(PATIENCE)
    wait_until(lambda: not psutil.pid_exists(forked))


def test_what_it_starts_is_forked_too_and_another_checkout_has_modules_of_its_own(python: str, tmp_path: Path) -> None:
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "__init__.py").write_text("OWN = True\n")
    inner = "import sys, eval; print(eval.OWN, 'torch' in sys.modules)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_a_file_is_run_as_python_runs_it(python: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    (tmp_path / "run.py").write_text("import sys, beside; print(__name__, beside.NAME, sys.argv[1:])\n")
    done = subprocess.run([python, tmp_path / "run.py", "1"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "__main__ beside ['1']\n"
