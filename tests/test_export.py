"""Exported tables hold the numbers of metrics.json, scores.jsonl and train.json, bit for bit."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eval.run.files import read_jsonl, read_metrics
from eval.run.metrics import Exploration, SliceResult
from eval.run.records import Score
from scripts.export import as_csv, export, main, metric_rows
from tests.run_builder import assert_one_line, build_run, call, edit_json

AWKWARD = (0.1 + 0.2, 5e-324, 8.673617379884035e-19, 1.7976931348623157e308, -0.0, 1 / 3)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed evidence of a real run, exported."""
    run = tmp_path_factory.mktemp("results") / "demo"
    run.mkdir()
    for name in ("run.json", "metrics.json", "scores.jsonl", "train.json"):
        shutil.copyfile(Path("results/demo") / name, run / name)
    export(run)
    return run


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_ndjson(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_comparison_and_gate_has_the_bits_of_metrics_json(demo: Path) -> None:
    metrics = json.loads((demo / "metrics.json").read_text())
    for read in (read_csv(demo / "export/metrics.csv"), read_ndjson(demo / "export/metrics.ndjson")):
        comparisons = [row for row in read if row["kind"] == "comparison"]
        gates = [row for row in read if row["kind"] == "gate"]
        assert len(comparisons) == len(metrics["comparisons"]) and len(gates) == len(metrics["gates"])
        for row, wanted in zip(comparisons, metrics["comparisons"], strict=True):
            for column in ("baseline", "candidate", "difference", "mcnemar_p"):
                assert row[column] in (wanted[column], "" if wanted[column] is None else repr(wanted[column]))
            low, high = wanted["interval"]["low"], wanted["interval"]["high"]
            assert (float(row["low"]), float(row["high"])) == (low, high)
            own = wanted["baseline_interval"]  # null where every value is the same, as the base's drift from itself
            assert float(row["baseline_low"]) == own["low"] if own else row["baseline_low"] in ("", None)
        for row, wanted in zip(gates, metrics["gates"], strict=True):
            assert (row["id"], row["outcome"]) == (wanted["id"], wanted["outcome"])
            assert float(row["threshold"]) == wanted["threshold"]


def test_every_score_is_exported_in_order(demo: Path) -> None:
    scores = read_jsonl(demo / "scores.jsonl", Score)
    keys = [(score.arm, score.task, score.sample, score.metric) for score in scores]
    texts = ["" if score.value is None else repr(score.value) for score in scores]
    in_csv, in_ndjson = read_csv(demo / "export/scores.csv"), read_ndjson(demo / "export/scores.ndjson")
    for read in (in_csv, in_ndjson):
        assert [(row["arm"], row["task"], row["sample"], row["metric"]) for row in read] == keys
    assert [row["value"] for row in in_csv] == texts
    assert [row["value"] for row in in_ndjson] == [score.value for score in scores]


def test_the_loss_curve_is_exported(demo: Path) -> None:
    curve = json.loads((demo / "train.json").read_text())["curve"]
    rows = [row for row in read_csv(demo / "export/curves.csv") if row["series"] == "loss"]
    assert [[int(row["x"]), float(row["value"])] for row in rows] == curve


@pytest.mark.parametrize("value", AWKWARD)
def test_awkward_floats_survive_csv(value: float) -> None:
    read = as_csv(["value"], [{"value": value}]).splitlines()[1]
    assert float(read).hex() == value.hex()


def test_text_with_separators_quotes_and_newlines_survives_csv(tmp_path: Path) -> None:
    text = 'a,b "c"\n\n;é'
    path = tmp_path / "table.csv"
    path.write_text(as_csv(["text", "flag", "absent"], [{"text": text, "flag": True}]), encoding="utf-8")
    assert read_csv(path) == [{"text": text, "flag": "true", "absent": ""}]


def test_slices_are_rows_of_their_own(tmp_path: Path) -> None:
    metrics = read_metrics(build_run(tmp_path) / "metrics.json")
    counted = {"n": 9, "baseline": 0.1, "candidate": 0.4, "wins": 3, "losses": 0, "p": 0.1, "adjusted_p": 0.2}
    part = SliceResult(slice="files", difference=0.3, interval=metrics.gates[0].interval, outcome="pass", **counted)
    sliced = metrics.gates[0].model_copy(update={"slices": [part]})
    found = Exploration(task="translate", metric="accuracy", slices=[part])
    rows = list(metric_rows(metrics.model_copy(update={"gates": [sliced], "explorations": [found]})))
    assert Counter(row["kind"] for row in rows)["gate slice"] == 1
    for kind in ("gate slice", "exploration slice"):
        row = next(row for row in rows if row["kind"] == kind)
        assert (row["slice"], row["task"], row["difference"], row["adjusted_p"]) == ("files", "translate", 0.3, 0.2)
        assert row["low"] == metrics.gates[0].interval.low


def test_exporting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    exported = export(run)
    first = {path.name: path.read_bytes() for path in (run / "export").iterdir()}
    assert export(run) == exported
    assert {path.name: path.read_bytes() for path in (run / "export").iterdir()} == first


def test_reasons_of_single_scores_stay_behind(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    lines = (run / "scores.jsonl").read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), "reason": "=cmd|'/c calc'!A1"})
    (run / "scores.jsonl").write_text("\n".join(lines) + "\n")
    export(run)
    assert not [path.name for path in (run / "export").iterdir() if "calc" in path.read_text()]


def test_a_broken_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = build_run(tmp_path)
    edit_json(run / "metrics.json", lambda value: value.update(verdict="perhaps"))
    code, _, err = call(main, ["--run", str(run)], capsys)
    assert code == 2
    assert_one_line(err, "metrics.json", "verdict")
