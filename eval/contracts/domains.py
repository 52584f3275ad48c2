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
from eval.contracts.drawn import base_and_k
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


def _offered(name: str) -> tuple[Domain | None, Task | None]:
    """The task of this name and its domain; twice None for one that only lm-eval knows."""
    found = ((domain, task) for domain in domains() for task in domain.tasks if task.name == name)
    return next(found, (None, None))


def find_task(name: str) -> Task | None:
    """The task of this name that a domain offers; None for one that only lm-eval knows."""
    return _offered(name)[1]


def reads_logits(name: str) -> bool:
    """Whether a task compares the logits of both arms, and has no answers."""
    own = find_task(name)
    return own is not None and own.reads == "logits"


def data_of(name: str) -> Path | None:
    """The file of a domain task's rows; None for the rows of an installed package."""
    domain, task = _offered(name)
    if domain is None or task is None or task.data is None:
        return None
    return (ROOT if domain.name in OURS else domain.folder) / task.data


def guest_of(name: str) -> Domain | None:
    """The domain of somebody else's that offers a task; None for one of ours, and for lm-eval's."""
    domain = _offered(name)[0]
    return None if domain is None or domain.name in OURS else domain


def facts_of(task: str, metric: str) -> Metric | None:
    """What is declared of a metric of a domain's task, or of the one that it is derived from (eval/contracts/drawn.py);
    None for any other."""
    own = find_task(task)
    return own.metrics.get(base_and_k(metric)[0]) if own else None


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
    base = base_and_k(metric)[0]
    return declared[base].executed if base in declared else ()
