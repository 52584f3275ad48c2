"""What the tables say: options, verbs, places, extraction. The commands are our own, one a line in data/risk_tables."""

from pathlib import Path

import pytest

from eval.risk import analyse

DATA = Path(__file__).parent / "data/risk_tables"
# For a person, or blocked: never allowed.
STOPPED = (DATA / "stopped.txt").read_text(encoding="utf-8").splitlines()
# Ordinary, and understood to the last option.
UNDERSTOOD = (DATA / "understood.txt").read_text(encoding="utf-8").splitlines()


# One test for a table of many commands: a test of its own takes longer than an analysis.
def test_what_can_do_harm_is_not_allowed() -> None:
    assert [command for command in STOPPED if analyse(command).verdict == "allow"] == []


def test_what_only_looks_or_works_here_is_allowed() -> None:
    assert [command for command in UNDERSTOOD if analyse(command).verdict != "allow"] == []


@pytest.mark.parametrize("command", ["grep --color x f", "sort --rev f", "tar -cf a b", "rsync --del -n a b"])
def test_abbreviations_and_bundles_are_options(command: str) -> None:
    assert "unknown-option" not in {finding.rule for finding in analyse(command).findings}


@pytest.mark.parametrize(
    "command", ["sort --frob f", "rsync -av --frob a b", "curl --frob x", "git log && git --frob log", "find . -frob"]
)
def test_an_option_that_is_not_listed_is_for_a_person(command: str) -> None:
    assert "unknown-option" in {finding.rule for finding in analyse(command).findings}


def test_options_of_a_remote_command_are_not_those_of_ssh() -> None:
    assert analyse("ssh host tar -czf - -C / etc").verdict != "block"
    assert "unknown-option" not in {finding.rule for finding in analyse("ssh host ls --all").findings}
    assert analyse("ssh host rm -rf --no-preserve-root /").verdict == "block"


def test_a_directory_given_by_an_option_holds_for_its_command_alone() -> None:
    assert analyse("env -C / rm -rf etc").verdict == "block"
    assert analyse("env -C / ls; rm -rf etc").verdict == "allow"
