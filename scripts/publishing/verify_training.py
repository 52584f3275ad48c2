"""Is what a run says of its training so? Recipe and record, each held against what has it too. Raises Refused.

    check_record(folder, state, recipe)                  train.json and resolved.yaml against the recipe
    notes = recipe_notes(folder, state)                  is the recipe one of the repository's?

Not derived: losses, seconds and memory, which only the training saw. The card calls them recorded.
"""

import hashlib
from pathlib import Path
from typing import Any

from eval.common.errors import Refused
from eval.common.places import ROOT
from eval.run.digests import file_sha256
from eval.run.files import read_json
from eval.run.folder import read_resolved
from scripts.publishing.committed import RECIPES, committed_bytes, committed_files, differs_from_head

# What decides a training, as recipe and resolved.yaml both have it.
DECIDING = (
    "base_model", "adapter", "learning_rate", "lr_scheduler", "optimizer", "num_epochs", "max_steps", "seed",
    "micro_batch_size", "gradient_accumulation_steps", "sequence_len", "weight_decay", "warmup_ratio", "warmup_steps",
    "lora_r", "lora_alpha", "lora_dropout", "lora_target_linear", "peft_use_dora", "peft_use_rslora",
)  # fmt: skip
STEADY = ("cosine", "linear", "constant", "constant_with_warmup")  # schedules that reach the recipe's learning rate
FEWEST_POINTS = 10  # logged learning rates from which on the highest must be near the recipe's


def check_record(folder: Path, state: dict[str, Any], recipe: dict[str, Any]) -> None:
    """Refused where train.json, run.json or resolved.yaml contradict the recipe."""
    file, record = folder / "train.json", read_json(folder / "train.json")
    for what, recorded, asked in (
        ("seed of run.json", state.get("seed", recipe.get("seed")), recipe.get("seed")),
        ("epochs of train.json", record.get("epochs", recipe.get("num_epochs")), recipe.get("num_epochs")),
    ):
        if recorded != asked:
            raise Refused(f"{folder / 'recipe.yaml'}: {what} are {recorded}, the recipe says {asked}: train again")
    curve, steps = record.get("curve") or [], record.get("steps")
    if curve and (record.get("final_loss", curve[-1][1]) != curve[-1][1] or not 0 < curve[-1][0] <= (steps or 0)):
        raise Refused(f"{file}: final_loss and steps are not those of its curve: train again")
    check_learning_rate(file, record, recipe)
    check_resolved(folder, recipe)


def number(value: Any) -> Any:
    """A number that YAML took for a text (`2e-4` is one to it) as a number; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def check_learning_rate(file: Path, record: dict[str, Any], recipe: dict[str, Any]) -> None:
    """Refused when the trainer logged a learning rate that the recipe's cannot give."""
    asked, logged = number(recipe.get("learning_rate")), (record.get("series") or {}).get("learning_rate") or []
    if not isinstance(asked, int | float) or not logged:
        return
    highest = max(value for _, value in logged)
    far = len(logged) >= FEWEST_POINTS and recipe.get("lr_scheduler") in STEADY and highest < asked / 2
    if highest > asked * (1 + 1e-6) or far:
        raise Refused(f"{file}: a learning rate of {highest:g} was logged, and recipe.yaml says {asked:g}: train again")


def check_resolved(folder: Path, recipe: dict[str, Any]) -> None:
    """Refused when resolved.yaml, what Axolotl made of the recipe, says another thing of what decides a training."""
    file, resolved = folder / "resolved.yaml", read_resolved(folder)
    for key in DECIDING:
        if recipe.get(key) is not None and key in resolved and number(resolved[key]) != number(recipe[key]):
            raise Refused(f"{file}: {key} is {resolved[key]!r}, and recipe.yaml says {recipe[key]!r}: train again")


def recipe_notes(folder: Path, state: dict[str, Any]) -> list[str]:
    """What the card has to say of a recipe: whether the repository has committed these bytes, and under which name."""
    digest, commit = file_sha256(folder / "recipe.yaml"), str((state.get("git") or {}).get("commit"))
    name = committed_files(RECIPES, ROOT).get(digest)
    if name is not None:
        return [f"The recipe is committed as {RECIPES}/{name}.yaml."]
    path = ROOT / RECIPES / f"{state.get('recipe')}.yaml"
    old = committed_bytes(commit, path, ROOT)
    if old is not None and hashlib.sha256(old).hexdigest() == digest and differs_from_head(path, digest, ROOT):
        return [f"The recipe is committed as {RECIPES}/{path.name}, as of commit {commit[:12]}; HEAD has another."]
    return ["The recipe is not committed in this repository."]
