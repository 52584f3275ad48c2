"""Bad inputs to every command that reads something: whatever is wrong, it ends in time, in one line, with a code.

    python -m scripts.benchmarks.fuzz_inputs [--inputs 1000] [--seed 1] [--only NAME,...] [--show]

A case is a command, a fresh small run, and one thing wrong: a file's content, what stands in its place, a word of the
command line, or the place where it runs (a terminal that knows ASCII only, a full disk, a user who may not write).
Good is: exit code 0, 2, 3, or 1 with an answer; no traceback; one line of error; within SECONDS and MEMORY. The command
runs in a fork of this process, which has imported everything once. No model is loaded, nothing is trained and no
sandbox opened: where that would begin the case ends. Exit 1 when a case is not good.
"""

import argparse
import gc
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from eval.common.errors import run_command
from eval.common.places import ROOT
from scripts.benchmarks.fuzz_cases import Bench, Case
from scripts.benchmarks.fuzz_commands import COMMANDS

SECONDS = 20.0
MEMORY_MB = 1500  # beyond what the process had before
NOBODY = 65534
CODES = (0, 2, 3)
# What an exit code 1 stands beside; `error:` is a Refused then, and "are not" the rows that `validate` counts.
ANSWERS = ("no-ship", "block", "refused", "error: ", "are not")
BROKEN_PIPE = 141  # as a shell reports SIGPIPE
LONGEST_OUTPUT = 4 << 20
# Where commands look and write unless they are told otherwise, by the variable of their modules; and where in a case.
WRITTEN = (
    ("RESULTS", ROOT / "results", "."),
    ("JOBS", ROOT / "outputs" / "remote", "jobs"),
    ("FOLDER", ROOT / "outputs" / "repeats", "repeats"),
    ("FOLDER", ROOT / "outputs" / "sweeps", "sweeps"),
    ("CACHE", Path(".cache/data"), "cache"),
)


@dataclass
class Outcome:
    """What a case ended with; `bad` says what is not as it should be, empty when all is."""

    case: Case
    code: int
    seconds: float
    bad: str
    said: str = ""


def run_case(case: Case, folder: Path, modules: dict[str, ModuleType]) -> Outcome:
    """Run one case in a fork, wait for it at most SECONDS, and look at what it left."""
    out, err = folder.with_suffix(".out"), folder.with_suffix(".err")
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            become(case, folder, out, err)
            start(modules[COMMANDS[case.command].module], case, folder)
        finally:
            os._exit(99)
    before = resident_mb()
    code, late = None, False
    while code is None:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
        elif time.monotonic() - started > SECONDS:
            late = True
            os.killpg(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            code = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(0.003)
    seconds = time.monotonic() - started
    said, printed = (_tail(path) for path in (err, out))
    for path in (out, err):
        path.unlink(missing_ok=True)
    memory = usage.ru_maxrss / 1024 - before
    return Outcome(case, code, seconds, judge(case, code, said, printed, late, memory), said[-2000:])


def judge(case: Case, code: int, said: str, printed: str, late: bool, memory: float) -> str:
    """What is wrong with how a case ended."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    if late:
        return "no end"
    if "Traceback" in said + printed:
        return f"traceback, exit {code}"
    if memory > MEMORY_MB:
        return "memory"
    if code == 1 and ("unforeseen" in said or not any(word in said + printed for word in ANSWERS)):
        return "exit 1 without an answer"
    if code not in (*CODES, 1) and (code, case.place) != (BROKEN_PIPE, "stdout is closed"):
        return f"exit {code}"
    if len(errors) > 1 or "usage: " in said:
        return "several lines of error"
    if code == 2 and not said and not printed and case.place != "no file may grow":  # stderr is a file here
        return "nothing said"
    return ""


def become(case: Case, folder: Path, out: Path, err: Path) -> None:
    """Make this process one that runs the case: its own group, output to files, its place, limits."""
    os.setsid()
    target = {"stdout is full": "/dev/full"}.get(case.place, str(out))
    sys.stdout = open_text(target, "ascii" if case.place == "ASCII terminal" else "utf-8")
    sys.stderr = open_text(str(err), "ascii" if case.place == "ASCII terminal" else "utf-8")
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stderr.fileno(), 2)
    if case.place == "stdout is closed":
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (space + (6 << 30), space + (6 << 30)))
    os.environ["HF_HUB_OFFLINE"] = "1"
    if case.place == "no home":
        os.environ.pop("HOME", None)
    if case.place == "a token":
        os.environ["HF_TOKEN"] = "hf_caf\u00e9"
    if case.place == "no file may grow":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if case.place in ("read-only", "nobody") and os.geteuid() == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)


def open_text(path: str, encoding: str) -> io.TextIOWrapper:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    return io.TextIOWrapper(os.fdopen(descriptor, "wb"), encoding=encoding, write_through=False)


def start(module: ModuleType, case: Case, folder: Path) -> NoReturn:
    """The command as its `python -m` would run it, results in the case's folder."""
    sys.argv = [f"python -m {module.__name__}", *case.words]
    for name, each in list(sys.modules.items()):
        for variable, place, inside in WRITTEN:
            if name.startswith(("eval.", "scripts.")) and getattr(each, variable, None) == place:
                setattr(each, variable, folder / inside)
    main: Callable[[], Any] = module.main
    if case.command == "runs":
        main = lambda: module.main([], folder)  # noqa: E731  its folder is a default, bound when it was imported
    try:
        run_command(main)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except BaseException:  # as Python itself ends
        traceback.print_exc()
        code = 1
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = 120 if stream is sys.stdout else code
    os._exit(code)


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LONGEST_OUTPUT))
        return stream.read().decode("utf-8", "replace")


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def fuzz(count: int, seed: int, only: set[str] | None = None) -> Iterator[Outcome]:
    """The outcome of every case, as they come."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        folder = Path(made).resolve()
        folder.chmod(0o755)
        bench = Bench(folder)
        bench.prepare()
        (folder / "cases").mkdir(mode=0o777)
        (folder / "cases").chmod(0o777)
        for case, where in bench.cases(count, seed, only or set()):
            yield run_case(case, where, bench.modules)
        gc.unfreeze()


def table(outcomes: list[Outcome]) -> dict[str, Any]:
    """Counts by command and by what was bad."""
    bad = [one for one in outcomes if one.bad]
    codes = Counter("unforeseen" if "unforeseen" in one.said else str(one.code) for one in outcomes)
    return {
        "inputs": len(outcomes),
        "commands": len({one.case.command for one in outcomes}),
        "exit codes": dict(sorted(codes.items())),
        "bad": len(bad),
        "bad by kind": dict(Counter(one.bad for one in bad).most_common()),
        "bad by command": dict(Counter(one.case.command for one in bad).most_common()),
        "slowest seconds": round(max(one.seconds for one in outcomes), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.fuzz_inputs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help=f"commands, with commas between: {', '.join(COMMANDS)}")
    parser.add_argument("--show", action="store_true", help="also print what ended as an unforeseen exception")
    given = parser.parse_args()
    outcomes = []
    for one in fuzz(given.inputs, given.seed, {name for name in given.only.split(",") if name}):
        outcomes.append(one)
        if one.bad or (given.show and "unforeseen" in one.said):
            last = (one.said.strip().splitlines() or [""])[-1][:300]
            print(
                f"{one.case.number}: {one.case.command}: {one.case.wrong} {one.case.place}: {one.bad}: {last}",
                flush=True,
            )
    print(json.dumps(table(outcomes), indent=1))
    return 1 if any(one.bad for one in outcomes) else 0


if __name__ == "__main__":
    run_command(main)
