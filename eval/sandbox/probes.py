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
    """Every probe, for a planted file and a listening port of this machine."""
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
        Probe("the next run starts clean", "ls -A /home/user /tmp", lambda e: e.stdout == b"/home/user:\n\n/tmp:\n"),
    ]  # fmt: skip


def check(sandbox: Sandbox) -> list[ProbeResult]:
    """Run every probe."""
    fixture = store("empty", "/home/user", with_base(lambda top: None, "/home/user"))
    with _planted() as (secret, port, connections):
        results = [_one(sandbox, probe, fixture) for probe in probes(secret, port)]
        results.append(ProbeResult("nothing reached the listening socket", not connections(), ""))
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
    with tempfile.TemporaryDirectory(prefix="sandbox-probe-") as folder, socket.socket() as listener:
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
            return count

        yield secret, listener.getsockname()[1], connections
