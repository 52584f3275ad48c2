"""Anytime-valid intervals: as many looks as one likes, and still at most alpha wrong at each end. Pure.

For a mean m to be excluded from below, gamblers who start with 1 in all bet before each cluster that it will exceed m.
If the mean is m or less, their joint wealth ever reaches 1/alpha with probability at most alpha (Ville's inequality).
The interval is every m that they have not ruled out (Waudby-Smith and Ramdas, JRSS B 86 (2024) 1-27, arXiv:2010.09686).

Each gambler always stakes the same share of what may be staked; the mixture does nearly as well as the best of them
(Cover 1991), without guessing which. Every share's wealth falls as m rises, so that the set not ruled out is an
interval, its ends are found by bisection, and m lies outside of it exactly when the process of m has crossed. More
items only ever narrow it: the interval after many looks is the same as that of one look at the end.

Not covered: a mean of clusters that depends on their size makes a stake that shrinks at each new largest cluster a
little informed. Scores that choose when they are looked at by anything but themselves are fine.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from eval.run.digests import json_sha256
from eval.run.metrics import Interval
from eval.statistics.clusters import bisect

SHARES = np.linspace(0.025, 0.975, 20)  # of what could be staked at most
# What each starts with. Any numbers of sum 1 are valid; these were compared with others in docs/gates.md.
START = np.exp(-0.5 * ((SHARES - 0.6) / 0.3) ** 2) / np.sum(np.exp(-0.5 * ((SHARES - 0.6) / 0.3) ** 2))
CHUNK = 4_000  # clusters whose wealth is held in memory at once


class WithData(Protocol):
    """A task, loaded or summarised."""

    @property
    def name(self) -> str: ...

    @property
    def dataset_sha256(self) -> str: ...


def orders_of(tasks: Iterable[WithData], adapter_sha256: str | None) -> dict[str, str]:
    """By task, the digest that fixes the random order of its items.

    It follows from the task's data and the adapter, and from nothing that could be varied until the order is a lucky
    one: no seed, no word of the suite, no gate, no other task. Another adapter is another candidate, counted as one.
    """
    return {task.name: json_sha256([task.name, task.dataset_sha256, adapter_sha256]) for task in tasks}


def random_place(order: str, cluster: str) -> str:
    """Where a cluster stands in the random order that a digest (`orders_of`) fixes: sort by it."""
    return hashlib.sha256(f"{order}/{cluster}".encode()).hexdigest()


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

    Clusters count in the order of their first item; those of a cluster are one observation. ValueError for values out
    of bounds.
    """
    return _interval(crossing, values, clusters, alpha, (low, high), "betting, anytime-valid")


def one_look_interval(
    values: Sequence[float], clusters: Sequence[str], alpha: float, low: float, high: float
) -> Interval:
    """The same of one look at all items, which may stand in any order, by category or by difficulty.

    Each end is wrong with probability at most `alpha`, whatever the means of single clusters: wealth is a product whose
    factors have expectations with a mean of 1 or less under the hypothesis, and so is itself expected to be 1 or less
    (the geometric mean is at most the arithmetic one).
    """
    return _interval(left_in_the_end, values, clusters, alpha, (low, high), "betting, one look")


Bets = Callable[[np.ndarray, np.ndarray, float, float], Callable[[float], bool]]


def _interval(
    bets: Bets, values: Sequence[float], clusters: Sequence[str], alpha: float, bounds: tuple[float, float], method: str
) -> Interval:
    low, high = bounds
    if not all(low <= value <= high for value in values):
        raise ValueError(f"need values in {low}..{high}")
    sums: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums.setdefault(cluster, []).append(value)
    total = np.array([math.fsum(group) for group in sums.values()])
    sizes = np.array([len(group) for group in sums.values()], dtype=float)
    ends = (
        _edge(bets(total, sizes, low, alpha), low, high),
        -_edge(bets(-total, sizes, -high, alpha), -high, -low),
    )
    if ends[0] > ends[1]:  # every mean was ruled out, as may happen at most 2 alpha of times: one that is left
        ends = (math.fsum(values) / len(values),) * 2
    return Interval(low=ends[0], high=ends[1], confidence=1 - 2 * alpha, method=method)


def _edge(rules_out: Callable[[float], bool], low: float, high: float) -> float:
    """The largest mean that is ruled out from below; `low` when none is."""
    least = low + 1e-6 * (high - low)
    return bisect(rules_out, least, high) if rules_out(least) else low


def crossing(total: np.ndarray, sizes: np.ndarray, low: float, alpha: float) -> Callable[[float], bool]:
    """Whether a mean was ever ruled out from below, as a function of that mean.

    `total`, `sizes`: sum and size of each cluster in the order they were seen; `low`: the least value an item can have.
    """
    above = np.maximum(total - low * sizes, 0.0)  # over the least possible: 0 or more
    largest = np.maximum.accumulate(sizes) if len(sizes) else sizes  # what may be staked shrinks with it
    # Clusters of the same content change wealth alike: each kind is computed once.
    kinds, kind_of = np.unique(np.stack([above, sizes, largest]), axis=1, return_inverse=True)
    kind_of = kind_of.reshape(-1)

    def ruled_out(mean: float) -> bool:
        gains = (kinds[0] / (mean - low) - kinds[1]) / kinds[2]  # -1 at worst
        steps = np.log1p(np.outer(SHARES, gains))
        start = np.log(START)[:, None]
        for begin in range(0, len(kind_of), CHUNK):
            wealth = start + np.cumsum(steps[:, kind_of[begin : begin + CHUNK]], axis=1)
            start = wealth[:, -1:]
            if bool(np.any(joint_wealth(wealth) >= math.log(1 / alpha))):
                return True
        return False

    return ruled_out


def left_in_the_end(total: np.ndarray, sizes: np.ndarray, low: float, alpha: float) -> Callable[[float], bool]:
    """Whether a mean is ruled out from below once all bets are settled; arguments as of `crossing`."""
    above = np.maximum(total - low * sizes, 0.0)
    largest = float(sizes.max()) if len(sizes) else 1.0
    kinds, counts = np.unique(np.stack([above, sizes]), axis=1, return_counts=True)

    def ruled_out(mean: float) -> bool:
        gains = (kinds[0] / (mean - low) - kinds[1]) / largest  # -1 at worst
        wealth = np.log(START) + np.log1p(np.outer(SHARES, gains)) @ counts
        return bool(joint_wealth(wealth[:, None])[0] >= math.log(1 / alpha))

    return ruled_out


def joint_wealth(wealth: np.ndarray) -> np.ndarray:
    """Logarithm of the wealth of all gamblers (rows) together, from the logarithms of each one's."""
    best = wealth.max(axis=0)
    return np.asarray(best + np.log(np.sum(np.exp(wealth - best), axis=0)))
