"""Rows of your own as a domain's task reads them: the usual shapes, and the task's own fields.

    pair = as_read(line, task, system)                  the row that `task` reads, its request, its gold, its prompt

A row that the task reads as it is stays so: `database` of a text-to-SQL row survives. Any other is one of

    {"messages": [system, user, assistant]}, also as `conversations` with `from` and `value`
    {"instruction": ..., "input": ..., "output": ...}       the input follows the instruction on a line of its own
    one of REQUESTS and one of ANSWERS, such as {"prompt": ..., "completion": ...} or {"question": ..., "sql": ...}

and becomes chat messages, or has its two texts under the names that the task asks for.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from eval.common.errors import is_machines
from eval.contracts.task import OwnTask, Row, Task
from scripts.data.own_lines import Line
from scripts.training.leakage import texts
from scripts.training.recipe_data import OF_AXOLOTL

CHATS = ("messages", "conversations")
# By rank: of {"question": ..., "query": ...} the query is the answer.
REQUESTS = ("instruction", "prompt", "question", "request", "nl", "text", "utterance", "input", "query")
ANSWERS = ("output", "completion", "response", "answer", "gold", "target", "command", "cmd", "bash", "sql", "query")
LISTED = 8  # fields of a row that a message names


class Misshapen(ValueError):
    """Why a row is not one request with one answer, without any of its texts."""


@dataclass(frozen=True)
class Pair:
    """One row as the task reads it. `prompt` is what the model is asked: the request, or more."""

    line: Line
    row: Row
    request: str
    gold: str
    prompt: str

    @property
    def where(self) -> str:
        return self.line.where

    def texts(self) -> Iterator[str]:
        """Every text of the row, and what the model is asked."""
        yield from texts(self.row)
        yield self.prompt

    def written(self) -> str:
        """The row as it is written."""
        return json.dumps(self.row, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Usual:
    """What a row in a usual shape says: request and answer, and the fields they stand in."""

    texts: tuple[str, str]
    fields: tuple[str, ...]


def as_read(line: Line, task: Task, system: str) -> Pair:
    """The row as `task` reads it. `system`: the system message of chat rows. Raises Misshapen."""
    usual = usual_shape(line.row)
    for place, row in enumerate(_candidates(line.row, usual, task, system)):
        try:
            found = task.request(row), task.gold(row)
            prompt = task.prompt(row) if isinstance(task, OwnTask) and task.prompt else found[0]
        except Exception as error:  # whatever a task's own code raises on a row that it was not written for
            if is_machines(error):
                raise
            continue
        if not all(isinstance(text, str) for text in (*found, prompt)):
            continue
        # A task that takes what is not there for empty has not read the row.
        by_itself = place == 0 and (usual is None or all(text.strip() for text in found))
        if by_itself or (usual is not None and found == usual.texts):
            return Pair(line, row, *found, prompt)
    raise Misshapen(_unread(task, line.row, usual is not None))


def _candidates(row: Row, usual: Usual | None, task: Task, system: str) -> Iterator[Row]:
    """The ways to write a row, in the order in which the task is to try them."""
    if usual is None:
        yield row
        return
    rest = {name: value for name, value in row.items() if name not in usual.fields}
    chat = {**rest, "messages": messages(system, *usual.texts)}
    if not any(name in row for name in CHATS):
        yield row
    yield chat
    yield _named(task, rest, *usual.texts)


def messages(system: str, request: str, answer: str) -> list[dict[str, str]]:
    """A chat of one request and one answer; no system message where there is none."""
    turns = [("system", system)] * bool(system) + [("user", request), ("assistant", answer)]
    return [{"role": role, "content": content} for role, content in turns]


def system_of(row: Row) -> str:
    """The system message of a row that is a chat; empty for any other."""
    turns: Any = next((row[name] for name in CHATS if row.get(name)), [{}])
    first = turns[0] if isinstance(turns, list) and isinstance(turns[0], dict) else {}
    role, text = first.get("role", first.get("from")), _plain(first.get("content", first.get("value")))
    return text if role == "system" and isinstance(text, str) else ""


def usual_shape(row: Row) -> Usual | None:
    """What a row in a usual shape says; None for any other row. Raises Misshapen for a chat that is more than one
    request with one answer, and for a request or an answer that is no text."""
    for name in CHATS:
        if name in row:
            return Usual(_chat(row[name], name), (name,))
    names = {str(name).strip().lower(): name for name in row}
    asked = next((names[name] for name in REQUESTS if name in names), None)
    answered = next((names[name] for name in ANSWERS if name in names and names[name] != asked), None)
    if asked is None or answered is None:
        return None
    if isinstance(row[asked], list) and isinstance(row[answered], list):
        return Usual(_chat(row[asked] + row[answered], asked), (asked, answered))
    texts, fields = (_written(row, asked), _written(row, answered)), (asked, answered)
    more = names.get("input", answered)
    if names.get("instruction") == asked and more != answered:
        request = "\n".join(text for text in (texts[0], _written(row, more)) if text.strip())
        return Usual((request, texts[1]), (*fields, more))
    return Usual(texts, fields)


def _chat(turns: Any, name: str) -> tuple[str, str]:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise Misshapen(f"`{name}` is not a list of turns with role and content")
    said = [(turn.get("role", turn.get("from")), _plain(turn.get("content", turn.get("value")))) for turn in turns]
    if not all(isinstance(role, str) and isinstance(text, str) for role, text in said):
        raise Misshapen(f"`{name}` has a turn whose role or content is not text")
    roles = [OF_AXOLOTL.get(role, role) for role, _ in said]
    if roles[-2:] != ["user", "assistant"] or roles[:-2] not in ([], ["system"]):
        shown = ", ".join(roles[:4]) + ", ..." * (len(roles) > 4)
        raise Misshapen(f"`{name}` is {shown or 'empty'}: one request (user) and one answer (assistant) are needed")
    return said[-2][1], said[-1][1]


def _plain(content: Any) -> Any:
    """What a turn says; as one text where it says it in parts that are all text."""
    if not (isinstance(content, list) and content and all(isinstance(part, dict) for part in content)):
        return content
    parts = [part.get("text") for part in content if part.get("type", "text") == "text"]
    whole = len(parts) == len(content) and all(isinstance(part, str) for part in parts)
    return "".join(parts) if whole else content


def _written(row: Row, name: str) -> str:
    value = row[name]
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Misshapen(f"`{name}` is a {type(value).__name__}, not text")
    return str(value)


def _named(task: Task, row: Row, request: str, answer: str) -> Row:
    """The row with its two texts under the first names that the task misses in it."""
    named = dict(row)
    for read, text in ((task.request, request), (task.gold, answer)):
        if (name := _missing(read, named)) is not None:
            named[name] = text
    return named


def _missing(read: Callable[[Row], str], row: Row) -> str | None:
    """The field whose absence stops the task; None where something else does, or nothing."""
    try:
        read(row)
    except KeyError as error:
        return error.args[0] if error.args and isinstance(error.args[0], str) else None
    except Exception:  # of the task's own code
        return None
    return None


def _unread(task: Task, row: Row, usual: bool) -> str:
    """Why neither the row nor what its shape gives is read by the task."""
    readers = [task.request, task.gold, *([task.prompt] if isinstance(task, OwnTask) and task.prompt else [])]
    lacking = next((name for read in readers if (name := _missing(read, row)) is not None), None)
    why = f"{task.name} finds no `{lacking}` in it" if lacking else f"{task.name} does not read it"
    fields = ", ".join(sorted(str(name) for name in row)[:LISTED]) + ", ..." * (len(row) > LISTED)
    return f"{why}{'' if usual else ', and it is in no usual shape'} (fields: {fields})"
