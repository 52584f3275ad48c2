"""Other people's requests and commands: the rows that `make data CONFIG=` held out of training.

An answer is right when it does what the right command does, on file trees made for that command. Rows for which no such
tree can be made say so themselves (`not_executed`), and have the scores of their text alone.
"""

from dataclasses import replace
from pathlib import Path

from eval.contracts.task import Domain
from eval.tasks.nl2bash.domain import command_task

SYSTEM = "Answer with one Bash command and nothing else."  # of the rows that are trained
HELD_OUT = replace(command_task("pairs_held_out", "test.jsonl"), system=SYSTEM, max_new_tokens=48)
DOMAIN = Domain("pairs", Path(__file__).parent, (HELD_OUT,))
