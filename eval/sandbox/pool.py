"""The sandbox as the rest of the suite sees it: a pool of workers, results in input order, golds cached.

with open_sandbox() as sandbox:
    execution = sandbox.run("ls -l", load_fixture("project"))
"""

import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from tempfile import NamedTemporaryFile
from typing import Any, TextIO

from eval.sandbox.as_root import as_root, state_folder
from eval.sandbox.execution import Execution, Limits, SandboxError
from eval.sandbox.root import Root
from eval.sandbox.stored import Fixture
from eval.sandbox.trees import Tree
from eval.sandbox.worker import receive, send

FIRST_UID, LAST_UID = 62100, 62199  # nobody's; the same plus supervise.KEEPER too
DEFAULT = Limits()
Claims = tuple[TextIO, socket.socket]  # a locked file and a bound name, each held by every copy of its descriptor
# In every worker's environment, so that the probes can prove that no command gets to see it.
PLANTED = "planted-secret-7f3a"


class Sandbox:
    """Runs commands in fixtures. One for a process is enough; it may be used from several threads."""

    def __init__(self, backend: str, root: Root, workers: int) -> None:
        """Start `workers` processes. SandboxError when the backend does not work here."""
        if backend == "pod" and os.geteuid() != 0:
            raise SandboxError("the pod backend needs root")
        self.backend, self.root = backend, root
        self.identity = f"{backend}-{root.kind}-{root.digest[:16]}"
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._workers = [_Worker(backend, root) for _ in range(workers)]
        for worker in self._workers:
            self._idle.put(worker)

    def run(self, command: str, fixture: Fixture, limits: Limits = DEFAULT, cache: Path | None = None) -> Execution:
        """Run `bash -c command` in a fresh copy of `fixture`.

        With `cache` (a folder) an execution is kept there and read again for the same command, fixture, sandbox and
        limits: meant for golds. SandboxError when the sandbox is broken; then nothing is known about the command.
        """
        kept = cache / self._key(command, fixture, limits) if cache else None
        if kept and (execution := _kept(kept)):
            return execution
        with self._borrowed() as worker:
            execution, _ = worker.ask((command, fixture, limits, False))
        if kept and not execution.limits_hit:  # a limit may have been the busy machine's fault: never for good
            _keep(kept, execution)
        return execution

    def run_many(
        self, tasks: Iterable[tuple[str, Fixture]], limits: Limits = DEFAULT, cache: Path | None = None
    ) -> list[Execution | SandboxError]:
        """Run all tasks on all cores. Results in input order; a broken sandbox is a SandboxError in its place."""

        def one(task: tuple[str, Fixture]) -> Execution | SandboxError:
            try:
                return self.run(*task, limits=limits, cache=cache)
            except SandboxError as error:
                return error

        with ThreadPoolExecutor(len(self._workers)) as threads:
            return list(threads.map(one, tasks))

    def run_script(self, script: str, fixture: Fixture, limits: Limits) -> tuple[Execution, Tree]:
        """Like `run`, and the whole tree it left: how fixtures are built."""
        with self._borrowed() as worker:
            return worker.ask((script, fixture, limits, True))

    def _key(self, command: str, fixture: Fixture, limits: Limits) -> str:
        parts = [command, fixture.digest, self.identity, asdict(limits), reading_digest()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest() + ".json"

    @property
    def workers(self) -> int:
        """How many commands run at the same time."""
        return len(self._workers)

    @contextmanager
    def _borrowed(self) -> Iterator["_Worker"]:
        worker = self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put(worker)

    def processes(self) -> list[int | None]:
        """Process id of each worker, None for one that ended."""
        return [worker.process_id for worker in self._workers]

    def users(self) -> list[int]:
        """User id under which each worker's commands run."""
        return [worker.uid for worker in self._workers]

    def close(self) -> None:
        """End the workers; each removes what it made."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def reading_digest() -> str:
    """Digest of the code that turns a run into an Execution: other code, other cached executions."""
    folder = Path(__file__).parent
    names = ("archives.py", "execution.py", "memory.py", "supervise.py", "trees.py")
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()


def _kept(path: Path) -> Execution | None:
    """A cached execution; None when there is none, or its file is damaged, which is said: it is then run again."""
    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        print(f"sandbox: {path} cannot be read ({error.strerror}): its command runs again", file=sys.stderr)
        return None
    if hashlib.sha256(content).hexdigest().encode() != head:
        print(f"sandbox: {path} is damaged: its command runs again", file=sys.stderr)
        return None
    return Execution.from_json(json.loads(content))


def _keep(path: Path, execution: Execution) -> None:
    """Write a cached execution whole, the SHA-256 of the rest in its first line; threads and processes that write the
    same one do not meet. Pure ASCII: output bytes that are not UTF-8 become escaped surrogates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(execution.to_json()).encode("ascii")
    with NamedTemporaryFile("wb", dir=path.parent, prefix=".new-", delete=False) as stream:
        stream.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    Path(stream.name).replace(path)


class _Worker:
    """A worker process and the user id it holds. Restarted when it ended."""

    def __init__(self, backend: str, root: Root) -> None:
        self._settings = backend, root
        self.uid, self._claims = _claim_uid()
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(Path(__file__).parents[2])}
        environment["SANDBOX_PLANTED"] = PLANTED
        self._process = subprocess.Popen(
            [*as_root(), sys.executable, "-S", "-m", "eval.sandbox.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True,
            pass_fds=[claim.fileno() for claim in self._claims],
        )  # fmt: skip
        backend, root = self._settings
        self._exchange((backend, root, self.uid, state_folder() / str(self.uid)))

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    def ask(self, task: tuple[str, Fixture, Limits, bool]) -> tuple[Execution, Tree]:
        """One run. A worker that broke is replaced at the next call."""
        if self._process is None:
            self._start()
        answer: tuple[Execution, Tree] = self._exchange(task)
        return answer

    def _exchange(self, message: Any) -> Any:
        assert self._process is not None and self._process.stdin and self._process.stdout
        try:
            send(self._process.stdin, message)  # type: ignore[arg-type]
            answer = receive(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, BrokenPipeError):
            answer = SandboxError(f"a sandbox worker ended by itself (exit {self._process.wait()})")
        if isinstance(answer, SandboxError):
            self._end_process()
            raise answer
        return answer

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream:
                with suppress(BrokenPipeError):  # it ended before it read its last task
                    stream.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        self._end_process()
        for claim in self._claims:
            claim.close()


def _claim_uid() -> tuple[int, Claims]:
    """A user id that no other sandbox holds, and what says so until it is closed. Each ordinary user has a set of ids.

    Workers inherit their claims: of a harness that was killed, one may still be at its last command.

    A locked file says it to whoever shares this folder, and a socket's name to a chroot or container that has a /run of
    its own and the same network: the ids are the kernel's, and one sandbox would kill the processes of the other. An
    id whose name somebody else took is used only when no other is left, so that nobody can use them all up.
    """
    folder, taken = state_folder(), []
    for uid in range(FIRST_UID, LAST_UID + 1):
        lock = (folder / f"{uid}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        name = socket.socket(socket.AF_UNIX)
        held = lock, name
        try:
            name.bind(f"\0securecli-tuner-{os.geteuid()}-{uid}")
        except OSError:
            taken.append((uid, held))
            continue
        break
    else:
        if not taken:
            raise SandboxError(f"all {LAST_UID - FIRST_UID + 1} sandbox users are in use")
        uid, held = taken.pop(0)
    for _, others in taken:
        for other in others:
            other.close()
    return uid, held
