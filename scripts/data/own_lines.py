"""A file of rows of your own, line by line: JSON lines or a list, CSV, TSV, Parquet or Arrow, packed by gzip or not.

    lines, rejects = read_lines(Path("mine.jsonl"))     each mapping with where it stands; what is none, with the reason

What the rows say is read by own_shapes.py.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.reading import refuse_special
from eval.contracts.task import Row
from scripts.training.dataset_entries import BrokenRow, read_rows, unpacked

TABLES = {".csv": ",", ".tsv": "\t"}
OTHER_SEPARATORS = ";\t|,"  # a .csv of a spreadsheet has a semicolon where numbers have a comma
COLUMNS = (".parquet", ".arrow")


@dataclass(frozen=True)
class Line:
    """One row of the file. `number` counts from 1: lines of text, rows of a table or list; `where` says which."""

    number: int
    where: str
    row: Row


@dataclass(frozen=True)
class Reject:
    """One row that is left out: at which stage, why (alike for all rows of a kind), and what is only so of this one.
    Holds none of its texts."""

    number: int
    where: str
    stage: str
    reason: str
    detail: str = ""


def read_lines(file: Path) -> tuple[list[Line], list[Reject]]:
    """The rows of a JSONL, JSON, CSV, TSV or Parquet file; a line that cannot be read spoils no other.

    UserError when the file as a whole cannot be read.
    """
    if not file.exists():
        raise UserError(f"{file} is not there: FILE= names the file of your rows")
    refuse_special(file)
    lines: list[Line] = []
    rejects: list[Reject] = []
    try:
        for number, where, row, problem in _rows(file):
            if problem := problem or unsound(row):
                rejects.append(Reject(number, where, "read", problem))
            else:
                lines.append(Line(number, where, row))
    except (BrokenRow, csv.Error) as error:
        raise UserError(f"{file} {error}: mend the file, or save it as JSON lines") from None
    return lines, rejects


def _rows(file: Path) -> Iterator[tuple[int, str, Any, str]]:
    """Number, place and value of each row, or what is wrong with it."""
    if file.suffix in COLUMNS:
        for number, (where, row) in enumerate(read_rows(file), start=1):
            yield number, where, row, ""
        return
    text = _text(file)
    separator = next((TABLES[suffix] for suffix in file.suffixes if suffix in TABLES), None)  # mine.csv.gz is one
    if separator:
        yield from _cells(csv.DictReader(io.StringIO(text, newline=""), delimiter=_separator(text, separator)))
    elif text.lstrip().startswith("["):
        value, problem = _parsed(text)
        if problem:
            raise BrokenRow(f"is {problem}")
        for number, row in enumerate(value, start=1):
            yield number, f"row {number}", row, ""
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield number, f"line {number}", *_parsed(line)


def _text(file: Path) -> str:
    content = unpacked(file)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BrokenRow("is UTF-16, not UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BrokenRow(f"is not UTF-8 text (line {line})") from None


def _separator(text: str, usual: str) -> str:
    """What stands between the cells of a table: as its suffix says, where its first line has that at all."""
    head = [text.lstrip("\r\n").partition("\n")[0]]
    several = (mark for mark in (usual, *OTHER_SEPARATORS) if len(next(csv.reader(head, delimiter=mark), [])) > 1)
    return next(several, usual)


def _cells(table: csv.DictReader) -> Iterator[tuple[int, str, Any, str]]:
    for row in table:
        problem = ""
        if None in row:
            problem = "more cells than the header has"
        elif None in row.values():
            problem = "fewer cells than the header has"
        yield table.line_num, f"line {table.line_num}", row, problem


def _parsed(text: str) -> tuple[Any, str]:
    """A JSON value, or what is wrong with it."""
    try:
        return json.loads(text), ""
    except json.JSONDecodeError as error:
        return None, f"not JSON ({error.msg.partition(':')[0]})"
    except RecursionError:
        return None, "nested too deeply"
    except ValueError:  # a number of thousands of digits
        return None, "not JSON that can be read (a number is too long)"


def unsound(row: Any) -> str:
    """What keeps a value from being a row that can be written down again; empty for one that can."""
    if not isinstance(row, dict):
        return f"a {type(row).__name__}, not a mapping of fields to values"
    try:
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "half a surrogate pair (\\ud83d and the like), which is no character"
    except (TypeError, ValueError):  # a date or bytes of a Parquet file, NaN
        return "a value that JSON has no form for (a date, bytes, NaN): turn it into text"
    return ""
