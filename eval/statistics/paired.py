"""The statistics of a paired comparison. Pure functions on numbers; no model, no file.

Notation, for one metric of one task: n items scored in both arms; d_i = candidate - baseline of
item i; for 0/1 metrics b items won, c items lost, so that the mean difference is (b - c) / n.
Heavy imports are kept out: `make gate` answers in under a second.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from scipy.special import bdtr, betaincinv, stdtr, stdtrit

from eval.run.metrics import Interval
from eval.statistics.clusters import Clusters, cluster_sums, mean_interval, mean_p, unseen_bound, unseen_p

BISECTIONS = 50  # halves an interval of width 2 to less than 1e-14
CLUSTERED = "tango score, counts divided by the design effect, clusters that may be lost whole"


def tango_statistic(wins: float, losses: float, n: float, delta0: float) -> float:
    """Score statistic of H0: p_candidate - p_baseline = delta0, for paired 0/1 data (standard normal).

    Tango, Statistics in Medicine 17 (1998) 891-908. `delta0` lies strictly inside (-1, 1). Counts need not be whole:
    those of dependent items are divided by their design effect.
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


def tango_interval(wins: float, losses: float, n: float, confidence: float, quantile: float | None = None) -> Interval:
    """Two-sided score interval of the difference: every delta0 that the score test does not reject.

    `quantile` replaces the normal one of `confidence`. The statistic decreases in delta0, so each end is found by
    bisection between the estimate and +-1.
    """
    if n <= 0 or min(wins, losses) < 0 or wins + losses > n * (1 + 1e-12):
        raise ValueError(f"need 0 <= wins + losses <= n and n > 0, got {wins}, {losses}, {n}")
    z = quantile or NormalDist().inv_cdf(0.5 + confidence / 2)
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


def rate_interval(rate: float, n: int, confidence: float) -> Interval:
    """Exact interval of a rate over items of which `n` are independent.

    With clusters n is their effective number (items of a cluster taken to agree), and counts are rounded away from
    the estimate at each end. Exact where every item is its own cluster.
    """
    low = clopper_pearson_interval(math.floor(rate * n + 1e-9), n, confidence)
    high = clopper_pearson_interval(math.ceil(rate * n - 1e-9), n, confidence)
    return low.model_copy(update={"high": high.high})


def mcnemar_exact(wins: int, losses: int) -> float:
    """Two-sided exact McNemar p-value: wins ~ Binomial(wins + losses, 1/2) when the arms are equal."""
    discordant = wins + losses
    if discordant == 0:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(wins, losses), discordant, 0.5)))


def design_effect(clusters: Clusters, wins: int, losses: int) -> float:
    """How many dependent items are worth one independent item, for a 0/1 comparison; 1 or more.

    The cluster-robust variance over the variance of independent items (Rao and Scott, Biometrics 48 (1992) 577-585),
    as far as there is evidence: where few clusters hold any change it says nothing, and leans on the worst case, in
    which all items of a cluster agree (Kish: sum of squared sizes / n). The estimate counts as many times as there are
    clusters with a change, the worst case once.
    """
    n, worst = clusters.items, float(np.sum(clusters.sizes**2)) / clusters.items
    independent = ((wins + losses) / n - clusters.mean**2) / n
    if worst == 1 or independent <= 0:
        return worst
    absolute = np.abs(clusters.sums)
    changed = float(absolute.sum() ** 2 / max(np.sum(absolute**2), 1e-12))
    seen = min(float(clusters.count), clusters.error**2 / independent)
    return max(1.0, (changed * seen + worst) / (changed + 1))


def clustered_interval(clusters: Clusters, wins: int, losses: int, confidence: float) -> Interval:
    """Tango's interval of counts divided by the design effect, with quantiles of t for the clusters there are, and wide
    enough for clusters that may be lost (or won) whole though none was seen (eval/statistics/clusters.py)."""
    effect = design_effect(clusters, wins, losses)
    if clusters.count < 2:
        return Interval(low=-1.0, high=1.0, confidence=confidence, method=CLUSTERED)
    quantile = float(stdtrit(clusters.count - 1, 0.5 + confidence / 2))
    found = tango_interval(wins / effect, losses / effect, clusters.items / effect, confidence, quantile)
    return _as_wide(found, clusters).model_copy(update={"method": CLUSTERED})


def _as_wide(interval: Interval, clusters: Clusters) -> Interval:
    """At least as wide as what clusters lost or won whole leave open."""
    alpha = (1 - interval.confidence) / 2
    low, high = unseen_bound(clusters, alpha), -unseen_bound(clusters.mirrored(), alpha)
    return interval.model_copy(update={"low": min(interval.low, low), "high": max(interval.high, high)})


def difference_interval(
    differences: Sequence[float], names: Sequence[str], confidence: float, binary: bool
) -> Interval | None:
    """The interval gates use; `names` are those of the items' clusters.

    0/1 metrics: Tango's; where clusters hold several items, Tango's for the counts that these are worth. Other metrics:
    that of a mean (eval/statistics/clusters.py). All but Tango's own allow for what is lost whole and was not seen,
    where differences lie in -1..1. None when it cannot be known.
    """
    if not binary:
        clusters = cluster_sums(differences, names)
        found = mean_interval(clusters, confidence)
        return _as_wide(found, clusters) if found and _bounded(differences) else found
    wins, losses = wins_losses(differences)
    if len(set(names)) == len(differences):
        return tango_interval(wins, losses, len(differences), confidence)
    return clustered_interval(cluster_sums(differences, names), wins, losses, confidence)


def difference_p(
    differences: Sequence[float], names: Sequence[str], threshold: float, side: int, binary: bool
) -> float:
    """One-sided p-value of H0: the mean difference is `threshold` or less (side +1), or or more (side -1).

    The test that `difference_interval` inverts. 1 when the error is unknown.
    """
    if not binary:
        clusters = cluster_sums(differences, names)
        p = mean_p(clusters, threshold, side)
        return max(p, unseen_p(clusters, threshold, side)) if _bounded(differences) else p
    wins, losses = wins_losses(differences)
    if len(set(names)) == len(differences):
        return NormalDist().cdf(-side * tango_statistic(wins, losses, len(differences), threshold))
    return clustered_p(cluster_sums(differences, names), wins, losses, threshold, side)


def clustered_p(clusters: Clusters, wins: int, losses: int, threshold: float, side: int) -> float:
    """The test that `clustered_interval` inverts."""
    if clusters.count < 2:
        return 1.0
    effect = design_effect(clusters, wins, losses)
    statistic = tango_statistic(wins / effect, losses / effect, clusters.items / effect, threshold)
    return max(float(stdtr(clusters.count - 1, -side * statistic)), unseen_p(clusters, threshold, side))


def _bounded(differences: Sequence[float]) -> bool:
    """Whether differences may be those of a metric in 0..1: a loss of a whole item is -1."""
    return all(-1 <= difference <= 1 for difference in differences)


def wins_losses(differences: Sequence[float]) -> tuple[int, int]:
    return sum(d > 0 for d in differences), sum(d < 0 for d in differences)


def level_interval(values: Sequence[float], names: Sequence[str], confidence: float, binary: bool) -> Interval | None:
    """Interval of one arm's own mean: Wilson's for 0/1 values, else that of a mean (eval/statistics/clusters.py)."""
    if binary:
        return wilson_interval(int(sum(values)), len(values), confidence)
    return mean_interval(cluster_sums(values, names), confidence)


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
