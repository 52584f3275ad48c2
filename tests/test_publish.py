"""scripts.publish: what was evaluated and approved goes up, and nothing else ever."""

import json
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.numpy import save_file

from eval.files import read_jsonl, write_jsonl
from eval.provenance import file_sha256, verify_manifest, write_manifest
from eval.records import BASELINE, CANDIDATE, Generation, Score
from scripts import adapter_files, publish, review
from scripts.secret_patterns import find_secrets
from tests.run_builder import (
    assert_one_line,
    build_adapter,
    build_run,
    call,
    edit_json,
    judge,
    replace_scores,
)

ROOT = Path(publish.__file__).parents[1]
UPLOAD_SET = [
    "MANIFEST.sha256",
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "chat_template.jinja",
    "metrics.json",
    "report.md",
    "tokenizer.json",
    "tokenizer_config.json",
]
# Put together here, so that no scanner takes this file for a leak.
TOKEN = "hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"
WEIGHTS = "adapter_model.safetensors"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that is evaluated, and approved."""
    folder = build_run(tmp_path)
    approve(folder)
    return folder


def approve(folder: Path) -> None:
    """Approve the run as it is now."""
    review.main(["--run", str(folder), "--decision", "approve", "--reviewer", "Ada Lovelace"])


def dry_run(folder: Path, capsys: Capture, repo: str = "someone/toy-adapter") -> tuple[int, str, str]:
    capsys.readouterr()
    return call(publish.main, ["--run", str(folder), "--repo", repo, "--dry-run"], capsys)


def assert_refused(folder: Path, capsys: Capture, *words: str, code: int = 1) -> str:
    ended, out, err = dry_run(folder, capsys)
    assert ended == code, err
    assert_one_line(err, *words)
    assert not (folder / "publication").exists() and not (folder / "publication.json").exists()
    return out + err


def replace_weights(folder: Path, write: Callable[[Path], Any]) -> None:
    """Other weights, with everything else to match: only the content is wrong."""
    path = folder / "adapter" / WEIGHTS
    path.unlink()
    write(path)
    settle(folder)


def settle(folder: Path) -> None:
    """Make manifest, metrics and review agree with the files as they are now."""
    write_manifest(folder / "adapter", folder / "adapter.sha256")
    judge(folder)
    approve(folder)


def test_dry_run_builds_exactly_the_allow_list(run, capsys):
    code, out, err = dry_run(run, capsys)
    assert (code, err) == (0, "")
    publication = run / "publication"
    assert sorted(path.name for path in publication.iterdir()) == UPLOAD_SET
    assert [line.split()[2] for line in out.splitlines() if line.startswith("  ")] == UPLOAD_SET
    assert verify_manifest(publication, publication / "MANIFEST.sha256") == []
    for name in (WEIGHTS, "tokenizer.json"):
        assert file_sha256(publication / name) == file_sha256(run / "adapter" / name)
    assert "nothing was uploaded" in out and not (run / "publication.json").exists()


def test_published_config_names_the_hub_and_no_path_of_this_machine(run, capsys):
    dry_run(run, capsys)
    config = json.loads((run / "publication" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["r"] == 2
    for path in (run / "publication").iterdir():
        assert str(run.parent).encode() not in path.read_bytes()
        assert b"/somewhere/" not in path.read_bytes()


def test_card_is_read_by_the_hub_library(run, capsys):
    dry_run(run, capsys)
    card = ModelCard.load(run / "publication" / "README.md")
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert card.data.to_dict()["base_model_relation"] == "adapter"
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "peft")
    first = card.data.eval_results[0]
    assert first.metric_args["n"] == 60 and first.metric_value == pytest.approx(55 / 60)
    assert "GGUF" in card.text and "Ada Lovelace" in card.text and "MIT" in card.text
    assert 'revision="toy"' in card.text


def test_a_pinned_hub_base_keeps_its_revision(tmp_path, capsys):
    folder = build_run(tmp_path)
    pinned = "2e1fd397ee46e1388853d2af2c993145b0f1098a"
    (folder / "recipe.yaml").write_text(f"base_model: Qwen/Qwen2.5-Coder-1.5B-Instruct\nrevision_of_model: {pinned}\n")
    config = folder / "adapter" / "adapter_config.json"
    edit_json(config, lambda value: value.update(base_model_name_or_path="Qwen/Qwen2.5-Coder-1.5B-Instruct"))
    settle(folder)
    assert dry_run(folder, capsys)[0] == 0
    published = json.loads((folder / "publication" / "adapter_config.json").read_text())
    assert published["revision"] == pinned
    assert pinned in (folder / "publication" / "README.md").read_text()


def test_a_base_without_a_hub_id_is_refused(tmp_path, capsys):
    folder = build_run(tmp_path)
    (folder / "recipe.yaml").write_text("base_model: /srv/models/mine\n")
    settle(folder)
    assert_refused(folder, capsys, "/srv/models/mine", "no Hub id")


def test_an_adapter_of_another_base_is_refused(tmp_path, capsys):
    folder = build_run(tmp_path)
    (folder / "recipe.yaml").write_text("base_model: HuggingFaceTB/SmolLM3-3B\n")
    settle(folder)
    assert_refused(folder, capsys, "names base SmolLM2-135M-Instruct")


# The evidence


def test_training_that_did_not_complete(run, capsys):
    edit_json(run / "train.json", lambda value: value.update(completed=False))
    assert_refused(run, capsys, "train.json")


@pytest.mark.parametrize("stage", ["train", "eval"])
def test_a_stage_that_did_not_complete(run, capsys, stage):
    edit_json(run / "run.json", lambda value: value["stages"].update({stage: "running"}))
    assert_refused(run, capsys, f"{stage} did not complete")


def test_one_edited_score(run, capsys):
    replace_scores(run, {(CANDIDATE, "translate", "s59"): 1.0})
    assert_refused(run, capsys, "metrics.json", "scores.jsonl")


def test_edited_metrics_even_when_reviewed(tmp_path, capsys):
    folder = build_run(tmp_path)
    edit_json(folder / "metrics.json", lambda value: value["comparisons"][0].update(candidate=0.99))
    approve(folder)
    assert_refused(folder, capsys, "comparisons is not what scores.jsonl gives")


def test_a_no_ship_made_ship_by_hand(tmp_path, capsys):
    folder = build_run(tmp_path, candidate_right=2)
    edit_json(folder / "metrics.json", lambda value: value.update(verdict="ship"))
    approve(folder)
    assert_refused(folder, capsys, "verdict is not what scores.jsonl gives")


def test_an_honest_no_ship(tmp_path, capsys):
    assert_refused(build_run(tmp_path, candidate_right=2), capsys, "no-ship")


def test_edited_suite_margin(run, capsys):
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    suite["gates"][1]["margin"] = 0.5
    (run / "suite.yaml").write_text(yaml.safe_dump(suite))
    assert_refused(run, capsys, "suite.yaml")


@pytest.mark.parametrize("arms", [(CANDIDATE,), (BASELINE, CANDIDATE)])
def test_deleted_scores(run, capsys, arms):
    dropped = [(arm, "translate", "s59") for arm in arms]
    rows = read_jsonl(run / "scores.jsonl", Score)
    write_jsonl(run / "scores.jsonl", [row for row in rows if (row.arm, row.task, row.sample) not in dropped])
    # In one arm only, the scores cannot be evaluated at all; in both, they give other numbers.
    assert_refused(run, capsys, "scores", code=2 if len(arms) == 1 else 1)


def test_deleted_scores_with_metrics_and_review_to_match(tmp_path, capsys):
    folder = build_run(tmp_path)
    rows = read_jsonl(folder / "scores.jsonl", Score)
    write_jsonl(folder / "scores.jsonl", [row for row in rows if row.sample != "s59"])
    judge(folder)
    approve(folder)
    assert_refused(folder, capsys, "s59 lacks an answer or its accuracy")


def test_deleted_scores_and_generations_with_metrics_and_review_to_match(tmp_path, capsys):
    folder = build_run(tmp_path)
    for name in ("scores.jsonl", "generations.jsonl", "samples.jsonl"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if '"s59"' not in line))
    judge(folder)
    approve(folder)
    assert_refused(folder, capsys, "baseline of translate", "not what was asked")


def test_a_prompt_that_was_changed_for_one_arm(tmp_path, capsys):
    folder = build_run(tmp_path)
    rows = read_jsonl(folder / "generations.jsonl", Generation)
    write_jsonl(folder / "generations.jsonl", [*rows[:-1], rows[-1].model_copy(update={"prompt_sha256": "d" * 64})])
    settle(folder)
    assert_refused(folder, capsys, "candidate of refuse", "not what was asked")


def test_a_gold_that_was_changed_after_the_evaluation(run, capsys):
    path = run / "samples.jsonl"
    path.write_text(path.read_text().replace('"gold":"gold"', '"gold":"other"', 1))
    assert_refused(run, capsys, "not what was asked")


@pytest.mark.parametrize("name", ["recipe.yaml", "adapter.sha256"])
def test_metrics_of_another_recipe_or_adapter(run, capsys, name):
    if name == "recipe.yaml":
        (run / name).write_text("base_model: models/SmolLM2-135M-Instruct\nlora_r: 4\n")
    else:
        build_adapter(run, np.float16)
    approve(run)
    assert_refused(run, capsys, "measured on another", name.split(".")[0])


def test_invalid_items(tmp_path, capsys):
    folder = build_run(tmp_path)
    # Two of 60 hardly matter to the interval; they are still more than the suite allows.
    replace_scores(folder, {(CANDIDATE, "translate", f"s{number}"): None for number in (57, 58)})
    judge(folder)
    assert_refused(folder, capsys, "inconclusive")


def test_empty_and_cut_off_scores(run, capsys):
    (run / "scores.jsonl").write_text('{"arm": "cand')
    assert_refused(run, capsys, "cut off", code=2)


@pytest.mark.parametrize("name", ["metrics.json", "scores.jsonl", "suite.yaml", "train.json", "adapter.sha256"])
def test_a_missing_file(run, capsys, name):
    (run / name).unlink()
    assert_refused(run, capsys, name, code=2)


def test_missing_weights(run, capsys):
    shutil.rmtree(run / "adapter")
    assert_refused(run, capsys, "not in git", code=2)


# The review

REWRITTEN = [
    ("report.md", "toy run", "better run"),
    ("generations.jsonl", "echo candidate", "echo something nicer"),
    ("data.json", "MIT", "CC0"),
    ("metrics.json", '"seconds": 1.0', '"seconds": 0.1'),
]


def test_review_missing(tmp_path, capsys):
    assert_refused(build_run(tmp_path), capsys, "not reviewed")


def test_review_rejecting(run, capsys):
    review.main(["--run", str(run), "--decision", "reject", "--reviewer", "Bob"])
    assert_refused(run, capsys, "rejected by Bob")


@pytest.mark.parametrize(("name", "before", "after"), REWRITTEN)
def test_review_of_other_bytes(run, capsys, name, before, after):
    text = (run / name).read_text()
    assert before in text
    (run / name).write_text(text.replace(before, after))
    assert_refused(run, capsys, name, "is not what Ada Lovelace reviewed")


def test_review_that_saw_fewer_files(run, capsys):
    edit_json(run / "review.json", lambda value: value["digests"].pop("data.json"))
    assert_refused(run, capsys, "data.json")


def test_broken_review(run, capsys):
    edit_json(run / "review.json", lambda value: value.update(decision="maybe"))
    assert_refused(run, capsys, "review.json", code=2)


# The adapter


def test_swapped_adapter_byte(run, capsys):
    path = run / "adapter" / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert_refused(run, capsys, f"{WEIGHTS} has other bytes")


def test_extra_file_in_the_adapter(run, capsys):
    (run / "adapter" / "notes.txt").write_text("hello")
    assert_refused(run, capsys, "notes.txt is not in adapter.sha256")


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "debug.log", "adapter_model.bin", "handler.py"])
def test_a_listed_file_that_no_adapter_has(run, capsys, name):
    (run / "adapter" / name).write_bytes(pickle.dumps({"a": 1}))
    settle(run)
    assert_refused(run, capsys, name, "not a file of an adapter")


def test_a_folder_in_the_adapter(run, capsys):
    (run / "adapter" / "checkpoint-10").mkdir()
    assert_refused(run, capsys, "checkpoint-10", "not a plain file")


@pytest.mark.parametrize(
    "name", [f"adapter/{WEIGHTS}", "adapter/tokenizer.json", "report.md", "metrics.json", "adapter"]
)
def test_symbolic_links(run, capsys, name):
    elsewhere = run.parent / "elsewhere"
    (run / name).rename(elsewhere)
    (run / name).symlink_to(elsewhere)
    assert_refused(run, capsys, Path(name).name)


def test_left_behind_files_do_not_go_up(run, capsys):
    (run / "adapter" / "README.md").write_text("PEFT's card\n")
    settle(run)
    assert dry_run(run, capsys)[0] == 0
    assert "PEFT's card" not in (run / "publication" / "README.md").read_text()


def test_pickle_with_a_safetensors_name(run, capsys):
    replace_weights(run, lambda path: path.write_bytes(pickle.dumps({"weight": [1.0] * 100})))
    assert_refused(run, capsys, "is a pickle")


def test_torch_zip_with_a_safetensors_name(run, capsys):
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps([1]))

    replace_weights(run, write)
    assert_refused(run, capsys, "is a zip")


def test_pickle_with_a_json_name(run, capsys):
    (run / "adapter" / "tokenizer.json").write_bytes(pickle.dumps([1], protocol=0))
    settle(run)
    assert_refused(run, capsys, "tokenizer.json", "no JSON object")


def safetensors_bytes(header: Any, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def one_tensor(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (struct.pack("<Q", 200_000_000) + b"{}", "does not fit"),
        (struct.pack("<Q", 2**63) + b"{}" * 50, "does not fit"),
        (b"", "does not fit"),
        (safetensors_bytes(b"[" * 5000 + b"]" * 5000), "no JSON object"),
        (safetensors_bytes(b"\xff\xfe not json"), "no JSON object"),
        (safetensors_bytes(one_tensor(offsets=(0, 400), shape=(100,)), b"\0" * 4), "outside the file"),
        (safetensors_bytes(one_tensor(offsets=(-4, 0)), b"\0" * 4), "not described"),
        (safetensors_bytes(one_tensor(offsets=(0.0, 4.0)), b"\0" * 4), "not described"),
        (safetensors_bytes(one_tensor(shape=(2,)), b"\0" * 4), "not as large as its shape"),
        (safetensors_bytes(one_tensor(dtype="I64"), b"\0" * 8), "not described"),
        (safetensors_bytes({"w": 1}, b"\0" * 4), "not described"),
        (safetensors_bytes(one_tensor(), b"\0" * 4 + b"PK trailing"), "no safetensors file"),
        (safetensors_bytes({}), "no tensors"),
    ],
)
def test_malformed_safetensors(run, capsys, content, words):
    replace_weights(run, lambda path: path.write_bytes(content))
    assert_refused(run, capsys, WEIGHTS, words)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_weights_that_are_not_finite(tmp_path, dtype, bad):
    path = tmp_path / WEIGHTS
    values = np.full((4, 4), np.finfo(dtype).max, dtype=dtype)
    save_file({"w": values}, path)
    assert adapter_files.check_weights(path) == 1
    values[3, 3] = bad
    save_file({"w": values}, path)
    with pytest.raises(publish.Refused, match="NaN or infinity"):
        adapter_files.check_weights(path)


def test_nan_weights_stop_the_command(run, capsys):
    replace_weights(run, lambda path: save_file({"w": np.array([1, np.nan], dtype=np.float32)}, path))
    assert_refused(run, capsys, "NaN")


@pytest.mark.parametrize(("bits", "finite"), [(0x3F80, True), (0x7F7F, True), (0x7FC0, False), (0xFF80, False)])
def test_bfloat16_is_read_by_its_bits(tmp_path, bits, finite):
    path = tmp_path / WEIGHTS
    path.write_bytes(safetensors_bytes(one_tensor("BF16", (2,), (0, 4)), struct.pack("<HH", 0x3F80, bits)))
    if finite:
        assert adapter_files.check_weights(path) == 1
    else:
        with pytest.raises(publish.Refused, match="NaN or infinity"):
            adapter_files.check_weights(path)


def test_a_header_length_that_looks_like_a_pickle_is_none(tmp_path):
    """640 = 0x0280 is written `80 02 00 ...`, which is how a pickle of protocol 2 starts."""
    path = tmp_path / WEIGHTS
    header = json.dumps(one_tensor()).encode().ljust(640)
    path.write_bytes(safetensors_bytes(header, b"\0" * 4))
    assert path.read_bytes().startswith(b"\x80\x02")
    assert adapter_files.check_weights(path) == 1


def test_an_adapter_with_other_tensors_than_the_measured_one(run, capsys):
    replace_weights(run, lambda path: save_file({"w": np.ones(2, dtype=np.float32)}, path))
    assert_refused(run, capsys, "no proof that the 1 tensors")


# Credentials


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("recipe.yaml", "base_model: models/SmolLM2-135M-Instruct\n# run with {}\n", "recipe.yaml:2"),
        ("report.md", "# Report\n\nHF_TOKEN={}\n", "report.md:3"),
        ("adapter/tokenizer.json", '{{"note": "{}"}}', "adapter/tokenizer.json:1"),
        ("adapter/chat_template.jinja", "{{# {} #}}", "adapter/chat_template.jinja:1"),
    ],
)
def test_a_credential_in_a_file(tmp_path, capsys, name, text, where):
    folder = build_run(tmp_path)
    (folder / name).write_text(text.format(TOKEN))
    settle(folder)
    said = assert_refused(folder, capsys, where, "Hugging Face token")
    assert TOKEN not in said and TOKEN[5:] not in said


def test_a_credential_that_only_the_card_would_hold(tmp_path, capsys):
    folder = build_run(tmp_path)
    review.main(["--run", str(folder), "--decision", "approve", "--reviewer", TOKEN])
    said = assert_refused(folder, capsys, "README.md:", "Hugging Face token")
    assert TOKEN not in said
    assert not (folder / "publication.partial").exists()


def test_a_credential_in_the_header_of_the_weights(run, capsys):
    weights = {"w": np.ones(2, dtype=np.float32)}
    replace_weights(run, lambda path: save_file(weights, path, metadata={"note": TOKEN}))
    assert TOKEN not in assert_refused(run, capsys, "header", "Hugging Face token")


def test_every_pattern_finds_its_kind():
    letters = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    samples = {
        "Hugging Face token": [TOKEN],
        "RunPod key": ["rpa" + "_" + letters],
        "AWS access key": ["AKIA" + "ABCDEFGHIJKLMNOP", "ASIA" + "ABCDEFGHIJKLMNO7"],
        "GitHub token": ["ghp" + "_" + letters, "gho" + "_" + letters, "github" + "_pat_" + letters + "_abcdef"],
        "OpenAI or Anthropic key": ["sk" + "-" + letters, "sk" + "-ant-api03-" + letters, "sk" + "-proj-" + letters],
        "Slack token": ["xox" + "b-1234567890-abcdef"],
        "Google API key": ["AIza" + letters[:35]],
        "private key": ["-----BEGIN " + "RSA PRIVATE KEY-----", "-----BEGIN " + "PRIVATE KEY-----"],
        "W&B key": ["wandb " + "login " + "0a" * 20, "wandb " + "login --relogin " + "0a" * 20],
        "JSON web token": ["eyJ" + "hbGciOiJI." + "eyJ" + "zdWIiOiIx." + "abcdefgh12"],
        "password, token or key in an assignment": [
            "password" + ": hunter2hunter2hunter2",
            "api_key" + ' = "0123456789abcdef"',
            '"secret"' + ': "abcdefgh12345678"',
        ],
    }
    for kind, texts in samples.items():
        for text in texts:
            assert kind in [found.kind for found in find_secrets("f", f"a line\nx {text} y")], (kind, text)
            assert {found.line for found in find_secrets("f", f"a line\nx {text} y")} == {2}


@pytest.mark.parametrize(
    "text",
    [
        "password: $PASSWORD",
        "export TOKEN=$(cat /run/secrets/token)",
        '"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"',
        '"tokenizer_class": "GPT2TokenizerFast", "token": 12345',
        "mysql --password=changeme",
        "sha256 " + "0a" * 32,
        "risk-free-and-other-long-words-here and disk-usage-by-folder-2024-edition",
        "api_key: YOUR_API_KEY_GOES_HERE",
        "secret_patterns: scripts/secret_patterns.py",
    ],
)
def test_ordinary_text_is_no_credential(text):
    assert find_secrets("f", text) == []


# The command


@pytest.mark.parametrize(
    "repo", ["toy", "a/b/c", "/toy", "someone/", "some one/toy", "../toy", "someone/toy.git", "a/b--c", "a/" + "b" * 99]
)
def test_bad_repository_names(run, capsys, repo):
    code, _, err = dry_run(run, capsys, repo)
    assert code == 2
    assert_one_line(err, "--repo", "OWNER/NAME")


def test_unknown_run(capsys):
    code, _, err = call(publish.main, ["--run", "no-such-run", "--repo", "a/b", "--dry-run"], capsys)
    assert code == 2
    assert_one_line(err, "no-such-run")


def test_a_second_dry_run_starts_afresh(run, capsys):
    dry_run(run, capsys)
    (run / "publication" / "leftover.bin").write_text("x")
    assert dry_run(run, capsys)[0] == 0
    assert sorted(path.name for path in (run / "publication").iterdir()) == UPLOAD_SET


def test_a_link_as_publication_folder_is_refused(run, capsys, tmp_path):
    (tmp_path / "precious").mkdir()
    (run / "publication").symlink_to(tmp_path / "precious")
    code, _, err = dry_run(run, capsys)
    assert code == 1
    assert_one_line(err, "publication is a symbolic link")


def test_float16_adapters_pass(tmp_path, capsys):
    folder = build_run(tmp_path)
    build_adapter(folder, np.float16)
    settle(folder)
    assert dry_run(folder, capsys)[0] == 0


def test_the_real_command_ends_with_one_line(run):
    edit_json(run / "metrics.json", lambda value: value.update(verdict="no-ship"))
    command = [sys.executable, "-m", "scripts.publish", "--run", str(run), "--repo", "a/b", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, "verdict is not what scores.jsonl gives")
