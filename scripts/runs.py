"""Every run in results/ with its verdict and headline numbers, and two runs side by side.

    python -m scripts.runs                 newest first
    python -m scripts.runs compare A B     the gates of both; A and B are names or paths

Two runs are comparable only when every task they share asked the same samples: digests decide, not names.
The difference shown is each candidate against *its own* baseline; no interval between A and B is claimed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.errors import UserError, run_command
from eval.files import read_metrics
from eval.records import Comparison, GateResult, Metrics
from eval.run_folder import RESULTS, list_runs, read_run, resolve_run

DEMO = "demo"
COLOURS = {"ship": "green", "no-ship": "red", "inconclusive": "yellow"}
PIPE_WIDTH = 200  # columns when the output is not a terminal: rows must not be folded


def headline(metrics: Metrics) -> list[str]:
    """`gate candidate (difference)` of each blocking gate."""
    measured = comparisons_of(metrics)
    return [
        f"{gate.id} {candidate_and_difference(measured.get((gate.task, gate.metric)))}"
        for gate in metrics.gates
        if gate.tier == "blocking"
    ]


def comparisons_of(metrics: Metrics) -> dict[tuple[str, str], Comparison]:
    return {(comparison.task, comparison.metric): comparison for comparison in metrics.comparisons}


def candidate_and_difference(comparison: Comparison | None) -> str:
    """`0.712 (+0.204)`; a dash when the task did not run or every item is invalid."""
    if comparison is None or comparison.candidate is None or comparison.difference is None:
        return "-"
    return f"{comparison.candidate:.3f} ({comparison.difference:+.3f})"


def show_runs(console: Console, results: Path) -> None:
    """Print the table of runs. UserError when there is none, or one has a broken run.json."""
    runs = list_runs(results)
    if (results / DEMO / "run.json").is_file():
        runs.append(results / DEMO)
    if not runs:
        raise UserError("no runs in results/: run `make demo` or `make train RECIPE=...` first")
    table = Table(
        "run", "verdict", "recipe", "blocking gates: candidate (against its baseline)", box=None, pad_edge=False
    )
    for run in runs:
        verdict, numbers = outcome(run)
        recipe = read_run(run).get("recipe") or "-"
        table.add_row(escape(run.name), verdict, escape(str(recipe)), numbers)
    console.print(table)


def outcome(run: Path) -> tuple[str, str]:
    """Verdict and headline of a run, as cells. One unreadable run must not hide the others."""
    if not (run / "metrics.json").is_file():
        return "-", "not evaluated"
    try:
        metrics = read_metrics(run / "metrics.json")
    except UserError:
        return "unreadable", "metrics.json is broken: `make eval` writes it again"
    return coloured(metrics.verdict), escape("; ".join(headline(metrics)))


def coloured(verdict: str) -> str:
    return f"[{COLOURS[verdict]}]{verdict}[/]"


def check_comparable(one: Metrics, other: Metrics) -> None:
    """UserError unless the runs share a task, and every task they share asked the same samples."""
    samples = {task.name: task.samples_sha256 for task in other.tasks}
    shared = [task for task in one.tasks if task.name in samples]
    if not shared:
        raise UserError(f"{one.run} and {other.run} have no task in common: nothing to compare")
    changed = [task.name for task in shared if task.samples_sha256 != samples[task.name]]
    if changed:
        raise UserError(
            f"{one.run} and {other.run} were asked different samples in {', '.join(changed)}: "
            "evaluate both under the same suite first"
        )


def show_comparison(console: Console, runs: tuple[Path, Path]) -> None:
    """Print both runs' gates side by side. UserError when they cannot be compared."""
    pair = [read_metrics(run / "metrics.json") for run in runs]
    check_comparable(pair[0], pair[1])
    table = Table("", *(escape(run.name) for run in runs), box=None, pad_edge=False)
    states = [read_run(run) for run in runs]
    table.add_row("verdict", *(coloured(metrics.verdict) for metrics in pair))
    for label in ("recipe", "base_model"):
        table.add_row(label.replace("_", " "), *(escape(str(state.get(label) or "-")) for state in states))
    table.add_row("suite", *(escape(f"{metrics.suite} {metrics.suite_sha256[:12]}") for metrics in pair))
    for gate in dict.fromkeys(gate.id for metrics in pair for gate in metrics.gates):
        table.add_row(escape(gate), *(escape(gate_cell(metrics, gate)) for metrics in pair))
    console.print(table)


def gate_cell(metrics: Metrics, gate_id: str) -> str:
    """`pass 0.712 (+0.204) n 300, threshold +0.000` of one gate in one run."""
    found: list[GateResult] = [gate for gate in metrics.gates if gate.id == gate_id]
    if not found:
        return "not in this suite"
    gate = found[0]
    comparison = comparisons_of(metrics).get((gate.task, gate.metric))
    n = comparison.n if comparison else 0
    value = candidate_and_difference(comparison)
    return f"{gate.outcome} {value} n {n}, {gate.tier}, threshold {gate.threshold:+.3f}"


def main(argv: list[str] | None = None, results: Path = RESULTS) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.runs", description=(__doc__ or "").split("\n")[0])
    compare: Any = parser.add_subparsers(dest="command").add_parser("compare", help="two runs side by side")
    compare.add_argument("a", metavar="A", help="name or path of a run")
    compare.add_argument("b", metavar="B", help="name or path of a run")
    arguments = parser.parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
    if arguments.command == "compare":
        show_comparison(console, (resolve_run(arguments.a, results), resolve_run(arguments.b, results)))
    else:
        show_runs(console, results)
    return 0


if __name__ == "__main__":
    run_command(main)
