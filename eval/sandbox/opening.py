"""Choose a sandbox by trying: the strongest backend that passes every probe, or a one-line refusal."""

import os
import sys

from eval.common.quota import cores, memory_bytes
from eval.sandbox.as_root import require_root
from eval.sandbox.execution import SandboxError
from eval.sandbox.pool import Sandbox
from eval.sandbox.probes import require
from eval.sandbox.root import find_root

BACKENDS = ("namespaces", "pod")
MOST_WORKERS = 32  # of the hundred users there are
MEMORY_OF_A_WORKER = 768 << 20  # bytes: a command may use 512 MiB (execution.Limits), the worker keeps trees


def open_sandbox(backend: str | None = None, workers: int | None = None) -> Sandbox:
    """A checked sandbox with `workers` processes (default: `usual_workers()`).

    Tries `backend`, or each in turn. SandboxError when none passes its probes: there is no bare mode.
    """
    fit_machine()
    root = find_root()
    reasons = []
    for name in [backend] if backend else BACKENDS:
        try:
            sandbox = Sandbox(name, root, workers or usual_workers())
        except SandboxError as error:
            reasons.append(f"{name}: {error}")
            continue
        try:
            require(sandbox)
        except SandboxError as error:
            sandbox.close()
            reasons.append(f"{name}: {error}")
            continue
        return sandbox
    raise SandboxError(f"no sandbox works on this machine; {'; '.join(reasons)}")


def usual_workers() -> int:
    """Two a core, since much of a run is waiting, but no more than memory has room for; both by quota."""
    return max(1, min(MOST_WORKERS, 2 * cores(), memory_bytes() // MEMORY_OF_A_WORKER))


def fit_machine() -> None:
    """SandboxError on a machine where no backend can work."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise SandboxError("the sandbox needs Linux on x86-64")
    require_root()
