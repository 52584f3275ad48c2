"""Every number of an evaluated run as tables: CSV for spreadsheets and R, NDJSON for programs.

    python -m scripts.export [--run RUN]     -> results/<run>/export/

    metrics.csv, metrics.ndjson   one row a comparison, gate, slice, power row, self-check, cost ...; column `kind`
    scores.csv, scores.ndjson     one row a score: every arm, task, sample, repeat and metric
    curves.csv, curves.ndjson     one row a point: the loss by step, the machine by second

Floats are written by `repr`, so reading them gives the same bits as metrics.json. An absent value is null in NDJSON
and an empty cell in CSV; true and false are spelled as in JSON.

Not protected against: a spreadsheet that takes a text beginning with `+` or `=` for a formula. Cells are exact, not
escaped, and hold no text that a model wrote.
"""

import argparse
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import run_command
from eval.run.files import read_jsonl, read_metrics, write_text
from eval.run.folder import locked, read_training, resolve_run
from eval.run.metrics import Metrics
from eval.run.records import Record, Score

Row = dict[str, Any]


class Exported(Record):
    """Rows of each table, by its name; each is there as CSV and as NDJSON."""

    run: str
    rows: dict[str, int]


def export(run: Path) -> Exported:
    """Write the tables of a run into its folder `export/`. UserError when it is not evaluated or a file is broken."""
    metrics = read_metrics(run / "metrics.json")
    # Explanations of single scores may quote an answer: they stay in scores.jsonl.
    scores = (score.model_dump(exclude={"reason"}) for score in read_jsonl(run / "scores.jsonl", Score))
    training = read_training(run)
    folder = run / "export"
    folder.mkdir(exist_ok=True)
    tables: dict[str, list[Row]] = {
        "metrics": [{"run": metrics.run, "suite": metrics.suite, **row} for row in metric_rows(metrics)],
        "scores": [{"run": metrics.run, **row} for row in scores],
        "curves": [{"run": metrics.run, **row} for row in curve_rows(training)],
    }
    for name, rows in tables.items():
        write_table(folder, name, rows)
    return Exported(run=metrics.run, rows={name: len(rows) for name, rows in tables.items()})


def metric_rows(metrics: Metrics) -> Iterator[Row]:
    """Everything measured in metrics.json, flat: intervals become columns, nested slices rows of their own."""
    yield {"kind": "verdict", "outcome": metrics.verdict}
    for comparison in metrics.comparisons:
        yield {"kind": "comparison", **flat(comparison)}
    for gate in metrics.gates:
        yield {"kind": "gate", **flat(gate)}
        named = {"id": gate.id, "task": gate.task, "metric": gate.metric}
        yield from ({"kind": "gate slice", **named, **flat(part)} for part in gate.slices)
    for found in metrics.explorations:
        named = {"task": found.task, "metric": found.metric}
        yield from ({"kind": "exploration slice", **named, **flat(part)} for part in found.slices)
    yield from ({"kind": "power planned", **flat(row)} for row in metrics.power_planned)
    yield from ({"kind": "power observed", **flat(row)} for row in metrics.power_observed)
    yield from ({"kind": "self-check", **flat(check)} for check in metrics.self_checks)
    for task in metrics.tasks:
        for arm, verdicts in (task.executed or {}).items():
            yield from values("executed", verdicts, task=task.name, arm=arm)
        yield from values("watched", task.watched or {}, task=task.name)
    if metrics.sequential:
        yield from values("items used", metrics.sequential.used)
        yield from values("items planned", metrics.sequential.planned)
    yield from values("adapter effect", metrics.adapter_effect.model_dump() if metrics.adapter_effect else {})
    yield from values("cost", metrics.costs)
    yield from values("noise", metrics.noise or {})


def values(kind: str, by_name: Mapping[Any, Any], **fields: str) -> Iterator[Row]:
    """One row a number of a mapping."""
    numbers = {name: value for name, value in by_name.items() if isinstance(value, int | float)}
    return ({"kind": kind, **fields, "metric": name, "value": value} for name, value in numbers.items())


def flat(record: Record) -> Row:
    """A record as one row: `interval` becomes low, high, ...; `baseline_interval` becomes baseline_low, ..."""
    row: Row = {}
    for name, value in record.model_dump().items():
        if isinstance(value, dict):
            prefix = name.removesuffix("interval")
            row |= {f"{prefix}{part}": inner for part, inner in value.items()}
        elif not isinstance(value, list):
            row[name] = value
    return {name: value for name, value in row.items() if not (name.endswith("interval") and value is None)}


def curve_rows(training: Mapping[str, Any]) -> Iterator[Row]:
    """The points of train.json's curves: training loss by step, the machine by second of training."""
    for step, loss in training.get("curve", []):
        yield {"series": "loss", "axis": "step", "x": step, "value": loss}
    system = training.get("system") or {"columns": [], "rows": []}
    for place, name in enumerate(system["columns"][1:], start=1):
        for row in system["rows"]:
            yield {"series": name, "axis": "second", "x": row[0], "value": row[place]}


def write_table(folder: Path, name: str, rows: list[Row]) -> None:
    """`name`.csv and `name`.ndjson; columns are those of all rows, in the order they first appear."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    write_text(folder / f"{name}.csv", as_csv(columns, rows))
    complete = ({column: row.get(column) for column in columns} for row in rows)
    write_text(folder / f"{name}.ndjson", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in complete))


def as_csv(columns: list[str], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = (row.get(column) for column in columns)
        writer.writerow([json.dumps(cell) if isinstance(cell, bool) else cell for cell in cells])
    return text.getvalue()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run name or folder (default: the newest)")
    run = resolve_run(parser.parse_args(argv).run)
    with locked(run):
        exported = export(run)
    files = sorted((run / "export").iterdir())
    for path in files:
        print(f"export: {path}, {path.stat().st_size:,} bytes")
    return Answer(0, exported, files=files)


if __name__ == "__main__":
    run_command(main)
