"""A variable that no command asked for reads is a slip, and refused: passed over in silence, `make eval RECIPE=x` would
judge the newest run instead, and DRYRUN=1 would publish."""

import os
import re
import subprocess

import pytest

from eval.common.places import ROOT

READER = ROOT / "scripts" / "setup" / "variables_read.awk"
PAGES = ["*.md", "*.yml", "*.yaml", "*.py", "*.ipynb", "*.jinja"]
EXAMPLE = re.compile(r"\bmake((?: [a-z][a-z-]+)+)((?: [A-Z][A-Z0-9_]*=(?:\"[^\"]*\"|'[^']*'|[^\s`\"')]*))+)")


def make(*arguments: str, level: int = 0) -> "subprocess.CompletedProcess[str]":
    """What make would do, also as the make of another: nothing is done."""
    clean = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"} | {"MAKELEVEL": str(level)}
    return subprocess.run(
        ["make", "--no-print-directory", "--dry-run", *arguments],
        cwd=ROOT, env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip


def read_by(goals: str) -> set[str]:
    command = ["awk", "-v", f"goals={goals}", "-f", READER, ROOT / "Makefile"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("goals", "name"),
    [("eval", "RECIPE"), ("train", "RUN"), ("review", "DRY_RUN"), ("publish", "RECIPE"), ("clean-cache", "RUN"),
     ("train eval", "REPO"), ("", "RUN"), ("clean-cache", "JSON")],
)  # fmt: skip
def test_what_another_command_reads_is_refused_in_one_line(goals: str, name: str) -> None:
    done = make(*goals.split(), f"{name}=x")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"*** {name}= is not read by `make {goals or 'help'}`" in done.stderr


@pytest.mark.parametrize(
    ("goals", "name"),
    [("train eval", "RUN"), ("review train", "RECIPE"), ("eval", "FORCE"), ("bench", "NL2BASH"), ("train", "PYTHON"),
     ("runs", "WANDB_MODE"), ("gate", "PY"), ("clean-cache", "TMPDIR")],
)  # fmt: skip
def test_what_one_of_the_commands_reads_or_what_it_is_made_from_is_taken(goals: str, name: str) -> None:
    assert make(*goals.split(), f"{name}=x").stderr == ""


def test_a_make_within_another_takes_what_any_command_reads() -> None:
    """GNU make hands all variables of its command line to the makes that it starts."""
    assert make("eval", "RECIPE=x", level=1).stderr == ""
    assert "*** DRYRUN= is not read by `make eval`" in make("eval", "DRYRUN=1", level=1).stderr


def test_a_command_that_is_none_is_said_as_make_says_it() -> None:
    assert "No rule to make target 'evl'" in make("evl", "RUN=x").stderr


def test_every_example_sets_what_is_read() -> None:
    """Of all pages, recipes, workflows and messages."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", *PAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    examples = {
        (goals.strip(), name)
        for page in listed.split()
        if not page.startswith("tests/")
        for goals, given in EXAMPLE.findall((ROOT / page).read_text(encoding="utf-8"))
        for name in re.findall(r" ([A-Z][A-Z0-9_]*)=", given)
    }
    assert len(examples) > 80
    unread = {(goals, name) for goals, name in examples if name not in read_by(goals)}
    assert unread == {("publish", "DRYRUN"), ("eval", "RECIPE")}, "the slips that pages tell of"
