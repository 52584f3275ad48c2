"""Proposals for rows that are not fit: small changes of form, each said. What a row means is never changed.

A line is mended where it is a row in another notation (a Python dictionary, a comma too many, words around it); an
answer where it stands in a fence, between words or between blanks. Credentials, danger and wrong answers are left out.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from eval.contracts.task import Row, Task
from scripts.data.own_lines import unsound
from scripts.data.own_shapes import Pair
from scripts.teachers.prompts import answer_in, objects_in, with_answer

LONGEST = 200_000  # characters of a line that is mended
COMMA = re.compile(r",(\s{0,20}[}\]])")


@dataclass(frozen=True)
class Repair:
    """What is proposed for one line. `row` is None where it is left out."""

    number: int
    problem: str
    did: str
    row: Row | None = None

    def record(self) -> Row:
        return {name: value for name, value in asdict(self).items() if name != "row"} | {"kept": self.row is not None}


def mended_line(text: str) -> tuple[Row | None, str]:
    """The row that a line is nearly, and what was done; None where there is none."""
    text = text.strip()
    if len(text) > LONGEST:
        return None, ""
    found, _ = objects_in(text)
    if len(found) == 1 and not unsound(found[0]):
        return found[0], "words around the object removed"
    found, broken = objects_in(COMMA.sub(r"\1", text))
    if len(found) == 1 and not broken and not unsound(found[0]):
        return found[0], "a comma too many removed"
    try:
        value = ast.literal_eval(text.rstrip(","))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None, ""
    if isinstance(value, dict) and all(isinstance(name, str) for name in value) and not unsound(value):
        return value, "written as JSON"
    return None, ""


def mended_answers(pair: Pair, task: Task) -> Iterator[tuple[Row, str]]:
    """The row with its answer taken out of blanks, a fence or words around it, in each way that changes something."""
    ways = [(pair.gold.strip(), "blanks"), (answer_in(pair.gold), "a fence")]
    if task.execution:
        ways.append((task.execution.program(pair.gold).strip(), "words"))
    tried = {pair.gold, ""}
    for text, what in ways:
        row = None if text in tried else with_answer(pair, text)
        tried.add(text)
        if row is not None:
            yield row, f"{what} around its answer removed"
