"""What `make bench-replay` says is what the runs' files hold, and runs that do not go together are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.run.files import read_json, write_json
from scripts.benchmarks import replay as bench

DEMO = ROOT / "results" / "demo"
SHARES = {"rows": 114, "tokens": 5300, "share_of_rows": 0.075, "share_of_tokens": 0.252, "temperature": 1.0}


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """The committed run, and a copy that replayed and drifted half as far."""
    made = []
    for name in ("without", "with"):
        run = tmp_path / name
        run.mkdir()
        for file in ("metrics.json", "scores.jsonl", "data.json"):
            shutil.copy(DEMO / file, run)
        made.append(run)
    folder = tmp_path / "data" / "own" / "mix"
    folder.mkdir(parents=True)
    manifest = {"made_by": "make replay", "replay": SHARES, "files": [{"path": "replay.jsonl", "sha256": "5" * 64}]}
    write_json(folder / "MANIFEST.json", manifest)
    entry = {"path": "data/own/mix/replay.jsonl", "role": "training", "sha256": "5" * 64, "rows": 114}
    write_json(made[1] / "data.json", [*read_json(DEMO / "data.json"), entry])
    change(made[1], "drift", lambda row: row | {"value": row["value"] / 2})
    return made


def scores_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]


def change(run: Path, task: str, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Edit each score that the adapter has in a task."""
    rows = [edit(row) if (row["task"], row["arm"]) == (task, "candidate") else row for row in scores_of(run)]
    (run / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_shares_values_and_differences_are_those_of_the_runs(runs: list[Path], tmp_path: Path) -> None:
    without, with_replay = bench.compare(runs, tmp_path)
    known = {(one["task"], one["metric"]): one for one in read_json(DEMO / "metrics.json")["comparisons"]}
    for name, place in bench.SHOWN.items():
        assert without["measured"][name]["adapter"] == known[place]["candidate"]
        assert without["measured"][name]["n"] == known[place]["n"] == with_replay["beside_first"][name]["n"]
    assert without["replay"]["share_of_tokens"] == 0 and with_replay["replay"] == SHARES
    drift, half = with_replay["beside_first"]["drift"], known["drift", "kl"]["candidate"] / 2
    assert drift["difference"] == pytest.approx(-half)
    assert drift["interval"][0] < -half < drift["interval"][1] < 0
    assert with_replay["beside_first"]["right command, known"]["difference"] == 0
    lines = bench.said([without, with_replay])
    assert "with: 25 % of the tokens, 8 % of the rows" in lines[1 + len(bench.SHOWN)]
    assert any("drift" in line and f"to the first run {-half:+.2f}" in line for line in lines)


def test_only_items_that_both_runs_were_asked_are_compared(runs: list[Path], tmp_path: Path) -> None:
    samples = sorted({row["sample"] for row in scores_of(runs[1]) if row["task"] == "drift"})
    change(runs[1], "drift", lambda row: row | {"sample": row["sample"] + "-other" * (row["sample"] in samples[:20])})
    _, part = bench.compare(runs, tmp_path)
    shared = [row["value"] for row in scores_of(runs[0]) if row["task"] == "drift" and row["arm"] == "candidate"
              and row["sample"] in samples[20:]]  # fmt: skip
    drift = part["beside_first"]["drift"]
    assert drift["n"] == len(shared) == 40 and drift["first"] == pytest.approx(sum(shared) / 40)
    assert drift["this"] == pytest.approx(drift["first"] / 2)
    assert any("drift" in line and "on 40 items" in line for line in bench.said([part]))


def test_runs_with_no_item_in_common_are_refused(runs: list[Path], tmp_path: Path) -> None:
    change(runs[1], "securecli_retention", lambda row: row | {"sample": row["sample"] + "-other"})
    with pytest.raises(UserError, match=r"were asked nothing alike \(general knowledge\)"):
        bench.compare(runs, tmp_path)


def test_runs_of_other_test_data_are_refused(runs: list[Path], tmp_path: Path) -> None:
    metrics = read_json(runs[1] / "metrics.json")
    next(task for task in metrics["tasks"] if task["name"] == "drift")["dataset_sha256"] = "0" * 64
    write_json(runs[1] / "metrics.json", metrics)
    with pytest.raises(UserError, match="different test data for drift"):
        bench.compare(runs, tmp_path)


def test_a_suite_without_knowledge_is_refused(runs: list[Path], tmp_path: Path) -> None:
    metrics = read_json(runs[1] / "metrics.json")
    metrics["comparisons"] = [one for one in metrics["comparisons"] if one["task"] != "securecli_retention"]
    write_json(runs[1] / "metrics.json", metrics)
    with pytest.raises(UserError, match="with: its suite did not measure general knowledge"):
        bench.compare(runs, tmp_path)


def test_replayed_rows_that_are_gone_are_not_taken_for_none(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "data" / "own" / "mix" / "MANIFEST.json").unlink()
    with pytest.raises(UserError, match=r"with: data/own/mix/replay.jsonl is not there as it was trained on"):
        bench.compare(runs, tmp_path)
