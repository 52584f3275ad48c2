"""A verdict is taken for a run's own only while suite, adapter and the rows that were asked are what they were."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.common.places import ROOT
from eval.run.digests import file_sha256
from eval.run.files import read_metrics, write_json
from eval.run.metrics import Metrics
from scripts import sweep
from scripts.training import judged

SUITE = ROOT / "results" / "demo" / "suite.yaml"
DEMO = read_metrics(ROOT / "results" / "demo" / "metrics.json")


def evaluated(run: Path, **changed: Any) -> Metrics:
    """The demo's evaluation, as that of a run with an adapter of its own."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "adapter.sha256").write_text(f"{run.name}\n")
    provenance = DEMO.provenance | {"adapter_sha256": file_sha256(run / "adapter.sha256")}
    own = {"run": run.name, "suite_sha256": file_sha256(SUITE), "provenance": provenance}
    metrics = DEMO.model_copy(update=own | changed)
    write_json(run / "metrics.json", metrics.model_dump(mode="json"))
    return metrics


def other_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on one task of the demo reads other rows."""
    file = folder / "rows.jsonl"
    file.write_text("{}\n")
    find = judged.data_of
    monkeypatch.setattr(judged, "data_of", lambda name: file if name == DEMO.tasks[0].name else find(name))


def test_a_verdict_on_other_rows_another_adapter_or_by_another_suite_is_none_of_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert not judged.is_judged(run, SUITE)
    evaluated(run)
    assert judged.is_judged(run, SUITE)
    (tmp_path / "suite.yaml").write_bytes(SUITE.read_bytes() + b"# another\n")
    assert not judged.is_judged(run, tmp_path / "suite.yaml")
    with monkeypatch.context() as patch:
        other_rows(patch, tmp_path)
        assert not judged.is_judged(run, SUITE)
    (run / "adapter.sha256").write_text("another\n")
    assert not judged.is_judged(run, SUITE)


def test_members_that_were_judged_on_other_rows_or_whose_figures_are_damaged_are_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, kept, asked = [tmp_path / name for name in "abc"], tmp_path / "selection", list[str]()

    def judge(left: list[Path], suite: Path) -> None:
        for run in left:
            asked.append(run.name)
            evaluated(run)

    for run in runs:
        evaluated(run)
    monkeypatch.setattr(sweep, "judge_runs", judge)
    sweep.judged_on_selection(runs[:2], SUITE, kept)
    (kept / "b.json").write_text(json.dumps({"cut": "off"}))
    sweep.judged_on_selection(runs, SUITE, kept)
    assert asked == ["a", "b", "b", "c"]
    other_rows(monkeypatch, tmp_path)
    sweep.judged_on_selection(runs, SUITE, kept)
    assert asked[4:] == ["a", "b", "c"]
