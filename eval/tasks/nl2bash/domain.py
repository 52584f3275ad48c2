"""Natural language to one Bash command, in three tiers: trained shapes, unseen ones, free requests."""

from collections.abc import Callable, Iterable
from pathlib import Path

from eval.contracts.task import Domain, OwnTask, Row
from eval.tasks.command_metrics import COMMANDS
from eval.tasks.messages import asked, replied
from eval.tasks.nl2bash import execution
from eval.tasks.nl2bash.hooks import nl2bash_results


def command_task(name: str, data: str | None, read: Callable[[bytes], Iterable[Row]] | None = None) -> OwnTask:
    """A task of chat rows whose gold is one command; `read` gives the rows of an installed package."""
    return OwnTask(
        name=name,
        data=data,
        request_of=asked,
        gold_of=replied,
        score=lambda row, answer: nl2bash_results(row, [answer]),
        metrics=COMMANDS,
        acts=True,
        execution=execution.COMMANDS,
        read=read,
    )


TIERS = ("known", "unseen", "free")
TASKS = tuple(command_task(f"securecli_nl2bash_{tier}", f"data/nl2bash/test_{tier}.jsonl") for tier in TIERS)
DOMAIN = Domain("nl2bash", Path(__file__).parent, TASKS)
