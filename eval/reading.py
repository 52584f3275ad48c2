"""Reading evidence: whoever parses a file and whoever digests it see the same bytes.

    with unchanging():
        ...                 every file read by eval/ and scripts/ must stay what it was when it was first read

Between two readings of one path somebody may put another file there. Inside the block the second reading is Refused.
Only digests are kept. Threads started inside the block are outside of it.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from eval.errors import Refused

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
