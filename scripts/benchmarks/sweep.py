"""How often does the best of several trainings ship that should not? The numbers behind docs/sweep.md.

    python -m scripts.benchmarks.sweep [--runs 8000]     (make bench-sweep)

Writes results/bench/sweep/simulated.json. Every member of a simulated sweep gains exactly what its gate asks for as the
least (5 points, discordance 25 %), so that a gate may pass it in one of twenty cases. The best is chosen and judged on
the same items, or on the halves of `make sweep`; where items depend on each other, also on halves that cut clusters.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from eval.common.errors import run_command
from eval.config.parts import SELECTION, half_of
from eval.run.files import write_json
from eval.statistics.paired import clopper_pearson_interval, difference_interval, tango_interval
from scripts.benchmarks.verdict_cells import Z90, outcomes, statistics

OUTPUT = Path("results/bench/sweep/simulated.json")
SEED = 20_261_127
MIN_GAIN, DISCORDANCE, CONFIDENCE = 0.05, 0.25, 0.9
MEMBERS = (1, 4, 12, 50)
CELLS = ((300, 1, 0.0), (300, 4, 0.9))  # items, items of a cluster, chance that an item has its cluster's draw
GOOD = 0.15  # a true gain, for what halving costs
WAYS = ("same_items", "halves", "halves_by_item")


def draws(members: int, n: int, size: int, shared: float, gain: float, rng: np.random.Generator) -> np.ndarray:
    """Differences (members, n) in -1, 0, 1: independent between members, dependent inside clusters of `size` items."""
    own, of_cluster = rng.random((members, n)), np.repeat(rng.random((members, n // size)), size, axis=1)
    draw = np.where(rng.random((members, n)) < shared, of_cluster, own)
    return (draw < (DISCORDANCE + gain) / 2).astype(int) - (draw > 1 - (DISCORDANCE - gain) / 2).astype(int)


def alone(n: int) -> dict[str, Any]:
    """How often the gate passes one adapter at the threshold that nothing chose, on the verdict half of n independent
    items: every outcome enumerated."""
    items = sum(half_of(42, str(item)) != SELECTION for item in range(n))
    wins, losses, chance = outcomes(items, DISCORDANCE, MIN_GAIN)
    return {"n": items, "rate": float(chance[statistics(wins, losses, items, MIN_GAIN) > Z90].sum())}


def passes(differences: np.ndarray, clusters: np.ndarray) -> bool:
    """Whether a superiority gate passes these items."""
    if len(set(clusters)) == len(clusters):
        return passes_counts(int((differences > 0).sum()), int((differences < 0).sum()), len(differences))
    found = difference_interval(differences.astype(float).tolist(), clusters.tolist(), CONFIDENCE, True)
    return found is not None and found.low > MIN_GAIN


@cache
def passes_counts(wins: int, losses: int, n: int) -> bool:
    return tango_interval(wins, losses, n, CONFIDENCE).low > MIN_GAIN


def cell(
    members: int, n: int, size: int, shared: float, gain: float, runs: int, rng: np.random.Generator
) -> dict[str, Any]:
    """How often the best of so many members ships, by each way of choosing and judging."""
    clusters = np.array([str(item // size) for item in range(n)])
    chosen_by = {
        "same_items": None,
        "halves": np.array([half_of(42, cluster) == SELECTION for cluster in clusters]),
        "halves_by_item": np.array([half_of(42, f"item {item}") == SELECTION for item in range(n)]),
    }
    shipped = dict.fromkeys(WAYS if size > 1 else WAYS[:2], 0)
    for _ in range(runs):
        found = draws(members, n, size, shared, gain, rng)
        for way in shipped:
            half = chosen_by[way]
            looked_at = found if half is None else found[:, half]
            best = found[int(looked_at.sum(axis=1).argmax())]
            judged = slice(None) if half is None else ~half
            shipped[way] += passes(best[judged], clusters[judged])
    row: dict[str, Any] = {"members": members, "n": n, "cluster": size, "shared": shared, "gain": gain, "runs": runs}
    for way, count in shipped.items():
        bound = clopper_pearson_interval(count, runs, 0.95)
        row[way] = {"count": count, "n": runs, "rate": count / runs, "low": bound.low, "high": bound.high}
    return row


LABELS = {
    "same_items": "chosen and judged on the same items",
    "halves": "chosen on one half, judged on the other",
    "halves_by_item": "the same, but halves that cut clusters",
}


def table(rows: Sequence[dict[str, Any]], gain: float) -> Iterator[str]:
    """How often the best of so many ships that all truly gain this much, with 95 % Clopper-Pearson intervals."""
    yield f"| true gain {100 * gain:.0f} points | " + " | ".join(f"{count} trained" for count in MEMBERS) + " |"
    yield "|---|" + "--:|" * len(MEMBERS)
    for n, size, _ in CELLS:
        own = [row for row in rows if (row["n"], row["cluster"], row["gain"]) == (n, size, gain)]
        for way in (way for way in WAYS if way in own[0]):
            items = f"{n} items in clusters of {size}" if size > 1 else f"{n} independent items"
            shares = (row[way] for row in own)
            cells = (f"{100 * s['rate']:.1f} % [{100 * s['low']:.1f}, {100 * s['high']:.1f}]" for s in shares)
            yield f"| {items}: {LABELS[way]} | " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.sweep", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=8_000, help="simulated sweeps a row (default: 8000)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file for the counts")
    given = parser.parse_args()
    rng = np.random.default_rng(SEED)
    rows = []
    for gain in (MIN_GAIN, GOOD):
        for n, size, shared in CELLS:
            for members in MEMBERS:
                rows.append(cell(members, n, size, shared, gain, given.runs, rng))
                rates = ", ".join(f"{way} {rows[-1][way]['rate']:.1%}" for way in WAYS if way in rows[-1])
                print(f"{members} members, {n} items, clusters of {size}, true gain {gain:.0%}: {rates}", flush=True)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    for gain in (MIN_GAIN, GOOD):
        print("\n".join(table(rows, gain)))
    write_json(
        given.output,
        {"seed": SEED, "min_gain": MIN_GAIN, "discordance": DISCORDANCE, "alone": alone(CELLS[0][0]), "rows": rows},
    )
    print(f"written: {given.output}")
    return 0


if __name__ == "__main__":
    run_command(main)
