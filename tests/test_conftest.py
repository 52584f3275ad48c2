"""What tests/conftest.py does to every test: no skip passes for a success, and a warning brings no library."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from eval.common.places import ROOT
from tests.conftest import pytest_warning_recorded

SKIPPING = """
import pytest
def test_runs(): pass
def test_skips(): pytest.skip("no such thing here")
@pytest.mark.skipif(True, reason="marked so")
def test_marked(): pass
"""


@pytest.mark.slow
def test_with_no_skips_a_skip_is_a_failure_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    (tmp_path / "test_without.py").write_text('import pytest\npytest.importorskip("a_library_that_is_not_there")\n')
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    by_hand = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert by_hand.returncode == 0 and "1 passed, 3 skipped" in by_hand.stdout
    strict = subprocess.run([*command, "--no-skips"], cwd=ROOT, capture_output=True, text=True)
    assert strict.returncode != 0 and "a_library_that_is_not_there" in strict.stdout
    strict = subprocess.run([*command, "--no-skips", "--ignore", tmp_path / "test_without.py"], cwd=ROOT,
                            capture_output=True, text=True)  # fmt: skip
    assert strict.returncode == 1 and "skipped" not in strict.stdout.splitlines()[-1]
    assert "no such thing here" in strict.stdout and "marked so" in strict.stdout


def test_a_warning_is_sent_without_its_class() -> None:
    """Whoever unpacks it in another process would import the library that the class is from."""
    odd = type("OddWarning", (Warning,), {})("half of it is missing")
    given, plain = (warnings.WarningMessage(one, type(one), "a.py", 1) for one in (odd, ResourceWarning("as it is")))
    for one in (given, plain):
        pytest_warning_recorded(one)
    assert given.category is type(given.message) is UserWarning and plain.category is ResourceWarning
    assert str(given.message) == "OddWarning: half of it is missing" and str(plain.message) == "as it is"
