"""Run every attempt of attempts.txt in one backend and print, as JSON, what was not contained.

    python -m tests.hostile.drive pod            [name, problem] pairs for every attempt; an empty problem is good

After each attempt: did it get what it wanted, is the planted file untouched, did a limit end it where one had to, does
no process of its user live, is the worker the same one, and does the next run find the tree as it was laid out.
"""

import json
import os
import re
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from eval.sandbox.execution import Execution, Limits, SandboxError
from eval.sandbox.pool import PLANTED, Sandbox
from eval.sandbox.root import find_root
from eval.sandbox.stored import Fixture, store, with_base
from tests.patience import PATIENCE

ATTEMPTS = Path(__file__).with_name("attempts.txt")
LIMITS = Limits(wall_seconds=1.5, cpu_seconds=1, processes=48, file_mb=4, disk_mb=16, output_bytes=100_000)
SHORTER = replace(LIMITS, wall_seconds=1)  # for what goes on and on, on every core
LONGER = replace(LIMITS, wall_seconds=8)  # less than any attempt sleeps
# What bash says by itself starts no program: this runs after every attempt.
CLEAN = (
    "ls -lAR /home/user /tmp; stat -c '%s %n' / /tmp /home /home/user; lsattr -d /tmp /home/user; "
    "echo /dev/shm/* /dev/shm/.* /* /.*; read -r kept < keep; read -r host < /etc/hostname; "
    "echo $kept $host $UID $EUID; printf '%(%F %T)T\\n' -1; ls -l /usr/bin | cksum; bash -lc true; jobs; ulimit -a"
)
PATIENT = Limits(wall_seconds=PATIENCE)  # what must run to its end does, however slow the machine
THREADS = 4


def attempts() -> dict[str, tuple[str, set[str]]]:
    """Every attempt: its command and the limits one of which must end it."""
    found: dict[str, tuple[str, set[str]]] = {}
    for line in ATTEMPTS.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([a-z0-9-]+)(?: \[([a-z ]+)\])?: ?(.*)$", line)
        if match and not line.startswith("#"):
            name, hits, command = match.groups()
            assert name not in found, f"two attempts are called {name}"
            found[name] = command, set((hits or "").split())
    return found


class Bait:
    """What the attempts try to reach on this machine: a file, sockets of several kinds, this process."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o777)
        self.secret = folder / "planted-secret"
        self.plant()
        self.listeners = [socket.create_server(("127.0.0.1", 0)), self._unix(f"{folder}/socket")]
        self.listeners.append(self._unix(f"\0planted-{folder.name}"))
        (folder / "socket").chmod(0o777)
        port6 = 0
        with suppress(OSError):
            self.listeners.append(socket.create_server(("::1", 0), family=socket.AF_INET6))
            port6 = self.listeners[-1].getsockname()[1]
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagram.bind(f"\0datagram-{folder.name}")
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        with socket.create_server(("127.0.0.1", 0)) as free:
            unused = free.getsockname()[1]
        for listener in [*self.listeners, self.datagram, self.udp]:
            listener.setblocking(False)
        self.names = {
            "secret": str(self.secret), "pid": str(os.getpid()), "port": str(self.listeners[0].getsockname()[1]),
            "port6": str(port6), "udp": str(self.udp.getsockname()[1]), "abstract": f"planted-{folder.name}",
            "datagram": f"datagram-{folder.name}",
            "unix": f"{folder}/socket", "free": str(unused),
        }  # fmt: skip

    def plant(self) -> None:
        self.secret.write_text(PLANTED)
        self.secret.chmod(0o666)

    @staticmethod
    def _unix(address: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        return listener

    def fill_in(self, command: str) -> str:
        for name, value in self.names.items():
            command = command.replace("{" + name + "}", value)
        return command

    def reached(self) -> bool:
        """Whether anything arrived since the last call, or the planted file changed."""
        arrived = not self.secret.exists() or self.secret.read_text() != PLANTED
        for listener in self.listeners:
            with suppress(BlockingIOError):
                listener.accept()[0].close()
                arrived = True
        for bound in (self.datagram, self.udp):
            with suppress(BlockingIOError):
                arrived = bool(bound.recv(10)) or arrived
        return arrived


def problem(sandbox: Sandbox, command: str, hits: set[str], bait: Bait, fixture: Fixture, clean: Execution) -> str:
    """What was wrong with one attempt, or nothing."""
    (worker,) = sandbox.processes()
    (uid,) = sandbox.users()
    limits = SHORTER if "wall" in hits else LIMITS
    try:
        execution = sandbox.run(bait.fill_in(command), fixture, limits)
        if hits and execution.limits_hit == ("wall",) and "wall" not in hits:  # a starved machine got there first
            limits = LONGER
            execution = sandbox.run(bait.fill_in(command), fixture, limits)
        json.dumps(execution.to_json())
        if b"ESCAPED" in execution.stdout:
            return f"it got what it wanted: {execution.stdout[:200]!r}"
        if PLANTED.encode() in execution.stdout + execution.stderr:
            return "it read the planted secret"
        if hits and not hits & set(execution.limits_hit):
            said = f"exit {execution.exit}, hit {execution.limits_hit}, {execution.stderr[:200]!r}"
            return f"ended by none of {hits}: {said}"
        if execution.seconds > limits.wall_seconds + 2:
            return f"it took {execution.seconds:.1f} s"
        if (execution.exit is None) and not execution.limits_hit:
            return "it was killed for no limit"
        if alive := processes_of(uid):
            return f"processes are left: {alive}"
        after = sandbox.run(CLEAN, fixture, PATIENT)
    except SandboxError as error:
        return f"the sandbox broke: {error}"
    if (after.exit, after.stdout, after.changes) != (clean.exit, clean.stdout, clean.changes):
        return f"the next run is not clean: {difference(clean.stdout, after.stdout)} {after.stderr[:300]!r}"
    if sandbox.processes() != [worker]:
        return "the worker did not survive"
    return "it reached the machine" if bait.reached() else ""


def difference(before: bytes, after: bytes) -> str:
    """The lines that differ, shortened."""
    return repr(set(before.splitlines()) ^ set(after.splitlines()))[:300]


def processes_of(uid: int) -> list[str]:
    """Process ids of a user that are not zombies."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            text = (process / "status").read_text()
            if f"\nUid:\t{uid}\t" in text and "State:\tZ" not in text:
                found.append(process.name)
    return found


def fingerprint(top: Path) -> int:
    """A number that changes when a file of the sandbox root does."""
    seen = []
    for folder, _, names in os.walk(top):
        for name in names:
            status = Path(folder, name).lstat()
            seen.append((folder, name, status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid))
    return hash(tuple(sorted(seen)))


def fill(top: Path) -> None:
    """The tree every attempt starts in."""
    (top / "home/user/keep").write_text("kept\n")


def drive(backend: str, only: str = "") -> list[tuple[str, str]]:
    """Every attempt (or those whose name contains `only`) in THREADS sandboxes; name and problem of each."""
    root = find_root()
    before = fingerprint(root.top)
    chosen = {name: attempt for name, attempt in attempts().items() if only in name}
    fixture = store("bait", "/home/user", with_base(fill, "/home/user"))

    def some(share: list[str]) -> list[tuple[str, str]]:
        with tempfile.TemporaryDirectory() as folder, Sandbox(backend, root, workers=1) as sandbox:
            bait = Bait(Path(folder))
            clean = sandbox.run(CLEAN, fixture, PATIENT)
            return [(name, problem(sandbox, *chosen[name], bait, fixture, clean)) for name in share]

    names = list(chosen)
    with ThreadPoolExecutor(THREADS) as threads:
        found = [result for part in threads.map(some, [names[i::THREADS] for i in range(THREADS)]) for result in part]
    order = {name: place for place, name in enumerate(names)}
    unchanged = fingerprint(root.top) == before
    return [*sorted(found, key=lambda pair: order[pair[0]]), ("root-unchanged", "" if unchanged else "a file differs")]


if __name__ == "__main__":
    print(json.dumps(drive(sys.argv[1], *sys.argv[2:])))
