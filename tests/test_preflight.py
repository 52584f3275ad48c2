"""A machine that cannot train the recipe is refused, with the reason, before anything is loaded."""

import os
from pathlib import Path

import pytest

from scripts.training import preflight as pre
from scripts.training.lint_recipe import load_recipe, resolve_recipe

gpu_only = pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="needs a GPU")


def checks_of(name: str) -> dict[str, pre.Check]:
    path = resolve_recipe(name)
    return {check.name: check for check in pre.preflight(load_recipe(path), path)}


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU, whatever this one has."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.mark.slow
@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_recipe_is_refused_without_a_gpu() -> None:
    device = checks_of("qwen2.5-coder-7b-qlora-24gb")["device"]
    assert not device.ok and device.fatal
    assert "meant for a GPU" in device.message


@pytest.mark.slow
@pytest.mark.usefixtures("no_gpu")
def test_the_command_exits_2_and_names_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert pre.main(["smollm3-3b-qlora"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL device: ")
    assert lines[-1] == "not fit for smollm3-3b-qlora: device"


@pytest.mark.gpu
@gpu_only
def test_a_gpu_is_named_with_its_memory() -> None:
    device = checks_of("qwen2.5-coder-7b-qlora-24gb")["device"]
    assert device.ok and "GB" in device.message and "sm_" in device.message


@pytest.mark.slow
def test_the_demo_needs_no_gpu() -> None:
    checks = checks_of("smollm2-135m-cpu")
    assert checks["device"].ok and "CPU recipe" in checks["device"].message
    assert checks["disk"].ok


def test_a_gpu_without_bf16_is_refused() -> None:
    recipe = {"bf16": True, "attn_implementation": "flash_attention_2"}
    checks = pre.check_formats(recipe, "Tesla T4", (7, 5))
    assert [(check.name, check.ok, check.fatal) for check in checks] == [
        ("bf16", False, True),
        ("attention", False, True),
    ]
    assert "capability 7.5" in checks[0].message
    assert pre.check_formats(recipe, "A100", (8, 0))[0].ok


def test_the_driver_its_cuda_and_torchs_are_printed_and_must_go_together() -> None:
    (good,) = pre.check_driver("580.95.05", {"driver": "13.0", "torch": "13.0"})
    assert good.ok and good.message == "driver 580.95.05, which knows CUDA 13.0; torch is built for CUDA 13.0"
    (minor,) = pre.check_driver("570.124.06", {"driver": "12.8", "torch": "12.9"})
    assert minor.ok
    (old,) = pre.check_driver("570.124.06", {"driver": "12.8", "torch": "13.0"})
    assert not old.ok and old.fatal and "needs driver 580 or newer" in old.message and "make setup" in old.message
    (without,) = pre.check_driver("570.124.06", {"driver": "12.8", "torch": None})
    assert not without.ok and "built for CPUs" in without.message
    assert pre.check_driver(None, {"driver": None, "torch": None}) == []


class Card:
    """A GPU as torch describes it."""

    name, total_memory, major, minor = "RTX 4090", 24 * 2**30, 8, 9


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod with two cards, a driver that fits, and a quota of 4 cores."""
    import torch

    ones = torch.ones
    for name, value in {
        "is_available": True,
        "device_count": 2,
        "mem_get_info": (23 * 2**30, 24 * 2**30),
        "get_device_properties": Card,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch, "ones", lambda *size, device: ones(*size))
    monkeypatch.setattr(pre, "nvidia_driver", lambda: "570.124.06")
    monkeypatch.setattr(pre, "cuda", lambda: {"driver": "12.8", "torch": "12.8"})
    monkeypatch.setattr(pre, "cores", lambda: 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.slow
@pytest.mark.usefixtures("two_gpus")
def test_of_two_gpus_both_are_used_and_what_that_makes_of_the_batch_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    checks = checks_of("qwen2.5-coder-7b-qlora-24gb")
    assert checks["driver"].ok and checks["bf16"].ok
    assert "RTX 4090, 24 GB, sm_89, 23 GB free; 4 of the host's 64 cores" in checks["device"].message
    assert checks["GPUs"].message == (
        "2 are visible; training is on 2 GPUs (0, 1), one process each: effective batch 4 x 1 x 2 = 8 rows a step, "
        "not 4; GPUS=1 keeps 4"
    )


def test_a_missing_local_model_says_how_to_make_it() -> None:
    check = pre.check_local_model("models/absent")
    assert not check.ok and check.fatal and check.message == "models/absent is not there; run `make model`"


def test_a_local_model_without_weights_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "has no weights" in pre.check_local_model(str(tmp_path)).message


def test_too_small_a_disk_is_refused() -> None:
    check = pre.check_disk("results", pre.ROOT / "results" / "not" / "yet", needed=10**9)
    assert not check.ok and check.fatal and "free some" in check.message


def test_the_disks_that_will_be_used_are_looked_at_and_not_the_one_a_recipe_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    real = pre.check_disk
    monkeypatch.setattr(pre, "check_disk", lambda name, folder, gib: looked.append(folder) or real(name, folder, gib))
    monkeypatch.setattr(pre.tempfile, "gettempdir", lambda: str(tmp_path))
    assert all(check.name == "disk" for check in pre.check_disks(1))
    assert looked == [pre.ROOT / "results", pre.ROOT / "prepared", tmp_path]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dead").symlink_to("nowhere")
    for place in (tmp_path / "file" / "x", tmp_path / "loop", tmp_path / "dead", tmp_path / "loop" / "x"):
        check = pre.check_disk("results", place, needed=0)
        assert not check.ok and check.fatal, check


def test_a_hub_model_is_only_a_warning_and_the_token_stays_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_thisisnotatoken")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    recipe = {"revision_of_model": "0" * 40}
    check = pre.check_hub_model(recipe, "org/absent")
    assert not check.ok and not check.fatal
    assert "a token is set" in check.message and "hf_this" not in str(check)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in pre.check_hub_model(recipe, "org/absent").message


def test_an_unclean_tree_is_only_a_warning() -> None:
    check = pre.check_git(Path("recipe.yaml"))
    assert not check.fatal
