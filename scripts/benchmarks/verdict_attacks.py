"""Ways to pass at the margin, and what each buys: templates lost whole, losses made invalid, an order that is chosen.

Experiments of scripts/benchmarks/verdict.py, like those of verdict_cells.py: each function returns one row of a table.
"""

from collections.abc import Sequence

import numpy as np

from eval.statistics.clusters import Clusters
from eval.statistics.paired import clustered_p, design_effect
from scripts.benchmarks.verdict_cells import ALPHA, MARGIN, Z90, Row, crossing_times, outcomes, statistic, statistics

MOST_INVALID = 0.02  # of the items: what a suite allows by default


def broken(
    sizes: Sequence[int], lost: float, psi: float, delta: float, runs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums by run and cluster, wins and losses by run. Each cluster is lost whole with chance `lost`; the items of the
    others are won and lost apart from each other, a share `psi` of them, so that the true difference is `delta`."""
    rest = (delta + lost) / (1 - lost)
    win, loss = (psi + rest) / 2, (psi - rest) / 2
    if min(win, loss) < 0:
        raise ValueError(f"noise of {psi} cannot make up for {lost} lost: the difference would not be {delta}")
    group = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums, wins, losses = [], [], []
    for begin in range(0, runs, 1_000):
        rows = min(1_000, runs - begin)
        uniform = rng.random((rows, len(group)))
        drawn = (uniform < win).astype(np.int8) - (uniform > 1 - loss).astype(np.int8)
        drawn[(rng.random((rows, len(sizes))) < lost)[:, group]] = -1
        sums.append(np.add.reduceat(drawn.astype(float), starts, axis=1))
        wins.append((drawn > 0).sum(axis=1))
        losses.append((drawn < 0).sum(axis=1))
    return np.concatenate(sums), np.concatenate(wins), np.concatenate(losses)


def lost_clusters(name: str, sizes: Sequence[int], lost: float, psi: float, runs: int, rng: np.random.Generator) -> Row:
    """At the margin with templates lost whole, and with none lost: variance from clusters alone, and what gates use."""
    size = np.array(sizes, float)
    row: Row = {"clusters": name, "n": sum(sizes), "worth": int(Clusters(size, size).worth), "lost": lost,
                "discordance": psi, "runs": runs}  # fmt: skip
    for case, share, delta in (("at_margin", lost, -MARGIN), ("no_change", 0.0, 0.0), ("gain_5", 0.0, 0.05)):
        found = [(Clusters(s, size), int(w), int(c))
                 for s, w, c in zip(*broken(sizes, share, psi, delta, runs, rng), strict=True)]  # fmt: skip
        row[f"variance_{case}"] = float(np.mean([_variance_alone(*one) for one in found]))
        row[f"gate_{case}"] = float(np.mean([clustered_p(*one, -MARGIN, 1) < ALPHA for one in found]))
    return row


def _variance_alone(clusters: Clusters, wins: int, losses: int) -> bool:
    """Whether the score test of counts divided by the design effect passes."""
    effect = design_effect(clusters, wins, losses)
    return statistic(wins / effect, losses / effect, clusters.items / effect, -MARGIN) > Z90


def hidden_losses(n: int, psi: float) -> Row:
    """Exact: a model at the margin whose losses are made invalid, as many as a suite allows. Invalid items left out of
    the comparison, and counted as the worst they can be; and what counting costs where 1 % break by chance, half of
    them items that the candidate has wrong."""
    most = int(MOST_INVALID * n)
    wins, losses, chance = outcomes(n, psi, -MARGIN)
    hidden = np.minimum(losses, most)
    left_out = [statistic(int(w), int(c - h), int(n - h), -MARGIN) > Z90
                for w, c, h in zip(wins, losses, hidden, strict=True)]  # fmt: skip
    row: Row = {"n": n, "discordance": psi, "left_out_at_margin": float(chance[left_out].sum()),
                "counted_at_margin": float(chance[statistics(wins, losses, n, -MARGIN) > Z90].sum())}  # fmt: skip
    wins, losses, chance = outcomes(n, psi, 0.0)
    row["no_change"] = float(chance[statistics(wins, losses, n, -MARGIN) > Z90].sum())
    by_chance = np.minimum(losses + round(0.005 * n), n - wins)
    row["no_change_some_invalid"] = float(chance[statistics(wins, by_chance, n, -MARGIN) > Z90].sum())
    return row


def chosen_order(n: int, psi: float, orders: int, runs: int, rng: np.random.Generator) -> Row:
    """A sequential gate at the margin: passes in one random order of the items, and in the best of several."""
    uniform = rng.random((runs, n))
    kinds = np.where(uniform < (psi - MARGIN) / 2, 2, np.where(uniform > 1 - (psi + MARGIN) / 2, 0, 1))
    gains = (np.array([-1.0, 0.0, 1.0]) + MARGIN) / (1 - MARGIN)
    passed = np.zeros(runs, bool)
    for order in range(orders):
        passed |= crossing_times(rng.permuted(kinds, axis=1), gains, ALPHA) > 0
        if order == 0:
            once = float(passed.mean())
    return {"n": n, "discordance": psi, "orders": orders, "once": once, "best": float(passed.mean()), "runs": runs}
