"""Processes that need torch and Axolotl for the price of one import: forked from one that has imported them already.

    process = preloaded.Popen([sys.executable, "-m", "scripts.training.train_worker", ...])   as subprocess.Popen
    done = preloaded.run([sys.executable, "-c", code])          as subprocess.run, with the output captured as text
    monkeypatch.setattr(train, "subprocess", preloaded)         what this module starts is forked as well
    subprocess.run([preloaded.python(), "-m", ...])             a program that does the same for anybody, as make's PY

A server, one for all workers of a session and started by the first who asks, or in good time where everything is
tested, forks each process. It is what `python` would have started, but for the libraries: its own arguments,
environment, folder, descriptors, session and signals, parents and children that signals reach. What is read only where
Python starts has to be as the server was started: another PYTHONHASHSEED is refused.
"""

import fcntl
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from eval.common.places import ROOT
from tests.preloaded_server import Order, become

SESSION = "PRELOADED_TESTS"  # variable: a folder for the socket, and the process that the server does not outlive
HASHES = {"PYTHONHASHSEED": "0"}  # as scripts.training.train gives its worker
# Read by libraries where they are imported. Arrow's other allocator has a thread, which no fork survives.
SURROUNDINGS = {
    "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
    "AXOLOTL_DO_NOT_TRACK": "1", "ARROW_DEFAULT_MEMORY_POOL": "system",
    # As eval.run.environment.silence_libraries has set them in whoever imported it.
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error",
}  # fmt: skip
CLIENT = Path(__file__).with_name("preloaded_client.py")
TimeoutExpired, PIPE = subprocess.TimeoutExpired, subprocess.PIPE
Command = Sequence[str | os.PathLike[str]]


def order_of(command: Command, cwd: Any, env: Mapping[str, str] | None, session: bool, fds: Sequence[int]) -> Order:
    """What a forked process has to become. AssertionError for what a fork cannot be."""
    program, *arguments = map(os.fspath, command)
    assert program == sys.executable and arguments[0] in ("-m", "-c"), f"modules and code only: {command}"
    environment = dict(os.environ if env is None else env)
    seed = environment.get("PYTHONHASHSEED", HASHES["PYTHONHASHSEED"])
    assert seed == HASHES["PYTHONHASHSEED"], f"hashes of the server are seeded otherwise than by {seed}"
    return Order(arguments, environment, os.fspath(cwd or Path.cwd()), session, list(fds))


class Process:
    """The part of subprocess.Popen that is asked of a process once it runs."""

    pid: int
    returncode: int | None = None

    def look(self, timeout: float | None) -> int | None:
        raise NotImplementedError

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.look(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = self.look(timeout)
        if self.returncode is None:
            raise TimeoutExpired(str(self.pid), timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Popen(Process):
    """A process of the server's."""

    def __init__(
        self,
        command: Command,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        pass_fds: Sequence[int] = (),
        start_new_session: bool = False,
    ) -> None:
        order = order_of(command, cwd, env, start_new_session, [0, 1, 2, *pass_fds])
        self.stdout: IO[bytes] | None = None
        own = []
        if stdout == PIPE:
            end, given = os.pipe()
            self.stdout, stdout = os.fdopen(end, "rb"), given
            own.append(given)
        places = [place if place is None or isinstance(place, int) else place.fileno() for place in (stdout, stderr)]
        out, err = (default if place is None else place for place, default in zip(places, (1, 2), strict=True))
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(str(server()))
        socket.send_fds(self.line, [b"x"], [0, out, err, *pass_fds])
        self.line.sendall(json.dumps(order).encode() + b"\n")
        for given in own:
            os.close(given)
        self.said = self.line.makefile()
        self.pid = int(self.said.readline())

    def look(self, timeout: float | None) -> int | None:
        if not select.select([self.line], [], [], timeout)[0]:
            return None
        return int(self.said.readline())


class Child(Process):
    """A child of a process that was forked itself: what `preloaded` stands for in there."""

    def __init__(
        self,
        command: Command,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        start_new_session: bool = False,
    ) -> None:
        places = [0, 1, 2, *pass_fds]
        order = order_of(command, cwd, env, start_new_session, places)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            become(order, places)

    def look(self, timeout: float | None) -> int | None:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            pid, status = os.waitpid(self.pid, 0 if end is None else os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if end is not None and time.monotonic() >= end:
                return None
            time.sleep(0.01)


def run(command: Command, timeout: float | None = None, **given: Any) -> "subprocess.CompletedProcess[str]":
    """Its exit code and what it printed, as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Popen(command, stdout=out, stderr=err, **given)
        try:
            process.wait(timeout)
        finally:
            process.kill()
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    return subprocess.CompletedProcess(list(map(os.fspath, command)), process.wait(), *texts)


def start() -> None:
    """Start the session's server where nobody has yet: ready when its socket is there."""
    owner, _, folder = os.environ[SESSION].partition(":")
    with Path(folder, "lock").open("a") as lock:  # and the number of its process
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.fstat(lock.fileno()).st_size:
            with Path(folder, "log").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.preloaded_server", f"{folder}/socket", owner],
                    cwd=ROOT,
                    env=os.environ | HASHES | SURROUNDINGS,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            lock.write(str(process.pid))


def runs(number: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def server() -> Path:
    """The socket of the session's server, once it is there."""
    start()
    folder = Path(os.environ[SESSION].partition(":")[2])
    number = int((folder / "lock").read_text())
    while not (folder / "socket").exists():
        assert runs(number) or (folder / "socket").exists(), (folder / "log").read_text()[-2000:]
        time.sleep(0.05)
    return folder / "socket"


def python() -> str:
    """A program that is started in place of Python, tests/preloaded_client.py; what it starts is forked as well."""
    address = server()
    program = address.with_name("python")
    client = [sys.executable, "-IS", str(CLIENT), str(address), str(program), json.dumps(HASHES | SURROUNDINGS)]
    made = program.with_name(f"python.{os.getpid()}")
    made.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
    made.chmod(0o755)
    made.replace(program)  # whole, whichever of the workers made it
    return str(program)
