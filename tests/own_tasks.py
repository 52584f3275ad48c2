"""The tasks of this repository, for tests."""

from eval.contracts.domains import find_task
from eval.contracts.task import Task


def own_task(name: str) -> Task:
    """A task that is there."""
    task = find_task(name)
    assert task is not None, name
    return task
