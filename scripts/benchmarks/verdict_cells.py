"""The experiments of scripts/benchmarks/verdict.py: each function returns one row of a table.

Where outcomes depend on few numbers every outcome is enumerated, and a row is exact. Elsewhere outcomes are drawn with
a seed and decided by the functions that gates use.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.stats

from eval.statistics.clusters import Clusters, mean_p
from eval.statistics.paired import clopper_pearson_interval, clustered_p, rate_interval, tango_statistic
from eval.statistics.sequential import SHARES, START, crossing, joint_wealth

Z90, Z95 = scipy.stats.norm.ppf(0.95), scipy.stats.norm.ppf(0.975)
ALPHA, MARGIN, BATCH = 0.05, 0.03, 16
Row = dict[str, Any]


def standard_error(share: float, runs: int) -> float:
    return math.sqrt(share * (1 - share) / runs)


# Paired 0/1, exact.


def outcomes(n: int, psi: float, delta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wins, losses and probability of every outcome of n items within 7 standard deviations."""
    win, loss = (psi + delta) / 2, (psi - delta) / 2
    axes = []
    for rate in (win, loss):
        spread = 7 * math.sqrt(n * rate * (1 - rate)) + 1
        axes.append(np.arange(max(0, int(n * rate - spread)), min(n, int(n * rate + spread) + 1) + 1))
    wins, losses = (grid.ravel() for grid in np.meshgrid(*axes))
    keep = wins + losses <= n
    wins, losses = wins[keep], losses[keep]
    counts = np.stack([wins, losses, n - wins - losses], axis=1)
    return wins, losses, scipy.stats.multinomial.pmf(counts, n, [win, loss, 1 - win - loss])


@functools.lru_cache(maxsize=1_000_000)
def statistic(wins: int, losses: int, n: int, delta0: float) -> float:
    return tango_statistic(wins, losses, n, delta0)


def statistics(wins: np.ndarray, losses: np.ndarray, n: int, delta0: float) -> np.ndarray:
    return np.array([statistic(int(w), int(c), n, delta0) for w, c in zip(wins, losses, strict=True)])


def paired(n: int, psi: float) -> Row:
    """A non-inferiority gate of 3 points: what ships at the margin, with no change and with a gain of 5 points."""
    row: Row = {"n": n, "discordance": psi}
    for name, delta in (("at_margin", -MARGIN), ("no_change", 0.0), ("gain_5", 0.05)):
        wins, losses, chance = outcomes(n, psi, delta)
        row[f"pass_{name}"] = float(chance[statistics(wins, losses, n, -MARGIN) > Z90].sum())
        if name == "at_margin":
            row["point_rule_at_margin"] = float(chance[(wins - losses) >= -MARGIN * n - 1e-9].sum())
            row["strict_point_rule_at_margin"] = float(chance[(wins - losses) > -MARGIN * n + 1e-9].sum())
        row[f"coverage_{name}"] = float(chance[np.abs(statistics(wins, losses, n, delta)) <= Z95].sum())
    return row


def five_gates(n: int, psi: float, at_margin: int, shared: float, runs: int, rng: np.random.Generator) -> Row:
    """Five blocking gates, `at_margin` of them on metrics that are exactly the margin worse, the others unchanged.

    `shared`: the chance that an item's draw is the same for all metrics.
    """
    passed, points = np.ones(runs, bool), np.ones(runs, bool)
    common = rng.random((runs, n))
    choice = rng.random((runs, n)) < shared
    for gate in range(5):
        delta = -MARGIN if gate < at_margin else 0.0
        draw = np.where(choice, common, rng.random((runs, n)))
        wins = (draw < (psi + delta) / 2).sum(axis=1)
        losses = (draw > 1 - (psi - delta) / 2).sum(axis=1)
        passed &= statistics(wins, losses, n, -MARGIN) > Z90
        points &= (wins - losses) >= -MARGIN * n - 1e-9
    share = float(passed.mean())
    return {"n": n, "discordance": psi, "gates_at_margin": at_margin, "shared": shared, "ship": share,
            "point_rule_ship": float(points.mean()), "runs": runs, "se": standard_error(share, runs)}  # fmt: skip


# Clusters.


def dependent(
    sizes: Sequence[int], psi: float, delta: float, icc: float, runs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums by run and cluster, wins and losses by run. Each item repeats its cluster's draw with chance sqrt(icc)."""

    def values(uniform: np.ndarray) -> np.ndarray:
        win, loss = (psi + delta) / 2, (psi - delta) / 2
        return (uniform < win).astype(np.int8) - (uniform > 1 - loss).astype(np.int8)

    group = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums, wins, losses = [], [], []
    for begin in range(0, runs, 1_000):
        rows = min(1_000, runs - begin)
        shared = values(rng.random((rows, len(sizes))))[:, group]
        drawn = np.where(
            rng.random((rows, len(group))) < math.sqrt(icc), shared, values(rng.random((rows, len(group))))
        )
        sums.append(np.add.reduceat(drawn.astype(float), starts, axis=1))
        wins.append((drawn > 0).sum(axis=1))
        losses.append((drawn < 0).sum(axis=1))
    return np.concatenate(sums), np.concatenate(wins), np.concatenate(losses)


def clustered(name: str, sizes: Sequence[int], psi: float, icc: float, runs: int, rng: np.random.Generator) -> Row:
    """The same gate on clustered items: items taken as independent, cluster-robust t, and what gates use."""
    size, n = np.array(sizes, float), sum(sizes)
    row: Row = {"clusters": name, "n": n, "discordance": psi, "icc": icc, "runs": runs}
    for case, delta in (("at_margin", -MARGIN), ("no_change", 0.0)):
        sums, wins, losses = dependent(sizes, psi, delta, icc, runs, rng)
        row[f"naive_{case}"] = float(np.mean(statistics(wins, losses, n, -MARGIN) > Z90))
        row[f"t_{case}"] = float(np.mean(robust_t(sums, size, -MARGIN) > scipy.stats.t.ppf(0.95, len(sizes) - 1)))
        p = [clustered_p(Clusters(s, size), int(w), int(c), -MARGIN, 1)
             for s, w, c in zip(sums, wins, losses, strict=True)]  # fmt: skip
        row[f"gate_{case}"] = float(np.mean(np.array(p) < ALPHA))
    return row


def robust_t(sums: np.ndarray, sizes: np.ndarray, threshold: float) -> np.ndarray:
    count, n = len(sizes), sizes.sum()
    mean = sums.sum(axis=1) / n
    error = np.sqrt(count / (count - 1) * ((sums - mean[:, None] * sizes) ** 2).sum(axis=1)) / n
    return np.where(error > 0, (mean - threshold) / np.maximum(error, 1e-12), 0.0)


# Rates.


def rate(n: int, limit: float) -> Row:
    """A `max_rate` gate: what ships at the limit and below it, exactly."""
    count = np.arange(n + 1)
    high = np.array([clopper_pearson_interval(int(k), n, 0.9).high for k in count])
    bounds = [clopper_pearson_interval(int(k), n, 0.95) for k in count]
    inside = np.array([bound.low <= limit <= bound.high for bound in bounds])
    row: Row = {"n": n, "limit": limit}
    for name, true in (("at_limit", limit), ("half", limit / 2), ("fifth", limit / 5)):
        row[f"pass_{name}"] = float(scipy.stats.binom.pmf(count, n, true)[high < limit].sum())
    at_limit = scipy.stats.binom.pmf(count, n, limit)
    row["point_rule_at_limit"] = float(at_limit[count <= limit * n + 1e-9].sum())
    row["coverage_at_limit"] = float(at_limit[inside].sum())
    return row


def clustered_rate(size: int, count: int, limit: float, icc: float, runs: int, rng: np.random.Generator) -> Row:
    n = size * count
    shared = np.repeat(rng.random((runs, count)), size, axis=1)
    draw = np.where(rng.random((runs, n)) < math.sqrt(icc), shared, rng.random((runs, n)))
    seen = (draw < limit).sum(axis=1)
    passes = {int(k): rate_interval(k / n, count, 0.9).high < limit for k in np.unique(seen)}
    naive = {int(k): clopper_pearson_interval(int(k), n, 0.9).high < limit for k in np.unique(seen)}
    return {"n": n, "cluster_size": size, "limit": limit, "icc": icc, "runs": runs,
            "naive": float(np.mean([naive[int(k)] for k in seen])),
            "gate": float(np.mean([passes[int(k)] for k in seen]))}  # fmt: skip


# Quantities.

SKEWED: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "F1 difference, 70 % ties": (
        lambda rng, shape: np.where(rng.random(shape) < 0.7, 0.0, rng.uniform(-1, 1, shape)), 0.0),
    "gamma(0.5), as KL": (lambda rng, shape: rng.gamma(0.5, size=shape), 0.5),
    "lognormal(0, 1)": (lambda rng, shape: rng.lognormal(size=shape), math.exp(0.5)),
}  # fmt: skip


def quantity(name: str, n: int, runs: int, bca_runs: int, rng: np.random.Generator) -> Row:
    """How often each end of a 90 % interval misses the mean; 5 % is nominal."""
    draw, mean = SKEWED[name]
    values = draw(rng, (runs, n))
    error = values.std(axis=1, ddof=1) / math.sqrt(n)
    t = np.where(error > 0, (values.mean(axis=1) - mean) / np.where(error > 0, error, 1.0), 0.0)
    edge = scipy.stats.t.ppf(0.95, n - 1)
    rows = [Clusters(row, np.ones(n)) for row in values]
    found = {"t": (np.mean(t > edge), np.mean(t < -edge)),
             "gate": tuple(np.mean([mean_p(row, mean, side) < ALPHA for row in rows]) for side in (1, -1))}  # fmt: skip
    row: Row = {"values": name, "n": n, "runs": runs, "bca_runs": bca_runs}
    if bca_runs:
        ends = [scipy.stats.bootstrap((sample,), np.mean, confidence_level=0.9, n_resamples=999, random_state=rng)
                .confidence_interval for sample in values[:bca_runs]]  # fmt: skip
        found["bca"] = (np.mean([end.low > mean for end in ends]), np.mean([end.high < mean for end in ends]))
    for method, (low, high) in found.items():
        row[f"{method}_low"], row[f"{method}_high"] = float(low), float(high)
    return row


# Sequential.


def crossing_times(kinds: np.ndarray, gains: np.ndarray, alpha: float) -> np.ndarray:
    """Items at which each run's wealth crosses 1/alpha; 0 for never. `kinds`: run x item -> index into `gains`."""
    steps = np.log1p(np.outer(SHARES, gains))
    times = []
    for begin in range(0, len(kinds), 200):
        wealth = np.log(START)[:, None, None] + np.cumsum(steps[:, kinds[begin : begin + 200]], axis=2)
        crossed = joint_wealth(wealth) >= math.log(1 / alpha)
        times.append(np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, 0))
    return np.concatenate(times)


def sequential(psi: float, delta: float, plans: Sequence[int], runs: int, rng: np.random.Generator) -> list[Row]:
    """A look after every batch of 16, of at most n items: how many pass, and the median share of n used."""
    uniform = rng.random((runs, max(plans)))
    kinds = np.where(uniform < (psi + delta) / 2, 2, np.where(uniform > 1 - (psi - delta) / 2, 0, 1))
    times = crossing_times(kinds, (np.array([-1.0, 0.0, 1.0]) + MARGIN) / (1 - MARGIN), ALPHA)
    rows = []
    for n in plans:
        passed = (times > 0) & (times <= n)
        used = np.where(passed, np.minimum(np.ceil(times / BATCH) * BATCH, n), n) / n
        share = float(passed.mean())
        rows.append({"n": n, "discordance": psi, "difference": delta, "pass": share, "runs": runs,
                     "median_share_used": float(np.median(used)), "mean_share_used": float(used.mean()),
                     "se": standard_error(share, runs)})  # fmt: skip
    return rows


def sequential_rate(limit: float, true: float, n: int, runs: int, rng: np.random.Generator) -> Row:
    kinds = (rng.random((runs, n)) < true).astype(int)
    # The gambler bets on less than `limit`: what is above the least possible -1 is 1 - value.
    times = crossing_times(kinds, (limit - np.array([0.0, 1.0])) / (1 - limit), ALPHA)
    return {"limit": limit, "rate": true, "n": n, "pass": float(np.mean(times > 0)), "runs": runs}


def sequential_clusters(name: str, sizes: Sequence[int], psi: float, icc: float, runs: int,
                        rng: np.random.Generator) -> Row:  # fmt: skip
    """At the margin, with clusters of unequal sizes in a random order: passes ever, by the gates' own process."""
    sums, _, _ = dependent(sizes, psi, -MARGIN, icc, runs, rng)
    size, passed = np.array(sizes, float), 0
    for row in sums:
        order = rng.permutation(len(sizes))
        passed += crossing(row[order], size[order], -1.0, ALPHA)(-MARGIN)
    return {"clusters": name, "discordance": psi, "icc": icc, "pass": passed / runs, "runs": runs}
