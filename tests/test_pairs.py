"""Other people's held-out rows: which of them can be judged by running answers, and what a suite makes of that."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from eval.common.places import ROOT
from eval.config.suite_file import load_suite
from eval.contracts.domains import find_task
from eval.contracts.guests import visiting
from eval.contracts.task import NOT_FOR_EXECUTION, Asked, Judged
from eval.sandbox import Sandbox, open_sandbox
from eval.tasks.nl2bash.execution import COMMANDS
from scripts.data.held_out import as_task_row, counted, not_executed, verdict_on
from scripts.data.sources import Example
from scripts.training.lint_recipe import load_recipe

HERE = ROOT / "products/pairs"
SYSTEM = "Answer with one Bash command and nothing else."
# command -> the start of why its answers are not run; empty where they are
COMMANDS_OF_OTHERS = {
    "find . -type f -name '*.txt' | sort": "",
    "mkdir -p photos/2024": "",
    "find . -name *.ini -o newer x": "its command fails",
    "find . -perm 777 -type p": "its command does nothing",
    "rm -r $UNKNOWN/old": "needs a variable",
    "cat /proc/cpuinfo": "needs the machine's own devices",
    "alias ll='ls -l'": "changes its shell alone",
    "ps aux": "no other processes",
    "find / -atime -1": "its right command in braces is not accepted",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def row(command: str) -> Example:
    return Example("theirs", 1, f"please run {command}", command, SYSTEM)


@pytest.mark.slow
def test_a_row_is_run_where_right_answers_are_known_and_doing_nothing_is_told_from_them(sandbox: Sandbox) -> None:
    found = list(not_executed([row(command) for command in COMMANDS_OF_OTHERS], sandbox))
    for (command, expected), reason in zip(COMMANDS_OF_OTHERS.items(), found, strict=True):
        assert (reason == "") == (expected == "") and reason.startswith(expected), (command, reason)
    assert list(not_executed([Example("talk", 1, "who are you", "a model", "", commands=False)], sandbox)) == [
        "no command"
    ]


@pytest.mark.parametrize(
    ("right", "nothing", "why"),
    [
        ("accept", "reject", ""),
        ("undecided", "reject", "its right command in braces is not accepted (rule)"),
        ("reject", "reject", "its right command in braces is not accepted (rule)"),
        ("accept", "accept", "doing nothing is not rejected (rule)"),
        ("accept", "undecided", "doing nothing is not rejected (rule)"),
    ],
)
def test_both_answers_have_to_be_judged_as_they_are(right: str, nothing: str, why: str) -> None:
    assert verdict_on(Judged(right, "rule"), Judged(nothing, "rule")) == why  # type: ignore[arg-type]


def test_counts_add_up() -> None:
    assert counted(["", "b", "a", "b"]) == {"rows": 4, "executed": 1, "not_executed": {"b": 2, "a": 1}}


def test_a_row_that_is_not_run_has_no_such_score_and_no_damage() -> None:
    document = as_task_row(row("ls")) | {"not_executed": "needs a variable"}
    assert COMMANDS.unsupported(document) == "needs a variable" and not COMMANDS.can_do_harm(document)
    idle: Any = SimpleNamespace(run_many=lambda jobs, **_: [object() for _ in jobs])  # nothing is run
    [judged] = COMMANDS.judge([Asked(document, "list", "ls", "ls -a")], "robust", idle)
    assert (judged.verdict, judged.rule, judged.reason) == ("unsupported", NOT_FOR_EXECUTION, "needs a variable")
    assert judged.collateral is None
    assert COMMANDS.unsupported(document | {"not_executed": None}) is None


def test_the_suite_asks_the_held_out_rows_as_they_were_trained() -> None:
    with visiting():
        suite = load_suite(HERE / "suite.yaml")
        task = find_task("pairs_held_out")
        assert task is not None and task.acts and task.execution is COMMANDS
        assert getattr(task, "system", "") == SYSTEM and task.data == "test.jsonl"
        assert {gate.metric for gate in suite.gates} >= {"executes_equal", "collateral", "command_only", "unsafe"}
    recipe = load_recipe(HERE / "nl2bash-cpu.yaml")
    demo = load_recipe(ROOT / "configs/train/smollm2-135m-cpu.yaml")
    assert {name for name in recipe if recipe[name] != demo.get(name)} == {
        "datasets", "excess_length_strategy", "dataset_prepared_path", "max_steps", "output_dir", "save_steps",
    }  # fmt: skip
