"""Proof by doing: before a sandbox is used, it is asked to misbehave. One thing that succeeds, and it is refused.

Each probe is a command and what must be true of its execution. The secrets it looks for are planted by us: a file that
every user of the machine may read and write, a variable in the harness's environment, a listening socket.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from eval.sandbox.execution import Execution, Limits, SandboxError
from eval.sandbox.pool import PLANTED, Sandbox
from eval.sandbox.stored import Fixture, store, with_base

# Three processes whose first threads end while others hold more together than they may.
LEADERLESS = r"""import ctypes, os, threading, time
def hold():
    block = bytearray(60 << 20)
    time.sleep(9)
for _ in range(3):
    if os.fork() == 0:
        threading.Thread(target=hold).start()
        ctypes.CDLL(None).syscall(60, 0)
time.sleep(9)"""
# What an empty folder would carry into the next run: flags, version, project, encryption, by each call that sets them.
ATTRIBUTES = r"""import ctypes, fcntl, os
folder = os.open(".", 0)
for request in (0x40086602, 0x40087602, 0x401C5820, 0x800C6613):
    try:
        print("got", fcntl.ioctl(folder, request, bytes(40)))
    except OSError:
        pass
if ctypes.CDLL(None).syscall(469, -100, b".", bytes(32), 24, 0) == 0:
    print("got")"""
# A datagram pair can send to any name that the machine has bound, connected or not.
DATAGRAMS = r"""import socket
try:
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"got", "\0{name}")
except OSError:
    pass"""
QUICK = Limits(wall_seconds=3.0, processes=32, file_mb=1, disk_mb=8, output_bytes=20_000)


@dataclass(frozen=True)
class Probe:
    """A command and the test its execution must pass. `title` says what holds when it does."""

    title: str
    command: str
    holds: Callable[[Execution], bool]
    limits: Limits = QUICK


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found."""

    title: str
    passed: bool
    detail: str


def probes(planted: Path, port: int) -> list[Probe]:
    """Every probe, for a planted file, a listening port and a bound name (the file's folder's) of this machine."""
    file = str(planted)
    return [
        Probe("a command runs, and what it changes is seen", "echo hello > made; cat made",
              lambda e: e.exit == 0 and e.stdout == b"hello\n" and [c.path for c in e.changes] == ["/home/user/made"]),
        Probe("files of the machine cannot be read", f"cat {file}",
              lambda e: PLANTED.encode() not in e.stdout and e.exit != 0),
        Probe("files of the machine cannot be written", f"echo overwritten > {file}",
              lambda e: planted.read_text() == PLANTED),
        Probe("the sandbox root cannot be written", "echo x > /usr/bin/x; echo x >> /etc/passwd; rm -f /usr/bin/env",
              lambda e: not e.changes and e.stderr.count(b"\n") >= 3),
        Probe("the harness's environment cannot be read", "env; cat /proc/*/environ 2>/dev/null",
              lambda e: PLANTED.encode() not in e.stdout),
        Probe("no connection to this machine", f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected",
              lambda e: b"connected" not in e.stdout),
        Probe("no new namespaces, mounts or roots", "unshare -U true && echo got; unshare -m true && echo got; "
              "mount -t tmpfs x /tmp && echo got; chroot / true && echo got", lambda e: b"got" not in e.stdout),
        Probe("no privileges", "python3 -c 'import os\nfor i in range(3):\n try: os.setuid(0); print(\"got\")\n"
              " except OSError: pass'; mknod /tmp/d b 8 0 && echo got", lambda e: b"got" not in e.stdout),
        Probe("processes outside cannot be signalled", f"kill -0 {os.getpid()} && echo got; kill -0 1 2>/dev/null "
              f"&& [ \"$(cat /proc/1/comm)\" != bwrap ] && echo got", lambda e: b"got" not in e.stdout),
        Probe("the number of processes is limited", "perl -e 'for (1..100) { my $p = fork; last unless defined $p; "
              "sleep 9 unless $p; $n++ } print $n'", lambda e: e.exit == 0 and int(e.stdout) < 100),
        Probe("time is limited", "sleep 30", lambda e: e.exit is None and e.limits_hit == ("wall",) and e.seconds < 3,
              Limits(wall_seconds=0.2)),
        Probe("output is limited", "yes", lambda e: e.exit is None and len(e.stdout) <= 20_000),
        Probe("file size is limited", "head -c 3000000 /dev/zero > big; stat -c %s big",
              lambda e: int(e.stdout or b"0") <= 1 << 20),
        Probe("memory is limited", "python3 -c 'b = bytearray(800 << 20); print(len(b))'",
              lambda e: e.exit != 0 and not e.stdout),
        Probe("memory is limited without a first thread", f"python3 -c '{LEADERLESS}'",
              lambda e: "memory" in e.limits_hit, Limits(wall_seconds=10.0, memory_mb=128)),
        Probe("no shared memory that nobody counts", "python3 -c 'import mmap; mmap.mmap(-1, 4096); print(\"got\")'",
              lambda e: b"got" not in e.stdout),
        Probe("no disk space beyond a file's end", "touch f; fallocate --keep-size -l 8M f; stat -c %b f",
              lambda e: e.stdout == b"0\n"),
        Probe("no message to the machine's sockets", f"python3 -c '{DATAGRAMS.format(name=planted.parent.name)}'",
              lambda e: e.exit == 0),
        Probe("no attribute of a folder outlives it", f"python3 -c '{ATTRIBUTES}'", lambda e: e.stdout == b""),
        Probe("the next run starts clean", "ls -A /home/user /tmp", lambda e: e.stdout == b"/home/user:\n\n/tmp:\n"),
    ]  # fmt: skip


def check(sandbox: Sandbox) -> list[ProbeResult]:
    """Run every probe."""
    fixture = store("empty", "/home/user", with_base(lambda top: None, "/home/user"))
    with _planted() as (secret, port, connections):
        results = [_one(sandbox, probe, fixture) for probe in probes(secret, port)]
        results.append(ProbeResult("nothing reached the listening sockets", not connections(), ""))
    return results


def _one(sandbox: Sandbox, probe: Probe, fixture: Fixture) -> ProbeResult:
    execution = sandbox.run(probe.command, fixture, probe.limits)
    passed = probe.holds(execution)
    said = f"exit {execution.exit}, {(execution.stderr or execution.stdout)[:200]!r}"
    return ProbeResult(probe.title, passed, "" if passed else said)


def require(sandbox: Sandbox) -> None:
    """SandboxError with the first probe that failed."""
    for result in check(sandbox):
        if not result.passed:
            raise SandboxError(f"backend {sandbox.backend} is not safe here: {result.title}: no ({result.detail})")


@contextmanager
def _planted() -> Iterator[tuple[Path, int, Callable[[], int]]]:
    """A readable and writable secret, a listening port, and the number of connections it got."""
    with (
        tempfile.TemporaryDirectory(prefix="sandbox-probe-") as folder,
        socket.socket() as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as named,
    ):
        named.bind(f"\0{Path(folder).name}")
        named.setblocking(False)
        Path(folder).chmod(0o777)
        secret = Path(folder, "secret")
        secret.write_text(PLANTED)
        secret.chmod(0o666)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)

        def connections() -> int:
            count = 0
            with suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    count += 1
            with suppress(BlockingIOError):
                named.recv(16)
                count += 1
            return count

        yield secret, listener.getsockname()[1], connections
