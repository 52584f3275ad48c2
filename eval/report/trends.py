"""How the headline metrics moved over the runs of one recipe, read from their metrics.json.

Headline metrics are those of the blocking gates. A run that cannot be read is left out: one broken folder must not
spoil the report of another. Levels of different runs are shown side by side; no test between them is claimed
(`make compare` makes the paired one).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.common.errors import UserError
from eval.run.files import read_json, read_metrics
from eval.run.folder import NOT_RUNS
from eval.run.metrics import Comparison, Metrics, Verdict, is_rate

MOST_RUNS = 12


@dataclass(frozen=True)
class Point:
    """The candidate of one run on one metric."""

    run: str
    created: str
    verdict: Verdict
    value: float
    low: float
    high: float
    n: int
    same_samples: bool  # as in the newest run shown: otherwise the items were others


@dataclass(frozen=True)
class Trend:
    """One metric over runs, oldest first."""

    gate: str
    task: str
    metric: str
    rate: bool
    points: tuple[Point, ...]


def trends_of(run: Path, results: Path | None = None) -> list[Trend]:
    """Trends of a run's headline metrics up to this run, over the evaluated runs of its recipe in `results`.

    Without `results` those beside it. Empty with fewer than two runs, and for the committed evidence (results/demo):
    who reads that has other runs beside it.
    """
    if run.name in NOT_RUNS:
        return []
    recipe, created = recipe_of(run)
    earlier = [other for other in evaluated(results or run.parent, recipe) if other[1] < created] if recipe else []
    found = [*earlier, (run, created)][-MOST_RUNS:]
    return trends([(folder, when, read_metrics(folder / "metrics.json")) for folder, when in found])


def evaluated(results: Path, recipe: str) -> list[tuple[Path, str]]:
    """Run folders of a recipe with a readable metrics.json, with their time, oldest first."""
    found = []
    for folder in sorted(results.glob("*")):
        if folder.name in NOT_RUNS or not (folder / "metrics.json").is_file():
            continue
        named, created = recipe_of(folder)
        if named == recipe and _is_readable(folder):
            found.append((folder, created))
    return sorted(found, key=lambda pair: (pair[1], pair[0].name))


def recipe_of(run: Path) -> tuple[str | None, str]:
    """Recipe and creation time of a run; (None, "") when its run.json does not say."""
    try:
        state = read_json(run / "run.json")
    except (UserError, OSError):
        return None, ""
    if not isinstance(state, dict):
        return None, ""
    recipe, created = state.get("recipe"), state.get("created")
    return (recipe if isinstance(recipe, str) else None), (created if isinstance(created, str) else "")


def _is_readable(run: Path) -> bool:
    try:
        read_metrics(run / "metrics.json")
    except (UserError, OSError):
        return False
    return True


def trends(runs: Sequence[tuple[Path, str, Metrics]]) -> list[Trend]:
    """A trend for every metric of a blocking gate of the last run, where at least two runs measured it."""
    if len(runs) < 2:
        return []
    newest = runs[-1][2]
    samples = {task.name: task.samples_sha256 for task in newest.tasks}
    found: dict[tuple[str, str], Trend] = {}
    for gate in newest.gates:
        key = gate.task, gate.metric
        if gate.tier != "blocking" or key in found:
            continue
        points = [
            point
            for folder, created, metrics in runs
            if (point := _point(folder.name, created, metrics, key, samples.get(gate.task)))
        ]
        if len(points) >= 2 and points[-1].run == runs[-1][0].name:
            rate = all(is_rate(_comparison(metrics, key)) for _, _, metrics in runs)
            found[key] = Trend(gate.id, gate.task, gate.metric, rate, tuple(points))
    return list(found.values())


def _comparison(metrics: Metrics, key: tuple[str, str]) -> Comparison | None:
    return next((row for row in metrics.comparisons if (row.task, row.metric) == key), None)


def _point(run: str, created: str, metrics: Metrics, key: tuple[str, str], samples: str | None) -> Point | None:
    measured = _comparison(metrics, key)
    if measured is None or measured.candidate is None:
        return None
    interval, value = measured.candidate_interval, measured.candidate
    own = next((task.samples_sha256 for task in metrics.tasks if task.name == key[0]), None)
    low, high = (interval.low, interval.high) if interval else (value, value)
    return Point(run, created, metrics.verdict, value, low, high, measured.n, own is not None and own == samples)
