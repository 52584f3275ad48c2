"""Which tasks there are: ours, and those of the domains that the suite in use names.

    find_task("securecli_retention")        the task; None for one of lm-eval's own
    facts_of("securecli_retention", "acc")  what its metric is; None where nothing is declared

Ours are imported when one is first asked for. A domain of somebody else's takes part once a suite that names it is
loaded (`use`), and never under a name that another has.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.contracts.plugins import find
from eval.contracts.task import Domain, Execution, Metric, Task

OURS = {
    "nl2bash": "eval.tasks.nl2bash.domain:DOMAIN",
    "safety": "eval.tasks.safety.domain:DOMAIN",
    "retention": "eval.tasks.retention.domain:DOMAIN",
    "intercode_alfa": "eval.tasks.intercode_alfa.domain:DOMAIN",
}
# Runs answers of lm-eval tasks that bring rows with a `fixture` and no code.
DEFAULT_EXECUTION = "eval.tasks.nl2bash.execution:COMMANDS"
_in_use: dict[str, Domain] = {}


@cache
def _ours() -> dict[str, Domain]:
    return {name: find("tasks", name, OURS) for name in OURS}


def domains() -> Iterator[Domain]:
    """Ours, then those that a suite has named."""
    yield from _ours().values()
    yield from _in_use.values()


def use(domain: Domain) -> None:
    """Let a domain take part from now on. UserError where it has a name that another has."""
    taken = {task.name: other.name for other in domains() if other.name != domain.name for task in other.tasks}
    if domain.name in OURS:
        raise UserError(f"domain {domain.name}: one of this repository has that name: choose another")
    if twice := [task.name for task in domain.tasks if task.name in taken]:
        raise UserError(f"domain {domain.name}: task {twice[0]} is one of {taken[twice[0]]}: choose another name")
    _in_use[domain.name] = domain


def forget(name: str) -> None:
    """End the part of a domain that `use` let in."""
    _in_use.pop(name, None)


def find_task(name: str) -> Task | None:
    """The task of this name that a domain offers; None for one that only lm-eval knows."""
    return next((task for domain in domains() for task in domain.tasks if task.name == name), None)


def data_of(task: str) -> Path | None:
    """The file of a domain task's rows; None for the rows of an installed package."""
    for domain in domains():
        for own in domain.tasks:
            if own.name == task and own.data is not None:
                return (ROOT if domain.name in OURS else domain.folder) / own.data
    return None


def guest_of(task: str) -> Domain | None:
    """The domain of somebody else's that offers a task; None for one of ours, and for lm-eval's."""
    return next((domain for domain in _in_use.values() if any(own.name == task for own in domain.tasks)), None)


def facts_of(task: str, metric: str) -> Metric | None:
    """What is declared of a metric of a domain's task; None for any other."""
    own = find_task(task)
    return own.metrics.get(metric) if own else None


def execution_of(task: str) -> Execution | None:
    """How answers of a task are run: its own way, or that of commands for a task that no domain offers."""
    own = find_task(task)
    if own is not None:
        return own.execution
    execution: Execution = find("tasks", "default", {"default": DEFAULT_EXECUTION})
    return execution


def modes_giving(task: str, metric: str) -> tuple[str, ...]:
    """The modes of `execute:` in which a task gives a metric; empty where the answer's text does, or nothing is
    known."""
    own, execution = find_task(task), execution_of(task)
    declared = own.metrics if own else execution.metrics if execution else {}
    return declared[metric].executed if metric in declared else ()
