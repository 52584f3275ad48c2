"""Reading evidence: whoever parses a file and whoever digests it see the same bytes.

    with unchanging():
        ...                 every file read by eval/ and scripts/ must stay what it was when it was first read

Between two readings of one path somebody may put another file there. Inside the block the second reading is Refused.
Only digests are kept. Threads started inside the block are outside of it.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from eval.errors import Refused, UserError

LONGEST_LINE = 1 << 20  # bytes of one JSON line
_seen: ContextVar[dict[Path, str] | None] = ContextVar("seen", default=None)


@contextmanager
def unchanging() -> Iterator[None]:
    """Refuse files that change between two readings inside this block."""
    token = _seen.set({})
    try:
        yield
    finally:
        _seen.reset(token)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. OSError when it cannot be read, Refused when it changed inside an `unchanging` block."""
    content = path.read_bytes()
    if _seen.get() is not None:
        witness(path, hashlib.sha256(content).hexdigest())
    return content


def witness(path: Path, sha256: str) -> None:
    """Note what a reading of a file gave. Refused when an earlier one gave something else."""
    seen = _seen.get()
    if seen is not None and seen.setdefault(path.absolute(), sha256) != sha256:
        raise Refused(f"{path} changed while it was being read: start again, with nobody else writing there")


@dataclass(frozen=True)
class JsonLine:
    """One line that is not blank: its number from 1, its value, and what is wrong with it (then there is no value)."""

    number: int
    value: Any
    problem: str = ""


def json_lines(name: str) -> Iterator[JsonLine]:
    """Lines of a file of JSON values, in order; `-` is standard input. A line that cannot be read spoils no other.

    A newline ends a line and nothing else does: JSON strings may hold every other separator as it is. UserError when
    there is no such file.
    """
    try:
        stream = sys.stdin.buffer if name == "-" else open(name, "rb")  # noqa: PTH123, SIM115
    except OSError as error:
        raise UserError(f"{name} is not a file to read ({error.strerror}): give a file of JSON lines") from None
    return _lines(stream)


def _lines(stream: BinaryIO) -> Iterator[JsonLine]:
    with stream:
        for number in count(1):
            line = stream.readline(LONGEST_LINE + 1)
            if not line:
                return
            if len(line) > LONGEST_LINE:
                while not line.endswith(b"\n") and (line := stream.readline(LONGEST_LINE)):
                    pass
                yield JsonLine(number, None, f"longer than {LONGEST_LINE} bytes")
            elif line.strip():
                yield _parsed(number, line)


def _parsed(number: int, line: bytes) -> JsonLine:
    try:
        return JsonLine(number, json.loads(line.decode("utf-8")))
    except UnicodeDecodeError:
        problem = "not UTF-8 text"
    except RecursionError:
        problem = "nested too deeply"
    except json.JSONDecodeError as error:
        problem = f"not JSON ({error.msg})"
    except ValueError:  # a number of thousands of digits
        problem = "not JSON that can be read (a number is too long)"
    return JsonLine(number, None, problem)
