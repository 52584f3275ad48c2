"""What stands beside a run is checked too: its baseline, the noise of its backend, the order and rows of its items."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import Refused
from eval.config.suite_file import load_suite
from eval.gates.noise import MetricNoise, TaskNoise, backend_of, floor_for, write_floor
from eval.run.digests import file_sha256, json_sha256
from eval.run.files import read_jsonl, read_metrics, write_json, write_jsonl
from eval.run.metrics import TaskSummary
from eval.run.records import BASELINE, Generation, Score
from eval.statistics.sequential import orders_of
from scripts.loopback_hub.faults import Hub
from scripts.publishing import verify_data
from scripts.publishing.run_rows import read_rows
from scripts.publishing.verify_data import dataset_rows, in_random_order
from scripts.publishing.verify_items import check_rows
from scripts.publishing.verify_run import read_suite
from tests.hub_server import Capture, approve, hub, publish_run
from tests.own_run import KNOWN, SUITE, build_own_run, rejudge
from tests.own_tasks import own_task
from tests.run_builder import assert_one_line, edit_json
from tests.test_publish_scores import lines, run

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")


# The baseline, and the noise of the backend: what is kept beside the runs


@pytest.fixture
def results(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all runs: results/ in these tests."""
    monkeypatch.setattr("scripts.publishing.verify_scores.RESULTS", run.parent)
    return run.parent


def compared_with(folder: Path, asked: str, name: str, digest: str | None) -> None:
    """The run as if it had been measured against another baseline, and reviewed."""
    suite = yaml.safe_load((folder / "suite.yaml").read_text())
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite | {"baseline": asked}))
    baseline = {"name": name, "asked": asked, "adapter_sha256": digest}
    edit_json(folder / "metrics.json", lambda value: value.update(baseline=name))
    edit_json(folder / "metrics.json", lambda value: value["provenance"].update(baseline=baseline))
    answers = read_jsonl(folder / "generations.jsonl", Generation)
    made = [row.model_copy(update={"adapter_sha256": digest}) if row.arm == BASELINE else row for row in answers]
    write_jsonl(folder / "generations.jsonl", made)
    rejudge(folder)
    approve(folder)


def bless_by_hand(results: Path, run: str, digest: str, recipe: str = "toy") -> None:
    entry = {"run": run, "adapter_sha256": digest, "metrics_sha256": "m", "suite_sha256": "s", "time": "t", "by": "Ada"}
    write_json(results / "blessed.json", {"schema_version": 1, "recipes": {recipe: [entry]}})


def test_a_baseline_that_nobody_blessed(run: Path, results: Path, hub: Hub, capsys: Capture) -> None:
    compared_with(run, "blessed", "blessed, run:weak", "e" * 64)
    for blessed in (None, ("other", "e" * 64, "toy"), ("weak", "f" * 64, "toy"), ("weak", "e" * 64, "another")):
        if blessed:
            bless_by_hand(results, *blessed)
        code, _, err = publish_run(run, capsys)
        assert (code, hub.log) == (1, [])
        assert_one_line(err, "baseline weak was never blessed")
    bless_by_hand(results, "weak", "e" * 64)
    code, _, err = publish_run(run, capsys)
    assert code == 0, err


def test_a_baseline_that_is_another_adapter_now(run: Path, results: Path, hub: Hub, capsys: Capture) -> None:
    other = results / "weak"
    other.mkdir()
    (other / "adapter.sha256").write_text("0  x\n")
    compared_with(run, "run:weak", "run:weak", "e" * 64)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, "weak/adapter.sha256 is not the adapter")
    compared_with(run, "run:weak", "run:weak", file_sha256(other / "adapter.sha256"))
    code, _, err = publish_run(run, capsys)
    assert code == 0, err


def test_a_baseline_that_is_the_adapter_itself(run: Path, results: Path, hub: Hub, capsys: Capture) -> None:
    compared_with(run, "run:weak", "run:weak", file_sha256(run / "adapter.sha256"))
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, "is the adapter itself")


BASE_FILES = {"model.safetensors": "a" * 64}
OWN_BACKEND = backend_of(BASE_FILES, {"device": "cpu", "dtype": "torch.bfloat16"}, {"torch": "2.0.0"})
QUIET = MetricNoise(metric="command_only", n=61, flipped=0.0, spread=0.0)
MEASURED = TaskNoise(task=KNOWN, n=61, samples_sha256="a", batch_sizes=[1, 2], answers_differ=0.0, metrics=[QUIET])


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base of these runs is made of BASE_FILES."""
    monkeypatch.setattr("scripts.publishing.verify_scores.base_identity", lambda *_: BASE_FILES)


@pytest.mark.parametrize("dtype", ["bfloat16", "auto"])
def test_noise_that_was_left_out(dtype: str, run: Path, results: Path, base: None, hub: Hub, capsys: Capture) -> None:
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    (run / "suite.yaml").write_text(yaml.safe_dump(suite | {"backend": {"dtype": dtype}}))
    write_floor(results / "noise", OWN_BACKEND, [MEASURED])
    rejudge(run)
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, "noise is not what results/noise holds")
    rejudge(run, floor_for(results / "noise", OWN_BACKEND, [KNOWN]))
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert code == 0, err


@pytest.mark.parametrize("other", [{"versions": {"torch": "1.0"}}, {"device": "cuda"}, {"base_sha256": "b" * 64}])
def test_noise_of_another_backend_says_nothing(
    other: dict[str, Any], run: Path, results: Path, base: None, hub: Hub, capsys: Capture
) -> None:
    write_floor(results / "noise", OWN_BACKEND | other, [MEASURED])
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert code == 0, err


def test_noise_hidden_behind_another_base(run: Path, results: Path, base: None, hub: Hub, capsys: Capture) -> None:
    write_floor(results / "noise", OWN_BACKEND, [MEASURED])
    edit_json(run / "metrics.json", lambda value: value["provenance"].update(base_sha256="b" * 64))
    for dtype, code in (("bfloat16", 1), ("float32", 0)):
        suite = yaml.safe_load((run / "suite.yaml").read_text())
        (run / "suite.yaml").write_text(yaml.safe_dump(suite | {"backend": {"dtype": dtype}}))
        rejudge(run)
        approve(run)
        ended, _, err = publish_run(run, capsys)
        assert ended == code, err
        assert not code or "has other bytes than were measured" in err


# Sequential runs, data that changed, and tasks of somebody else


def sequential_run(results: Path) -> Path:
    """A run that asked all of its 70 items."""
    tasks = [{"name": KNOWN, "limit": 40, "cluster": "shape"}, {**SUITE["tasks"][1], "limit": 30}]
    return build_own_run(results, SUITE | {"mode": "sequential", "tasks": tasks})


def test_a_sequential_run_has_the_items_that_its_data_and_adapter_ask_first(
    tmp_path: Path, hub: Hub, capsys: Capture
) -> None:
    """Its files hold fewer items than the suite: which ones is no choice."""
    run = sequential_run(tmp_path)
    approve(run)
    assert publish_run(run, capsys)[0] == 0
    spec = load_suite(run / "suite.yaml").tasks[0]
    rows = own_task(KNOWN).rows(Path(str(own_task(KNOWN).data)).read_bytes())
    asked = {item.sample: (item, row) for item, row in verify_data.expected_items(spec, own_task(KNOWN), rows)}
    metrics = read_metrics(run / "metrics.json")
    order = orders_of(metrics.tasks, metrics.provenance["adapter_sha256"])[KNOWN]
    first = in_random_order(order, asked, 20)
    assert len(first) == 20 and first != list(asked)[:20]
    for chosen, code in ((first, 0), (list(asked)[:20], 1)):
        folder = sequential_run(tmp_path / str(code))
        for name in ("samples", "generations", "scores"):
            lines(
                name,
                lambda rows, chosen=chosen: [row for row in rows if row["task"] != KNOWN or row["sample"] in chosen],
            )(folder)
        rejudge(folder)
        suite, found = read_suite(folder)
        rows_of_run = read_rows(suite, read_jsonl(folder / "scores.jsonl", Score), folder)
        if code:
            with pytest.raises(Refused, match="20 items that are not the 20"):
                check_rows(suite, found, rows_of_run)
        else:
            check_rows(suite, found, rows_of_run)


def summary(name: str, dataset: str, digest: str) -> TaskSummary:
    return TaskSummary(
        name=name, samples=1, metrics=[], dataset=dataset, dataset_sha256=digest, samples_sha256="", clusters=1
    )


def test_data_that_changed_since_is_that_of_the_evaluated_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_data, "ROOT", tmp_path)
    data = tmp_path / "d.jsonl"
    data.write_text('{"id": "1"}\n')
    git = ["git", "-C", str(tmp_path), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "-q"], ["add", "d.jsonl"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    digest = json_sha256([file_sha256(data)])
    data.write_text('{"id": "1", "text": "in other words"}\n')
    subprocess.run([*git, "commit", "-qam", "two"], check=True)
    dataset_rows(summary("elsewhere", "d.jsonl", digest), None, commit, tmp_path)
    for wrong in ("f" * 40, "HEAD", "None"):
        with pytest.raises(Refused, match="other bytes"):
            dataset_rows(summary("elsewhere", "d.jsonl", digest), None, wrong, tmp_path)
    for unknown in ("gsm8k", "/etc/passwd", "../d.jsonl", "x\0y", "a" * 5000):
        assert dataset_rows(summary("elsewhere", unknown, digest), None, commit, tmp_path) == []
    with pytest.raises(Refused, match="not committed"):  # one of two files is here
        dataset_rows(summary("elsewhere", "d.jsonl, e.jsonl", digest), None, commit, tmp_path)
