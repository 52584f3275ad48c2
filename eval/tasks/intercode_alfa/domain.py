"""InterCode-ALFA as a domain: one task, whose rows an installed package has."""

from pathlib import Path

from eval.contracts.task import Domain, OwnTask
from eval.tasks.command_metrics import COMMANDS
from eval.tasks.intercode_alfa.rows import documents
from eval.tasks.messages import asked, replied
from eval.tasks.nl2bash import execution
from eval.tasks.nl2bash.hooks import nl2bash_results

TASK = OwnTask(
    name="intercode_alfa",
    data=None,
    request_of=asked,
    gold_of=replied,
    score=lambda row, answer: nl2bash_results(row, [answer]),
    metrics=COMMANDS,
    acts=True,
    execution=execution.COMMANDS,
    read=lambda content: documents(),
)
DOMAIN = Domain("intercode_alfa", Path(__file__).parent, (TASK,))
