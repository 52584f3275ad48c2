"""A server process that does not outlive who started it, and is waited for until it answers.

    started = Started(command, environment, log)      in a process group of its own
    started.wait_until(healthy, seconds)              UserError with the log's last words when it ends or takes too long
    started.stop()                                    the whole group: SIGTERM, then SIGKILL

Between us and the server stands a guard (this module, run by name) that reads from a pipe whose other end only we hold.
When we end in whatever way, SIGKILL included, the pipe ends too, and the guard ends the server's group.

Not protected against: a server that leaves its process group, and a guard that is killed itself.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_bytes

GRACE = 10.0  # seconds
POLL = 0.2
LAST_BYTES, LAST_LINES, LONGEST_LINE = 1 << 16, 5, 200  # of a log, in a message


class Started:
    """The guard of a server, and so the server."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, grace: float = GRACE) -> None:
        """`grace`: seconds between SIGTERM and SIGKILL when it is to end."""
        self.command, self.log, self.grace = list(command), log, grace
        with log.open("wb") as stream:
            self.guard = subprocess.Popen(
                [sys.executable, "-m", __name__, str(grace), *command],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # what is typed at the terminal ends us, and so the guard ends the server
            )

    def wait_until(self, healthy: Callable[[], bool], seconds: float) -> None:
        """Return when `healthy` says so. UserError when the server ends before, or is not by then."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if (code := self.guard.poll()) is not None:
                raise UserError(f"{self.command[0]} ended with {code} before it answered: {self.last_words()}")
            if healthy():
                return
            time.sleep(POLL)
        self.stop()
        raise UserError(f"{self.command[0]} did not answer within {seconds:g} s (start_s): {self.last_words()}")

    def stop(self) -> None:
        """End the server and wait until it has ended."""
        if self.guard.stdin is not None:
            with contextlib.suppress(OSError):
                self.guard.stdin.close()
        try:
            self.guard.wait(2 * self.grace + GRACE)
        except subprocess.TimeoutExpired:
            self.guard.kill()
            self.guard.wait()

    def last_words(self) -> str:
        """The last lines of the log, on one."""
        raw = read_bytes(self.log)[-LAST_BYTES:] if self.log.is_file() else b""
        lines = [line.strip() for line in raw.decode("utf-8", errors="replace").splitlines() if line.strip()]
        shown = " | ".join(line[:LONGEST_LINE] for line in lines[-LAST_LINES:])
        return "".join(letter if letter.isprintable() else "?" for letter in shown) or "it said nothing"


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


def guard(grace: float, command: Sequence[str]) -> int:
    """Run the command in a group of its own until it ends, or standard input does; returns its exit code."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", flush=True)
        return 127
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: end_group(child, grace))
    os.set_blocking(0, False)
    while child.poll() is None:
        with contextlib.suppress(BlockingIOError):
            if os.read(0, 1) == b"":
                end_group(child, grace)
                break
        time.sleep(POLL)
    end_group(child, grace)  # what the server started may outlive it
    return child.wait()


def end_group(child: "subprocess.Popen[bytes]", grace: float) -> None:
    """SIGTERM to the child's whole group, SIGKILL to what is left of it after `grace` seconds."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        until = time.monotonic() + grace
        while time.monotonic() < until:
            child.poll()  # a zombie counts as a member
            os.killpg(child.pid, 0)
            time.sleep(POLL / 4)
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(guard(float(sys.argv[1]), sys.argv[2:]))
