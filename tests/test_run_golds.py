"""Rows are looked at one by one: what is a row's fault leaves it out, what is the machine's ends the command."""

import errno
from collections.abc import Sequence
from typing import Any

import pytest

from eval.contracts.task import Metric, OwnTask
from eval.sandbox.execution import Execution, SandboxError
from scripts.data import run_golds
from scripts.data.own_lines import Line
from scripts.data.own_rows import Check
from scripts.data.own_shapes import Misshapen, Pair, as_read
from scripts.data.sources import Example

ROWS = [Example("shell", 1, "list it", "ls -a", ""), Example("shell", 2, "list it long", "ls -l", "")]
MACHINES = [SandboxError("no user is free"), OSError(errno.ENOSPC, "No space left on device"), MemoryError()]
ROWS_FAULTS = [ValueError("two words"), OSError(errno.ENAMETOOLONG, "File name too long"), KeyError("name")]


class Sandbox:
    """Answers what it is given to every command."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def run_many(self, tasks: Sequence[Any], limits: Any) -> list[Any]:
        return list(self.given[: len(tasks)])


def ran(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, error: Exception | None = None) -> list[tuple[str, str]]:
    def tree(row: Any, sandbox: Any, variant: int) -> Any:
        if error is not None and "-l" in str(row):
            raise error

    monkeypatch.setattr(run_golds, "fixture_for", tree)
    monkeypatch.setattr(run_golds, "unsupported_reason", lambda row: None)
    return run_golds.of_batch(ROWS, sandbox)  # type: ignore[arg-type]


LISTED = Execution(0, b"a\n", b"", (), (), 0.1, "namespaces")


@pytest.mark.parametrize("error", MACHINES, ids=repr)
def test_a_machine_that_fails_where_a_tree_is_made_ends_it(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        ran(monkeypatch, Sandbox(LISTED, LISTED), error)


@pytest.mark.parametrize("error", ROWS_FAULTS, ids=repr)
def test_a_row_without_a_tree_is_kept_and_not_run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    assert ran(monkeypatch, Sandbox(LISTED), error) == [("", ""), ("", "not run: no tree can be made")]


def test_a_tree_that_cannot_be_set_up_is_its_rows_and_no_tree_that_can_is_the_sandboxs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = SandboxError("a tree cannot be set up")
    assert ran(monkeypatch, Sandbox(LISTED, broken)) == [("", ""), ("", "not run: no tree can be made")]
    with pytest.raises(SandboxError, match="cannot be set up"):
        ran(monkeypatch, Sandbox(broken, broken))


def task_that_raises(error: Exception, where: str) -> OwnTask:
    def fails(*given: Any) -> Any:
        raise error

    functions: dict[str, Any] = {"request_of": str, "gold_of": str, "score": lambda row, answer: {"right": 1.0}}
    return OwnTask("own", None, **functions | {where: fails}, metrics={"right": Metric("higher")})


LINE = Line(1, "line 1", {"prompt": "list it", "completion": "ls"})
PAIR = Pair(LINE, LINE.row, "list it", "ls", "list it")


@pytest.mark.parametrize("error", MACHINES, ids=repr)
def test_a_tasks_code_on_a_machine_that_fails_leaves_no_row_out(error: Exception) -> None:
    with pytest.raises(type(error)):
        as_read(LINE, task_that_raises(error, "gold_of"), "")
    with pytest.raises(type(error)):
        Check(task_that_raises(error, "score"))(PAIR)


@pytest.mark.parametrize("error", ROWS_FAULTS, ids=repr)
def test_a_row_that_a_tasks_code_fails_on_is_left_out(error: Exception) -> None:
    with pytest.raises(Misshapen):
        as_read(LINE, task_that_raises(error, "gold_of"), "")
    reason, _ = Check(task_that_raises(error, "score"))(PAIR)
    assert reason == f"own fails on its answer ({type(error).__name__})"
