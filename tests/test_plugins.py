"""What is plugged in: ours, what packages offer, and what cannot be used, each in one line."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.contracts.plugins import OURS, find, listing, origin
from scripts import plugins
from tests.packages import found_by_this_process, install
from tests.run_builder import call

TABLE = {"plain": "eval.run.records:BASELINE"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment's folder of packages; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    found_by_this_process(tmp_path, monkeypatch)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_ours_is_found_by_name_and_says_so(site: Path) -> None:
    assert find("backends", "plain", TABLE) == "baseline"
    assert origin("backends", "plain", TABLE).source == OURS
    (row,) = listing("backends", TABLE)
    assert (row.name, row.source, row.sha256, row.error) == ("plain", OURS, None, "")


def test_a_packages_is_found_with_version_and_digest(site: Path) -> None:
    install(site, "their-package", {"theirs.py": "thing = 7\n"}, {"backends": {"mine": "theirs:thing"}}, "2.1")
    assert find("backends", "mine", TABLE) == 7
    before = origin("backends", "mine", TABLE)
    assert before.source == "their-package 2.1" and before.sha256 is not None and len(before.sha256) == 64
    assert [(row.name, row.source, row.error) for row in listing("backends", TABLE)] == [
        ("plain", OURS, ""),
        ("mine", "their-package 2.1", ""),
    ]
    assert listing("trackers", {}) == []
    (site / "theirs.py").write_text("thing = 8\n")
    assert origin("backends", "mine", TABLE).sha256 != before.sha256


def test_a_name_of_ours_cannot_be_taken(site: Path) -> None:
    install(site, "taker", {"taker.py": "thing = 7\n"}, {"backends": {"plain": "taker:thing"}})
    assert find("backends", "plain", TABLE) == "baseline"
    assert "taker" not in sys.modules
    assert [row.error for row in listing("backends", TABLE)] == ["", f"plain is a name of {OURS}, which counts"]
    assert "taker" not in sys.modules, "what cannot be used is not imported"


def test_one_that_cannot_be_imported_is_one_line(site: Path) -> None:
    install(site, "broken", {"broken.py": "import no_such_library\n"}, {"backends": {"mine": "broken:thing"}})
    with pytest.raises(UserError, match=r"^backend mine of broken 1.0 cannot be loaded: ModuleNotFoundError: .*$"):
        find("backends", "mine", TABLE)
    assert listing("backends", TABLE)[1].error.startswith("ModuleNotFoundError: No module named 'no_such_library'")


def test_two_packages_with_one_name_are_both_named_and_neither_is_used(site: Path) -> None:
    for name in ("one", "two"):
        install(site, name, {f"{name}.py": "thing = 7\n"}, {"backends": {"mine": f"{name}:thing"}})
    with pytest.raises(UserError, match=r"backend mine is offered by one 1\.0 and two 1\.0: uninstall all but one"):
        find("backends", "mine", TABLE)
    assert all("offered by" in row.error for row in listing("backends", TABLE)[1:])
    assert not {"one", "two"} & sys.modules.keys()


def test_a_name_that_nobody_offers_lists_the_others(site: Path) -> None:
    install(site, "theirs", {"theirs.py": ""}, {"backends": {"mine": "theirs:thing"}})
    with pytest.raises(UserError, match="no backend yours: there are mine, plain; `make plugins`"):
        origin("backends", "yours", TABLE)


@pytest.mark.slow
def test_make_plugins_lists_everything_in_one_line_each(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "broken", {"broken.py": "import no_such_library\n"}, {"backends": {"mine": "broken:thing"}})
    code, out, err = call(plugins.main, [], capsys)
    assert code == 0 and not err
    lines = [line.split(maxsplit=2) for line in out.splitlines()]
    assert ["backend", "hf", OURS] in lines
    (mine,) = [line for line in lines if line[:2] == ["backend", "mine"]]
    assert mine[2].startswith("broken 1.0, SHA-256 ") and "FAILED: ModuleNotFoundError" in mine[2]
