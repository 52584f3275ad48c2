"""A finished run with curves and machine metrics, small enough to log in a test."""

import importlib.util
from pathlib import Path

import pytest

from tests.run_builder import build_run, edit_json

CURVE = [[5, 3.0], [10, 1 / 3], [15, 0.1 + 0.2]]
TRAINING = {
    "completed": True,
    "steps": 15,
    "seconds": 61.5,
    "curve": CURVE,
    "series": {"learning_rate": [[5, 2e-3], [10, 1e-3], [15, 1e-4]]},
    "system": {
        "mean": {"cpu_percent": 150.0},
        "peak": {"cpu_percent": 199.0},
        "columns": ["seconds", "cpu_percent"],
        "rows": [[30.0, 101.0], [60.0, 199.0]],
    },
}


def finished(results: Path, name: str = "toy") -> Path:
    run = build_run(results, name)
    edit_json(run / "train.json", lambda value: value.update(TRAINING))
    return run


def installed(name: str) -> None:
    if not importlib.util.find_spec(name):
        pytest.skip(f"{name} is not installed: make tracking-setup")
