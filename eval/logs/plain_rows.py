"""Plain rows, JSONL or CSV: `id, metric, value[, task][, cluster][, prompt][, answer][, repeat]`, one a value.

    {"id": "q1", "metric": "acc", "value": 1, "cluster": "article 3"}

Any other column may group items (`cluster:` of a suite). An empty value, null and NaN are invalid.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from eval.common.reading import read_bytes
from eval.logs.documents import LARGEST_DOCUMENT, Opened, lines, refuse_many, text_in
from eval.logs.rows import Logged, NotANumber, Part, Value, digest_of, fields_of, name_of, number_of, refuse, text_of

TASK = "log"
NEEDED = ("id", "metric", "value")
OWN = {*NEEDED, "task", "prompt", "answer", "repeat"}  # columns that say something by themselves
GROUPING = {"cluster", "category"}  # columns that group items without being asked to
MOST_REPEATS = 1_000_000
EMPTY = ("", "nan", "na", "n/a", "null", "none")


class PlainRows:
    """Reads both forms."""

    name = "plain rows"

    def knows(self, opened: Opened) -> bool:
        if isinstance(opened.first, dict):
            return all(name in opened.first for name in NEEDED)
        return set(NEEDED) <= set(_header(opened))

    def read(self, opened: Opened) -> Part:
        rows = _json_rows(opened) if isinstance(opened.first, dict) else _csv_rows(opened)
        found: dict[tuple[str, str, int], Logged] = {}
        for number, row in rows:
            where = f"{opened.path}:{number}"
            item = item_of(opened.task(TASK), row, where)
            key = (item.task, item.id, item.repeat)
            before = found.setdefault(key, item)
            if before is not item:
                found[key] = together(before, item, where)
        return Part(list(found.values()))


def together(one: Logged, other: Logged, where: str) -> Logged:
    """Two rows of one item. UserError where they give a metric twice, or do not agree on the item."""
    if twice := sorted(one.values.keys() & other.values.keys()):
        said = f"{one.task}/{one.id} has {twice[0]} twice"
        raise refuse(where, said, "repeats of one item need a column `repeat`; they count as one item, by their mean")
    if one.question and other.question and one.question != other.question:
        raise refuse(where, f"{one.task}/{one.id} has two prompts", "give every item its own id")
    differing = {key for key in one.fields.keys() & other.fields.keys() if one.fields[key] != other.fields[key]}
    if grouping := sorted(differing & GROUPING):
        raise refuse(where, f"{one.task}/{one.id} is in two of {grouping[0]}", "give every item its own id")
    one.values.update(other.values)
    if one.fields == other.fields and (one.question or not other.question):
        return one
    asked = one if one.question else other
    # What differs between the rows of an item is about a row, not about the item, and groups nothing.
    fields = {key: value for key, value in {**other.fields, **one.fields}.items() if key not in differing}
    return replace(one, question=asked.question, request=asked.request, fields=fields)


def item_of(default: str, row: dict[str, Any], where: str) -> Logged:
    """One row. UserError for one that lacks a column, or whose repeat is no number."""
    if lacking := [name for name in NEEDED if row.get(name) is None and (name != "value" or name not in row)]:
        raise refuse(where, f"no {lacking[0]}", "every row has id, metric and value")
    repeat = str(row.get("repeat") if row.get("repeat") not in (None, "") else 0)
    if not (repeat.isascii() and repeat.isdecimal() and len(repeat) < 8 and int(repeat) < MOST_REPEATS):
        raise refuse(where, f"repeat is {repeat[:20]!a}", "number repeats from 0")
    prompt, answer = row.get("prompt"), row.get("answer")
    return Logged(
        name_of(row.get("task") or default),
        name_of(row["id"]),
        int(repeat),
        {name_of(row["metric"]): value_of(row["value"])},
        digest_of(prompt) if prompt not in (None, "") else "",
        text_of(prompt or ""),
        "",
        None if answer is None else text_of(answer),
        fields_of({key: value for key, value in row.items() if key not in OWN}),
    )


def value_of(value: Any) -> Value:
    """A number, or a CSV cell that is one; true and false count as 1 and 0."""
    if not isinstance(value, str):
        return number_of(value)
    text = value.strip().lower()
    if text in EMPTY or text in ("true", "false"):
        return None if text in EMPTY else float(text == "true")
    try:
        return number_of(float(text[:60]))
    except ValueError:
        return NotANumber(f"the text {value[:30]!a}")


def _json_rows(opened: Opened) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in lines(opened):
        if line.problem or not isinstance(line.value, dict):
            problem = line.problem or f"{type(line.value).__name__} where a row is needed"
            raise refuse(f"{opened.path}:{line.number}", problem, "every line is one JSON object")
        yield line.number, line.value


def _header(opened: Opened) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text_in(opened.start))), [])
    except (UnicodeDecodeError, csv.Error):
        return []


def _csv_rows(opened: Opened) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = text_in(read_bytes(opened.path, LARGEST_DOCUMENT))
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        for count, row in enumerate(reader, start=1):
            refuse_many(opened, count)
            if None in row or None in row.values():
                raise refuse(f"{opened.path}:{reader.line_num}", "not as many cells as columns", "mend the row")
            yield reader.line_num, row
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text ({error.reason} at byte {error.start})"
        raise refuse(opened.path, problem, "save it as UTF-8") from None
    except csv.Error as error:
        raise refuse(opened.path, f"not CSV ({error})", "write it again, in quotes where a cell needs them") from None
