"""What stands beside an adapter that somebody else trained: which files are the adapter, what is known of its training.

    folder = the_adapter(Path("outputs/mine"))      the folder with settings and weights; UserError that says why not
    recipe = recipe_of(folder, base=None)           the recipe as found, or what the adapter's settings say of it
    training_of(folder)                             train.json, from the trainer's own state

Nothing here is believed for more than it is: a report says `as found` or `unknown`. No pickle is ever opened.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eval.adapters.file_names import CONFIG, WEIGHTS
from eval.common.errors import UserError
from eval.common.reading import read_bytes
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.run.base_files import at_revision
from eval.run.files import read_json

STATE = "trainer_state.json"  # the trainer's own
PICKLED = ("adapter_model.bin", "adapter_model.pt", "pytorch_model.bin")
MODEL = ("model.safetensors", "model.safetensors.index.json")
# Axolotl writes the recipe into the card beside the adapter, behind its own version.
VERSION, FENCE, END = "\naxolotl version: ", "\n```yaml\n", "\n```"
MOST_NAMED = 5
# Of a recipe, by the setting of the adapter that says the same.
SETTINGS = {
    "r": "lora_r", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout", "target_modules": "lora_target_modules",
    "exclude_modules": "lora_exclude_modules", "modules_to_save": "lora_modules_to_save",
    "layers_to_transform": "peft_layers_to_transform", "layers_pattern": "peft_layers_pattern",
    "rank_pattern": "lora_rank_pattern", "alpha_pattern": "lora_alpha_pattern",
    "fan_in_fan_out": "lora_fan_in_fan_out", "use_rslora": "peft_use_rslora", "use_dora": "peft_use_dora",
    "ensure_weight_tying": "peft_ensure_weight_tying", "revision": "revision_of_model",
}  # fmt: skip
HEAD = "# Not a recipe that anything was trained by: what the adapter's own settings say of it.\n"


@dataclass(frozen=True)
class Recipe:
    """`text`: recipe.yaml of the run. `found`: it is the one that the adapter's folder shows."""

    text: str
    found: bool

    @property
    def values(self) -> dict[str, Any]:
        values = parse_yaml(self.text)
        return values if isinstance(values, dict) else {}


def the_adapter(folder: Path) -> Path:
    """The folder itself when it holds an adapter. UserError that says what it holds instead, and what to name."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name an adapter's folder, or org/name@revision of the Hub")
    if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
        return folder
    inside = sorted(path.parent.relative_to(folder) for path in folder.glob(f"*/{CONFIG}"))
    if inside:
        named = ", ".join(map(str, inside[:MOST_NAMED])) + (", ..." if len(inside) > MOST_NAMED else "")
        raise UserError(
            f"{folder} holds several adapters or checkpoints ({named}): name one, ADAPTER={folder / inside[-1]}"
        )
    if pickled := [name for name in PICKLED if (folder / name).is_file()]:
        raise UserError(
            f"{folder / pickled[0]} is a pickle, which can run code when it is opened: save the adapter as safetensors "
            "(PEFT's save_pretrained does)"
        )
    if any((folder / name).is_file() for name in MODEL) and not (folder / CONFIG).is_file():
        raise UserError(f"{folder} holds a whole model, no adapter: `make eval MODEL={folder} BASE=...` compares it")
    missing = CONFIG if not (folder / CONFIG).is_file() else WEIGHTS
    raise UserError(f"{folder / missing} is missing: a LoRA adapter is {CONFIG} and {WEIGHTS} side by side")


def recipe_of(folder: Path, base: str | None, given: Path | None = None) -> Recipe:
    """The recipe that was `given`, or that the card beside the adapter shows; else what the settings say.

    `base` goes before the base that recipe or settings name, with `@revision` where it has one. UserError where the
    base is not known, or the recipe is broken.
    """
    config = read_json(folder / CONFIG)
    text = read_bytes(given).decode("utf-8", errors="replace") if given else recipe_in_card(folder)
    recipe = Recipe(text, True) if text else Recipe(HEAD + said_by_settings(config), False)
    try:
        values = recipe.values
    except BrokenYaml as error:
        raise UserError(f"{given or folder / 'README.md'}: the recipe in it is broken YAML: {error}") from None
    named = {"base_model": values.get("base_model"), "revision_of_model": values.get("revision_of_model")}
    if base:
        name, revision = at_revision(base)
        named = {"base_model": name, "revision_of_model": revision or named["revision_of_model"]}
    if not named["base_model"]:
        raise UserError(f"{folder / CONFIG} names no base model: BASE= names it")
    return Recipe(with_values(recipe.text, {key: value for key, value in named.items() if value}), recipe.found)


def recipe_in_card(folder: Path) -> str:
    """The recipe that Axolotl wrote into README.md; empty where there is none."""
    card = folder / "README.md"
    text = read_bytes(card).decode("utf-8", errors="replace") if card.is_file() else ""
    _, said, rest = text.partition(VERSION)
    _, fence, rest = rest.partition(FENCE)
    recipe, end, _ = rest.partition(END)
    return recipe.rstrip("\n") + "\n" if said and fence and end else ""


def said_by_settings(config: Mapping[str, Any]) -> str:
    """What an adapter's settings say, in the words of a recipe."""
    known = {name: config[key] for key, name in SETTINGS.items() if config.get(key) not in (None, False, [], {})}
    known.setdefault("lora_dropout", 0.0)
    if isinstance(config.get("init_lora_weights"), str):
        known["peft_init_lora_weights"] = config["init_lora_weights"]
    named = {"base_model": config.get("base_model_name_or_path"), "adapter": "lora"}
    return str(yaml.safe_dump({**named, **known}, sort_keys=False, allow_unicode=True))


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """A recipe's text in which these keys have these values; untouched where they have them."""
    for key, value in values.items():
        line = yaml.safe_dump({key: value}, allow_unicode=True)
        present = re.compile(rf"^{key}:.*\n?", re.MULTILINE)
        found = parse_yaml(text)
        if isinstance(found, dict) and found.get(key) == value:
            continue
        place = present.search(text)
        text = text[: place.start()] + line + text[place.end() :] if place else text + line
    return text


def training_of(folder: Path) -> dict[str, Any]:
    """train.json of a training that was not watched: steps and losses as the trainer's own state has them, if any."""
    state = state_beside(folder)
    losses = [row for row in state.get("log_history") or [] if isinstance(row, dict)]
    curve = [[row["step"], row["loss"]] for row in losses if is_number(row.get("step")) and is_number(row.get("loss"))]
    steps = state.get("global_step")
    record: dict[str, Any] = {"completed": True, "ended": "not trained here", "curve": curve}
    if isinstance(steps, int) and not isinstance(steps, bool):
        record["steps"] = steps
    if curve:
        record["final_loss"] = curve[-1][1]
    return record


def state_beside(folder: Path) -> dict[str, Any]:
    """trainer_state.json of the adapter's folder or its newest checkpoint; empty where there is none."""
    places = [folder, *sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True)]
    for place in places:
        try:
            state = json.loads(read_bytes(place / STATE))
        except (OSError, ValueError):
            continue
        if isinstance(state, dict):
            return state
    return {}


def step_of(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100
