"""adapter_config.json as an allow-list: every key that PEFT 0.20 reads has a rule here, and no other key goes up.

    check_config(path, config, recipe)      Refused (exit 1), with the key and why

PEFT builds the adapter by this file, so a value can import a module (`megatron_core`), fetch other people's adapters
(`peft_type: XLORA`), rewrite the base on loading (`init_lora_weights: pissa`) or change what was measured
(`lora_alpha`). Allowed is a plain LoRA adapter of a causal language model; whatever the recipe can set has to be as the
recipe set it. tests/test_adapter_config.py holds the rules against PEFT's own list of fields.

Not protected against: a later PEFT that gives an allowed value another meaning.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.adapters.name_patterns import bounded_pattern
from eval.common.errors import Refused

LARGEST_BYTES = 256 << 10  # of the file; PEFT writes 1 to 2 KB, a rank for every matrix some 50
MOST_NAMES, LONGEST_NAME = 2000, 200
VERSION = re.compile(r"[0-9][0-9A-Za-z.+@-]{0,63}")
MODULE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
TRANSFORMERS = re.compile(r"transformers\.models(\.[a-z0-9_]+){1,3}")
HARMLESS_INIT = ("gaussian", "orthogonal")  # others rewrite the base's weights, or ask for data
Rule = Callable[[Any, dict[str, Any]], bool]


def absent(value: Any) -> bool:
    """Whether a value says nothing: PEFT and Axolotl write null, false or an empty collection alike."""
    return value is None or value is False or value == [] or value == {}


def unset(value: Any, recipe: dict[str, Any]) -> bool:
    return absent(value)


def same(value: Any, asked: Any) -> bool:
    """Equal in value and kind (1 is not True), where anything was asked for."""
    if absent(asked):
        return absent(value)
    return isinstance(value, bool) == isinstance(asked, bool) and bool(value == asked)


def switch(key: str) -> Rule:
    """True or false, as the recipe says under a key."""
    return lambda value, recipe: (absent(value) or value is True) and same(value, recipe.get(key))


def is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NAME and MODULE.fullmatch(value) is not None


def is_names(value: Any) -> bool:
    """A list of module names, or one bounded pattern."""
    if isinstance(value, list):
        return 0 < len(value) <= MOST_NAMES and all(map(is_name, value)) and len(set(value)) == len(value)
    return value == "all-linear" or bounded_pattern(value)


def targets(value: Any, recipe: dict[str, Any]) -> bool:
    """The modules that the recipe names. With `lora_target_linear` Axolotl adds those it finds in the base."""
    asked = recipe.get("lora_target_modules") or []
    if not is_names(value) or isinstance(value, str):
        return is_names(value) and value == asked and not recipe.get("lora_target_linear")
    if asked == "all-linear":  # PEFT writes the names that it found
        return True
    named = {asked} if isinstance(asked, str) else set(map(str, asked))
    return named <= set(value) if recipe.get("lora_target_linear") else named == set(value)


def names(key: str) -> Rule:
    """The recipe's names under a key, in any order, or its pattern; nothing where it says nothing."""

    def rule(value: Any, recipe: dict[str, Any]) -> bool:
        asked = recipe.get(key)
        if isinstance(value, list) and isinstance(asked, list) and value:
            return is_names(value) and sorted(value) == sorted(map(str, asked))
        return same(value, asked) and (absent(value) or is_names(value))

    return rule


def layers(value: Any, recipe: dict[str, Any]) -> bool:
    """Numbers of layers, as the recipe lists them."""
    found, asked = as_list(value), as_list(recipe.get("peft_layers_to_transform"))
    return len(found) <= MOST_NAMES and all(type(one) is int and 0 <= one < 10_000 for one in found) and found == asked


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def patterns(key: str) -> Rule:
    """Numbers by pattern of module names, as the recipe has them."""

    def rule(value: Any, recipe: dict[str, Any]) -> bool:
        found = value or {}
        if not isinstance(found, dict) or len(found) > MOST_NAMES or not same(value, recipe.get(key)):
            return False
        return all(map(bounded_pattern, found)) and all(map(is_number, found.values()))

    return rule


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1_000_000


def mapping(value: Any, recipe: dict[str, Any]) -> bool:
    """Nothing, or a class of transformers' own, which Unsloth writes down and nobody who states a task type reads."""
    if absent(value):
        return True
    known = isinstance(value, dict) and value.keys() <= {"base_model_class", "parent_library", "unsloth_fixed"}
    library = str(value.get("parent_library")) if known else ""
    return bool(TRANSFORMERS.fullmatch(library)) and is_name(value.get("base_model_class"))


def rank(value: Any, recipe: dict[str, Any]) -> bool:
    return type(value) is int and 0 < value <= 65_536 and bool(value == recipe.get("lora_r"))


def alpha(value: Any, recipe: dict[str, Any]) -> bool:
    return is_number(value) and bool(value == recipe.get("lora_alpha"))


def dropout(value: Any, recipe: dict[str, Any]) -> bool:
    return (value == 0 or is_number(value)) and value is not False and value == (recipe.get("lora_dropout") or 0.0)


def initialised(value: Any, recipe: dict[str, Any]) -> bool:
    """A way to initialise that leaves the base as it is, and is the recipe's."""
    asked = recipe.get("peft_init_lora_weights") or True
    return value is True if asked is True else value in HARMLESS_INIT and value == asked


# What each key may hold, and what is said of one that holds something else.
AS_TRAINED = "is not what recipe.yaml trained with"
RULES: dict[str, tuple[Rule, str]] = {
    "peft_type": (lambda value, _: value == "LORA", "is another method than LORA, the only one that is published"),
    "task_type": (lambda value, _: value in (None, "CAUSAL_LM"), "is not CAUSAL_LM, as which the adapter was measured"),
    "auto_mapping": (mapping, "names code to run on loading"),
    "base_model_name_or_path": (lambda value, _: isinstance(value, str) and len(value) <= 4096, "is no name"),
    "revision": (lambda value, recipe: value in (None, recipe.get("revision_of_model")), AS_TRAINED),
    "peft_version": (lambda value, _: isinstance(value, str) and bool(VERSION.fullmatch(value)), "is no version"),
    "inference_mode": (lambda value, _: isinstance(value, bool), "is not true or false"),
    "r": (rank, AS_TRAINED),
    "lora_alpha": (alpha, AS_TRAINED),
    "lora_dropout": (dropout, AS_TRAINED),
    "target_modules": (targets, AS_TRAINED),
    "exclude_modules": (names("lora_exclude_modules"), AS_TRAINED),
    "modules_to_save": (names("lora_modules_to_save"), AS_TRAINED),
    "layers_to_transform": (layers, AS_TRAINED),
    "layers_pattern": (names("peft_layers_pattern"), AS_TRAINED),
    "rank_pattern": (patterns("lora_rank_pattern"), AS_TRAINED),
    "alpha_pattern": (patterns("lora_alpha_pattern"), AS_TRAINED),
    "fan_in_fan_out": (switch("lora_fan_in_fan_out"), AS_TRAINED),
    "use_rslora": (switch("peft_use_rslora"), AS_TRAINED),
    "use_dora": (switch("peft_use_dora"), AS_TRAINED),
    "ensure_weight_tying": (switch("peft_ensure_weight_tying"), AS_TRAINED),
    "init_lora_weights": (initialised, "rewrites the base on loading, or is not what recipe.yaml trained with"),
    "bias": (lambda value, _: value in (None, "none"), "trains the base's biases, which are not measured apart"),
    "megatron_config": (unset, "names code to run on loading"),
    "megatron_core": (lambda value, _: value in (None, "megatron.core"), "names a module to import"),
    "qalora_group_size": (lambda value, _: type(value) is int and 0 < value <= 65_536, "is no number of columns"),
    "loftq_config": (unset, "rewrites the base on loading"),
    "trainable_token_indices": (unset, "trains tokens beside the matrices, which is not published here"),
    "target_parameters": (unset, "adapts parameters outside of modules, which is not published here"),
    "alora_invocation_tokens": (unset, "acts on some prompts only, and those were not measured"),
    "layer_replication": (unset, "builds another base out of the base's layers"),
    **dict.fromkeys(
        ("eva_config", "corda_config", "lora_ga_config", "velora_config", "monteclora_config", "arrow_config"),
        (unset, "belongs to a variant of LoRA that is not published here"),
    ),
    **dict.fromkeys(
        ("use_qalora", "use_bdlora", "lora_bias"), (unset, "is a variant of LoRA that is not published here")
    ),
}
NEEDED = ("peft_type", "base_model_name_or_path", "r", "lora_alpha", "target_modules")
# Left out, a key has PEFT's default, which need not be what was trained.
DEFAULTS: dict[str, Any] = {"lora_dropout": 0.0, "init_lora_weights": True}


def check_config(path: Path, config: dict[str, Any], recipe: dict[str, Any]) -> None:
    """Refused at the first key that PEFT 0.20 does not know, that is missing, or whose value is not allowed."""
    if path.stat().st_size > LARGEST_BYTES:
        raise Refused(f"{path} is larger than {LARGEST_BYTES >> 10} KB: no adapter's settings are")
    method, of_another = RULES["peft_type"]
    if not method(config.get("peft_type"), recipe):  # whose other settings are its own
        raise Refused(f"{path}: peft_type: {shown(config.get('peft_type'))} {of_another}")
    for key in config:
        if key not in RULES:
            raise Refused(f"{path}: {shown(key)} is not a setting of a LoRA adapter that PEFT 0.20 knows: remove it")
    for key in NEEDED:
        if key not in config:
            raise Refused(f"{path}: {key} is missing: restore the file that training wrote")
    for key, (rule, complaint) in RULES.items():
        default = DEFAULTS.get(key)
        if (key in config or key in DEFAULTS or complaint == AS_TRAINED) and not rule(config.get(key, default), recipe):
            raise Refused(f"{path}: {key}: {shown(config.get(key, default))} {complaint}: restore it, or train again")


def shown(value: Any) -> str:
    """A value as an error may show it: one short line, nothing invisible."""
    text = repr(value)
    return text if len(text) <= 80 and text.isprintable() else f"{text[:60].encode('unicode_escape').decode()}..."
