"""Logs and suites for the tests of eval/logs: plain rows written here, and the real ones of tests/data/logs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.logs.verb import main
from tests.run_builder import assert_one_line, call

LOGS = Path("tests/data/logs")
Capture = pytest.CaptureFixture[str]
Row = dict[str, Any]


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def gate(task: str, metric: str, rule: str = "noninferiority", **fields: object) -> Row:
    limit = {"noninferiority": "margin", "max_rate": "limit", "max_value": "limit"}[rule]
    return {"id": metric, "task": task, "metric": metric, "rule": rule, limit: 0.2, **fields}


def write_suite(path: Path, *gates: Row, **fields: object) -> Path:
    tasks = [{"name": name} for name in dict.fromkeys(gate["task"] for gate in gates)]
    path.write_text(yaml.safe_dump({"name": "s", "description": "d", "tasks": tasks, "gates": list(gates), **fields}))
    return path


def write_rows(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(right: int, n: int = 40, **fields: object) -> list[Row]:
    return [{"id": f"q{i}", "metric": "acc", "value": int(i < right), **fields} for i in range(n)]


def compare(tmp_path: Path, a: list[Row], b: list[Row], *more: str, **suite: Any) -> list[str]:
    """Arguments that compare two plain logs under a gate on `acc`."""
    gates = suite.pop("gates", [gate("log", "acc")])
    path = write_suite(tmp_path / "suite.yaml", *gates, **suite)
    logs = write_rows(tmp_path / "base.jsonl", a), write_rows(tmp_path / "new.jsonl", b)
    return [f"--a={logs[0]}", f"--b={logs[1]}", f"--suite={path}", f"--out={tmp_path / 'out'}", *more]


def refused(arguments: list[str], capsys: Capture, *words: str) -> None:
    code, _, err = call(main, arguments, capsys)
    assert code == 2, err
    assert_one_line(err, *words)
    assert "unforeseen" not in err, err
