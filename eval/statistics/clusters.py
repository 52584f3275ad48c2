"""The mean of items that come in clusters: its interval and its p-values. Pure functions on numbers.

An item alone is a cluster of one. Everything here needs of a cluster only the sum of its items and their number, and
takes clusters, not items, as independent. Two methods, by how many clusters there are:

FEW or more     t with a cluster-robust error, its quantiles corrected for skewness (Hall 1992)
fewer           inversion of a studentised sign-flip test, clusters flipped as one, and at least as wide as the above:
                flips take deviations for symmetric, which skewed ones are not
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv, stdtr, stdtrit

from eval.run.metrics import Interval

FEW = 50  # clusters below which the t approximation is not trusted
EXACT_TEST = 16  # differing clusters up to which a p-value counts every pattern of signs (65,536)
EXACT_INTERVAL = 11  # the same for an interval, which needs about 60 p-values
PATTERNS = 1_999  # random patterns of an interval above that
DRAWS = 10_000_000  # signs that one p-value may draw
SEED = 20_260_101
BISECTIONS = 30


@dataclass(frozen=True)
class Clusters:
    """Sums and sizes of clusters, in the order of their names, so that the order of items never matters."""

    sums: np.ndarray
    sizes: np.ndarray

    @property
    def count(self) -> int:
        return len(self.sums)

    @property
    def items(self) -> float:
        return float(self.sizes.sum())

    @property
    def mean(self) -> float:
        return math.fsum(self.sums) / self.items

    @property
    def residuals(self) -> np.ndarray:
        """What each cluster adds to the error of the mean; they sum to 0."""
        return self.sums - self.mean * self.sizes

    @property
    def error(self) -> float:
        """Cluster-robust standard error of the mean (`cluster_interval`). 0 when it is unknown."""
        if self.count < 2:
            return 0.0
        correction = self.count / (self.count - 1)
        error = math.sqrt(correction * float(np.sum(self.residuals**2))) / self.items
        return error if error > 1e-12 * max(1.0, abs(self.mean)) else 0.0  # equal values leave rounding errors

    @property
    def worth(self) -> float:
        """What the items are worth if those of a cluster always agree: n^2 / sum of squared sizes (Kish 1965)."""
        return self.items**2 / float(np.sum(self.sizes**2))

    def mirrored(self) -> "Clusters":
        return Clusters(-self.sums, self.sizes)


def cluster_sums(values: Sequence[float], names: Sequence[str]) -> Clusters:
    """Sum and size of each cluster. Sums are exact to the last bit, whatever the order of the items."""
    groups: dict[str, list[float]] = {}
    for value, name in zip(values, names, strict=True):
        groups.setdefault(name, []).append(value)
    ordered = [groups[name] for name in sorted(groups)]
    return Clusters(np.array([math.fsum(group) for group in ordered]), np.array([float(len(g)) for g in ordered]))


def cluster_interval(values: Sequence[float], names: Sequence[str], confidence: float) -> Interval | None:
    """t interval of the mean with a cluster-robust standard error, G - 1 degrees of freedom, symmetric.

    SE = sqrt(G/(G-1) sum_g (sum_{i in g} (d_i - mean))^2) / n: Miller, arXiv:2411.00640, section 2.2, with
    the usual small-sample factor. With one item a cluster it is the ordinary t interval. None when fewer
    than two clusters, or no variation at all, leave the error unknown.
    """
    clusters = cluster_sums(values, names)
    if not clusters.error:
        return None
    half = float(stdtrit(clusters.count - 1, 0.5 + confidence / 2)) * clusters.error
    mean = clusters.mean
    return Interval(low=mean - half, high=mean + half, confidence=confidence, method="cluster-robust t")


def mean_interval(clusters: Clusters, confidence: float) -> Interval | None:
    """The interval that gates on quantities use. None when the error of the mean is unknown.

    Each end is a one-sided test at (1 - confidence) / 2. Below `FEW` clusters and with too few for that level (2^-G
    above it, so 4 at 5 %) nothing is known either.
    """
    if not clusters.error:
        return None
    alpha = (1 - confidence) / 2
    low, high = _skewed_bound(clusters, alpha), -_skewed_bound(clusters.mirrored(), alpha)
    if clusters.count >= FEW:
        return Interval(low=low, high=high, confidence=confidence, method="t, corrected for skewness")
    if flip_p(clusters, -math.inf) > alpha:
        return None
    low = min(low, _flip_bound(clusters, alpha))
    high = max(high, -_flip_bound(clusters.mirrored(), alpha))
    if math.isinf(low) or math.isinf(high):
        return None
    return Interval(low=low, high=high, confidence=confidence, method="sign flips inverted, or wider by skewness")


def mean_p(clusters: Clusters, threshold: float, side: int) -> float:
    """One-sided p-value of H0: the mean is `threshold` or less (side +1), or or more (side -1): what
    `mean_interval` inverts. 1 when the error is unknown.
    """
    if side < 0:
        return mean_p(clusters.mirrored(), -threshold, 1)
    if not clusters.error:
        return 1.0
    p = _skewed_p(clusters, threshold)
    return p if clusters.count >= FEW else max(p, flip_p(clusters, threshold))


def _skewed_p(clusters: Clusters, threshold: float) -> float:
    """The one-sided test that `_skewed_bound` inverts."""
    skewness, count = _skewness(clusters), clusters.count
    ratio = (clusters.mean - threshold) / (clusters.error * math.sqrt(count))
    slope = skewness / 3
    # Hall's cubic: ratio + s ratio^2 + s^2 ratio^3 / 3 + skewness / (6 count), with s = skewness / 3.
    corrected = ratio + slope * ratio**2 + slope**2 * ratio**3 / 3 + skewness / (6 * count)
    return float(stdtr(count - 1, -corrected * math.sqrt(count)))


def _skewness(clusters: Clusters) -> float:
    residuals = clusters.residuals
    spread = float(np.mean(residuals**2))
    return float(np.mean(residuals**3)) / spread**1.5


def _skewed_bound(clusters: Clusters, alpha: float) -> float:
    """Lower bound of the mean by Hall's transformation (JRSS B 54 (1992) 221-228), with t instead of normal quantiles.

    The skewness of the mean shifts both ends of a t interval; a cubic in the t statistic removes the shift, and is
    increasing, so that it can be inverted in closed form. No resampling, no seed.
    """
    count, skewness = clusters.count, _skewness(clusters)
    target = float(stdtrit(count - 1, 1 - alpha)) / math.sqrt(count)
    if abs(skewness) < 1e-9:
        ratio = target
    else:
        inner = 1 + skewness * (target - skewness / (6 * count))
        ratio = 3 / skewness * (math.copysign(abs(inner) ** (1 / 3), inner) - 1)
    return clusters.mean - ratio * clusters.error * math.sqrt(count)


def flip_p(clusters: Clusters, threshold: float) -> float:
    """One-sided studentised sign-flip p-value of H0: the mean is `threshold` or less.

    Deviations from the threshold change sign cluster by cluster (the wild cluster bootstrap with its null imposed:
    Cameron, Gelbach and Miller, Review of Economics and Statistics 90 (2008) 414-427). At -inf: the smallest p.
    """
    signs = _patterns(clusters.count)
    if threshold == -math.inf:
        deviations = np.ones(clusters.count) * clusters.sizes
    else:
        deviations = clusters.sums - threshold * clusters.sizes
    statistics = _studentised(signs, deviations, clusters.sizes)
    return float(np.mean(statistics >= statistics[0] - 1e-9 * max(1.0, abs(statistics[0]))))


def _studentised(signs: np.ndarray, deviations: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """t statistic of every row of signs. Where the flipped values are equal it is infinite, with the mean's sign."""
    total = signs @ deviations
    mean = total / sizes.sum()
    # sum (s u - mean size)^2, expanded; s^2 = 1
    squares = np.sum(deviations**2) - 2 * mean * (signs @ (deviations * sizes)) + mean**2 * np.sum(sizes**2)
    scale = float(np.sum(deviations**2))
    # A floor instead of 0: the ratio keeps its order, and no division fails.
    return np.asarray(total / np.sqrt(np.maximum(squares, 1e-9 * scale) + 1e-300))


@functools.lru_cache(maxsize=64)
def _patterns(count: int) -> np.ndarray:
    """Rows of signs, the first as observed: all of them for few clusters, else a seeded sample."""
    if count <= EXACT_INTERVAL:
        numbers = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return np.asarray(1.0 - 2.0 * numbers)
    drawn = np.random.default_rng(SEED).integers(0, 2, (PATTERNS + 1, count))
    drawn[0] = 0
    return np.asarray(1.0 - 2.0 * drawn)


def _flip_bound(clusters: Clusters, alpha: float) -> float:
    """Lower bound of the mean: the largest threshold that the sign-flip test rejects."""
    step = clusters.error
    rejected = clusters.mean - step
    while flip_p(clusters, rejected) > alpha:
        step *= 2
        rejected -= step
        if step > 1e6 * clusters.error:
            return -math.inf
    return bisect(lambda threshold: flip_p(clusters, threshold) <= alpha, rejected, clusters.mean)


def bisect(rejects: Callable[[float], bool], rejected: float, kept: float) -> float:
    """The edge between a rejected and a kept value, from the rejected side."""
    for _ in range(BISECTIONS):
        middle = (rejected + kept) / 2
        rejected, kept = (middle, kept) if rejects(middle) else (rejected, middle)
    return rejected


def unseen_bound(clusters: Clusters, alpha: float) -> float:
    """Lower bound of the mean of values in -1..1 if a share of the clusters is lost whole: every item -1.

    A few templates that break altogether are missed by any variance estimated from clusters that did not break: of 20
    clusters, one in twenty lost, more than a third of the samples hold none. So the lost share is bounded by its exact
    binomial test (Clopper-Pearson, for as many clusters as the sizes are worth), and the rest keeps its mean.
    """
    lost, rest = _lost_and_rest(clusters)
    worth = clusters.worth
    share = float(betaincinv(lost + 1, worth - lost, 1 - alpha)) if lost < worth else 1.0
    return (1 - share) * rest - share


def unseen_p(clusters: Clusters, threshold: float, side: int) -> float:
    """The test that `unseen_bound` inverts: of H0, the mean is `threshold` or less (side +1), or or more (side -1)."""
    if side < 0:
        return unseen_p(clusters.mirrored(), -threshold, 1)
    lost, rest = _lost_and_rest(clusters)
    share = (rest - threshold) / (1 + rest) if rest > -1 else 0.0  # of clusters lost, which takes the rest to H0
    if share <= 0 or lost >= clusters.worth:
        return 1.0
    return float(betainc(clusters.worth - lost, lost + 1, 1 - share)) if share < 1 else 0.0


def _lost_and_rest(clusters: Clusters) -> tuple[float, float]:
    """How many of the clusters that the sizes are worth were lost whole, and the mean of everything else.

    A cluster counts by its mean where more than half of it is lost on balance.
    """
    means = clusters.sums / clusters.sizes
    items = float(np.sum(np.where(means < -0.5, -clusters.sums, 0.0)))
    left = clusters.items - items
    rest = (math.fsum(clusters.sums) + items) / left if left > 1e-9 else -1.0
    return items / clusters.items * clusters.worth, rest


def sign_flip_p(differences: Sequence[float], names: Sequence[str]) -> float | None:
    """Two-sided sign-flip p-value of a zero mean difference, clusters flipped as one. None: nothing differs.

    Exact, by enumeration, up to 16 clusters that differ; above, a seeded sample of patterns with the observed one
    among them, so that p is never 0 (Phipson and Smyth 2010). It assumes that under the null a cluster's sum is as
    likely to be x as -x.
    """
    signed = cluster_sums(differences, names).sums
    observed, sums = abs(math.fsum(signed)), np.abs(signed[signed != 0])
    if not len(sums):
        return None if not any(differences) else 1.0
    edge = observed - 1e-9 * float(sums.sum())
    if len(sums) <= EXACT_TEST:
        signs = 1.0 - 2.0 * (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1)
        return float(np.mean(np.abs(signs @ sums) >= edge))
    draws = int(np.clip(DRAWS // len(sums), 999, 9_999))
    generator, reached, left = np.random.default_rng(SEED), 0, draws
    while left:
        rows = min(left, max(1, 2_000_000 // len(sums)))
        bits = generator.integers(0, 2, (rows, len(sums)), dtype=np.int8).astype(float)
        # sum of s x = sum x - 2 * sum of the flipped x
        reached += int(np.sum(np.abs(sums.sum() - 2 * (bits @ sums)) >= edge))
        left -= rows
    return (1 + reached) / (1 + draws)
