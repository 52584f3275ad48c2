"""A whole model as the candidate: two loads, the same pairing; what is read otherwise than the base is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms
from eval.run import candidate as candidates
from eval.run.candidate import digest_of
from eval.run.files import read_jsonl, read_metrics
from eval.run.records import Generation
from tests.test_suite import LIMIT, evaluate, make_run, make_suite

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def merged(tiny_model: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with its adapter merged into it, as a model of its own."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("merged") / "merged"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), tiny_adapter)
    model.merge_and_unload().save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs go into a folder of the test's own."""
    folder = tmp_path / "results"
    new_run = candidates.new_run
    monkeypatch.setattr(candidates, "new_run", lambda label, git, fields: new_run(label, git, fields, folder))
    monkeypatch.setattr(candidates, "list_runs", lambda: [])
    return folder


def texts(run: Path, arm: str) -> list[str]:
    return [row.text for row in read_jsonl(run / "generations.jsonl", Generation) if row.arm == arm]


@pytest.mark.parametrize("room", [True, False], ids=["both in memory", "one after the other"])
def test_a_merged_model_answers_as_its_adapter_does(
    room: bool, merged: Path, tiny_model: Path, tiny_adapter: Path, tmp_path: Path, results: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from eval.model import two_models

    monkeypatch.setattr(two_models, "fits_beside", lambda lm: room)
    suite, named = make_suite(tmp_path / "suite.yaml"), ("--model", merged, "--base-model", tiny_model)
    assert evaluate(monkeypatch, "--config", suite, *named) in (0, 1, 3)
    (whole,) = results.iterdir()
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    assert evaluate(monkeypatch, "--config", suite, "--run", run) in (0, 1, 3)
    assert texts(whole, "baseline") == texts(run, "baseline") and len(texts(whole, "candidate")) == LIMIT
    same = sum(a == b for a, b in zip(texts(whole, "candidate"), texts(run, "candidate"), strict=True))
    assert same > LIMIT / 2, "merging changes last bits, not the model"
    assert "4 of its " in (whole / "report.md").read_text()
    metrics = read_metrics(whole / "metrics.json")
    effect = metrics.adapter_effect
    assert (
        effect is not None and effect.proven and effect.nonzero_updates == 4 < effect.tensors == effect.tensors_loaded
    )
    assert metrics.provenance["adapter_sha256"] == digest_of(str(merged))


def test_a_model_that_is_the_base_changes_nothing(
    tiny_model: Path, tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = shutil.copytree(tiny_model, tmp_path / "same")
    suite = make_suite(tmp_path / "suite.yaml")
    assert evaluate(monkeypatch, "--config", suite, "--model", same, "--base-model", tiny_model) == 3
    (run,) = results.iterdir()
    assert "**NOTHING CHANGED.**" in (run / "report.md").read_text()


def spoil_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages }}")


def spoil_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][-1] | {"id": 49152, "content": "<tool>"})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    ("spoil", "said"), [(spoil_template, "another chat template"), (spoil_vocabulary, "vocabulary")]
)
def test_another_reading_of_texts_is_refused(
    spoil: Any, said: str, merged: Path, tiny_model: Path, tmp_path: Path
) -> None:
    from eval.model import hf

    other = shutil.copytree(merged, tmp_path / "other")
    spoil(other)
    with pytest.raises(UserError, match=said):
        hf.load(BackendSettings(), Arms(str(tiny_model), model=str(other)), 42)


@pytest.mark.parametrize(
    ("model", "said"),
    [("org/name", "names no commit of the Hub"), ("org/name@main", "names no commit"), (".", "holds no config.json")],
)
def test_what_is_no_model_is_one_line(model: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        digest_of(model)
