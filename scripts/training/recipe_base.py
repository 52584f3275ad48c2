"""Does a recipe fit its base, and can Axolotl prepare its rows? Asked of a base that is a folder of this machine.

    base_problems(recipe, config, root)  ->  ["lora_target_modules: q_porj is not a module of the base, ..."]

`config` is the recipe as Axolotl's schema resolved it. The model is built without weights, and each chat row is turned
into tokens by Axolotl's own code: a minute of reading instead of a failure on a rented GPU. A base on the Hub is not
asked, since lint needs no network; `make lint` says so.
"""

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.training.dataset_entries import START, BrokenRow, Entry, inputs, read_rows

REHEARSED = 5000  # rows of each dataset


def base_folder(recipe: dict[str, Any], root: Path) -> Path | None:
    """The base's folder, where it is one and is there."""
    folder = root / str(recipe.get("base_model"))
    return folder if (folder / "config.json").is_file() else None


def base_problems(recipe: dict[str, Any], config: Any, root: Path) -> list[str]:
    """One line for each problem; none where the base is not at hand."""
    folder = base_folder(recipe, root)
    if folder is None:
        return []
    from transformers import AutoConfig, AutoTokenizer

    try:
        model = AutoConfig.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        return [f"base_model: {recipe['base_model']} cannot be read ({_one_line(error)}); run `make model` again"]
    problems = _layers(recipe, model) + _modules(recipe, model) + _special_tokens(recipe, tokenizer)
    return problems or _rehearse(recipe, config, tokenizer, root)


def _layers(recipe: dict[str, Any], model: Any) -> list[str]:
    number = int(getattr(model.get_text_config(), "num_hidden_layers", 0))
    asked = recipe.get("peft_layers_to_transform") or []
    asked = asked if isinstance(asked, list) else [asked]
    outside = [layer for layer in asked if number and not (isinstance(layer, int) and 0 <= layer < number)]
    if not outside:
        return []
    named = ", ".join(map(str, outside))
    return [f"peft_layers_to_transform: the base has layers 0 to {number - 1}, not {named}; name those it has"]


def _modules(recipe: dict[str, Any], model: Any) -> list[str]:
    """Names of modules that the base does not have; PEFT complains only when it finds none of them."""
    import torch
    from transformers import AutoModelForCausalLM

    keys = ("lora_target_modules", "lora_modules_to_save")
    if not any(recipe.get(key) for key in (*keys, "lora_target_parameters")):
        return []
    try:
        with torch.device("meta"):
            built = AutoModelForCausalLM.from_config(model)
    except Exception:  # a model with code of its own, or of a kind that is built otherwise: the trainer will say
        return []
    modules = [name for name, _ in built.named_modules() if name]
    parameters = [name for name, _ in built.named_parameters()]
    problems = []
    for key in (*keys, "lora_target_parameters"):
        names = parameters if key == "lora_target_parameters" else modules
        asked = recipe.get(key) or []
        if isinstance(asked, str):
            if asked != "all-linear" and not any(_matches(asked, name) for name in names):
                problems.append(f"{key}: {asked} matches nothing of the base; see its modules' names")
            continue
        for one in asked:
            if not any(name == one or name.endswith(f".{one}") for name in names):
                near = difflib.get_close_matches(str(one), sorted({name.split(".")[-1] for name in names}), n=1)
                hint = f", did you mean {near[0]}?" if near else "; remove it"
                problems.append(f"{key}: {one} is not a module of the base{hint}")
    return problems


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error:
        return False


def _special_tokens(recipe: dict[str, Any], tokenizer: Any) -> list[str]:
    """Tokens of the recipe's own; naming those that the base has changes nothing."""
    given = recipe.get("special_tokens")
    tokens: dict[str, Any] = given if isinstance(given, dict) else {}
    own = {name: getattr(tokenizer, name, None) for name in tokens}
    return [
        f"special_tokens.{name}: {tokens[name]} is not the base's, {token}, which is evaluated with; remove it"
        for name, token in own.items()
        if token != tokens[name]
    ]


def _rehearse(recipe: dict[str, Any], config: Any, tokenizer: Any, root: Path) -> list[str]:
    """The first thing that keeps Axolotl from training on the rows of a dataset."""
    if recipe.get("rl"):
        return []
    from axolotl.prompt_strategies import load

    problems = []
    for entry in inputs(recipe):
        files = entry.files(root) if entry.role != START else None
        if not files or not isinstance(entry.given.get("type"), str):
            continue
        try:
            strategy = load(entry.given["type"], tokenizer, config, as_resolved(config, entry))
        except Exception as error:  # whatever a strategy raises on a setting that it does not like
            problems.append(f"{entry.where}: Axolotl refuses it ({_one_line(error)}); change that key")
            continue
        if hasattr(strategy, "tokenize_prompt"):
            problems += _tokenized(entry, _rows(entry, files), strategy, recipe)
    return problems


def as_resolved(config: Any, entry: Entry) -> Any:
    """An entry as Axolotl's schema resolved it: old spellings are new ones there."""
    key, _, place = entry.where.partition("[")
    return config[key][int(place.rstrip("]"))]


def _rows(entry: Entry, files: list[Path]) -> Iterator[tuple[str, Any]]:
    for file in files:
        for where, row in read_rows(file, entry.given):
            yield f"{entry.path}: {where}", row


def _tokenized(entry: Entry, rows: Iterator[tuple[str, Any]], strategy: Any, recipe: dict[str, Any]) -> list[str]:
    limit, longest, taught, kept, place = int(recipe.get("sequence_len") or 512), 0, False, 0, ""
    for count, (where, row) in enumerate(rows):
        if count == REHEARSED:
            break
        try:
            result = strategy.tokenize_prompt(row)
        except (BrokenRow, MemoryError):
            raise
        except Exception as error:  # of Axolotl, the tokenizer or the chat template, on this row
            return [f"{entry.where}: {where}: Axolotl cannot prepare it ({_one_line(error)}); mend the row or the type"]
        length = len(result.get("input_ids") or [])
        if length > longest:
            longest, place = length, where
        kept += 2 <= length <= limit
        taught = taught or any(label != -100 for label in result.get("labels") or [])
    strategy_of_excess = recipe.get("excess_length_strategy") or "drop"
    if longest > limit and (strategy_of_excess == "raise" or (strategy_of_excess == "drop" and not kept)):
        return [f"sequence_len: {place} has {longest} tokens, more than {limit}; raise it to {longest}"]
    if longest and not taught:
        return [f"{entry.where}.roles_to_train: no row has a token to train on; check the roles and train_on_eos"]
    return []


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
