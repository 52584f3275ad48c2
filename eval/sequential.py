"""Anytime-valid intervals: as many looks as one likes, and still at most alpha wrong at each end. Pure.

For a mean m to be excluded from below, a gambler who starts with 1 bets before each item that it will exceed m. If the
mean is m or less, the wealth exceeds 1/alpha at any time with probability at most alpha (Ville's inequality). The
interval is every m that no gambler has ruled out (Waudby-Smith and Ramdas, JRSS B 86 (2024) 1-27, arXiv:2010.09686).
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from eval.records import Interval

GRID = 801  # values of m that are tried, evenly over the range: for 0/1 differences one every quarter of a point
LARGEST_BET = 0.75  # of what could be lost at most: a bet of everything ends in ruin at the first miss


def random_place(seed: int, cluster: str) -> str:
    """Where a cluster stands in the random order that the seed fixes: sort by it."""
    return hashlib.sha256(f"{seed}/{cluster}".encode()).hexdigest()


def anytime_difference(
    differences: Sequence[float], clusters: Sequence[str], confidence: float, binary: bool
) -> Interval | None:
    """The anytime-valid interval of a mean paired difference of a metric in 0..1, in the order of the items.

    None when a difference lies outside of -1..1: betting needs bounds.
    """
    if not all(-1 <= difference <= 1 for difference in differences):
        return None
    return anytime_interval(differences, clusters, (1 - confidence) / 2, low=-1.0, high=1.0)


def anytime_interval(
    values: Sequence[float], clusters: Sequence[str], alpha: float, low: float, high: float
) -> Interval:
    """Anytime-valid interval of the mean of values in `low`..`high`, each end wrong with probability at most `alpha`.

    Items of a cluster are one observation: its sum minus m times its size, divided by the largest size.
    """
    sums: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums.setdefault(cluster, []).append(value)
    total = np.array([math.fsum(group) for group in sums.values()])
    sizes = np.array([len(group) for group in sums.values()], dtype=float)
    largest = float(sizes.max()) if len(sizes) else 1.0
    total, sizes = total / largest, sizes / largest
    grid = np.linspace(low, high, GRID)
    above = _ruled_out(total, sizes, grid, low, alpha)
    below = _ruled_out(-total, sizes, -grid[::-1], -high, alpha)[::-1]
    kept = grid[~above & ~below]
    estimate = math.fsum(values) / len(values)
    step = (high - low) / (GRID - 1)
    return Interval(
        low=max(low, float(kept.min()) - step) if len(kept) else estimate,
        high=min(high, float(kept.max()) + step) if len(kept) else estimate,
        confidence=1 - 2 * alpha,
        method="betting, anytime-valid",
    )


def _ruled_out(total: np.ndarray, sizes: np.ndarray, means: np.ndarray, low: float, alpha: float) -> np.ndarray:
    """For each mean m: has a gambler on "more than m" ever had 1/alpha? All m below one ruled out are too."""
    wealth = np.zeros(len(means))  # logarithms
    best = np.zeros(len(means))
    most = LARGEST_BET / np.maximum(means - low, 1e-9)
    seen_mean, seen_square, count = np.zeros(len(means)), np.full(len(means), 0.25), 1.0
    for value, size in zip(total, sizes, strict=True):
        gain = value - means * size
        bet = np.clip(seen_mean / np.maximum(seen_square, 1e-9), 0.0, most)
        wealth += np.log1p(bet * gain)
        best = np.maximum(best, wealth)
        count += 1
        seen_mean = seen_mean + (gain - seen_mean) / count
        seen_square = seen_square + (gain * gain - seen_square) / count
    out = best >= math.log(1 / alpha)
    return np.logical_or.accumulate(out[::-1])[::-1]
