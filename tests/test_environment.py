"""eval.run.environment and scripts.capture_env: what a machine is, and never what its environment holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.common.places import ROOT
from eval.run import environment
from eval.run.environment import (
    KNOWN_VARIABLES,
    capture_environment,
    container,
    cuda,
    git_state,
    gpus,
    uncommitted_inputs,
)
from scripts import capture_env
from scripts.remote import code
from scripts.training import preflight
from tests.run_builder import assert_one_line, call


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.txt").write_text("one\n")
    (folder / ".gitignore").write_text("ignored\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_everything_is_there_and_is_json() -> None:
    found = json.loads(json.dumps(capture_environment(), allow_nan=False))
    assert {"git", "python", "machine", "gpus", "cuda", "container", "packages", "cpu_features"} <= found.keys()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["machine"]["cores"] == os.cpu_count() and found["machine"]["memory_gb"] > 0
    assert found["machine"]["kernel"] == os.uname().release and found["packages"]["pydantic"]
    assert len(found["git"]["commit"]) == 40


def test_no_value_of_the_environment_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = {name: f"planted-{number}-Zq7" for number, name in enumerate((*KNOWN_VARIABLES, "HF_TOKEN", "MY_SECRET"))}
    for name, value in planted.items():
        if name not in ("LD_PRELOAD", "GLIBC_TUNABLES"):  # the loader would complain about them
            monkeypatch.setenv(name, value)
    text = json.dumps(capture_environment())
    assert "planted-" not in text and "HF_TOKEN" not in text and "MY_SECRET" not in text
    assert "CUDA_VISIBLE_DEVICES" in text


def test_variables_that_are_not_set_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KNOWN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert capture_environment()["variables_set"] == []


def test_the_digest_follows_every_change_of_the_tree(checkout: Path) -> None:
    clean = git_state(checkout)
    assert clean["dirty"] is False and clean["diff_sha256"] is None
    seen = set()
    for name, content in (("a.txt", b"two\n"), ("a.txt", b"\xff\xfe latin"), ("new.txt", b"x"), ("new.txt", b"y")):
        (checkout / name).write_bytes(content)
        state = git_state(checkout)
        assert state["dirty"] is True and state["commit"] == clean["commit"]
        seen.add(state["diff_sha256"])
    assert len(seen) == 4
    git(checkout, "checkout", "a.txt")
    (checkout / "new.txt").unlink()
    (checkout / "ignored").write_text("x")
    assert git_state(checkout) == clean


def test_inputs_that_head_has_otherwise_are_named(checkout: Path) -> None:
    assert uncommitted_inputs(checkout) == []
    for name in ("data/rows.jsonl", "configs/eval/mine.yaml", "notes.txt"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("x")
    assert uncommitted_inputs(checkout) == ["configs/eval/mine.yaml", "data/rows.jsonl"]


def test_looking_at_the_tree_writes_nothing_into_it(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git refreshes its index in passing: killed there, it leaves a lock, and the user's next commit fails."""
    index = (checkout / ".git" / "index").read_bytes()
    os.utime(checkout / "a.txt", (1, 1))  # the index is out of date, and nothing has changed
    monkeypatch.setattr(code, "ROOT", checkout)
    monkeypatch.setattr(preflight, "ROOT", checkout)
    assert git_state(checkout)["dirty"] is False and uncommitted_inputs(checkout) == []
    assert code.git("status", "--porcelain") == "" and preflight.check_git(checkout / "r.yaml").ok
    assert (checkout / ".git" / "index").read_bytes() == index
    git(checkout, "status")
    assert (checkout / ".git" / "index").read_bytes() != index


def test_outside_a_checkout_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {"commit": None, "dirty": None, "diff_sha256": None}


def test_gpus_and_cuda_as_the_drivers_tool_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool's own output on a machine with two GPUs, replayed: this machine may have none."""
    tool(
        tmp_path,
        "nvidia-smi",
        'if [ "$1" = -q ]; then echo "Driver Version : 570.86.10"; echo "CUDA Version                 : 12.8"; else\n'
        'echo "NVIDIA H200, 143771, 570.86.10, 9.0"; echo "NVIDIA H200, 143771, 570.86.10, 9.0"; fi',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    card = {"name": "NVIDIA H200", "memory_mib": 143771, "driver": "570.86.10", "compute_capability": "9.0"}
    assert gpus() == [card, card] and cuda()["driver"] == "12.8"


@pytest.mark.parametrize("script", ["exit 9", "echo 'NVIDIA-SMI has failed'", "echo 'x, [N/A], y, z'"])
def test_a_driver_that_does_not_answer_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tool(tmp_path, "nvidia-smi", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpus() == [] and cuda()["driver"] is None


@pytest.mark.parametrize(
    ("image", "podman", "expected"),
    [
        ("ghcr.io/me/tuner@sha256:" + "a" * 64, None, (None, "ghcr.io/me/tuner", "sha256:" + "a" * 64)),
        (None, 'engine="podman-4"\nimage="docker.io/x:1"\nimageid="abc"\n', ("podman", "docker.io/x:1", "abc")),
        (None, "", ("podman", None, None)),
    ],
)
def test_the_image_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str | None, podman: str | None, expected: tuple[str, ...]
) -> None:
    for name, text in (("IMAGE_FILE", image), ("PODMAN_FILE", podman)):
        file = tmp_path / name
        if text is not None:
            file.write_text(text)
        monkeypatch.setattr(environment, name, file)
    found = container()
    assert found is not None
    kind, *rest = expected
    assert [found["image"], found["digest"]] == rest and (kind is None or found["kind"] == kind)


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "environment.json"
    code, out, _ = call(capture_env.main, ["--out", str(target)], capsys)
    assert code == 0 and str(target) in out
    code, out, _ = call(capture_env.main, [], capsys)
    assert code == 0 and json.loads(out)["packages"] == json.loads(target.read_text())["packages"]
    code, _, err = call(capture_env.main, ["--out", str(tmp_path / "no" / "folder")], capsys)
    assert code == 2
    assert_one_line(err, "cannot be written")


@pytest.mark.slow
def test_it_starts_without_torch() -> None:
    code = "import sys; from eval.run import environment as e; e.capture_environment(); exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
