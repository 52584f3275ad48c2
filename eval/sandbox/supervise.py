"""Start one confined process, read its output up to a cap, hold it to its limits, and leave nothing behind.

The caller must be root, single-threaded, and have called confine.adopt_orphans(): then every process the command
ever starts is a descendant that ends up as a child of this one, and waiting until there are no children left proves
that nothing survived, whatever was forked, renamed or detached.
"""

# Strings and descriptors on purpose: thousands of calls a run, and no link may be followed.
# ruff: noqa: PTH123
import os
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from eval.sandbox import confine, memory
from eval.sandbox.execution import Limits, SandboxError

# Added to a worker's user id: an id that owns nothing, the killer's real one while it kills. One for each worker, since
# two killers with the same would kill each other.
KEEPER = 1000
_IGNORED_BY_US = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOW_MEMORY = 0.02  # of the machine: below it, what a command does says nothing about the command
WATCH_EVERY = 0.1  # seconds between two looks at memory and disk
REAP_SECONDS = 10.0
SHORT = "the machine is short of memory"


@dataclass(frozen=True)
class Outcome:
    """How a process ended. `exit` is the shell's convention (128 + signal), None when a limit of ours killed it."""

    exit: int | None
    stdout: bytes
    stderr: bytes
    limits_hit: tuple[str, ...]
    seconds: float


def supervise(enter: Callable[[], NoReturn], uid: int, limits: Limits, disk_full: Callable[[Limits], bool]) -> Outcome:
    """Run `enter` (confine and exec; it must not return) in a child and wait for its end or its limits.

    `disk_full` is asked from time to time and at the end. SandboxError when the child could not be confined, or when
    a process of it survives.
    """
    begin = time.monotonic()
    pipes = [os.pipe() for _ in range(3)]
    (out, out_end), (err, err_end), (failure, failure_end) = pipes
    child = os.fork()
    if child == 0:
        _child(enter, out_end, err_end, failure_end)
    process = os.pidfd_open(child)
    for descriptor in (out_end, err_end, failure_end):
        os.close(descriptor)
    output: dict[int, bytearray] = {out: bytearray(), err: bytearray()}
    try:
        problem = os.read(failure, 4096)  # until exec closes it, or the reason why there was none
        try:
            hit = "" if problem else _watch(process, output, uid, limits, begin, disk_full)
        finally:
            status, usage = _end(child, uid)
        if hit == SHORT:
            raise SandboxError("the machine ran out of memory during a run: nothing can be said about the command")
        if problem:
            raise SandboxError(f"the sandbox could not be closed: {problem.decode(errors='replace')}")
        for descriptor, kept in output.items():  # every writer is dead, so this ends
            while len(kept) <= limits.output_bytes and (more := os.read(descriptor, 65536)):
                kept += more
    finally:
        for descriptor in (out, err, failure, process):
            os.close(descriptor)
    seconds = time.monotonic() - begin
    code = os.waitstatus_to_exitcode(status)
    code = 128 - code if code < 0 else code
    hits = [hit] if hit else []
    if any(len(kept) > limits.output_bytes for kept in output.values()) and not hits:
        hits.append("output")
    ignored = code == 128 + signal.SIGKILL and usage >= limits.cpu_seconds
    if not hits and (code == 128 + signal.SIGXCPU or ignored):
        hits.append("cpu")
    if not hits and disk_full(limits):
        hits.append("disk")
    if code == 128 + signal.SIGXFSZ:
        hits.append("file")
    stdout, stderr = (bytes(kept[: limits.output_bytes]) for kept in output.values())
    if b"fork: retry: Resource temporarily unavailable" in stderr:
        hits.append("processes")
    killed = bool({"wall", "output", "memory", "disk", "cpu"} & set(hits))
    return Outcome(None if killed else code, stdout, stderr, tuple(hits), seconds)


def _child(enter: Callable[[], NoReturn], out: int, err: int, failure: int) -> NoReturn:
    """In the child: own session, no input, the three pipes, then confinement. Never returns into the worker."""
    try:
        confine.die_with_parent()
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        for number in _IGNORED_BY_US:
            signal.signal(number, signal.SIG_DFL)
        with open("/proc/self/oom_score_adj", "w") as stream:
            stream.write("1000")  # when memory runs out, this process goes before any of the machine's own
        os.umask(0o022)
        enter()
    except BaseException as error:  # a boundary: whatever it is, the parent reports it
        with suppress(OSError):
            os.write(failure, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(127)


def _watch(
    process: int, output: dict[int, bytearray], uid: int, limits: Limits, begin: float,
    disk_full: Callable[[Limits], bool],
) -> str:  # fmt: skip
    """Read output until the process ends ("") or reaches a limit (its name)."""
    deadline, next_look = begin + limits.wall_seconds, begin + WATCH_EVERY
    with selectors.DefaultSelector() as selector:
        for descriptor in (process, *output):
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now >= deadline:
                return "wall"
            if now >= next_look:
                if memory.held_bytes(uid) > limits.memory_mb << 20:
                    return "memory"
                if disk_full(limits):
                    return "disk"
                if memory.available_share() < LOW_MEMORY:
                    return SHORT
                next_look = time.monotonic() + WATCH_EVERY
            for key, _ in selector.select(min(deadline, next_look) - now):
                if key.fd == process:
                    return ""
                more = os.read(key.fd, 65536)
                if more:
                    output[key.fd] += more
                    if len(output[key.fd]) > limits.output_bytes:
                        return "output"
                else:
                    selector.unregister(key.fd)


def _end(child: int, uid: int) -> tuple[int, float]:
    """Kill and reap every descendant; wait status and CPU seconds of `child`. SandboxError when one survives."""
    give_up = time.monotonic() + REAP_SECONDS
    status, cpu = 0, 0.0
    with suppress(ProcessLookupError):
        _kill_if_running(child)
    while True:
        kill_all(uid)
        try:
            pid, one_status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return status, cpu
        if pid == child:
            status = one_status
        cpu = max(cpu, usage.ru_utime + usage.ru_stime)
        if pid == 0:
            if time.monotonic() > give_up:
                raise SandboxError(f"a process of user {uid} survives being killed: the worker stops")
            time.sleep(0.0005)


def _kill_if_running(child: int) -> None:
    """Kill a child that has not ended; one that has keeps its own exit status."""
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        os.kill(child, signal.SIGKILL)


def kill_all(uid: int) -> None:
    """Kill every process of `uid`: one kill(2) to all of them at once, which no fork can outrun.

    For that moment this process has the effective id `uid` and a real id that owns nothing, so it may signal them and
    they may not signal it.
    """
    os.setresuid(uid + KEEPER, uid, 0)
    try:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(-1, signal.SIGKILL)
    finally:
        os.setresuid(0, 0, 0)
