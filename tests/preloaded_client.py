"""The program of `preloaded.python()`: it is `python`, forked from the session's server where that is possible.

    python -IS preloaded_client.py SOCKET CLIENT STARTED ARGUMENTS...

CLIENT is what counts as sys.executable there, STARTED holds the variables (JSON) with which the server was started.

Descriptors, environment, folder, signals and exit are those of the process that asked; when it is killed, what was
forked for it is too. What a fork cannot be is started as usual: other options of Python's than -m and -c, and another
value of a variable that is read only where Python or a library starts.
"""

import fcntl
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

READ_AT_START = ("HF_", "TRANSFORMERS_", "PYTHONHASHSEED")
# Read when they are needed; or set by Axolotl itself, in the server as in whoever imported it.
READ_LATER = ("HF_TOKEN", "HF_HUB_ENABLE_HF_TRANSFER", "HF_XET_HIGH_PERFORMANCE")
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def can_fork(arguments: list[str], started: dict[str, str]) -> bool:
    """Whether the server's Python, as it has started, can be what is asked for."""
    kind = arguments[0] if arguments else "-"
    if kind.startswith("-") and kind not in ("-m", "-c"):
        return False
    asked = {name: value for name, value in os.environ.items() if name.startswith(READ_AT_START)}
    return all(started.get(name) == value for name, value in asked.items() if name not in READ_LATER)


def inherited() -> list[int]:
    """Numbers of the descriptors that a program started here would have."""
    numbers = sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    kept = []
    for number in numbers:
        with suppress(OSError):
            if not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                kept.append(number)
    return kept


def main(address: str, client: str, started: dict[str, str], arguments: list[str]) -> int:
    """Exit code, negative for a signal. Does not return where Python itself is started instead."""
    if not can_fork(arguments, started):
        os.execv(sys.executable, [sys.executable, *arguments])
    numbers = inherited()
    line = socket.socket(socket.AF_UNIX)
    line.connect(address)
    socket.send_fds(line, [b"x"], numbers)
    order = [arguments, dict(os.environ), str(Path.cwd()), False, numbers, client]
    line.sendall(json.dumps(order).encode() + b"\n")
    said = line.makefile()
    child = int(said.readline())
    for number in FORWARDED:
        signal.signal(number, lambda number, frame: os.kill(child, number))
    return int(said.readline())


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4:])
    if code < 0:
        with suppress(OSError):  # SIGKILL has no other meaning
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
