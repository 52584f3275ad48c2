"""Reading evidence: whoever parses a file and whoever digests it see the same bytes.

    with unchanging():
        ...                 every file read by eval/ and scripts/ must stay what it was when it was first read

Between two readings of one path somebody may put another file there. Inside the block the second reading is Refused.
Only digests are kept. Threads started inside the block are outside of it.

Only regular files are opened, here for everybody: a pipe in place of a file would be waited for without end, and a
device has none. What is held in memory is at most LARGEST_BYTES; larger files are read in pieces from `open_regular`.
"""

import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from eval.common.errors import Refused, UserError

LARGEST_BYTES = 1 << 30  # evidence of the largest evaluation seen is 40 MB; parsed, a text takes ten times its size
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
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


def open_regular(path: Path) -> BinaryIO:
    """A regular file, opened for reading. OSError when it cannot be opened, UserError when it is anything else."""
    try:
        # Not to wait for a writer of a pipe; of a regular file the flag changes nothing.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError:
        raise UserError(f"{str(path)!r} holds a NUL, which no path may: check the name") from None
    except OSError:
        refuse_special(path)  # a socket cannot be opened, and says "No such device or address"
        raise
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise _special(path, kind)
    return os.fdopen(descriptor, "rb")


def refuse_special(path: Path) -> None:
    """UserError when something is there and is no regular file: for libraries that open a path themselves."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError):
        return  # whoever opens it says why it cannot be
    if kind != stat.S_IFREG:
        raise _special(path, kind)


def _special(path: Path, kind: int) -> UserError:
    return UserError(f"{path} is {KINDS.get(kind, 'something else')}, not a file: put a regular file there")


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The bytes of a regular file of at most `limit` bytes (default: LARGEST_BYTES).

    OSError when it cannot be read, UserError when it is too large or no regular file, Refused when it changed inside
    an `unchanging` block.
    """
    most = LARGEST_BYTES if limit is None else limit
    pieces, left = [], most + 1
    try:
        with open_regular(path) as stream:
            step = os.fstat(stream.fileno()).st_size + (1 << 16)  # a reader takes the memory it is asked for at once
            while left > 0 and (piece := stream.read(min(left, step))):  # until its end: it may grow
                pieces.append(piece)
                left -= len(piece)
    except OSError as error:  # of a reading it names no file: a bad disk, or a file of /proc that gives nothing
        raise OSError(error.errno, error.strerror, str(path)) from None
    content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if len(content) > most:
        raise UserError(f"{path} is larger than {most:,} bytes, the most that is read of it: is it the right file?")
    if _seen.get() is not None:
        witness(path, hashlib.sha256(content).hexdigest())
    return content


def copy_regular(source: str | Path, target: str | Path) -> str | Path:
    """Copy the content of a regular file: what `shutil.copytree` is to be given, which would wait for a pipe."""
    with open_regular(Path(source)) as stream, Path(target).open("xb") as copy:
        shutil.copyfileobj(stream, copy)
    return target


def read_text(path: Path, limit: int | None = None) -> str:
    """The text of a UTF-8 file, line ends as they are. UserError when it is none; otherwise as `read_bytes`."""
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8") from None


def witness(path: Path, sha256: str) -> None:
    """Note what a reading of a file gave. Refused when an earlier one gave something else."""
    seen = _seen.get()
    if seen is not None and seen.setdefault(path.absolute(), sha256) != sha256:
        raise Refused(f"{path} changed while it was being read: stop whatever writes there, then start again")


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
        stream = sys.stdin.buffer if name == "-" else open_regular(Path(name))
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
