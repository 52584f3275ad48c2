"""`.eval_results` of what is published: for a benchmark of the Hub that was asked whole, and for nothing else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from datasets import Dataset, DatasetDict
from huggingface_hub import parse_eval_result_entries
from lm_eval.tasks import TaskManager

from eval.common.errors import Refused, UserError
from eval.config.suite_file import Task, load_suite
from eval.model.lm_tasks import _lm_task
from eval.run.digests import read_manifest
from eval.run.files import read_json, read_metrics
from scripts.loopback_hub.faults import Hub
from scripts.publishing.card import Evidence
from scripts.publishing.hub_results import hub_results, notes
from scripts.publishing.model_signature import check_signature, read_key, sign_folder
from tests.hub_server import REPO, Capture, approve, assert_refused, dry_run, hub, publish_run, run, settle
from tests.run_builder import METRIC, SAMPLES, SUITE, edit_json, replace_scores
from tests.test_model_signature import write_key

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
BENCHMARK = {"dataset": "owner/benchmark", "revision": "5" * 40, "task": "main", "metric": METRIC}
FILE = ".eval_results/owner--benchmark.yaml"


def with_benchmark(folder: Path, asked: str = "owner/benchmark", **changes: Any) -> Path:
    """The run of a suite whose first task is a benchmark of the Hub, evaluated on the rows of `asked`."""
    suite = yaml.safe_load((folder / "suite.yaml").read_text())
    suite["tasks"][0]["hub"] = BENCHMARK | changes
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    settle(folder)
    edit_json(folder / "metrics.json", lambda metrics: metrics["tasks"][0].update(dataset=asked))
    approve(folder)
    return folder


def test_the_result_goes_up_in_the_hubs_own_form(run: Path, hub: Hub, capsys: Capture) -> None:
    assert publish_run(with_benchmark(run), capsys)[0] == 0
    (entry,) = parse_eval_result_entries(yaml.safe_load((run / "publication" / FILE).read_text()))
    row = read_metrics(run / "metrics.json").comparisons[0]
    assert (entry.dataset_id, entry.task_id, entry.dataset_revision) == ("owner/benchmark", "main", "5" * 40)
    assert (entry.value, row.n) == (row.candidate, SAMPLES) and f"{SAMPLES} items" in str(entry.notes)
    published = read_json(run / "publication.json")["digests"]
    assert published[FILE] == read_manifest(run / "publication" / "MANIFEST.sha256")[FILE]
    repository = hub.store.get(REPO)
    assert repository and FILE in repository.commits[repository.tags["toy"]]
    assert "already" in publish_run(run, capsys)[1]


def test_the_notes_say_what_the_number_is_and_what_it_was_compared_with(run: Path) -> None:
    metrics = read_metrics(with_benchmark(run) / "metrics.json")
    row, asked = metrics.comparisons[0], metrics.tasks[0]
    drawn = asked.model_copy(update={"repeats": 5, "sampling": {"temperature": 1.0}})
    assert "; without the adapter 0.3333" in notes(asked, row, metrics) and "drawn" not in notes(asked, row, metrics)
    assert "; the mean of 5 drawn answers to an item" in notes(drawn, row, metrics)
    one_of = row.model_copy(update={"metric": f"{METRIC}@2"})
    assert "; the chance that one of 2 scores 1, from 5 drawn answers to an item" in notes(drawn, one_of, metrics)
    said = notes(asked, row, metrics.model_copy(update={"baseline": "run:earlier"}))
    assert "; with the adapter of run:earlier 0.3333" in said and "without" not in said


def test_an_altered_result_is_not_sent(run: Path, hub: Hub, capsys: Capture) -> None:
    assert dry_run(with_benchmark(run), capsys)[0] == 0
    (run / "publication" / FILE).write_text("[]\n")
    assert publish_run(run, capsys)[0] == 0
    assert len(yaml.safe_load((run / "publication" / FILE).read_text())) == 1, "made anew from the verified run"


def test_a_signature_covers_it(tmp_path: Path) -> None:
    (tmp_path / "files/.eval_results").mkdir(parents=True)
    (tmp_path / "files" / FILE).write_text("[]\n")
    key = read_key(write_key(tmp_path / "signer.pem"))
    sign_folder(tmp_path / "files", key, tmp_path / "none")
    (tmp_path / "files" / FILE).write_text("- {}\n")
    with pytest.raises(Refused):
        check_signature(tmp_path / "files", key.public)


def test_other_rows_and_a_metric_that_is_not_there_are_refused(run: Path, capsys: Capture) -> None:
    assert_refused(with_benchmark(run, asked="data/translate.jsonl"), capsys, "was not asked of owner/benchmark")
    assert_refused(with_benchmark(run, metric="bleu"), capsys, "no result for bleu")


def test_a_result_of_fewer_items_is_refused(run: Path, capsys: Capture) -> None:
    replace_scores(run, {("candidate", "translate", "s0"): None})
    assert_refused(with_benchmark(run), capsys, "items of translate are scored")


@pytest.mark.parametrize("kind", ["half", "variant"])
def test_a_half_and_a_variant_have_no_result_of_the_benchmark(run: Path, kind: str) -> None:
    suite = load_suite(with_benchmark(run) / "suite.yaml")
    evidence = cast(Evidence, SimpleNamespace(
        suite=suite.model_copy(update={"part": "verdict"}) if kind == "half" else suite,
        variant=object() if kind == "variant" else None, metrics=read_metrics(run / "metrics.json"),
    ))  # fmt: skip
    assert hub_results(evidence) == {}
    evidence.suite, evidence.variant = suite, None  # type: ignore[misc]
    assert list(hub_results(evidence)) == [FILE]


@pytest.mark.parametrize(
    ("task", "suite", "said"),
    [({"limit": 5}, {}, "remove `hub`"), ({}, {"mode": "sequential"}, "remove `hub`"),
     ({"hub": BENCHMARK | {"revision": "main"}}, {}, "revision")],
    ids=["limit", "sequential", "revision"],
)  # fmt: skip
def test_a_suite_whose_result_would_not_be_the_benchmarks(
    task: dict[str, Any], suite: dict[str, Any], said: str, tmp_path: Path
) -> None:
    first, second = SUITE["tasks"]  # type: ignore[misc]
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump({**SUITE, "tasks": [{**first, "hub": BENCHMARK, **task}, second], **suite}))
    with pytest.raises(UserError, match=said):
        load_suite(file)


def test_the_rows_are_those_of_the_named_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "task: quiz\ndataset_path: owner/benchmark\ndataset_kwargs: {data_dir: x}\ntest_split: test\n"
    (tmp_path / "quiz.yaml").write_text(f"{lines}doc_to_text: q\ndoc_to_target: a\noutput_type: generate_until\n")
    asked: list[dict[str, Any]] = []

    def load(**given: Any) -> DatasetDict:
        asked.append(given)
        return DatasetDict(test=Dataset.from_list([{"q": "1 + 1", "a": "2"}]))

    monkeypatch.setattr("lm_eval.api.task.datasets.load_dataset", load)
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    spec = Task.model_validate({"name": "quiz", "hub": BENCHMARK})
    _lm_task(spec, manager)
    assert asked[-1] == {"path": "owner/benchmark", "name": None, "data_dir": "x", "revision": "5" * 40}
    other = Task.model_validate({"name": "quiz", "hub": BENCHMARK | {"dataset": "owner/other"}})
    with pytest.raises(UserError, match="reads owner/benchmark"):
        _lm_task(other, manager)
    with pytest.raises(UserError, match="rows of its own"):
        _lm_task(Task.model_validate({"name": "intercode_alfa", "hub": BENCHMARK}), manager)
