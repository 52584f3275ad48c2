"""eval.run.secret_patterns: every kind is found wherever it hides, ordinary text is not, and no run keeps one."""

import json
import os
import random
import string
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.report.rendering import render_report
from eval.run.environment import capture_environment
from eval.run.files import write_json
from eval.run.folder import update_run
from eval.run.secret_patterns import CHUNK_BYTES, KINDS, find_secrets, redact, redact_file, refuse_secrets, scan_file
from scripts import publish, review
from scripts.data.dataset_facts import describe_data
from scripts.hooks import check_tree
from scripts.training import train
from tests.run_builder import build_run, call, judge

RANDOM = random.Random(7)


def some(alphabet: str, length: int) -> str:
    """Random characters, a letter and a digit among the first two where the alphabet has both."""
    start = "a1" if "a" in alphabet else "A1" if "A" in alphabet else ""
    return start + "".join(RANDOM.choice(alphabet) for _ in range(length - len(start)))


LETTERS, HEX = string.ascii_letters + string.digits, "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
# Made here and in pieces, so that no scanner takes this file for a leak.
SAMPLES = {
    "Hugging Face token": ["hf_" + some(LETTERS, 34), "hf_oauth" + "_" + some(LETTERS, 60)],
    "RunPod key": ["rpa" + "_" + some(LETTERS, 44)],
    "AWS access key": ["AKIA" + some(UPPER, 16), "ASIA" + some(UPPER, 16)],
    "AWS secret key": [
        "aws_secret" + "_access_key = " + some(LETTERS + "/+", 40),
        '"SecretAccess' + 'Key": "' + "aB3/" * 10,
    ],
    "GitHub token": [f"gh{kind}_" + some(LETTERS, 36) for kind in "pousr"] + ["github" + "_pat_" + some(LETTERS, 60)],
    "GitLab token": ["glpat" + "-" + some(LETTERS, 20)],
    "OpenAI or Anthropic key": ["sk" + kind + some(LETTERS, 44) for kind in ("-", "-ant-api03-", "-proj-", "-or-v1-")],
    "Groq, Replicate, xAI or Perplexity key": ["gsk" + "_" + some(LETTERS, 52), "r8" + "_" + some(LETTERS, 37)],
    "Slack token": ["xox" + kind + "-1234567890-" + some(LETTERS, 24) for kind in "bp"],
    "Slack webhook": ["https://hooks." + "slack.com/services/T0123ABCD/B0123ABCD/" + some(LETTERS, 24)],
    "Discord webhook": ["https://discord.com/api/" + "webhooks/123456789012345678/" + some(LETTERS, 68)],
    "Telegram bot token": ["123456789" + ":AA" + some(LETTERS, 33)],
    "Google API key": ["AIza" + some(LETTERS, 35)],
    "Google OAuth secret": ["GOCSPX" + "-" + some(LETTERS, 28)],
    "Azure storage key": ["DefaultEndpointsProtocol=https;Account" + "Key=" + some(LETTERS, 86) + "=="],
    "Azure shared access signature": ["https://x.blob.core.windows.net/c?sv=1&" + "sig=" + some(LETTERS, 43) + "%3D"],
    "Azure client secret": ["abc8" + "Q~" + some(LETTERS, 34)],
    "npm token": ["npm" + "_" + some(LETTERS, 36)],
    "PyPI token": ["pypi" + "-AgEIcHlwaS5vcmc" + some(LETTERS, 80)],
    "Docker token": ["dckr" + "_pat_" + some(LETTERS, 27)],
    "Docker registry login": ['{"auths": {"index.docker.io": {"au' + 'th": "' + some(LETTERS, 32) + '="}}}'],
    "Stripe key": ["sk" + "_live_" + some(LETTERS, 24), "whsec" + "_" + some(LETTERS, 32)],
    "SendGrid key": ["SG." + some(LETTERS, 22) + "." + some(LETTERS, 43)],
    "DigitalOcean token": ["dop" + "_v1_" + some(HEX, 64)],
    "Databricks token": ["dapi" + some(HEX, 32)],
    "HashiCorp token": ["hvs" + "." + some(LETTERS, 90)],
    "age key": ["AGE-SECRET" + "-KEY-1" + some(UPPER, 58)],
    "private key": [
        f"-----BEGIN {kind}PRIVATE" + " KEY-----" for kind in ("", "RSA ", "OPENSSH ", "EC ", "ENCRYPTED ")
    ],
    "W&B key": [
        "wandb " + "login " + some(HEX, 40),
        "WANDB_API_KEY" + "=" + some(HEX, 40),
        "wandb" + "_v1_" + "aB3_" * 19,
    ],
    "Kaggle key": ['{"username": "ada", "ke' + 'y": "' + some(HEX, 32) + '"}'],
    "login in a netrc file": ["machine api.example.org login ada pass" + "word " + some(LETTERS, 20)],
    "login in a URL": [
        "postgresql://ada" + ":s3cret-enough@db.example.org/x",
        "https://ada" + ":" + some(LETTERS, 20) + "@host",
    ],
    "bearer token": ["Authorization: " + "Bearer " + some(LETTERS, 40)],
    "JSON web token": ["eyJ" + some(LETTERS, 20) + ".eyJ" + some(LETTERS, 40) + "." + some(LETTERS, 43)],
    "password, token or key in an assignment": [
        "password" + ": hunter2hunter2hunter2",
        "MY_API" + "_KEY=" + some(LETTERS, 20),
        '"secret"' + ': "' + some(LETTERS, 16) + '"',
    ],
}
ALL = [text for texts in SAMPLES.values() for text in texts]


def test_there_is_a_sample_of_every_kind() -> None:
    assert set(SAMPLES) == set(KINDS) and len(KINDS) >= 30


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_kind_is_found_at_its_line(kind: str) -> None:
    for text in SAMPLES[kind]:
        found = find_secrets("f", f"a line\nx {text} y\nz")
        assert kind in {finding.kind for finding in found} and {finding.line for finding in found} == {2}, text


@pytest.mark.parametrize("wrap", ['{{"note": "{}"}}', "# {}", "export X='{}'", "<!-- {} -->", "{}", "| {} |"])
def test_what_stands_around_a_credential_does_not_hide_it(wrap: str) -> None:
    missed = [text for text in ALL if '"' not in text and not find_secrets("f", wrap.format(text))]
    assert missed == []


def test_a_wandb_login_in_a_netrc_file_goes_over_lines() -> None:
    text = "machine api.wandb.ai\n  login user\n  pass" + "word " + some(HEX, 40) + "\n"
    assert "W&B key" in {finding.kind for finding in find_secrets("f", text)}


@pytest.mark.parametrize(
    "text",
    [
        "password: $PASSWORD",
        "export TOKEN=$(cat /run/secrets/token)",
        '"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"',
        '"tokenizer_class": "GPT2TokenizerFast", "token": 12345',
        "mysql --password=changeme",
        "risk-free-and-other-long-words-here and disk-usage-by-folder-2024-edition",
        "api_key: YOUR_API_KEY_GOES_HERE",
        "secret_patterns: eval/run/secret_patterns.py",
        "https://user:password@example.org and https://$USER:$PASS1234@example.org",
        "curl -H 'Authorization: Bearer $TOKEN'",
        "wandb: commit c484ccec38d587dc235473e00c74eed2cc891a3",
        "hf_hub_download hf_transfer npm_config_registry sk-learn",
        "-----BEGIN CERTIFICATE----- ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq",
        "ratio 12:34 at 2026-11-22T10:36:59:AA",
    ],
)
def test_ordinary_text_is_no_credential(text: str) -> None:
    assert find_secrets("f", text) == []


def test_digests_are_no_credentials() -> None:
    lines = [f"{some(HEX, 64)}  adapter_model.safetensors" for _ in range(200)]
    lines += [f'"prompt_sha256":"{some(HEX, 64)}","commit": "{some(HEX, 40)}"' for _ in range(200)]
    lines += [f"sha256:{some(HEX, 64)} sha1 {some(HEX, 40)} md5 {some(HEX, 32)}" for _ in range(200)]
    assert find_secrets("f", "\n".join(lines)) == []


def test_this_repository_holds_only_made_up_credentials() -> None:
    assert check_tree(ROOT) == []


# Files


def test_a_credential_across_two_pieces_of_a_binary_file(tmp_path: Path) -> None:
    token = SAMPLES["Hugging Face token"][0].encode()
    weights = np.random.default_rng(0).normal(size=3 * CHUNK_BYTES // 4).astype(np.float32).tobytes()
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(weights)
    assert scan_file(path) == []
    for cut in (1, 10, len(token) - 1):
        place = CHUNK_BYTES - cut
        path.write_bytes(weights[:place] + b"\0" + token + b"\0" + weights[place + len(token) + 2 :])
        assert [finding.kind for finding in scan_file(path)] == ["Hugging Face token"], cut


def test_lines_of_a_file_in_several_pieces(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    rows = 3 * CHUNK_BYTES // 64
    path.write_text(
        "step 1 of a long training run, loss 0.1234567, seconds 12.34567\n" * rows + SAMPLES["RunPod key"][0]
    )
    assert [(finding.line, finding.kind) for finding in scan_file(path)] == [(rows + 1, "RunPod key")]


@pytest.mark.parametrize("text", ALL)
def test_every_kind_is_found_in_a_binary_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.bin"
    path.write_bytes(b"\x80\x02\0\xff" + text.encode() + b"\0\x01")
    assert scan_file(path)


def test_a_refusal_names_place_and_kind_and_no_part_of_it(tmp_path: Path) -> None:
    for number, text in enumerate(ALL):
        path = tmp_path / f"f{number}.yaml"
        path.write_text(f"a: 1\n{text}\n")
        with pytest.raises(Refused) as refused:
            refuse_secrets([path], tmp_path)
        said = str(refused.value)
        assert said.startswith(f"f{number}.yaml:2: ") and not any(part in said for part in (text, text[-12:]))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing cannot be searched"):
        scan_file(tmp_path / "nothing")


# Logs


def test_redaction_leaves_no_credential_and_keeps_the_rest() -> None:
    for text in ALL:
        said = redact(f"before {text} after")
        assert find_secrets("f", said) == [] and said.startswith("before ") and " removed]" in said, text


def test_a_log_is_redacted_in_place(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_bytes(b"\xff loading\n" + "\n".join(ALL).encode() + b"\ndone \xfe\n")
    assert redact_file(log) >= len(ALL) - 2
    assert (
        scan_file(log) == []
        and log.read_bytes().startswith(b"\xff loading\n")
        and log.read_bytes().endswith(b"done \xfe\n")
    )
    assert redact_file(log) == 0 and redact_file(tmp_path / "nothing") == 0


# A whole run


def below(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def secret_parts() -> list[bytes]:
    """The unguessable part of every sample: what must appear nowhere."""
    return [text.split()[-1][-24:].encode() for text in ALL if "BEGIN" not in text]


@pytest.mark.usefixtures("made_up_runs")
def test_nothing_of_the_environment_gets_into_a_run_or_up(tmp_path, capsys, monkeypatch) -> None:
    """More than thirty kinds in the environment and in a log; then everything that writes into a run folder."""
    for number, text in enumerate(ALL):
        monkeypatch.setenv(f"PLANTED_{number}", text)
    for name, kind in (
        ("HF_TOKEN", "Hugging Face token"),
        ("WANDB_API_KEY", "W&B key"),
        ("RUNPOD_API_KEY", "RunPod key"),
    ):
        monkeypatch.setenv(name, SAMPLES[kind][0])
    recipe_path = ROOT / "configs" / "train" / "smollm2-135m-cpu.yaml"
    recipe = yaml.safe_load(recipe_path.read_text())
    results = tmp_path / "results"
    started = train.start_run(recipe_path, recipe, describe_data(recipe), results)
    (started / "train.log").write_text("\n".join(f"{name}={value}" for name, value in os.environ.items()))
    redact_file(started / "train.log")

    run = build_run(results)
    write_json(run / "environment.json", capture_environment())
    judge(run)
    update_run(run, suite="toy", stages={"eval": "completed"})
    render_report(run)
    review.main(["--run", str(run), "--decision", "approve", "--reviewer", "Ada"])
    code, _, err = call(publish.main, ["--run", str(run), "--repo", "someone/toy", "--dry-run"], capsys)
    assert code == 0, err
    assert (run / "publication").is_dir() and (started / "environment.json").is_file()
    written = below(results)
    assert [part for part in secret_parts() if part in written] == []


@pytest.mark.parametrize("where", ["recipe", "data"])
def test_training_refuses_a_credential_before_there_is_a_run(tmp_path: Path, where: str) -> None:
    data = tmp_path / "data.jsonl"
    rows = [{"messages": [{"role": "user", "content": "list files"}, {"role": "assistant", "content": "ls"}]}]
    recipe = yaml.safe_load((ROOT / "configs" / "train" / "smollm2-135m-cpu.yaml").read_text())
    for number, text in enumerate(ALL):
        planted = [*rows, {"messages": [{"role": "user", "content": text}]}] if where == "data" else rows
        data.write_text("".join(json.dumps(row) + "\n" for row in planted))
        path = tmp_path / f"recipe{number}.yaml"
        recipe["datasets"] = [{"path": str(data), "type": "chat_template"}]
        path.write_text((f"# {text}\n" if where == "recipe" else "") + yaml.safe_dump(recipe))
        with pytest.raises(Refused, match=r"recipe\d+\.yaml:1: " if where == "recipe" else r"data\.jsonl:2: "):
            train.refuse_credentials(path, recipe)


def test_the_command_says_where_and_not_what(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text(f"fine\n{ALL[0]}\n")
    command = [sys.executable, "-m", "eval.run.secret_patterns", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, f"{path}:2: Hugging Face token\n", "")
