"""One worker process: takes (command, fixture, limits) from its standard input, answers with an Execution.

Started by pool.py, one for each core, as root (an ordinary user's is root of a user namespace: as_root.py). It keeps
fixtures in memory, nothing else: every run gets a tree of its own, and every process of a run is dead before its answer
leaves. A worker that finds its sandbox broken says so and ends; the pool starts another. When the pool goes away,
standard input ends, and so does the worker.

Messages are pickles with a length in front. They come from the pool alone: no sandboxed process has these pipes.
"""

# Strings and descriptors on purpose: thousands of calls a run, and no link may be followed.
# ruff: noqa: PTH123
import gc
import os
import pickle
import signal
import struct
from pathlib import Path
from typing import Any, BinaryIO

from eval.sandbox import confine, trees
from eval.sandbox.execution import Execution, Limits, SandboxError
from eval.sandbox.namespaces import Namespaces
from eval.sandbox.pod import Pod
from eval.sandbox.root import Root
from eval.sandbox.stored import Fixture, tree_of
from eval.sandbox.supervise import kill_all

Backend = Namespaces | Pod
LONGEST_ARGUMENT = 128 << 10  # bytes with the NUL at its end: MAX_ARG_STRLEN of linux/binfmts.h


def execute(
    backend: Backend, command: str, fixture: Fixture, limits: Limits, keep: bool = False
) -> tuple[Execution, trees.Tree]:
    """One run in a fresh copy of the fixture: lay out, run, compare, clear. SandboxError when the sandbox fails.

    With `keep` the tree it left comes with the bytes of its files.
    """
    if reason := not_an_argument(command):
        return Execution(126, b"", f"bash: {reason}\n".encode(), (), (), 0.0, backend.name), {}
    before = tree_of(fixture)
    try:
        roots_own = backend.fresh(fixture, before, limits)
        outcome = backend.run(command, fixture, limits)
        hits = outcome.limits_hit
        code = outcome.exit
        try:
            after = trees.read_tree(Path(backend.tree), roots_own, before, keep)
            changes = trees.changes_between(before, after, backend.merged)
        except trees.TooManyEntries:
            after, changes, code, hits = {}, (), None, tuple(dict.fromkeys((*hits, "disk")))
        return Execution(code, outcome.stdout, outcome.stderr, changes, hits, outcome.seconds, backend.name), after
    except OSError as error:
        raise SandboxError(f"the sandbox broke: {type(error).__name__}: {error}") from error
    finally:
        backend.clear()


def not_an_argument(command: str) -> str:
    """Why the kernel takes no such argument, as `bash -c` would be told; empty for a command that can be run."""
    if "\0" in command:
        return "a command cannot contain a NUL byte"
    try:
        length = len(os.fsencode(command))
    except UnicodeEncodeError:
        return "a command cannot contain half a surrogate pair"
    return "argument list too long" if length >= LONGEST_ARGUMENT else ""


def send(stream: BinaryIO, message: Any) -> None:
    """Write one message."""
    data = pickle.dumps(message)
    stream.write(struct.pack("=Q", len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one message; EOFError when the other side is gone."""
    header = stream.read(8)
    if len(header) < 8:
        raise EOFError
    size = struct.unpack("=Q", header)[0]
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)


def main() -> None:
    os.umask(0o022)  # not the user's: what is laid out must be the same everywhere
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    confine.close_descriptors_at_exec()  # the claims to this worker's user id, which it holds until it ends (pool.py)
    # The pipes move away from 0 and 1, where a sandboxed process will have its own.
    requests = open(os.dup(0), "rb")  # noqa: SIM115
    answers = open(os.dup(1), "wb")  # noqa: SIM115
    os.dup2(2, 1)
    kind, root, uid, base = receive(requests)
    backend = None
    try:
        backend = open_backend(kind, root, uid, base)
        send(answers, None)
        gc.freeze()
        while True:
            command, fixture, limits, want_tree = receive(requests)
            execution, after = execute(backend, command, fixture, limits, want_tree)
            send(answers, (execution, after if want_tree else None))
    except SandboxError as error:
        send(answers, error)
    except (EOFError, BrokenPipeError):  # the pool is gone
        pass
    finally:
        if backend is not None:
            backend.close()


def open_backend(kind: str, root: Root, uid: int, base: Path) -> Backend:
    """The backend of this worker."""
    confine.adopt_orphans()
    kill_all(uid)  # what a killed worker of this user may have left
    return Namespaces(root, uid, base) if kind == "namespaces" else Pod(root, uid, base)


if __name__ == "__main__":
    main()
