"""How often is a verdict wrong? The numbers behind docs/gates.md.

    python -m scripts.benchmarks.verdict [--runs 2000]     (make bench-verdict)

Writes results/bench/verdict.json and verdict.md: false ships at the margin beside the rule on point estimates, power,
coverage of intervals, clusters, suites of five gates, rates, quantities, and sequential evaluation.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.common.errors import run_command
from eval.run.files import write_json, write_text
from scripts.benchmarks.verdict_attacks import chosen_order, hidden_losses, lost_clusters
from scripts.benchmarks.verdict_cells import (
    MARGIN,
    SKEWED,
    clustered,
    clustered_rate,
    five_gates,
    paired,
    quantity,
    rate,
    sequential,
    sequential_clusters,
    sequential_rate,
)

RESULTS = Path("results/bench")
SEED = 20_260_101
SIZES, DISCORDANCES = (100, 200, 500, 1000), (0.05, 0.10, 0.20)
CLUSTERS = {
    "20 of 5": [5] * 20,
    "100 of 3": [3] * 100,
    "40 of 5": [5] * 40,
    "100: 50 of 1, 30 of 3, 20 of 12": [1] * 50 + [3] * 30 + [12] * 20,
}
BREAKING = {"20 of 25": [25] * 20, **CLUSTERS}
MANY = {"300 of 3": [3] * 300, "300: 150 of 1, 100 of 3, 50 of 12": [1] * 150 + [3] * 100 + [12] * 50}
Rows = list[dict[str, Any]]
Columns = Sequence[tuple[str, str, str]]  # heading, key, format


def measure(runs: int) -> dict[str, Any]:
    """Every table. `runs` is the number of draws of each simulated row."""
    rng = np.random.default_rng(SEED)
    tables: dict[str, Rows] = {}
    seconds: dict[str, float] = {}

    def section(name: str, rows: Rows, begun: float) -> None:
        tables[name] = rows
        seconds[name] = round(time.process_time() - begun, 1)
        print(f"{name}: {len(rows)} rows, {seconds[name]} s of CPU", flush=True)

    begun = time.process_time()
    section("paired", [paired(n, psi) for psi in DISCORDANCES for n in SIZES], begun)
    begun = time.process_time()
    suites = [(at, shared) for at in (1, 5) for shared in (0.0, 0.8)]
    section("suites", [five_gates(500, 0.1, at, shared, runs, rng) for at, shared in suites], begun)
    begun = time.process_time()
    cells = [(name, psi, icc) for name in CLUSTERS for psi in (0.05, 0.2) for icc in (0.0, 0.3, 0.8)]
    section("clusters", [clustered(name, CLUSTERS[name], psi, icc, runs, rng) for name, psi, icc in cells], begun)
    begun = time.process_time()
    cells = [(name, lost, psi) for name in BREAKING for lost in (0.03, 0.05, 0.1) for psi in (0.05, 0.1)
             if lost - MARGIN <= psi * (1 - lost)]  # fmt: skip
    found = [lost_clusters(name, BREAKING[name], lost, psi, runs, rng) for name, lost, psi in cells]
    section("lost_clusters", found, begun)
    begun = time.process_time()
    section("hidden", [hidden_losses(n, psi) for psi in (0.05, 0.1, 0.2) for n in (300, 500, 1000)], begun)
    begun = time.process_time()
    section("rates", [rate(n, limit) for limit in (0.01, 0.05, 0.1) for n in (60, 100, 300, 1000)], begun)
    begun = time.process_time()
    section("clustered_rates", [clustered_rate(5, 60, 0.05, icc, runs, rng) for icc in (0.0, 0.3, 0.8)], begun)
    begun = time.process_time()
    lengths = [(name, n) for name in SKEWED for n in (20, 30, 100, 300)]
    bca = {30: min(runs, 300), 100: min(runs, 300)}
    section("quantities", [quantity(name, n, runs, bca.get(n, 0), rng) for name, n in lengths], begun)
    begun = time.process_time()
    drifts = [(psi, delta) for psi in DISCORDANCES for delta in (-0.03, 0.0, 0.05)]
    section("sequential", [row for cell in drifts for row in sequential(*cell, SIZES, runs, rng)], begun)
    begun = time.process_time()
    orders = [chosen_order(500, psi, 10, runs // 10, rng) for psi in DISCORDANCES]
    section("chosen_orders", orders, begun)
    begun = time.process_time()
    rates = [(limit, share * limit) for limit in (0.05, 0.1) for share in (1.0, 0.2)]
    section("sequential_rates", [sequential_rate(limit, true, 1000, runs, rng) for limit, true in rates], begun)
    begun = time.process_time()
    cells = [(name, psi, icc) for name in MANY for psi in (0.05, 0.2) for icc in (0.0, 0.8)]
    found = [sequential_clusters(name, MANY[name], psi, icc, runs, rng) for name, psi, icc in cells]
    section("sequential_clusters", found, begun)
    return {"runs": runs, "seed": SEED, "alpha": 0.05, "margin": 0.03, "tables": tables, "cpu_seconds": seconds}


PLAIN, PERCENT = "{}", "{:.1%}"
TABLES: list[tuple[str, str, Columns]] = [
    (
        "paired",
        "Non-inferiority, margin 3 points, paired 0/1. Exact: every outcome is enumerated",
        [("n", "n", PLAIN), ("discordance", "discordance", PLAIN),
         ("false ship at the margin", "pass_at_margin", PERCENT),
         ("the rule `difference >= -margin`", "point_rule_at_margin", PERCENT),
         ("the rule `>`", "strict_point_rule_at_margin", PERCENT),
         ("ships, no change", "pass_no_change", PERCENT), ("ships, +5 points", "pass_gain_5", PERCENT),
         ("95 % interval covers, at the margin", "coverage_at_margin", PERCENT),
         ("no change", "coverage_no_change", PERCENT), ("+5", "coverage_gain_5", PERCENT)],
    ),
    (
        "suites",
        "Five blocking gates, some on metrics that are exactly 3 points worse, the others unchanged",
        [("n", "n", PLAIN), ("discordance", "discordance", PLAIN), ("gates at the margin", "gates_at_margin", PLAIN),
         ("items whose draw is shared", "shared", PERCENT), ("ships", "ship", "{:.2%}"), ("± 1 SE", "se", "{:.2%}"),
         ("point rule ships", "point_rule_ship", PERCENT)],
    ),
    (
        "clusters",
        "The same gate on dependent items",
        [("clusters", "clusters", PLAIN), ("n", "n", PLAIN), ("discordance", "discordance", PLAIN),
         ("ICC", "icc", PLAIN), ("false ship, items taken as independent", "naive_at_margin", PERCENT),
         ("false ship, cluster-robust t", "t_at_margin", PERCENT), ("false ship, gate", "gate_at_margin", PERCENT),
         ("ships with no change: independent", "naive_no_change", PERCENT), ("t", "t_no_change", PERCENT),
         ("gate", "gate_no_change", PERCENT)],
    ),
    (
        "lost_clusters",
        "The same gate where clusters break altogether (every item lost), the rest being noise that makes up for it",
        [("clusters", "clusters", PLAIN), ("worth", "worth", PLAIN), ("clusters lost", "lost", "{:.0%}"),
         ("discordance of the rest", "discordance", PLAIN),
         ("false ship, variance of clusters alone", "variance_at_margin", PERCENT),
         ("false ship, gate", "gate_at_margin", PERCENT),
         ("ships, no change: variance alone", "variance_no_change", PERCENT), ("gate", "gate_no_change", PERCENT),
         ("ships, +5 points: variance alone", "variance_gain_5", PERCENT), ("gate", "gate_gain_5", PERCENT)],
    ),
    (
        "hidden",
        "Losses made invalid, 2 % of the items. Exact",
        [("n", "n", PLAIN), ("discordance", "discordance", PLAIN),
         ("false ship, invalid items left out", "left_out_at_margin", PERCENT),
         ("false ship, gate: counted as losses", "counted_at_margin", PERCENT),
         ("ships, no change", "no_change", PERCENT), ("with 1 % invalid by chance", "no_change_some_invalid", PERCENT)],
    ),
    (
        "rates",
        "max_rate. Exact",
        [("n", "n", PLAIN), ("limit", "limit", PLAIN), ("false ship at the limit", "pass_at_limit", PERCENT),
         ("point rule", "point_rule_at_limit", PERCENT), ("ships at half of it", "pass_half", PERCENT),
         ("at a fifth", "pass_fifth", PERCENT), ("95 % interval covers", "coverage_at_limit", PERCENT)],
    ),
    (
        "clustered_rates",
        "max_rate on 60 clusters of 5, at the limit",
        [("limit", "limit", PLAIN), ("ICC", "icc", PLAIN), ("false ship, items taken as independent", "naive", PERCENT),
         ("gate", "gate", PERCENT)],
    ),
    (
        "quantities",
        "Means of quantities: how often each end of a 90 % interval misses (5 % is nominal)",
        [("values", "values", PLAIN), ("n", "n", PLAIN), ("t: low end", "t_low", PERCENT), ("high", "t_high", PERCENT),
         ("BCa: low", "bca_low", PERCENT), ("high", "bca_high", PERCENT), ("gate: low", "gate_low", PERCENT),
         ("high", "gate_high", PERCENT)],
    ),
    (
        "sequential",
        "Sequential non-inferiority, a look after every 16 of at most n items",
        [("discordance", "discordance", PLAIN), ("true difference", "difference", "{:+.2f}"), ("at most n", "n", PLAIN),
         ("ships", "pass", PERCENT), ("median share of items used", "median_share_used", "{:.0%}"),
         ("mean", "mean_share_used", "{:.0%}")],
    ),
    (
        "chosen_orders",
        "Sequential at the margin, the same 500 items in several random orders",
        [("discordance", "discordance", PLAIN), ("orders tried", "orders", PLAIN), ("ships in one", "once", PERCENT),
         ("in the best", "best", PERCENT)],
    ),
    (
        "sequential_rates",
        "Sequential max_rate, at most 1,000 items",
        [("limit", "limit", PLAIN), ("true rate", "rate", "{:.2f}"), ("ships", "pass", PERCENT)],
    ),
    (
        "sequential_clusters",
        "Sequential at the margin, dependent items",
        [("clusters", "clusters", PLAIN), ("discordance", "discordance", PLAIN), ("ICC", "icc", PLAIN),
         ("false ship, ever", "pass", PERCENT)],
    ),
]  # fmt: skip


def markdown(answer: dict[str, Any]) -> str:
    """All tables."""
    text = [
        f"`make bench-verdict`: {answer['runs']:,} runs a simulated row, seed {answer['seed']}, one-sided alpha 5 %."
    ]
    for name, title, columns in TABLES:
        text += ["", f"**{title}**", ""]
        text.append("| " + " | ".join(heading for heading, _, _ in columns) + " |")
        text.append("|" + "--:|" * len(columns))
        for row in answer["tables"][name]:
            cells = [form.format(row[key]) if key in row else "" for _, key, form in columns]
            text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.verdict", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=2_000, help="runs of each simulated row (default: 2000)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for verdict.json and verdict.md")
    arguments = parser.parse_args()
    answer = measure(arguments.runs)
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_json(arguments.output / "verdict.json", answer)
    write_text(arguments.output / "verdict.md", markdown(answer))
    print(markdown(answer))
    print(f"written: {arguments.output / 'verdict.json'}, {arguments.output / 'verdict.md'}")
    return 0


if __name__ == "__main__":
    run_command(main)
