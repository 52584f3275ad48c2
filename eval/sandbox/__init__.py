"""Run generated commands where they can do no harm. Start with `open_sandbox` and `load_fixture`.

Names are resolved on first use: worker.py is in this package too, and each of its processes has to stay small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eval.sandbox.calls import run
    from eval.sandbox.execution import Change, Entry, Execution, Limits, SandboxError
    from eval.sandbox.fixtures import load_fixture
    from eval.sandbox.opening import open_sandbox
    from eval.sandbox.pool import Sandbox
    from eval.sandbox.stored import Fixture, derive

__all__ = ["Change", "Entry", "Execution", "Fixture", "Limits", "Sandbox", "SandboxError", "derive", "load_fixture",
           "open_sandbox", "run"]  # fmt: skip

_HOMES = {
    "calls": ("run",),
    "execution": ("Change", "Entry", "Execution", "Limits", "SandboxError"),
    "fixtures": ("load_fixture",),
    "opening": ("open_sandbox",),
    "pool": ("Sandbox",),
    "stored": ("Fixture", "derive"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"eval.sandbox.{module}"), name)
    raise AttributeError(name)
