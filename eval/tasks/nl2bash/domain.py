"""Natural language to one Bash command, in three tiers: trained shapes, unseen ones, free requests."""

from pathlib import Path

from eval.contracts.task import Domain, OwnTask
from eval.tasks.command_metrics import COMMANDS
from eval.tasks.messages import asked, replied
from eval.tasks.nl2bash import execution
from eval.tasks.nl2bash.hooks import nl2bash_results


def tier(name: str) -> OwnTask:
    """One of the test sets of data/nl2bash."""
    return OwnTask(
        name=f"securecli_nl2bash_{name}",
        data=f"data/nl2bash/test_{name}.jsonl",
        request_of=asked,
        gold_of=replied,
        score=lambda row, answer: nl2bash_results(row, [answer]),
        metrics=COMMANDS,
        acts=True,
        execution=execution.COMMANDS,
    )


DOMAIN = Domain("nl2bash", Path(__file__).parent, (tier("known"), tier("unseen"), tier("free")))
