"""`run`: one call for who needs no pool of his own."""

import atexit
from pathlib import Path

from eval.sandbox.execution import Execution, Limits
from eval.sandbox.fixtures import load_fixture
from eval.sandbox.opening import open_sandbox
from eval.sandbox.pool import DEFAULT, Sandbox
from eval.sandbox.stored import Fixture

_opened: list[Sandbox] = []


def run(command: str, fixture: Fixture | str | Path, limits: Limits = DEFAULT) -> Execution:
    """Run one command in a fresh copy of `fixture`, in a sandbox that this process opens once and keeps."""
    if not _opened:
        _opened.append(open_sandbox())
        atexit.register(_opened[0].close)
    sandbox = _opened[0]
    tree = fixture if isinstance(fixture, Fixture) else load_fixture(fixture, sandbox)
    return sandbox.run(command, tree, limits)
