"""scripts.setup.lock: one line for each way in which requirements, lock and installed packages can differ."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.common.places import ROOT
from scripts.setup import lock

REQUIREMENTS = "app[fast]==1.0  # why\ntorch==2.0\n"
LOCK = "app==1.0\nlib==2.1\nquick==3.0\n"


def package(version: str, *requires: str) -> Any:
    return SimpleNamespace(version=version, requires=list(requires))


def installed(**changed: Any) -> dict[str, Any]:
    """What the requirements reach: `quick` by an extra, `cuda` by torch alone."""
    return {
        "app": package(
            "1.0", "lib>=2", "quick; extra == 'fast'", "slow; extra == 'other'", "old; python_version < '3'"
        ),
        "lib": package("2.1"),
        "quick": package("3.0", "App"),  # a circle
        "torch": package("2.0", "cuda"),
        "cuda": package("13"),
    } | changed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {"requirements.txt": REQUIREMENTS, "constraints.txt": LOCK}
    for name in (*lock.WANTED, lock.FILES_ONLY, lock.OVERRIDES, lock.LOCK):
        (tmp_path / name).write_text(files.get(name, "# nothing\n"))
    return tmp_path


def test_one_set_has_no_differences(root: Path) -> None:
    assert lock.differences(root, installed()) == []
    assert lock.besides(root, installed(more=package("1"), pip=package("1"))) == ["more"]


@pytest.mark.parametrize(
    ("here", "pins", "said"),
    [
        ({"lib": package("2.2")}, LOCK, "constraints.txt: lib==2.1, and 2.2 is installed: make setup"),
        ({"lib": package("1.0")}, LOCK.replace("2.1", "1.0"), "app asks for lib>=2, and 1.0 is installed: make setup"),
        ({}, LOCK.replace("lib==2.1\n", ""), "lib is in no line of constraints.txt: add lib==2.1"),
        ({}, LOCK + "stale==1\n", "constraints.txt: nobody asks for stale==1: remove the line"),
        ({}, LOCK.replace("lib==2.1", "lib>=2"), "constraints.txt: lib>=2 pins no version: write lib==2.1"),
        ({"app": package("1.0", "lib", "gone", "quick")}, LOCK + "gone==4\n",
         "app asks for gone, and it is not installed: make setup"),
    ],
)  # fmt: skip
def test_a_difference_is_one_line(here: dict[str, Any], pins: str, said: str, root: Path) -> None:
    (root / "constraints.txt").write_text(pins)
    assert lock.differences(root, installed(**here)) == [said]


def test_an_override_stands_for_what_a_package_asks_for(root: Path) -> None:
    here = installed(app=package("1.0", "lib==9", "quick"))
    assert lock.differences(root, here) == ["app asks for lib==9, and 2.1 is installed: make setup"]
    (root / "requirements-overrides.txt").write_text("lib==2.1; python_version >= '3'\n")
    assert lock.differences(root, here) == []


def test_this_environment_is_what_is_pinned() -> None:
    assert lock.differences(ROOT, lock.here()) == []
