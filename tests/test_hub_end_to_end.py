"""The real command in processes of its own: published, loaded by the card's lines, killed and continued."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from eval.common.places import ROOT
from eval.run.digests import file_sha256, folder_digests
from eval.run.files import read_json, read_jsonl, write_json, write_jsonl
from eval.run.records import Generation, Item
from scripts import demo_publish
from scripts.loopback_hub.faults import Fault
from scripts.loopback_hub.server import serve
from scripts.publishing import load_back
from scripts.publishing.load_back import LONGEST_REQUEST
from tests.hub_server import REPO, WEIGHTS, run, settle
from tests.patience import PATIENCE, wait_until
from tests.run_builder import assert_one_line

__all__ = ["run"]
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct"
# Longer than an argument may be, and with what none may hold; of few tokens, as long as it is.
LONG_REQUEST = "list the files\0" + "-" * 200_000


@pytest.fixture
def real_run(run: Path) -> Path:
    """The run with an adapter that fits the embedded model: random updates of one matrix, as PEFT saves them."""
    adapter = run / "adapter"
    random = np.random.default_rng(0)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    update = {"lora_A": (2, 576), "lora_B": (576, 2)}
    tensors = {
        f"{prefix}.{name}.weight": random.normal(size=shape).astype(np.float32) for name, shape in update.items()
    }
    save_file(tensors, adapter / WEIGHTS, metadata={"format": "pt"})
    config = {
        "base_model_name_or_path": str(MODEL),
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
        "layers_to_transform": [0],
        "inference_mode": True,
    }
    with (run / "recipe.yaml").open("a") as recipe:
        recipe.write("peft_layers_to_transform: [0]\n")
    write_json(adapter / "adapter_config.json", config)
    copy_tokenizer(run)
    first, *items = read_jsonl(run / "samples.jsonl", Item)
    long = {"request": LONG_REQUEST}
    write_jsonl(run / "samples.jsonl", [first.model_copy(update=long), *items])
    answers = read_jsonl(run / "generations.jsonl", Generation)
    same = [(row.task, row.sample) == (first.task, first.sample) for row in answers]
    asked = [row.model_copy(update=long) if hit else row for row, hit in zip(answers, same, strict=True)]
    write_jsonl(run / "generations.jsonl", asked)
    settle(run)
    return run


def copy_tokenizer(folder: Path) -> None:
    """The embedded base's own tokenizer: a process of its own compares with that."""
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(MODEL / name, folder / "adapter" / name)


# The command, to which the run's made-up suite counts as committed.
PUBLISH = """
import sys
from scripts import publish
from scripts.publishing import committed, verify_guests
suite = sys.argv.pop()
verify_guests.committed_suites = lambda: [suite]
committed.protected = lambda root: ()
publish.run_command(publish.main)
"""


def command(folder: Path, *more: str) -> list[str]:
    suite = file_sha256(folder / "suite.yaml")
    unasked = ["--spot", "0", "--spot-reason", "the answers of this run are made up"]
    return [sys.executable, "-c", PUBLISH, "--run", str(folder), "--repo", REPO, *unasked, *more, suite]


@pytest.mark.slow
def test_published_and_loaded_by_the_lines_of_its_card(
    real_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As make demo-publish does, but for its second loading, by the tag: one start of torch is enough here."""
    monkeypatch.setattr(demo_publish, "STATE", tmp_path / "state")
    copy = demo_publish.copy_run(real_run, "Grace Hopper")
    with serve(tmp_path / "hub") as hub:
        demo_publish.serve_base(hub, copy)
        environment = {**os.environ, **hub.environment}
        done = subprocess.run(command(copy), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        repository = hub.store.get(REPO)
    assert not done.stderr and done.returncode == 0, done.stderr
    record = read_json(copy / "publication.json")
    assert record["loaded"]["tensors"] == 2 and record["loaded"]["logit_change"] > 0
    assert repr(record["loaded"]["answer"]) in done.stdout
    assert record["loaded"]["request"] == LONG_REQUEST[:LONGEST_REQUEST]
    assert record["digests"] == folder_digests(copy / "publication") and record["private"] is True
    assert (record["reviewer"], record["tag"]) == ("Grace Hopper", "toy")
    assert repository and repository.tags == {"toy": record["commit"]}
    assert not (real_run / "publication.json").exists()


@pytest.mark.parametrize("request_", [LONG_REQUEST, "half a pair: \ud83d", ""])
def test_any_text_can_be_asked(request_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process gets it and its answer can be recorded; what the real one does with it is tested above."""
    checks = (
        "import json, sys\nfiles, request, day = json.load(sys.stdin)\n"
        "found = {'tensors': 1, 'logit_change': 1.0, 'request': request, 'answer': request}\n"
        "print('loaded: ' + json.dumps(found))"
    )
    monkeypatch.setattr(load_back, "CHECKS", checks)
    (tmp_path / "adapter_model.safetensors").touch()
    loaded = load_back.load_back(tmp_path, "", request_, 1, tmp_path, "http://127.0.0.1", None)
    write_json(tmp_path / "record.json", loaded.model_dump())
    assert loaded.answer == request_[:LONGEST_REQUEST].replace("\ud83d", "?")


def test_a_kill_during_the_upload_is_continued(run: Path, tmp_path: Path) -> None:
    copy_tokenizer(run)
    settle(run)
    with serve(tmp_path / "hub") as hub:
        hub.faults.append(Fault("blob", "slow", times=2, seconds=PATIENCE))
        environment = {**os.environ, **hub.environment}
        killed = subprocess.Popen(command(run, "--skip-load"), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        wait_until(lambda: any(fault.times < 2 for fault in hub.faults), killed)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        repository = hub.store.get(REPO)
        assert repository and not repository.tags and len(repository.commits) == 1
        hub.faults.clear()
        done = subprocess.run(
            command(run, "--skip-load"), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        repository = hub.store.get(REPO)
        assert repository and repository.tags["toy"] == json.loads((run / "publication.json").read_text())["commit"]


def test_a_demonstration_without_a_review_says_how(run: Path, tmp_path: Path) -> None:
    (run / "review.json").unlink()
    code = "import sys; from scripts import demo_publish as d; d.STATE = d.Path(sys.argv.pop()); d.run_command(d.main)"
    arguments = [sys.executable, "-c", code, "--run", str(run), str(tmp_path / "state")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert_one_line(done.stderr, "not reviewed", "REVIEWER=")
