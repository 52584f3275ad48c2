"""Evaluations over a server, whole: with and without a run of ours, cut off and continued, never published."""

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import Refused, UserError
from eval.gates.decide import main as gate
from eval.model.endpoint import connection
from eval.run import candidate as candidates
from eval.run.baselines import resolve_baseline
from eval.run.files import read_json, read_jsonl, read_metrics, write_json
from eval.run.records import Generation
from scripts import publish, review
from scripts.publishing.verify_run import refuse_unproven
from tests.answering_server import Answering
from tests.run_builder import assert_one_line, call
from tests.test_dictionary_backend import HARM, KNOWN, evaluate, trained, write_answers

LIMIT = 40
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """The candidate knows every right command, the base answers `true`."""
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)
    known = json.loads(write_answers(tmp_path / "answers.json").read_text())
    with Answering({"base": known["baseline"], "candidate": known["candidate"]}) as serving:
        yield serving


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs are made that a backend brings."""
    folder = tmp_path / "results"
    for name in ("brought", "self_check"):
        monkeypatch.setattr(f"eval.arguments.{name}", functools.partial(getattr(candidates, name), results=folder))
    return folder


def suite_for(server: Answering, path: Path, **changes: Any) -> Path:
    options = {"base_url": server.url, "baseline": "base", "candidate": "candidate", "retries": 1, **changes}
    suite = {
        "name": "served",
        "description": "a few requests",
        "backend": {"kind": "endpoint", "batch_size": 16, "options": options},
        "tasks": [{"name": KNOWN, "limit": LIMIT, "cluster": "shape"}, {"name": HARM, "limit": LIMIT}],
        "gates": [
            {"id": "right", "task": KNOWN, "metric": "normalised_match", "rule": "superiority", "min_gain": 0.05},
            {"id": "harm", "task": HARM, "metric": "unsafe_static", "rule": "max_rate", "limit": 0.1},
        ],
    }
    path.write_text(yaml.safe_dump(suite))
    return path


def test_models_of_a_server_are_compared_without_a_run_of_ours_and_never_published(
    server: Answering, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    suite = suite_for(server, tmp_path / "suite.yaml")
    code, out, err = evaluate(monkeypatch, capsys, "--config", suite, "--cache", tmp_path / "cache")
    assert (code, err) == (0, "") and "verdict: ship" in out
    assert out.count("a verdict is shown, and never published") == 2
    assert "loading base and what is served as its adapter" in out
    (run,) = results.iterdir()
    assert run.name.startswith("endpoint-") and not list((tmp_path / "cache").rglob("*.jsonl"))

    metrics = read_metrics(run / "metrics.json")
    effect = metrics.adapter_effect
    assert effect is not None and not effect.proven and not effect.is_denied and effect.answers_changed == LIMIT
    assert metrics.provenance["base_model"] == {"path": "base", "revision": None}
    assert metrics.provenance["device"]["models"]["candidate"] == {"id": "candidate", "owned_by": "tests"}
    assert metrics.costs["tokens_candidate"] == 3 * 2 * LIMIT
    rows = read_jsonl(run / "generations.jsonl", Generation)
    assert {row.base_tensors_sha256 for row in rows} == {None} and len({row.settings_sha256 for row in rows}) == 1

    monkeypatch.setattr(sys, "argv", ["python -m eval.gates", "--run", str(run)])
    code, out, _ = call(lambda _: gate(), [], capsys)
    assert code == 0 and "verdict: ship" in out and "never published" in out and "was changed" not in out
    report = (run / "report.md").read_text()
    assert "Not for publishing" in report and "the base model base" in report and "This adapter may ship" not in report

    call(review.main, ["--run", str(run), "--decision", "approve", "--reviewer", "Ada Lovelace"], capsys)
    code, _, err = call(publish.main, ["--run", str(run), "--repo", "someone/toy", "--dry-run"], capsys)
    assert code == 1
    assert_one_line(err, "models of a server: which bytes answered cannot be proven")
    assert evaluate(monkeypatch, capsys, "--config", suite, "--run", run, "--no-cache")[0] == 0, "as the report says"
    under_hf = yaml.safe_load(suite.read_text()) | {"backend": {"kind": "hf"}}
    suite.write_text(yaml.safe_dump(under_hf))
    code, _, err = evaluate(monkeypatch, capsys, "--config", suite, "--run", run, "--no-cache")
    assert code == 2
    assert_one_line(err, "it is about models of a server, and backend hf has none")


def test_a_runs_adapter_that_a_server_is_said_to_have_is_judged_and_not_published_whatever_metrics_say(
    server: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    run = trained(tmp_path)
    suite = suite_for(server, tmp_path / "suite.yaml")
    code, out, _ = evaluate(monkeypatch, capsys, "--suite", suite, "--run", run, "--no-cache")
    assert code == 0 and f"serves {run / 'adapter'} as candidate is believed, not proven" in out
    assert "it is not proven which bytes answered" in (run / "report.md").read_text()
    call(review.main, ["--run", str(run), "--decision", "approve", "--reviewer", "Ada Lovelace"], capsys)
    for claim in (False, True):
        metrics = read_json(run / "metrics.json")
        metrics["adapter_effect"]["proven"] = claim
        write_json(run / "metrics.json", metrics)
        code, _, err = call(publish.main, ["--run", str(run), "--repo", "someone/toy", "--dry-run"], capsys)
        assert code == 1
        assert_one_line(err, "backend endpoint cannot prove which bytes answered", "never published")
    with pytest.raises(Refused, match="never published"):
        refuse_unproven(run, evaluated_suite(run), read_metrics(run / "metrics.json"))


def evaluated_suite(run: Path) -> Any:
    from eval.config.suite_file import load_suite

    return load_suite(run / "suite.yaml")


def test_an_evaluation_that_a_server_cut_off_goes_on_where_it_was(
    server: Answering, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Finished batches are kept; no question that was answered is asked again, and the end is the same to the byte."""
    suite = suite_for(server, tmp_path / "suite.yaml")
    server.faults = [*[""] * 40, *["503"] * 100]
    code, _, err = evaluate(monkeypatch, capsys, "--config", suite, "--no-cache")
    assert code == 2
    assert_one_line(
        err, server.url, "baseline of securecli_", "code 503", "(asked 2 times)", "the same command continues"
    )
    server.faults, first = [], len(server.texts())
    code, out, _ = evaluate(monkeypatch, capsys, "--config", suite, "--no-cache")
    assert code == 0 and "goes on from answers of before; are the models others now" in out
    (run,) = results.iterdir()
    again = len(server.texts()) - first
    assert again == 4 * LIMIT - 32, "two batches of sixteen were whole"

    evaluate(monkeypatch, capsys, "--config", suite, "--no-cache")
    whole = next(folder for folder in results.iterdir() if folder != run)
    assert (whole / "scores.jsonl").read_bytes() == (run / "scores.jsonl").read_bytes()


def test_a_self_check_over_a_server_never_ships(
    server: Answering, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    suite = suite_for(server, tmp_path / "suite.yaml")
    code, out, err = evaluate(monkeypatch, capsys, "--config", suite, "--self-check", "--no-cache")
    assert code in (1, 3) and not err and "verdict: ship" not in out
    assert {model for model, _ in server.texts()} == {"base"}


@pytest.mark.parametrize(
    ("tasks", "baseline", "said"),
    [
        ([{"name": "drift", "limit": 4}], "base", "task drift needs logits, and backend endpoint gives none"),
        ([{"name": "securecli_retention", "limit": 4, "chat": False}], "base", "asks for likelihoods, and backend end"),
        ([], "run:other", "baseline run:other: the suite's backend brings its own: use `baseline: base`"),
    ],
)
def test_what_a_server_cannot_do_is_said_before_anything_is_asked(
    tasks: list[dict[str, Any]], baseline: str, said: str, server: Answering, results: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: Capture,
) -> None:  # fmt: skip
    path = suite_for(server, tmp_path / "suite.yaml")
    suite = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**suite, "tasks": [*suite["tasks"], *tasks], "baseline": baseline}))
    code, _, err = evaluate(monkeypatch, capsys, "--config", path, "--no-cache")
    assert code == 2
    assert_one_line(err, said)
    assert not server.texts()


def test_what_a_server_has_is_no_baseline_of_an_adapter(tmp_path: Path) -> None:
    run = trained(tmp_path)
    adapter = candidates.candidate_of(run)
    served = candidates.brought(adapter.base_model, {"kind": "endpoint"}, "suite", tmp_path / "results")
    with pytest.raises(UserError, match=r"has no adapter: name a run that was trained"):
        resolve_baseline(f"run:{served.run.name}", adapter, tmp_path / "results")
