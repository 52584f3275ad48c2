"""Metrics over several answers to one item: the chance that at least one of k answers scores 1. Pure.

    base_and_k("executes_equal@5")      ("executes_equal", 5); a plain name has k = 1
    at_least_one([1, 0, 0, 0, 1], k=2)  0.7

A suite names them in its gates where a task has `repeats`; they are derived from the scores of the plain metric.
"""

import math
import re
from collections.abc import Sequence

NAME = re.compile(r"([^@]+)@([1-9]\d?)")


def base_and_k(metric: str) -> tuple[str, int]:
    """The plain metric, and of how many answers one has to score 1."""
    found = NAME.fullmatch(metric)
    return (found[1], int(found[2])) if found and int(found[2]) > 1 else (metric, 1)


def at_least_one(values: Sequence[float], k: int) -> float:
    """Unbiased estimate of the chance that of k drawn answers one scores 1, from n scores of 0 or 1, n >= k.

    1 - C(n-c, k) / C(n, k) for c ones: Chen et al. 2021, arXiv:2107.03374, section 2.1; for k = 1 the mean, of any
    values. ValueError for fewer than k values, and for k > 1 for others than 0 and 1.
    """
    n = len(values)
    if k == 1:
        return math.fsum(values) / n
    if n < k or any(value not in (0.0, 1.0) for value in values):
        raise ValueError(f"one of {k} takes {k} scores of 0 or 1, not {list(values)[:3]} and so on ({n})")
    return 1 - math.comb(n - int(sum(values)), k) / math.comb(n, k)
