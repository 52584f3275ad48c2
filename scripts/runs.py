"""Every run in results/ with its verdict, headline numbers and their trend, and two runs side by side.

    python -m scripts.runs                 newest first, then the trend of each recipe
    python -m scripts.runs compare A B     the gates of both, and B against A item by item; names or paths

Two runs are comparable only when every task they share asked the same samples: digests decide, not names.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.number_text import level_text
from eval.report.trends import MOST_RUNS, evaluated, recipe_of, trends
from eval.run.files import read_metrics
from eval.run.folder import RESULTS, list_runs, read_run, resolve_run
from eval.run.metrics import Comparison, GateResult, Metrics, Verdict, is_rate
from eval.run.records import Record

DEMO = "demo"
COLOURS = {"ship": "green", "no-ship": "red", "inconclusive": "yellow"}
UNREADABLE = "metrics.json is broken: `make eval` writes it again"
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


class ListedRun(Record):
    """A run; `said` are its blocking gates, or why there is no verdict."""

    run: str
    recipe: str | None
    verdict: Verdict | None
    said: list[str]


class Listed(Record):
    """Every run, newest first."""

    runs: list[ListedRun]


class Compared(Record):
    """Two runs: their verdicts, and B against A on every metric that both have."""

    a: str
    b: str
    verdicts: tuple[Verdict, Verdict]
    comparisons: list[Comparison]
    notes: list[str]


def show_runs(console: Console, results: Path) -> Listed:
    """Print the table of runs. UserError when there is none, or one has a broken run.json."""
    runs = list_runs(results)
    if (results / DEMO / "run.json").is_file():
        runs.append(results / DEMO)
    if not runs:
        raise UserError("no runs in results/: run `make demo` or `make train RECIPE=...` first")
    table = Table(
        "run", "verdict", "recipe", "blocking gates: candidate (against its baseline)", box=None, pad_edge=False
    )
    listed = Listed(runs=[outcome(run) for run in runs])
    for one in listed.runs:
        verdict = coloured(one.verdict) if one.verdict else "unreadable" if UNREADABLE in one.said else "-"
        table.add_row(escape(one.run), verdict, escape(one.recipe or "-"), escape("; ".join(one.said)))
    console.print(table)
    return listed


def outcome(run: Path) -> ListedRun:
    """Verdict and headline of a run. One unreadable run must not hide the others."""
    recipe = str(read_run(run).get("recipe") or "") or None
    if not (run / "metrics.json").is_file():
        return ListedRun(run=run.name, recipe=recipe, verdict=None, said=["not evaluated"])
    try:
        metrics = read_metrics(run / "metrics.json")
    except UserError:
        return ListedRun(run=run.name, recipe=recipe, verdict=None, said=[UNREADABLE])
    return ListedRun(run=run.name, recipe=recipe, verdict=metrics.verdict, said=headline(metrics))


def coloured(verdict: str) -> str:
    return f"[{COLOURS[verdict]}]{verdict}[/]"


def show_trends(console: Console, results: Path) -> None:
    """Under the table: how each headline metric moved over the runs of a recipe, oldest first."""
    recipes = sorted({recipe for run in list_runs(results) if (recipe := recipe_of(run)[0])})
    for recipe in recipes:
        runs = evaluated(results, recipe)[-MOST_RUNS:]
        found = trends([(run, created, read_metrics(run / "metrics.json")) for run, created in runs])
        if not found:
            continue
        table = Table("metric", "", "first", "last", "interval", "runs", box=None, pad_edge=False)
        for trend in found:
            first, last = trend.points[0], trend.points[-1]
            other = sum(not point.same_samples for point in trend.points)
            table.add_row(
                escape(trend.gate),
                sparkline([point.value for point in trend.points]),
                level_text(first.value, trend.rate),
                level_text(last.value, trend.rate),
                f"{level_text(last.low, trend.rate)} to {level_text(last.high, trend.rate)}",
                f"{len(trend.points)}" + (f", {other} on other samples" if other else ""),
            )
        console.print(f"\ntrend of {escape(recipe)}, oldest first")
        console.print(table)


def sparkline(values: list[float]) -> str:
    """`▁▄█`: the values between their least and their largest."""
    low, high = min(values), max(values)
    steps = "▁▂▃▄▅▆▇█"
    return "".join(steps[round((value - low) / (high - low) * 7) if high > low else 3] for value in values)


def show_comparison(console: Console, runs: tuple[Path, Path], results: Path) -> Answer:
    """Print both runs' gates and the paired comparison, and write its page. UserError when they are not comparable."""
    from scripts import compare_runs  # scipy: only here

    pair = read_metrics(runs[0] / "metrics.json"), read_metrics(runs[1] / "metrics.json")
    between = compare_runs.compare_runs(runs, pair)
    table = Table("", *(escape(f"{letter}: {run.name}") for letter, run in zip("AB", runs, strict=True)), box=None,
                  pad_edge=False)  # fmt: skip
    states = [read_run(run) for run in runs]
    table.add_row("verdict", *(coloured(metrics.verdict) for metrics in pair))
    for label in ("recipe", "base_model"):
        table.add_row(label.replace("_", " "), *(escape(str(state.get(label) or "-")) for state in states))
    table.add_row("suite", *(escape(f"{metrics.suite} {metrics.suite_sha256[:12]}") for metrics in pair))
    for gate in dict.fromkeys(gate.id for metrics in pair for gate in metrics.gates):
        table.add_row(escape(gate), *(escape(gate_cell(metrics, gate)) for metrics in pair))
    console.print(table)

    gated = [row for row in between.comparisons if (row.task, row.metric) in between.adjusted]
    ends = [abs(end) for row in gated if row.interval for end in (row.interval.low, row.interval.high) if is_rate(row)]
    reach = max(ends, default=0.0)
    console.print("\nB minus A, item by item on the same samples, 90 % intervals; p is Holm's over these metrics")
    title = f"{-100 * reach:.0f} … 0 … {100 * reach:.0f} points" if reach else ""
    paired = Table("metric", "n", "A", "B", "B − A", title, "up down", "p", box=None, pad_edge=False)
    for row in gated:
        cells = compare_runs.cells(row, reach, between.adjusted[row.task, row.metric])
        paired.add_row(*(escape(cell) for cell in cells))
    console.print(paired)
    for note in between.notes:
        console.print(escape(f"note: {note}"))
    page = results / "compare" / f"{runs[0].name}--{runs[1].name}.html"
    compare_runs.write_page(page, (runs[0].name, runs[1].name), pair, between)
    console.print(escape(f"page with every item that flipped: {page}"))
    verdicts = pair[0].verdict, pair[1].verdict
    result = Compared(a=runs[0].name, b=runs[1].name, verdicts=verdicts, comparisons=gated, notes=between.notes)
    return Answer(0, result, files=[page])


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
        return show_comparison(console, (resolve_run(arguments.a, results), resolve_run(arguments.b, results)), results)
    listed = show_runs(console, results)
    show_trends(console, results)
    return Answer(0, listed)


if __name__ == "__main__":
    run_command(main, "compare" if "compare" in sys.argv[1:3] else "runs")
