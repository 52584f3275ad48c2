"""What Axolotl's own schema says about a recipe, for a named GPU, on a machine without one.

    asked_of_axolotl(recipe, 89, root)  ->  ["lora_rnak: unknown key, did you mean lora_r?", ...]

Axolotl drops a key it does not know without a word, at every depth: `lora_rnak: 32` trains with the default
rank. So its pydantic classes, those of the recipe's plugins included, are walked for names before Axolotl
is asked about the values. Nothing here needs the network, loads a model or writes a file. One trace stays
behind: huggingface_hub, imported first by this module, is offline for the rest of the process (child
processes are not), so train and download in another process.
"""

import contextlib
import copy
import difflib
import io
import logging
import os
import types
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError

from scripts.training.recipe_base import base_problems
from scripts.training.sharded import engine

LORA_KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel")


def asked_of_axolotl(recipe: dict[str, Any], capability: int | None, root: Path, wrong: bool) -> list[str]:
    """Unknown keys, then what Axolotl rejects; `capability` is 86 for sm_86, None for a CPU.

    Base and rows are tried (scripts/training/recipe_base.py) only when nothing else is wrong, here or before (`wrong`).
    """
    with _quiet_and_offline():
        import torch
        from axolotl.utils.config import validate_config
        from axolotl.utils.dict import DictDefault

        # Without plugins this import, 3 s of PEFT, is not needed
        problems = _register_plugins(recipe) if recipe.get("plugins") else []
        if problems:
            return problems
        problems += _unknown_in_model(recipe, _input_class(recipe), "", {"datasets": _dataset_type(recipe)})
        torch_version = str(torch.__version__).split("+", maxsplit=1)[0]
        cuda_available = torch.cuda.is_available
        # With a GPU here Axolotl would look for a flash-attn build on the Hub. The question is about the
        # recipe and the named GPU, whatever machine this is.
        torch.cuda.is_available = lambda: False
        try:
            config = DictDefault(copy.deepcopy(recipe))
            capabilities = _capabilities(capability, gpus=2 if engine(recipe) else 1)
            resolved = validate_config(config, capabilities, {"torch_version": torch_version})
        except ValidationError as error:
            return problems + _validation_problems(error, recipe)
        except Exception as error:  # its validators also raise TypeError, AttributeError, DeprecationWarning...
            return [*problems, f"recipe: Axolotl refuses it: {_one_line(error)}"]
        finally:
            torch.cuda.is_available = cuda_available
        if not problems and not wrong:
            problems += base_problems(recipe, resolved, root)
    if capability is None:
        problems += [
            f"{key}: the LoRA kernels turn themselves on and need CUDA; set all four lora_*_kernel to false"
            for key in LORA_KERNELS
            if resolved.get(key)
        ][:1]
    return problems


def _capabilities(capability: int | None, gpus: int) -> dict[str, Any]:
    """What Axolotl would have probed on such GPUs (axolotl.cli.config.gpu_capabilities)."""
    newer_than = capability or 0
    return {
        "bf16": newer_than >= 80,
        "tf32": newer_than >= 80,
        "fp8": newer_than >= 90,
        "n_gpu": 0 if capability is None else gpus,
        "compute_capability": None if capability is None else f"sm_{capability}",
    }


def _register_plugins(recipe: dict[str, Any]) -> list[str]:
    """Load this recipe's plugins and no others; returns what keeps one from loading."""
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.config import prepare_plugins
    from axolotl.utils.dict import DictDefault

    loaded = PluginManager.get_instance().plugins
    loaded.clear()  # a singleton: the plugins of the recipe linted before would lend their keys to this one
    names = recipe["plugins"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ["plugins: must be a list of class names; write `- package.module.Plugin`"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            prepare_plugins(DictDefault(copy.deepcopy(recipe)))
        except Exception as error:  # code of a plugin: a missing class, or whatever it raises on this recipe
            return [f"plugins: {_one_line(error)}; check the name, and what the plugin requires"]
    absent = [name for name in names if name not in loaded]  # Axolotl prints the ImportError and goes on
    return [f"plugins: cannot import {name}; check the name and that its package is installed" for name in absent]


def _input_class(recipe: dict[str, Any]) -> type[BaseModel]:
    """Axolotl's input class, with the fields of the recipe's plugins, which must be registered."""
    from axolotl.integrations.config import merge_input_args
    from axolotl.utils.schemas.config import AxolotlInputConfig

    return merge_input_args()[1] if recipe.get("plugins") else AxolotlInputConfig


def _dataset_type(recipe: dict[str, Any]) -> Any:
    """The class Axolotl makes of an entry of `datasets`; the schema's union of five would accept any key."""
    from axolotl.utils.schemas.datasets import DPODataset, KTODataset, SFTDataset

    if recipe.get("rl") in ("dpo", "ipo", "simpo"):
        return list[DPODataset]
    return list[KTODataset] if recipe.get("rl") == "kto" else list[SFTDataset]


def _unknown_in_model(
    value: dict[Any, Any], model: type[BaseModel], path: str, override: dict[str, Any] | None = None
) -> list[str]:
    """Keys of `value` that no field of `model` reads, and those below, as `path.key: what`."""
    if model.model_config.get("extra") == "allow":
        return []
    known = {**_key_names(model), **(override or {})}
    problems = []
    for key, item in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key in known:
            problems += _unknown_keys(item, known[key], where)
        else:
            near = _nearest(str(key), known)
            hint = f", did you mean {near}?" if near else "; remove it, or see `axolotl config-schema`"
            problems.append(f"{where}: unknown key{hint}")
    return problems


def _nearest(key: str, known: Iterable[str]) -> str | None:
    """The known name most like `key`, preferring its first word: lora_rank is lora_r, not local_rank."""
    near = difflib.get_close_matches(key, known, n=5, cutoff=0.6)
    same_word = [name for name in near if name.split("_")[0] == key.split("_")[0]]
    return next(iter(same_word + near), None)


def _unknown_keys(value: Any, annotation: Any, path: str) -> list[str]:
    """The unknown keys below `value`. Where a union allows several classes, the one that fits best counts."""
    readings: list[list[str]] = []
    for kind in _alternatives(annotation):
        origin, args = get_origin(kind), get_args(kind)
        if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, BaseModel):
            readings.append(_unknown_in_model(value, kind, path))
        elif isinstance(value, dict) and origin is dict:
            readings.append([line for k, item in value.items() for line in _unknown_keys(item, args[1], f"{path}.{k}")])
        elif isinstance(value, list) and origin is list:
            readings.append(
                [line for i, item in enumerate(value) for line in _unknown_keys(item, args[0], f"{path}[{i}]")]
            )
    return min(readings, key=len, default=[])


def _alternatives(annotation: Any) -> list[Any]:
    """`Annotated[A | B, ...] | None` -> [A, B, NoneType]."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [annotation]


def _key_names(model: type[BaseModel]) -> dict[str, Any]:
    """Every spelling under which `model` reads a field, and that field's type."""
    names: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        spellings: list[Any] = [name, field.alias, field.validation_alias]
        if isinstance(field.validation_alias, AliasChoices):
            spellings += field.validation_alias.choices
        if model.__name__ == "FSDPConfig":  # Axolotl strips the old prefix before it validates
            spellings.append(f"fsdp_{name}")
        names.update({spelling: field.annotation for spelling in spellings if isinstance(spelling, str)})
    return names


def _validation_problems(error: ValidationError, recipe: dict[str, Any]) -> list[str]:
    """One line per key: pydantic repeats a key once for every member of its union."""
    lines: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        path = ""
        here: Any = recipe
        for part in item["loc"]:
            inside = part in here if isinstance(here, dict) else isinstance(here, list) and isinstance(part, int)
            if not inside and item["type"] != "missing":
                break  # a union member's name, no key of the recipe
            path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
            here = here[part] if inside else None
        text = " ".join(item["msg"].removeprefix("Value error, ").split())
        lines.setdefault(path or _in_dataset(item, recipe) or "recipe", []).append(text)
    return [f"{path}: {' or '.join(dict.fromkeys(texts))}" for path, texts in lines.items()]


def _in_dataset(item: Any, recipe: dict[str, Any]) -> str:
    """The key of a dataset entry, which Axolotl validates without saying whose it is; empty when it is none."""
    name = item["loc"][-1] if item["loc"] else None
    for key in ("datasets", "test_datasets"):
        entries = recipe.get(key)
        for place, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict) and name in entry and entry[name] == item["input"]:
                return f"{key}[{place}].{name}"
    return ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def _quiet_and_offline() -> Iterator[None]:
    """Axolotl imported and asked without its log lines, its telemetry, or a request to the Hub."""
    os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"
    offline, disabled = os.environ.get("HF_HUB_OFFLINE"), logging.root.manager.disable
    os.environ["HF_HUB_OFFLINE"] = "1"  # bitsandbytes asks the Hub for a CPU kernel when imported
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        if offline is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = offline
