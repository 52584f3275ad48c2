"""InterCode-ALFA as a domain: one task, whose rows an installed package has."""

from pathlib import Path

from eval.contracts.task import Domain
from eval.tasks.intercode_alfa.rows import documents
from eval.tasks.nl2bash.domain import command_task

TASK = command_task("intercode_alfa", None, lambda content: documents())
DOMAIN = Domain("intercode_alfa", Path(__file__).parent, (TASK,))
