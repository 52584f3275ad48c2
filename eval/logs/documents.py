"""JSON of a log, read in bounded time and memory: a whole document, or its first line to recognise it by."""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.common.reading import LONGEST_LINE, JsonLine, json_lines, open_regular, read_bytes
from eval.logs.rows import refuse

LARGEST_DOCUMENT = 256 << 20  # bytes of one JSON text; parsed it takes up to ten times as much
MOST_ROWS = 2_000_000  # of one file
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Opened:
    """One file of a log. `named`: the task of rows that name none."""

    path: Path
    alone: bool = True

    @cached_property
    def start(self) -> bytes:
        """The first line, or as much of it as a line may be long."""
        with open_regular(self.path) as stream:
            return stream.readline(LONGEST_LINE + 1)

    @property
    def is_zip(self) -> bool:
        return self.start.startswith(ZIP)

    @cached_property
    def first(self) -> Any:
        """The value of the first line; None when it is no JSON by itself."""
        try:
            return json.loads(self.start.decode("utf-8"))
        except (ValueError, RecursionError):
            return None

    @cached_property
    def document(self) -> Any:
        """The value of the whole file. UserError when it is no JSON."""
        return parsed(read_bytes(self.path, LARGEST_DOCUMENT), self.path)

    @property
    def is_document(self) -> bool:
        """Whether it begins like one JSON object that goes on after its first line, or is one in one line."""
        return self.start.lstrip().startswith(b"{") and (self.first is None or self._is_one_line)

    @cached_property
    def _is_one_line(self) -> bool:
        with open_regular(self.path) as stream:
            stream.seek(len(self.start))
            return not stream.readline(LONGEST_LINE).strip()

    def task(self, default: str) -> str:
        """The name of a task that the file itself does not name: of several files of an arm, that of the file."""
        return default if self.alone else self.path.stem


def lines(opened: Opened) -> Iterator[JsonLine]:
    """The lines of a file of JSON values. UserError for more of them than any evaluation has."""
    for count, line in enumerate(json_lines(str(opened.path)), start=1):
        refuse_many(opened, count)
        yield line


def refuse_many(opened: Opened, count: int) -> None:
    """UserError at one row too many: small ones take twenty times their size as items."""
    if count > MOST_ROWS:
        raise refuse(opened.path, f"more than {MOST_ROWS:,} rows", "split it by task")


def text_in(content: bytes) -> str:
    """The text of UTF-8 bytes, without the mark that some tools put before it. UnicodeDecodeError when it is none."""
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")


def parsed(content: bytes, where: object) -> Any:
    """A JSON value of somebody else's. UserError, in one line, for what is none. NaN stays what it is."""
    try:
        return json.loads(text_in(content))
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text ({error.reason} at byte {error.start})"
    except RecursionError:
        problem = "nested too deeply"
    except json.JSONDecodeError as error:
        problem = f"not whole JSON ({error.msg} at line {error.lineno})"
    except ValueError:  # a number of thousands of digits
        problem = "not JSON that can be read (a number is too long)"
    raise refuse(where, problem, "write the log again")
