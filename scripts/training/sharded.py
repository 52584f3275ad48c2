"""Recipes that split a model over GPUs or machines: linted and rehearsed here, trained by Axolotl's own command.

    engine(recipe)             "FSDP2", "DeepSpeed", "Ray", or None: one process a GPU, each with the whole model
    engine_problems(recipe)    what would end without a whole adapter, one line each
    refuse_to_train(...)       UserError with the two commands that lead to a run all the same

`make train` promises that a kill loses nothing and that a marked checkpoint is the result. Its worker proved that for
whole models only, so that these are left to `axolotl train`; `make adopt` makes a run of the adapter, and evaluation,
gates and publishing are the same from there on.
"""

import json
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_text

KEYS = {"use_ray": "Ray", "fsdp_config": "FSDP2", "deepspeed": "DeepSpeed"}  # Ray can start either of the other two
PACKAGES = {"Ray": "ray", "DeepSpeed": "deepspeed"}  # requirements-cluster.txt; FSDP2 is torch's own
LAUNCHED = {"Ray": "", "FSDP2": " --launcher torchrun", "DeepSpeed": " --launcher torchrun"}
GATHER = "stage3_gather_16bit_weights_on_model_save"


def engine(recipe: dict[str, Any]) -> str | None:
    """What distributes the training; the first of KEYS that the recipe sets."""
    return next((name for key, name in KEYS.items() if recipe.get(key)), None)


def engine_problems(recipe: dict[str, Any], root: Path = ROOT) -> list[str]:
    """One line for each setting with which no whole adapter would be left, or that the engine would ignore."""
    problems = []
    if recipe.get("fsdp_config") and recipe.get("deepspeed"):
        problems.append("deepspeed: a second way of splitting the model beside fsdp_config; keep one")
    if recipe.get("use_ray") and recipe.get("ray_num_workers") is None:
        problems.append("ray_num_workers: missing, and Ray would start one worker; set the number of GPUs")
    return problems + _fsdp(recipe) + _deepspeed(recipe, root)


def _fsdp(recipe: dict[str, Any]) -> list[str]:
    config = recipe.get("fsdp_config")
    if not config:
        return []
    if not isinstance(config, dict):
        return ["fsdp_config: must be a mapping of settings; see configs/train/qwen2.5-coder-14b-lora-fsdp2.yaml"]
    problems = []
    if recipe.get("fsdp_version") != 2:
        problems.append("fsdp_version: FSDP 1 is deprecated in Axolotl; set 2")
    if config.get("state_dict_type") != "FULL_STATE_DICT":
        problems.append(
            "fsdp_config.state_dict_type: only FULL_STATE_DICT leaves one whole adapter in a checkpoint; set it"
        )
    return problems


def _deepspeed(recipe: dict[str, Any], root: Path) -> list[str]:
    named = recipe.get("deepspeed")
    if not named:
        return []
    file = root / str(named)
    if not isinstance(named, str) or not file.resolve().is_relative_to(root.resolve()) or not file.is_file():
        return [f"deepspeed: {named} is not a file of the repository; name one, as configs/deepspeed/zero3.json"]
    try:
        zero = json.loads(read_text(file))["zero_optimization"]
        stage, gathers = int(zero["stage"]), bool(zero.get(GATHER))
    except (ValueError, TypeError, KeyError, AttributeError):
        return [f"deepspeed: {named} has no zero_optimization.stage; see configs/deepspeed/zero3.json"]
    if stage == 3 and not gathers:
        return [f"deepspeed: {named} leaves each GPU its part of the adapter only; set {GATHER} to true in it"]
    return []


def refuse_to_train(recipe: dict[str, Any], path: Path) -> None:
    """UserError for a recipe that `make train` does not train, with what does."""
    name = engine(recipe)
    if name is None:
        return
    there = path.resolve()
    file = there.relative_to(ROOT) if there.is_relative_to(ROOT) else path
    raise UserError(
        f"{path.name}: {name} is left to Axolotl's own command: `.venv/bin/axolotl train {file}{LAUNCHED[name]}`, "
        f"then `make adopt ADAPTER={recipe.get('output_dir')} RECIPE={file}` and `make eval` (docs/pods.md)"
    )
