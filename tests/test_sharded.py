"""Recipes for several GPUs and machines: what lint asks of them, and that `make train` names what trains them."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from scripts.remote.starting import new_job
from scripts.training import preflight, train
from scripts.training.exchanges import for_cpu
from scripts.training.lint_recipe import ROOT, load_recipe, resolve_recipe
from scripts.training.recipe_rules import rule_problems
from scripts.training.sharded import GATHER, KEYS, engine, engine_problems, refuse_to_train

FSDP, ZERO, RAY = (
    load_recipe(resolve_recipe(name))
    for name in ("qwen2.5-coder-14b-lora-fsdp2", "qwen2.5-coder-14b-lora-zero3", "qwen2.5-coder-7b-qlora-ray")
)
ONE_GPU = load_recipe(resolve_recipe("qwen2.5-coder-7b-qlora-24gb"))


def test_an_engine_is_known_by_its_key() -> None:
    assert [engine(recipe) for recipe in (FSDP, ZERO, RAY, ONE_GPU)] == ["FSDP2", "DeepSpeed", "Ray", None]
    assert engine(FSDP | {"use_ray": True}) == "Ray"


def test_the_shipped_ones_break_no_rule_and_learn_from_as_many_rows_as_on_one_gpu() -> None:
    for recipe in (FSDP, ZERO, RAY):
        assert rule_problems(recipe) + engine_problems(recipe) == []
        assert 2 * recipe["micro_batch_size"] * recipe["gradient_accumulation_steps"] == ONE_GPU["micro_batch_size"]


@pytest.mark.parametrize(
    ("recipe", "changes", "said"),
    [
        (FSDP, {"fsdp_version": 1}, "fsdp_version: FSDP 1 is deprecated"),
        (FSDP, {"fsdp_version": None}, "fsdp_version: FSDP 1 is deprecated"),
        (FSDP, {"fsdp_config": ["full_shard"]}, "fsdp_config: must be a mapping"),
        (FSDP, {"fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT"}}, "fsdp_config.state_dict_type: only FULL"),
        (FSDP, {"deepspeed": ZERO["deepspeed"]}, "deepspeed: a second way"),
        (
            ZERO,
            {"deepspeed": "configs/deepspeed/absent.json"},
            "absent.json is not a file of the repository",
        ),
        (ZERO, {"deepspeed": "../zero3.json"}, "deepspeed: ../zero3.json is not a file of the repository"),
        (ZERO, {"deepspeed": "README.md"}, "deepspeed: README.md has no zero_optimization.stage"),
        (ZERO, {"deepspeed": {"zero_optimization": {}}}, "is not a file of the repository"),
        (RAY, {"ray_num_workers": None}, "ray_num_workers: missing"),
    ],
)
def test_what_would_leave_no_whole_adapter_is_named(recipe: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    (problem,) = engine_problems(recipe | changes)
    assert said in problem


def test_a_zero_3_file_has_to_gather_what_it_saves(tmp_path: Path) -> None:
    settings = json.loads((ROOT / ZERO["deepspeed"]).read_text())
    del settings["zero_optimization"][GATHER]
    (tmp_path / "zero.json").write_text(json.dumps(settings))
    (problem,) = engine_problems(ZERO | {"deepspeed": "zero.json"}, tmp_path)
    assert GATHER in problem
    settings["zero_optimization"]["stage"] = 2  # whose weights are whole on every GPU
    (tmp_path / "zero.json").write_text(json.dumps(settings))
    assert engine_problems(ZERO | {"deepspeed": "zero.json"}, tmp_path) == []


@pytest.mark.parametrize(
    ("recipe", "command"),
    [(FSDP, "fsdp2.yaml --launcher torchrun`"), (ZERO, "zero3.yaml --launcher torchrun`"), (RAY, "ray.yaml`")],
)
def test_make_train_names_what_trains_it_and_what_brings_it_back(recipe: dict[str, Any], command: str) -> None:
    path = resolve_recipe(Path(recipe["output_dir"]).name)
    with pytest.raises(UserError) as refused:
        refuse_to_train(recipe, path)
    said = str(refused.value)
    assert f".venv/bin/axolotl train configs/train/{path.stem.rsplit('-', 1)[0]}-{command}" in said
    assert f"make adopt ADAPTER=outputs/{path.stem} RECIPE=configs/train/{path.name}" in said and "\n" not in said
    refuse_to_train(ONE_GPU, path)


def test_the_command_refuses_before_it_looks_for_gpus_or_makes_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "lint_recipe", lambda path: [])  # seconds of imports; test_recipes.py asks it
    with pytest.raises(UserError, match="FSDP2 is left to Axolotl's own command"):
        train.train(resolve_recipe("qwen2.5-coder-14b-lora-fsdp2"), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_rehearsal_leaves_the_engine_out_and_says_so() -> None:
    for recipe in (FSDP, ZERO, RAY):
        rehearsed, exchanges = for_cpu(recipe, "base", {})
        assert engine(rehearsed) is None and not {"fsdp_version", "ray_num_workers"} & rehearsed.keys()
        said = {exchange.key: exchange.why for exchange in exchanges}
        assert any(said.get(key) == "several GPUs" for key in KEYS)
        assert rehearsed["lora_r"] == recipe["lora_r"] and rehearsed["gradient_checkpointing"]


def test_preflight_asks_for_the_package_and_counts_the_gpus() -> None:
    """Neither package is part of the environment (requirements-cluster.txt)."""
    package, gpus = preflight.check_engine(ZERO, 1)
    assert not package.ok and package.fatal and "deepspeed is missing" in package.message
    assert "requirements-cluster.txt" in package.message
    assert not gpus.ok and not gpus.fatal and "splits a model over several" in gpus.message
    package, gpus = preflight.check_engine(FSDP, 2)
    assert package.ok and gpus.ok
    package, gpus = preflight.check_engine(RAY, 1)  # the others are of other machines
    assert "ray is missing" in package.message and gpus.ok


def test_no_machine_is_rented_for_what_it_would_refuse() -> None:
    """Neither provider nor account is asked: there is none here."""
    nobody: Any = None
    with pytest.raises(UserError, match="Ray is left to Axolotl's own command"):
        new_job(nobody, resolve_recipe("qwen2.5-coder-7b-qlora-ray"), nobody, nobody, nobody)
