"""The process that tests/preloaded forks from: imports what is slow to import, then waits for orders at a socket.

python -m tests.preloaded_server SOCKET OWNER       ends with the process OWNER, or when the socket's folder is gone
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
import types
import weakref
from pathlib import Path
from typing import NamedTuple, NoReturn

LIBRARIES = ("torch", "torch.nn.attention.varlen", "peft", "transformers.trainer",
             "transformers.models.llama.modeling_llama", "transformers.models.gemma4.modeling_gemma4", "axolotl.train",
             "axolotl.cli.train", "axolotl.cli.config", "axolotl.utils.data.sft", "axolotl.core.builders", "wandb",
             "wandb.sdk.launch", "cyclonedx.validation.json", "eval.model.hf", "eval.suite")  # fmt: skip
MOST_FDS = 64
COLLECT_AFTER = 5_000, 10, 50  # objects; younger and middle collections until the next older one
OURS, ROOT = ("eval", "scripts", "tests"), Path(__file__).resolve().parent.parent


class Order(NamedTuple):
    """What a forked process becomes: `python` with these arguments (-m, -c or a file), given descriptors of these
    numbers. With a `client` it starts others as `sys.executable`, and ends when the one who asked is gone."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    session: bool
    descriptors: list[int]
    client: str = ""


def become(order: Order, given: list[int]) -> NoReturn:
    """Of this process, just forked: run the order with the descriptors `given`, and end as Python ends."""
    code = 1
    try:
        if order.session:
            os.setsid()
        high = [fcntl.fcntl(place, fcntl.F_DUPFD, 2 * MOST_FDS) for place in given]
        os.closerange(3, 2 * MOST_FDS)
        for place, number in zip(high, order.descriptors, strict=True):
            os.dup2(place, number)
        os.closerange(2 * MOST_FDS, 4 * MOST_FDS)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(order.environment)
        os.chdir(order.folder)
        open_streams()
        sys.executable = order.client or sys.executable
        if (Path(order.folder) / "eval").is_dir() and not Path(order.folder).samefile(ROOT):
            forget_ours()
        random.seed()
        code = _main(order.arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # None, where it was closed
                stream.flush()
        os._exit(code)


def open_streams() -> None:
    """sys.stdin, stdout and stderr of these descriptors, as Python opens them where it starts."""
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            lines = number == 2 or at_once or os.isatty(number)
            errors = "backslashreplace" if number == 2 else "strict"
            mode, buffering = ("w", 1 if lines else -1) if number else ("r", -1)
            stream = os.fdopen(number, mode, buffering, "utf-8", errors, closefd=False)
        except OSError:
            stream = None  # closed
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def forget_ours() -> None:
    """In another checkout its own modules are imported, and not those of the server's."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]


def _main(arguments: list[str]) -> int:
    """Exit code of `python` with these arguments."""
    kind, *rest = arguments
    what = rest.pop(0) if kind in ("-m", "-c") else kind
    sys.argv = [kind, *rest]
    places = {"-m": str(Path.cwd()), "-c": ""}
    sys.path[:1] = [
        places.get(kind, str(Path(what).parent)),
        *filter(None, os.environ.get("PYTHONPATH", "").split(":")),
    ]
    try:
        if kind not in places:
            runpy.run_path(what, run_name="__main__")
        elif kind == "-m":
            sys.modules.pop(what, None)  # imported by somebody already, it would not be the main module
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), vars(sys.modules["__main__"]))
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def serve(connection: socket.socket) -> NoReturn:
    """Fork what is ordered, say its number, and when it has ended, its code."""
    _, given, _, _ = socket.recv_fds(connection, 1, MOST_FDS)
    order = Order(*json.loads(connection.makefile().readline()))
    child = os.fork()
    if child == 0:
        become(order, given)
    for place in given:
        os.close(place)
    connection.sendall(f"{child}\n".encode())
    if order.client and connection in select.select([connection, os.pidfd_open(child)], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def compile_packing() -> None:
    """Let Numba compile Axolotl's packing now, for lengths of rows just prepared and of rows read from the disk: three
    seconds of each training."""
    import numpy
    from axolotl.utils.samplers.multipack import pack_parallel

    for kind in (numpy.int64, numpy.int32):
        pack_parallel(numpy.array([1, 2], kind), 4, 2, 2, num_processes=1)


def compile_templates() -> None:
    """Those of the report: a fifth of a second of each process that renders one."""
    from eval.report.page_templates import environment

    for kind in ("md", "html"):
        for name in environment(kind).list_templates():
            if name.endswith(f"{kind}.j2"):
                environment(kind).get_template(name)


def main(address: Path, owner: int) -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    compile_packing()
    compile_templates()
    for library in list(weakref.finalize._registry):  # type: ignore[attr-defined]  # torch's operators, one by one
        library.atexit = False
    gc.freeze()  # a collection would write to every page, and so copy it
    gc.set_threshold(*COLLECT_AFTER)
    with socket.socket(socket.AF_UNIX) as line:
        early = address.with_suffix(".early")
        line.bind(str(early))
        line.listen(16)
        line.settimeout(1.0)
        early.rename(address)  # whoever sees it can connect
        while address.exists() and Path(f"/proc/{owner}").exists():
            with contextlib.suppress(TimeoutError):
                connection, _ = line.accept()
                connection.setblocking(True)
                if os.fork() == 0:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        serve(connection)
                    os._exit(0)
                connection.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
