"""What is logged of a run, read from its files: the same for every tracker.

    tracked = read_finished_run(Path("results/<run>"))       -> TrackedRun: a training part and an evaluation part

Nothing is measured or read from the machine here: names and numbers come from run.json, train.json, metrics.json and
the recipe alone, no environment variable is read, and what looks like a credential in them is refused.

Not protected against: a credential of a shape that eval/run/secret_patterns.py does not know.
"""

import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eval.common.errors import Refused, UserError
from eval.common.reading import read_text
from eval.run.digests import json_sha256
from eval.run.files import first_problem, read_metrics
from eval.run.folder import read_recipe, read_run, read_training
from eval.run.metrics import Interval, Metrics
from eval.run.secret_patterns import find_secrets, scan_file
from scripts.tracking.tracker import Part, Series, Setting, TrackedRun

TRAINING_FILES = ("recipe.yaml", "resolved.yaml", "data.json", "train.json", "adapter.sha256")
EVALUATION_FILES = ("metrics.json", "report.md", "report.html", "suite.yaml", "environment.json", "adapter.sha256")


def read_finished_run(run: Path) -> TrackedRun:
    """Both parts of a run. UserError when neither is complete; Refused when one holds a credential."""
    state = read_run(run)
    train = read_training(run)
    metrics = read_metrics(run / "metrics.json") if (run / "metrics.json").is_file() else None
    if not train.get("completed") and metrics is None:
        raise UserError(f"{run.name} is neither trained nor evaluated to the end: nothing to track yet")
    try:
        tracked = TrackedRun(
            name=run.name,
            created_ms=milliseconds(state["created"]),
            steps=train.get("steps") or 0,
            training=training_part(run, state, train) if train.get("completed") else None,
            evaluation=evaluation_part(run, metrics) if metrics else None,
        )
    except ValidationError as error:
        raise UserError(f"{run.name}: {first_problem(error)}: restore train.json or train again") from None
    refuse_credentials(tracked)
    return tracked


def training_part(run: Path, state: Mapping[str, Any], train: Mapping[str, Any]) -> Part:
    recipe = read_recipe(run) if (run / "recipe.yaml").is_file() else {}
    named = {name: state.get(name) for name in ("recipe", "base_model", "base_revision", "seed", "git")}
    curves = {"loss": train.get("curve") or [], **(train.get("series") or {})}
    system = train.get("system") or {"columns": ["seconds"], "rows": [], "mean": {}, "peak": {}}
    machine = [
        Series(name=f"machine/{name}", axis="second", points=[(row[0], row[place]) for row in system["rows"]])
        for place, name in enumerate(system["columns"][1:], start=1)
        if all(row[place] is not None for row in system["rows"])
    ]
    counted = {name: value for name, value in train.items() if is_number(value)}
    totals = {f"machine/{kind}/{name}": value for kind in ("mean", "peak") for name, value in system[kind].items()}
    return Part(
        job="train",
        settings={**flatten(named), **flatten(recipe, "recipe.")},
        series=[Series(name=f"train/{name}", axis="step", points=points) for name, points in curves.items() if points]
        + machine,
        values={f"train/{name}": float(value) for name, value in counted.items()} | totals,
        **evidence(run, TRAINING_FILES),
    )


def evaluation_part(run: Path, metrics: Metrics) -> Part:
    described = {name: value for name, value in metrics.provenance.items() if name != "data"}
    return Part(
        job="eval",
        settings={
            "suite": metrics.suite,
            "suite_sha256": metrics.suite_sha256,
            "baseline": metrics.baseline,
            "adapter_sha256": metrics.provenance.get("adapter_sha256"),
            **flatten(described, "provenance."),
        },
        values=dict(measured(metrics)),
        labels={"verdict": metrics.verdict, **{f"gate/{gate.id}": gate.outcome for gate in metrics.gates}},
        **evidence(run, EVALUATION_FILES),
    )


def measured(metrics: Metrics) -> Iterator[tuple[str, float]]:
    """Every metric of both arms, its difference and gate, each with the ends of its interval; and what it cost."""
    for comparison in metrics.comparisons:
        prefix = f"{comparison.task}/{comparison.metric}"
        yield from with_interval(f"{prefix}/baseline", comparison.baseline, comparison.baseline_interval)
        yield from with_interval(f"{prefix}/candidate", comparison.candidate, comparison.candidate_interval)
        yield from with_interval(f"{prefix}/difference", comparison.difference, comparison.interval)
        yield f"{prefix}/n", float(comparison.n)
        yield f"{prefix}/invalid", float(comparison.invalid)
    for gate in metrics.gates:
        yield from with_interval(f"gate/{gate.id}/estimate", gate.estimate, gate.interval)
        yield f"gate/{gate.id}/threshold", gate.threshold
    if metrics.adapter_effect:
        for name, value in metrics.adapter_effect.model_dump().items():
            yield f"adapter_effect/{name}", float(value)
    for name, value in metrics.costs.items():
        yield f"cost/{name}", value


def with_interval(name: str, value: float | None, interval: Interval | None) -> Iterator[tuple[str, float]]:
    if value is not None:
        yield name, value
    if interval is not None:
        yield f"{name}_low", interval.low
        yield f"{name}_high", interval.high


def evidence(run: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Which of these files the run has, and a digest of their bytes."""
    paths = [run / name for name in names if (run / name).is_file()]
    return {
        "files": [str(path.resolve()) for path in paths],
        "files_sha256": json_sha256({path.name: read_text(path) for path in paths}),
    }


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Setting]:
    """Nested settings as `a.b.c`; lists as JSON, since trackers show them so."""
    flat: dict[str, Setting] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= flatten(inner, f"{prefix}{name}.")
        elif inner is None or isinstance(inner, str | int | float | bool):
            flat[f"{prefix}{name}"] = inner
        else:
            flat[f"{prefix}{name}"] = json.dumps(inner, default=str)
    return flat


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def milliseconds(created: str) -> int:
    """Of an ISO time, since 1970."""
    return int(datetime.datetime.fromisoformat(created).timestamp() * 1000)


def refuse_credentials(tracked: TrackedRun) -> None:
    """Refused, naming file and kind but never the text, when anything to be logged looks like a credential."""
    found = find_secrets("settings", json.dumps([part.settings for part in tracked.parts], indent=0))
    for path in dict.fromkeys(path for part in tracked.parts for path in part.files):
        found += scan_file(Path(path), Path(path).name)
    if found:
        raise Refused(f"{tracked.name}: {found[0]}: remove it (and revoke it) before anything is tracked")
