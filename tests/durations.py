"""Where the time of a test session went: `pytest --record-durations FILE`, as `make test` does.

FILE gets the seconds of each test file and of the slowest tests, set-up included, as text with one row a line. The
first row says how fast the machine is, without which nobody can compare two of them.
"""

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

SLOWEST = 25  # tests
ADDITIONS = 20_000_000


class Phase(Protocol):
    """What pytest reports of a test's set-up, call or teardown."""

    nodeid: str
    duration: float


def table(phases: Iterable[Phase]) -> str:
    """Rows `seconds  name`, the longest first: of files, then of tests."""
    files: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for phase in phases:
        files[phase.nodeid.partition("::")[0]] += phase.duration
        tests[phase.nodeid] += phase.duration
    lines = [f"{files.total():8.1f}  all files", *_rows(files.most_common()), "", *_rows(tests.most_common(SLOWEST))]
    return "\n".join(lines) + "\n"


def _rows(counted: list[tuple[str, float]]) -> list[str]:
    return [f"{seconds:8.1f}  {name}" for name, seconds in counted]


def record(path: Path, phases: Iterable[Phase]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    speed = f"{seconds_to_add(ADDITIONS):8.1f}  {ADDITIONS:,} additions, on this machine\n"
    path.write_text(speed + table(phases), encoding="utf-8")


def seconds_to_add(count: int) -> float:
    """Processor seconds of a loop that adds one to a global so often: what a core makes of plain Python."""
    begin = time.process_time()
    exec("number = 0\nwhile number < count: number += 1", {"count": count})
    return time.process_time() - begin
