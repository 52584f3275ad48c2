"""Trackers: what each real library stored is read back with that library; nothing of the user's leaves or is stored.

One run is logged once with all four, by the real command, in a network namespace without any network.
"""

import dataclasses
import http.server
import importlib.util
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.common.errors import Refused, UserError
from eval.contracts.plugins import find
from eval.run.files import read_metrics
from scripts.track import main, track
from scripts.tracking import trackers
from scripts.tracking.finished_run import flatten, read_finished_run
from scripts.tracking.tracker import TrackedRun
from tests.run_builder import assert_one_line, build_run, call, edit_json, judge
from tests.tracked_run import CURVE, finished, installed

pytestmark = pytest.mark.slow  # 30 s of CPU: four libraries start, two of them import a hundred others
MADE_UP_KEY = "".join(str(digit) for digit in range(10)) * 4
PLANTED = {  # each would end up in a tracker that stored its environment, its login or its user
    "WANDB_API_KEY": MADE_UP_KEY,
    "HF_TOKEN": "hf_" + "plantedTokenOfTheHost" * 2,
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password",
    "WANDB_USERNAME": "planted-user-of-the-host",
    "WANDB_NOTES": "planted-notes-of-the-host",
    "LOGNAME": "planted-logname-of-the-host",
    "SOME_SETTING": "planted-value-of-the-host",
}
# Packets that found no route are counted by the kernel, for each network namespace of its own.
COUNT = "awk '/^Ip:/ {print $13}' /proc/net/snmp | tail -1"
KNOCK = f"{sys.executable} -c \"import socket; socket.socket().connect_ex(('192.0.2.1', 9))\""


@dataclasses.dataclass(frozen=True)
class Logged:
    run: Path
    root: Path
    tracked: TrackedRun
    printed: str
    unrouted: list[int] | None  # packets: before, after a knock on purpose, after tracking

    @property
    def evaluated(self) -> dict[str, float]:
        assert self.tracked.evaluation is not None
        return self.tracked.evaluation.values


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A run logged by `python -m scripts.track` with every tracker that is installed."""
    folder = tmp_path_factory.mktemp("tracking")
    run, root = finished(folder), folder / "stored"
    names = [name for name in trackers.OURS if importlib.util.find_spec(name)]
    command = f"{sys.executable} -m scripts.track --run {run} --to {','.join(names)} --folder {root}"
    alone = os.geteuid() == 0 and subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0
    script = f"{COUNT}; {KNOCK}; {COUNT}; {command} >&2 && {COUNT}" if alone else f"{command} >&2"
    done = subprocess.run(
        [*(["unshare", "-n"] if alone else []), "bash", "-c", script],
        env={**os.environ, **PLANTED},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counts = [int(line) for line in done.stdout.split()] if alone else None
    return Logged(run, root, read_finished_run(run), done.stderr, counts)


# ------------------------------------------------------------------------------------------------ what goes in


def test_every_metric_is_logged_with_its_interval(logged: Logged) -> None:
    metrics = read_metrics(logged.run / "metrics.json")
    for comparison in metrics.comparisons:
        name = f"{comparison.task}/{comparison.metric}"
        assert comparison.interval and comparison.candidate_interval
        assert logged.evaluated[f"{name}/difference"] == comparison.difference
        assert logged.evaluated[f"{name}/difference_low"] == comparison.interval.low
        assert logged.evaluated[f"{name}/candidate_high"] == comparison.candidate_interval.high
        assert logged.evaluated[f"{name}/n"] == comparison.n
    for gate in metrics.gates:
        assert logged.evaluated[f"gate/{gate.id}/threshold"] == gate.threshold
        assert logged.tracked.evaluation and logged.tracked.evaluation.labels[f"gate/{gate.id}"] == gate.outcome


def test_an_evaluation_without_training_is_one_part(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    (run / "train.json").unlink()
    tracked = read_finished_run(run)
    assert tracked.training is None and [part.job for part in tracked.parts] == ["eval"]


def test_a_run_that_is_not_finished_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = build_run(tmp_path)
    (run / "metrics.json").unlink()
    edit_json(run / "train.json", lambda value: value.update(completed=False))
    code, _, err = call(main, ["--run", str(run), "--to", "mlflow"], capsys)
    assert code == 2
    assert_one_line(err, "neither trained nor evaluated")


def test_settings_are_flat() -> None:
    assert flatten({"a": {"b": 1, "c": [1, 2]}, "d": None}) == {"a.b": 1, "a.c": "[1, 2]", "d": None}


@pytest.mark.parametrize("name", ["recipe.yaml", "report.md"])
def test_a_credential_is_refused_and_not_repeated(name: str, tmp_path: Path) -> None:
    run = finished(tmp_path)
    secret = "hf_" + "a1B2c3D4e5" * 4
    with (run / name).open("a") as stream:
        stream.write(f"hub_token: {secret}\n")
    with pytest.raises(Refused, match="Hugging Face token") as refusal:
        track(run, ["tensorboard"], tmp_path / "stored")
    recorded = json.loads((run / "run.json").read_text())["tracking"]["tensorboard"]
    assert recorded.startswith("refused") and secret not in recorded + str(refusal.value)
    assert not (tmp_path / "stored").exists()


# ------------------------------------------------------------------------------------------------ what is stored


def test_outcomes_are_in_run_json(logged: Logged) -> None:
    outcomes = json.loads((logged.run / "run.json").read_text())["tracking"]
    assert outcomes and set(outcomes.values()) == {"ok"}


def read_wandb(path: Path) -> list[Any]:
    """Records of an offline run, parsed with W&B's own protobuf classes.

    The framing is LevelDB's log: blocks of 32 KiB, each piece with checksum, length and type (whole, first, middle,
    last), after a file header of 7 bytes. W&B's reader of it is compiled into wandb-core and has no Python interface.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, records, pieces = path.read_bytes(), 7, [], b""
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        pieces += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            records.append(Record.FromString(pieces))
            pieces = b""
    return records


def wandb_runs(root: Path) -> dict[str, list[Any]]:
    """Records of each offline run, by its job type."""
    runs = [read_wandb(path) for path in root.glob("wandb/wandb/offline-run-*/*.wandb")]
    return {next(row.run.job_type for row in records if row.HasField("run")): records for records in runs}


def test_wandb_holds_curve_metrics_and_evidence(logged: Logged) -> None:
    installed("wandb")
    runs = wandb_runs(logged.root)
    assert set(runs) == {"train", "eval"}
    rows = [
        {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in row.history.item}
        for row in runs["train"]
        if row.HasField("history")
    ]
    assert [[row["step"], row["train/loss"]] for row in rows if "train/loss" in row] == CURVE
    assert [row["machine/cpu_percent"] for row in rows if "machine/cpu_percent" in row] == [101.0, 199.0]
    summary = {
        (item.key or item.nested_key[0]): json.loads(item.value_json)
        for row in runs["eval"]
        if row.HasField("summary")
        for item in row.summary.update
    }
    assert {name: summary[name] for name in logged.evaluated} == logged.evaluated
    assert (summary["verdict"], summary["gate/better"]) == ("ship", "pass")
    started = {job: next(row.run for row in records if row.HasField("run")) for job, records in runs.items()}
    config = {item.key: json.loads(item.value_json) for item in started["eval"].config.update}
    assert config["training_run"] == started["train"].run_id
    assert {start.run_group for start in started.values()} == {logged.run.name}
    (artifact,) = [row.artifact for row in runs["eval"] if row.HasField("artifact")]
    staged = {entry.path: Path(entry.local_path).read_bytes() for entry in artifact.manifest.contents}
    for name in ("report.md", "metrics.json", "adapter.sha256"):
        assert staged[name] == (logged.run / name).read_bytes()


def test_mlflow_holds_curve_metrics_and_evidence(logged: Logged) -> None:
    installed("mlflow")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{logged.root / 'mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("securecli-tuner")
    runs = {run.data.tags["job"]: run for run in client.search_runs([experiment.experiment_id])}
    training, evaluation = runs["train"], runs["eval"]
    points = client.get_metric_history(training.info.run_id, "train/loss")
    assert sorted([point.step, point.value] for point in points) == CURVE
    assert evaluation.data.metrics == logged.evaluated
    assert training.data.params["recipe.lora_r"] == "2"
    assert evaluation.data.tags["verdict"] == "ship"
    assert evaluation.data.tags["mlflow.parentRunId"] == training.info.run_id
    stored = Path(evaluation.info.artifact_uri.removeprefix("file://"))
    for name in ("report.md", "metrics.json", "adapter.sha256"):
        assert (stored / name).read_bytes() == (logged.run / name).read_bytes()


def test_trackio_holds_curve_metrics_and_evidence(logged: Logged) -> None:
    installed("trackio")
    database = sqlite3.connect(logged.root / "trackio/securecli-tuner.db")
    rows = database.execute("select run_name, step, metrics from metrics order by id").fetchall()
    stored = [(name, step, json.loads(values)) for name, step, values in rows]
    curve = [[step, values["train/loss"]] for name, step, values in stored if "train/loss" in values]
    assert curve == CURVE
    (evaluated,) = [values for name, _, values in stored if name == "toy.eval"]
    assert evaluated == logged.evaluated
    configs = dict(database.execute("select run_name, config from configs").fetchall())
    config = json.loads(configs["toy.eval"])
    assert (config["verdict"], config["training_run"], config["_Group"]) == ("ship", "toy.train", "toy")
    system = [json.loads(values) for (values,) in database.execute("select metrics from system_metrics")]
    assert [row["machine/cpu_percent"] for row in system] == [101.0, 199.0]
    report = logged.root / "trackio/media/securecli-tuner/files/toy/report.md"
    assert report.read_bytes() == (logged.run / "report.md").read_bytes()


def test_tensorboard_holds_curve_metrics_and_evidence(logged: Logged) -> None:
    installed("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder = logged.root / "tensorboard/toy"
    training, evaluation = (EventAccumulator(str(folder / job)).Reload() for job in ("train", "eval"))

    def scalars(events: Any, tag: str) -> list[list[float]]:
        return [[event.step, float(event.tensor_proto.float_val[0])] for event in events.Tensors(tag)]

    assert scalars(training, "train/loss") == [[step, float(np.float32(loss))] for step, loss in CURVE]
    for name, value in logged.evaluated.items():
        assert scalars(evaluation, name) == [[15, float(np.float32(value))]], name
    report = evaluation.Tensors("report")[0].tensor_proto.string_val[0].decode()
    assert report == (logged.run / "report.md").read_text()
    digests = evaluation.Tensors("adapter.sha256")[0].tensor_proto.string_val[0].decode()
    assert digests == (logged.run / "adapter.sha256").read_text()
    content = evaluation.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["recipe.lora_r"].number_value == 2


# ------------------------------------------------------------------------------------------------ what must not be


def test_nothing_tried_to_leave_the_machine(logged: Logged) -> None:
    if logged.unrouted is None:
        pytest.skip("needs root, for a network namespace")
    before, knocked, after = logged.unrouted
    assert knocked > before, "the counter sees an attempt"
    assert after == knocked


def test_no_environment_value_is_stored(logged: Logged) -> None:
    files = [path for path in logged.root.rglob("*") if path.is_file()] + [logged.run / "run.json"]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        assert not [name for name, value in PLANTED.items() if value.encode() in content], path


def test_a_tracker_gets_an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    given = trackers.environment(tmp_path)
    assert not set(given) & set(PLANTED) and given["HOME"].startswith(str(tmp_path))


# ------------------------------------------------------------------------------------------------ again, and changed


def test_logging_again_changes_nothing(logged: Logged) -> None:
    """In this process, with the modules that the command loads; trackio replaces, the others find what is there."""
    for name in ("wandb", "mlflow", "tensorboard"):
        installed(name)
        before = contents(logged.root / name, name)
        find("trackers", name, trackers.OURS)().log(logged.tracked, logged.root / name)
        assert contents(logged.root / name, name) == before, name


def contents(folder: Path, name: str) -> dict[str, bytes]:
    """Files by path; event files are compared by path alone, they hold the time of writing."""
    patterns = {"wandb": "wandb/offline-run-*/*.wandb", "mlflow": "artifacts/*/artifacts/*", "tensorboard": "*/*/*"}
    found = folder.glob(patterns[name])
    return {str(path): b"" if name == "tensorboard" else path.read_bytes() for path in found}


def test_mlflow_replaces_a_changed_evaluation(logged: Logged, tmp_path: Path) -> None:
    installed("mlflow")
    from mlflow import MlflowClient

    from scripts.tracking.to_mlflow import MLflow

    run, folder = tmp_path / "toy", tmp_path / "mlflow"
    shutil.copytree(logged.run, run)
    shutil.copytree(logged.root / "mlflow", folder)  # a new database would cost MLflow five seconds
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("securecli-tuner").experiment_id
    first = {found.data.tags["job"]: found.info.run_id for found in client.search_runs([experiment])}
    regate(run)
    MLflow().log(read_finished_run(run), folder)
    second = {found.data.tags["job"]: found for found in client.search_runs([experiment])}
    assert second["train"].info.run_id == first["train"] and second["eval"].info.run_id != first["eval"]
    assert second["eval"].data.metrics["gate/better/threshold"] == 0.25
    assert second["eval"].data.tags["training_run"] == second["train"].info.run_id


def test_mlflow_finds_a_run_again_whatever_its_name(logged: Logged, tmp_path: Path) -> None:
    installed("mlflow")
    from mlflow import MlflowClient

    from scripts.tracking.to_mlflow import MLflow

    folder = tmp_path / "mlflow"
    shutil.copytree(logged.root / "mlflow", folder)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("securecli-tuner")
    names = ("it's", 'say "it\'s"', "two words")
    for name in (*names, *names):
        MLflow().log(read_finished_run(finished(tmp_path / f"again{len(list(tmp_path.iterdir()))}", name)), folder)
    stored = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["run"] for run in stored if run.data.tags["run"] in names) == sorted(2 * names)


def test_wandb_replaces_what_was_not_pushed_and_keeps_what_was(tmp_path: Path) -> None:
    installed("wandb")
    from scripts.tracking.sync import MARK
    from scripts.tracking.to_wandb import remove_earlier, run_id

    run = finished(tmp_path)
    before = read_finished_run(run)
    for part in before.parts:
        offline = tmp_path / f"wandb/offline-run-1-{run_id(before, part)}"
        offline.mkdir(parents=True)
        (offline / MARK).write_text(json.dumps({"run": run.name, "job": part.job, "id": run_id(before, part)}))
    training, evaluation = (next(tmp_path.glob(f"wandb/*{run_id(before, part)}")) for part in before.parts)
    regate(run)
    after = read_finished_run(run)
    assert after.training and after.evaluation and before.training
    assert run_id(after, after.training) == run_id(before, before.training)
    (evaluation / "run-x.wandb.synced").touch()
    remove_earlier(tmp_path, after, after.evaluation, run_id(after, after.evaluation))
    assert evaluation.exists(), "it is on a server"
    (evaluation / "run-x.wandb.synced").unlink()
    remove_earlier(tmp_path, after, after.evaluation, run_id(after, after.evaluation))
    assert training.exists() and not evaluation.exists()


def regate(run: Path) -> None:
    """Decide the run again under another threshold, as `make gate` with another suite would."""
    suite = (run / "suite.yaml").read_text()
    (run / "suite.yaml").write_text(suite.replace("min_gain: 0.0", "min_gain: 0.25"))
    judge(run)


# ------------------------------------------------------------------------------------------------ pushed


def test_push_needs_something_to_push_and_a_login(
    logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed("wandb")
    code, out, _ = call(main, ["--sync", "--folder", str(tmp_path)], capsys)
    assert (code, "nothing to push" in out) == (0, True)
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    code, _, err = call(main, ["--sync", "--folder", str(logged.root)], capsys)
    assert code == 2
    assert_one_line(err, "no W&B login", "make sync")


def test_a_push_names_the_runs_and_reports_a_server_that_refuses(
    logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real `wandb sync` against a server on this machine that refuses every request."""
    installed("wandb")
    asked: list[bytes] = []

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b'{"errors": [{"message": "not you"}]}')

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    shutil.copytree(logged.root / "wandb", tmp_path / "wandb", symlinks=True)
    key = "0123456789abcdef" * 2 + "01234567"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        with pytest.raises(UserError, match="2 of 2 runs did not arrive"):
            main(["--sync", "--run", str(logged.run), "--folder", str(tmp_path)])
    finally:
        server.shutdown()
    evaluation = logged.tracked.evaluation
    assert evaluation and any(logged.tracked.content_sha256(evaluation)[:16].encode() in said for said in asked)
    assert "not you" in capfd.readouterr().out
    assert not [
        path for path in (tmp_path / "wandb").rglob("*") if path.is_file() and key.encode() in path.read_bytes()
    ]
