"""How long a test waits, and how much processor time it allows, on a machine of any speed.

process.wait(PATIENCE)                       a guard against hanging for ever, and no measurement
assert spent < 1.0 * slowness()              a limit in processor seconds
wait_until(lambda: path.exists(), process)   something that another process does
"""

import subprocess
import time
from collections.abc import Callable

from tests.preloaded import Process

PATIENCE = 900.0  # seconds
USUAL = 0.03  # processor seconds that `work` takes on the machine where the limits were set


def work() -> int:
    """A fixed piece of pure Python: text, a dictionary, arithmetic."""
    counts: dict[str, int] = {}
    for number in range(80_000):
        name = f"item-{number % 997}"
        counts[name] = counts.get(name, 0) + number
    return sum(counts.values())


def slowness() -> float:
    """How many times slower than usual this machine computes now; at least 1, so that no limit gets stricter."""
    spent = []
    for _ in range(3):
        begun = time.thread_time()
        work()
        spent.append(time.thread_time() - begun)
    return max(1.0, min(spent) / USUAL)


def wait_until(happened: Callable[[], bool], process: "subprocess.Popen[bytes] | Process | None" = None) -> None:
    """Look again and again; AssertionError when the process ends before it happened."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"did not happen within {PATIENCE:.0f} s"
        assert process is None or process.poll() is None or happened(), "the process ended before it happened"
        time.sleep(0.01)
