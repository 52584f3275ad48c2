"""A tiny model with random weights that stands in for a recipe's base: the same architecture, the base's own tokenizer.

    base = build(recipe, folder)     -> StandIn(folder, "Qwen2ForCausalLM, 2 layers", "config and tokenizer of ...")

config.json and tokenizer come from the base's folder, the Hub's cache, or the Hub. Where none of them has it, the
architecture is the one that the recipe's name of the base begins with, with the embedded model's tokenizer, and
`source` says so: what depends on the real tokenizer and template is then not rehearsed.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.hub_access import reach
from eval.common.places import ROOT
from scripts.training.recipe_base import base_folder

EMBEDDED = Path("models/SmolLM2-135M-Instruct")
LAYERS = 2
# Widths are multiples of 64, the block that 4-bit weights are quantised by.
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "moe_intermediate_size": 64,
    "num_nextn_predict_layers": 0,
}
OTHER_NAMES = {"smollm2": "llama", "smollm": "llama", "tinyllama": "llama", "phi35": "phi3", "phi4": "phi3"}


@dataclass(frozen=True)
class StandIn:
    """`at_hand`: whether config and tokenizer are those of the recipe's base."""

    folder: Path
    what: str
    source: str
    at_hand: bool


def build(recipe: dict[str, Any], folder: Path) -> StandIn:
    """Write the stand-in to `folder`. UserError for an architecture that cannot be built small."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, revision = str(recipe["base_model"]), recipe.get("revision_of_model")
    place, source = where_config_is(recipe)
    if place is not None:
        given = {} if Path(place).is_dir() else {"revision": revision, "local_files_only": "cache" in source}
        config, tokenizer = small_config(place, given), AutoTokenizer.from_pretrained(place, **given)
    else:
        config, tokenizer = named_config(base), AutoTokenizer.from_pretrained(ROOT / EMBEDDED)
    config.vocab_size = len(tokenizer)
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    torch.manual_seed(0)
    try:
        model = AutoModelForCausalLM.from_config(config)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"base_model: no small {config.model_type} can be built ({first_line(error)})") from error
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return StandIn(folder, f"{type(model).__name__}, {LAYERS} layers, random weights", source, place is not None)


def where_config_is(recipe: dict[str, Any]) -> tuple[str | None, str]:
    """What from_pretrained may be given, and words for it; None where nothing is at hand."""
    import os

    from huggingface_hub import try_to_load_from_cache

    base, revision = str(recipe["base_model"]), recipe.get("revision_of_model")
    if folder := base_folder(recipe, ROOT):
        return str(folder), f"config and tokenizer of {base}"
    if isinstance(try_to_load_from_cache(base, "config.json", revision=revision), str) and isinstance(
        try_to_load_from_cache(base, "tokenizer_config.json", revision=revision), str
    ):
        return base, f"config and tokenizer of {base}, from the Hub's cache"
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        why = "HF_HUB_OFFLINE is set"
    elif problem := reach(base, revision):
        why = problem
    else:
        return base, f"config and tokenizer of {base}, from the Hub"
    return None, f"{base} is not at hand ({why}): its name's architecture, with the tokenizer of {EMBEDDED.name}"


def small_config(place: str, given: dict[str, Any]) -> Any:
    """The base's own config, with fewer and narrower layers. Lists with one entry a layer are shortened."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(place, **given)
    many = getattr(config, "num_hidden_layers", None)
    for name, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == many:
            setattr(config, name, value[-LAYERS:])
        elif name in SMALL and value is not None:
            setattr(config, name, SMALL[name])
    return config


def named_config(base: str) -> Any:
    """A small config of the architecture that the base's name begins with; Llama's for a name that says nothing."""
    from transformers import CONFIG_MAPPING, AutoConfig

    said = re.sub(r"[^a-z0-9]", "", base.split("/")[-1].lower())
    names = {**{re.sub(r"[^a-z0-9]", "", name): name for name in CONFIG_MAPPING}, **OTHER_NAMES}
    begins = [short for short in names if said.startswith(short) and len(short) > 3]
    kind = names[max(begins, key=len)] if begins else "llama"
    return AutoConfig.for_model(kind, **{name: value for name, value in SMALL.items() if "expert" not in name})


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]
