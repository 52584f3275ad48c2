"""scripts.publish up to the upload: what goes up is what was evaluated and approved, and nothing else.

Ways to cheat are in test_publish_chain.py and test_publish_scores.py, the adapter's files in test_publish_adapter.py,
the Hub in test_hub_faults.py and test_publish_hub_state.py.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from eval.common.places import ROOT
from eval.run.digests import file_sha256, verify_manifest
from eval.run.files import read_jsonl, write_json, write_jsonl
from eval.run.records import Generation
from scripts import publish
from scripts.data.dataset_facts import describe_data
from scripts.publishing.verify_base import is_at_hand
from tests.hub_server import WEIGHTS, Capture, approve, assert_refused, dry_run, run, settle
from tests.run_builder import ADAPTER, DATASETS, RECIPE, assert_one_line, build_adapter, build_run, call, edit_json

__all__ = ["run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
UPLOAD_SET = [
    "MANIFEST.sha256",
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "bom.cdx.json",
    "chat_template.jinja",
    "metrics.json",
    "report.md",
    "tokenizer.json",
    "tokenizer_config.json",
]


def test_dry_run_builds_exactly_the_allow_list(run: Path, capsys: Capture) -> None:
    code, out, err = dry_run(run, capsys)
    assert (code, err) == (0, "")
    publication = run / "publication"
    assert sorted(path.name for path in publication.iterdir()) == UPLOAD_SET
    assert [line.split()[2] for line in out.splitlines() if line.startswith("  ")] == UPLOAD_SET
    assert verify_manifest(publication, publication / "MANIFEST.sha256") == []
    for name in (WEIGHTS, "tokenizer.json"):
        assert file_sha256(publication / name) == file_sha256(run / "adapter" / name)
    assert "nothing was uploaded" in out and not (run / "publication.json").exists()


def test_published_config_names_the_hub_and_no_path_of_this_machine(run: Path, capsys: Capture) -> None:
    dry_run(run, capsys)
    config = json.loads((run / "publication" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["revision"] == "12fd25f77366fa6b3b4b768ec3050bf629380bac"
    assert config["r"] == 2
    for path in (run / "publication").iterdir():
        assert str(run.parent).encode() not in path.read_bytes()
        assert b"/somewhere/" not in path.read_bytes()


def test_card_is_read_by_the_hub_library(run: Path, capsys: Capture) -> None:
    dry_run(run, capsys)
    card = ModelCard.load(run / "publication" / "README.md")
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert card.data.to_dict()["base_model_relation"] == "adapter"
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "peft")
    first = card.data.eval_results[0]
    assert first.metric_args["n"] == 60 and first.metric_value == pytest.approx(55 / 60)
    assert "GGUF" in card.text and "Ada Lovelace" in card.text and "MIT" in card.text
    assert 'revision="toy"' in card.text


def test_the_same_run_gives_the_same_bytes(run: Path, capsys: Capture) -> None:
    dry_run(run, capsys)
    first = (run / "publication" / "MANIFEST.sha256").read_bytes()
    dry_run(run, capsys)
    assert (run / "publication" / "MANIFEST.sha256").read_bytes() == first


def test_a_pinned_hub_base_keeps_its_revision(run: Path, capsys: Capture) -> None:
    pinned = "2e1fd397ee46e1388853d2af2c993145b0f1098a"
    (run / "recipe.yaml").write_text(
        f"base_model: Qwen/Qwen2.5-Coder-1.5B-Instruct\nrevision_of_model: {pinned}\n{ADAPTER}{DATASETS}"
    )
    config = run / "adapter" / "adapter_config.json"
    edit_json(config, lambda value: value.update(base_model_name_or_path="Qwen/Qwen2.5-Coder-1.5B-Instruct"))
    settle(run)
    assert dry_run(run, capsys)[0] == 0
    published = json.loads((run / "publication" / "adapter_config.json").read_text())
    assert published["revision"] == pinned
    assert pinned in (run / "publication" / "README.md").read_text()


def test_a_base_is_at_hand_once_the_cache_has_a_file_of_that_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert not is_at_hand("org/base", "c" * 40) and not is_at_hand("/no/name of the Hub", None)
    cached = tmp_path / "models--org--base" / "snapshots" / ("c" * 40)
    cached.mkdir(parents=True)
    (cached / "config.json").write_text("{}")
    assert is_at_hand("org/base", "c" * 40) and is_at_hand(str(cached), None)
    assert not is_at_hand("org/base", "d" * 40) and not is_at_hand("org/base", None)


def test_a_base_without_a_hub_id_is_refused(run: Path, capsys: Capture) -> None:
    (run / "recipe.yaml").write_text(f"base_model: /srv/models/mine\n{ADAPTER}{DATASETS}")
    settle(run)
    assert_refused(run, capsys, "/srv/models/mine", "no Hub id")


def test_a_dataset_of_the_repository_is_described_again_from_git(run: Path, capsys: Capture) -> None:
    path = "data/nl2bash/train_small.jsonl"
    log = ["git", "log", "--format=%H", "-n", "1", "--", path]
    commit = subprocess.run(log, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    if not commit:
        pytest.skip("not a git checkout")
    write_json(run / "data.json", describe_data({"datasets": [{"path": path}]}))
    edit_json(run / "run.json", lambda state: state["git"].update(commit=commit))
    (run / "recipe.yaml").write_text(RECIPE.replace("data/toy.jsonl", path))
    settle(run)
    assert dry_run(run, capsys)[0] == 0


# The evidence: what tests/test_publish_chain.py does not have


@pytest.mark.parametrize("stage", ["train", "eval"])
def test_a_stage_that_did_not_complete(run: Path, capsys: Capture, stage: str) -> None:
    edit_json(run / "run.json", lambda value: value["stages"].update({stage: "running"}))
    assert_refused(run, capsys, f"{stage} did not complete")


def test_a_no_ship_made_ship_by_hand(tmp_path: Path, capsys: Capture) -> None:
    folder = build_run(tmp_path, candidate_right=2)
    edit_json(folder / "metrics.json", lambda value: value.update(verdict="ship"))
    approve(folder)
    assert_refused(folder, capsys, "verdict is not what scores.jsonl gives")


def test_a_prompt_that_was_changed_for_one_arm(run: Path, capsys: Capture) -> None:
    rows = read_jsonl(run / "generations.jsonl", Generation)
    write_jsonl(run / "generations.jsonl", [*rows[:-1], rows[-1].model_copy(update={"prompt_sha256": "d" * 64})])
    settle(run)
    assert_refused(run, capsys, "candidate of refuse", "not what was asked")


@pytest.mark.parametrize(
    "name",
    [
        "metrics.json",
        "scores.jsonl",
        "suite.yaml",
        "train.json",
        "adapter.sha256",
        "recipe.yaml",
        "data.json",
        "samples.jsonl",
        "generations.jsonl",
    ],
)
def test_a_missing_file(run: Path, capsys: Capture, name: str) -> None:
    (run / name).unlink()
    assert_refused(run, capsys, name, code=2)


def test_missing_weights(run: Path, capsys: Capture) -> None:
    shutil.rmtree(run / "adapter")
    assert_refused(run, capsys, "not in git", code=2)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("report.md", "This adapter may ship", "This adapter must ship"),
        ("generations.jsonl", "echo candidate", "echo something nicer"),
        ("metrics.json", '"seconds_load": 1.0', '"seconds_load": 0.1'),
    ],
)
def test_review_of_other_bytes(run: Path, capsys: Capture, name: str, before: str, after: str) -> None:
    text = (run / name).read_text()
    assert before in text
    (run / name).write_text(text.replace(before, after))
    assert_refused(run, capsys, name, "is not what Ada Lovelace reviewed")


def test_review_that_saw_fewer_files(run: Path, capsys: Capture) -> None:
    edit_json(run / "review.json", lambda value: value["digests"].pop("data.json"))
    assert_refused(run, capsys, "data.json")


def test_broken_review(run: Path, capsys: Capture) -> None:
    edit_json(run / "review.json", lambda value: value.update(decision="maybe"))
    assert_refused(run, capsys, "review.json", code=2)


# The command


def test_unknown_run(capsys: Capture) -> None:
    code, _, err = call(publish.main, ["--run", "no-such-run", "--repo", "a/b", "--dry-run"], capsys)
    assert code == 2
    assert_one_line(err, "no-such-run")


def test_a_second_dry_run_starts_afresh(run: Path, capsys: Capture) -> None:
    dry_run(run, capsys)
    (run / "publication" / "leftover.bin").write_text("x")
    assert dry_run(run, capsys)[0] == 0
    assert sorted(path.name for path in (run / "publication").iterdir()) == UPLOAD_SET


def test_a_link_as_publication_folder_is_refused(run: Path, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (run / "publication").symlink_to(tmp_path / "precious")
    code, _, err = dry_run(run, capsys)
    assert code == 1
    assert_one_line(err, "publication is a symbolic link")


def test_float16_adapters_pass(run: Path, capsys: Capture) -> None:
    build_adapter(run, np.float16)
    settle(run)
    assert dry_run(run, capsys)[0] == 0


@pytest.mark.slow
def test_the_real_command_ends_with_one_line(run: Path) -> None:
    edit_json(run / "train.json", lambda value: value.update(completed=False))
    command = [sys.executable, "-m", "scripts.publish", "--run", str(run), "--repo", "a/b", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, "does not say completed")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("metrics.json", lambda value: value["provenance"].update(machine=["a", "list"])),
        ("metrics.json", lambda value: value["provenance"].update(git_training="a text")),
        ("metrics.json", lambda value: value["provenance"].update(packages=["torch"])),
        ("environment.json", lambda value: value.update(packages=["torch"])),
        ("run.json", lambda value: value.update(stages=["train", "eval"])),
        ("run.json", lambda value: value.update(git="a text")),
        ("data.json", lambda rows: rows[0].update(revision=5, cleaning="a text")),
    ],
)
def test_a_file_of_another_form_is_one_line(run: Path, capsys: Capture, name: str, change: Any) -> None:
    edit_json(run / name, change)
    code, _, err = dry_run(run, capsys)
    assert code in (1, 2)
    assert_one_line(err)
