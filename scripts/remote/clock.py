"""Time, in one place: whoever waits here can be tested without waiting."""

import time


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
