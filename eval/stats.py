"""The statistics of a paired comparison. Pure functions on numbers; no model, no file.

Notation, for one metric of one task: n items scored in both arms; d_i = candidate - baseline of
item i; for 0/1 metrics b items won, c items lost, so that the mean difference is (b - c) / n.
Heavy imports are kept out: `make gate` answers in under a second.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

from scipy.special import bdtr, betaincinv, stdtr, stdtrit

from eval.records import Interval

BISECTIONS = 80  # halves an interval of width 2 below the spacing of doubles


def tango_statistic(wins: int, losses: int, n: int, delta0: float) -> float:
    """Score statistic of H0: p_candidate - p_baseline = delta0, for paired 0/1 data (standard normal).

    Tango, Statistics in Medicine 17 (1998) 891-908. `delta0` lies strictly inside (-1, 1).
    Infinite when the data cannot occur under H0.
    """
    a = 2.0 * n
    b = -wins - losses + (2.0 * n - wins + losses) * delta0
    c = -losses * delta0 * (1.0 - delta0)
    q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # restricted estimate of P(lost)
    variance = n * (2 * q + delta0 * (1 - delta0))
    surplus = wins - losses - n * delta0
    if variance <= 0:
        return 0.0 if surplus == 0 else math.copysign(math.inf, surplus)
    return surplus / math.sqrt(variance)


def tango_interval(wins: int, losses: int, n: int, confidence: float) -> Interval:
    """Two-sided score interval of the difference: every delta0 that the score test does not reject.

    The statistic decreases in delta0, so each end is found by bisection between the estimate and +-1.
    """
    if n <= 0 or min(wins, losses) < 0 or wins + losses > n:
        raise ValueError(f"need 0 <= wins + losses <= n and n > 0, got {wins}, {losses}, {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    estimate = (wins - losses) / n

    def end(outer: float) -> float:
        inside, outside = estimate, outer
        for _ in range(BISECTIONS):
            middle = (inside + outside) / 2
            if abs(tango_statistic(wins, losses, n, middle)) <= z:
                inside = middle
            else:
                outside = middle
        return inside

    return Interval(low=end(-1.0), high=end(1.0), confidence=confidence, method="tango score")


def wilson_interval(successes: int, n: int, confidence: float) -> Interval:
    """Score interval of one rate (Wilson, JASA 22 (1927) 209-212)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, z2 = successes / n, z * z
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half), confidence=confidence, method="wilson")


def clopper_pearson_interval(successes: int, n: int, confidence: float) -> Interval:
    """Exact interval of one rate: each end is a one-sided exact binomial test (Biometrika 26 (1934) 404-413).

    0 of 20 is at most 13.9 % at a one-sided 95 %: zero observed is never zero.
    """
    tail = (1 - confidence) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return Interval(low=low, high=high, confidence=confidence, method="clopper-pearson")


def mcnemar_exact(wins: int, losses: int) -> float:
    """Two-sided exact McNemar p-value: wins ~ Binomial(wins + losses, 1/2) when the arms are equal."""
    discordant = wins + losses
    if discordant == 0:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(wins, losses), discordant, 0.5)))


def cluster_interval(differences: Sequence[float], clusters: Sequence[str], confidence: float) -> Interval | None:
    """t interval of the mean difference with a cluster-robust standard error, G - 1 degrees of freedom.

    SE = sqrt(G/(G-1) sum_g (sum_{i in g} (d_i - mean))^2) / n: Miller, arXiv:2411.00640, section 2.2, with
    the usual small-sample factor. With one item a cluster it is the ordinary t interval. None when fewer
    than two clusters, or no variation at all, leave the error unknown.
    """
    n, groups = len(differences), sorted(set(clusters))
    if len(groups) < 2:
        return None
    mean = math.fsum(differences) / n
    sums = dict.fromkeys(groups, 0.0)
    for difference, cluster in zip(differences, clusters, strict=True):
        sums[cluster] += difference - mean
    correction = len(groups) / (len(groups) - 1)
    error = math.sqrt(correction * math.fsum(value * value for value in sums.values())) / n
    if error == 0:
        return None
    half = float(stdtrit(len(groups) - 1, 0.5 + confidence / 2)) * error
    return Interval(low=mean - half, high=mean + half, confidence=confidence, method="cluster-robust t")


def difference_interval(
    differences: Sequence[float], clusters: Sequence[str], confidence: float, binary: bool
) -> Interval | None:
    """The interval gates use.

    0/1 metrics: Tango's. Where clusters hold several items, the union of Tango's and the cluster-robust
    interval: the second alone collapses to a point when nothing changed, the first alone ignores the
    dependence. Other metrics: the (cluster-robust) t interval. None when it cannot be known.
    """
    clustered = cluster_interval(differences, clusters, confidence)
    if not binary:
        return clustered
    wins = sum(d > 0 for d in differences)
    losses = sum(d < 0 for d in differences)
    tango = tango_interval(wins, losses, len(differences), confidence)
    if clustered is None or len(set(clusters)) == len(differences):
        return tango
    return Interval(
        low=max(-1.0, min(tango.low, clustered.low)),
        high=min(1.0, max(tango.high, clustered.high)),
        confidence=confidence,
        method="tango score, widened to cluster-robust t",
    )


def difference_p(
    differences: Sequence[float], clusters: Sequence[str], threshold: float, side: int, binary: bool
) -> float:
    """One-sided p-value of H0: the mean difference is `threshold` or less (side +1), or or more (side -1).

    The test that `difference_interval` inverts: where that is a union of two intervals, the larger p of both tests.
    1 when the error is unknown.
    """
    n = len(differences)
    found = []
    grouped = len(set(clusters)) < n
    if binary:
        wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
        found.append(NormalDist().cdf(-side * tango_statistic(wins, losses, n, threshold)))
    if not binary or grouped:
        found.append(_cluster_p(differences, clusters, threshold, side))
    return max(found)


def _cluster_p(differences: Sequence[float], clusters: Sequence[str], threshold: float, side: int) -> float:
    interval = cluster_interval(differences, clusters, 0.9)
    if interval is None:
        return 1.0
    freedom = len(set(clusters)) - 1
    mean, half = (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
    error = half / float(stdtrit(freedom, 0.95))
    return float(stdtr(freedom, -side * (mean - threshold) / error))


def level_interval(
    values: Sequence[float], clusters: Sequence[str], confidence: float, binary: bool
) -> Interval | None:
    """Interval of one arm's own mean: Wilson's for 0/1 values, else the (cluster-robust) t interval."""
    if binary:
        return wilson_interval(int(sum(values)), len(values), confidence)
    return cluster_interval(values, clusters, confidence)


def sign_flip_p(differences: Sequence[float], clusters: Sequence[str]) -> float | None:
    """Two-sided sign-flip p-value of a zero mean difference, clusters flipped as one. None: nothing differs."""
    return None


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order (Scandinavian Journal of Statistics 6 (1979) 65-70)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values, in the given order (JRSS B 57 (1995) 289-300)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    adjusted, smallest = [0.0] * len(p_values), 1.0
    for rank, place in enumerate(order):
        smallest = min(smallest, len(p_values) / (len(p_values) - rank) * p_values[place])
        adjusted[place] = smallest
    return adjusted
