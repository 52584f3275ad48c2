"""How many rows and tokens a recipe would train on, of rows that are not written yet: tokenised as Axolotl does it.

    counted = count_tokens(recipe, rows, root)
    counted.facts       {"recipe": ..., "rows": 980, "tokens": ..., "trained_tokens": ..., "dropped": {reason: rows}}
    counted.shown       the first rows as spans that are learned or only read (scripts/training/shown_row.py)

Axolotl's own strategy for `type: chat_template` tokenises, with the recipe's tokenizer, template and roles to train;
what it drops is dropped here, and said by the same words (scripts/training/prepared_rows.py).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.run.environment import silence_libraries
from scripts.data.sources import Example
from scripts.training.lint_recipe import load_recipe, resolve_recipe
from scripts.training.prepared_rows import LENGTH, NOTHING
from scripts.training.recipe_base import base_folder
from scripts.training.shown_row import IGNORED, as_spans

SHOWN = 4


@dataclass(frozen=True)
class Length:
    """Tokens of rows as the recipe's tokenizer and template make them; `learned`: those that a loss is taken on."""

    rows: int
    tokens: int
    learned: int

    def __add__(self, other: "Length") -> "Length":
        return Length(self.rows + other.rows, self.tokens + other.tokens, self.learned + other.learned)


@dataclass
class Counted:
    """`facts` go to data.json; `lengths`: tokens of each row that is trained."""

    facts: dict[str, Any]
    lengths: list[int] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)


def count_tokens(name: str, rows: Iterable[Example], root: Path) -> Counted:
    """Tokenise all rows. Where the recipe's base is not on this machine, the facts say so in place of numbers."""
    file = resolve_recipe(name, root)
    recipe = load_recipe(file)
    folder = base_folder(recipe, root)
    if folder is None:
        why = f"the base of {file.stem} is not on this machine"
        print(f"data: tokens are not counted: {why}", flush=True)
        return Counted({"recipe": file.stem, "not_counted": why})
    try:
        strategy, tokenizer = strategy_of(recipe, folder)
    except UserError as error:
        raise UserError(f"recipe {file.stem}: {error}") from None
    dropped: Counter[str] = Counter()
    counted = Counted({})
    tokens = trained = 0
    for row in rows:
        made = strategy.tokenize_prompt({"messages": json.loads(row.written())["messages"]})
        ids, labels = list(made["input_ids"]), list(made["labels"])
        learned = sum(label != IGNORED for label in labels)
        if not 2 <= len(ids) <= recipe.get("sequence_len", 0):
            dropped[LENGTH] += 1
        elif not learned:
            dropped[NOTHING] += 1
        else:
            counted.lengths.append(len(ids))
            tokens, trained = tokens + len(ids), trained + learned
            if len(counted.shown) < SHOWN:
                counted.shown.append(as_spans(ids, labels, tokenizer))
    counted.facts = {"recipe": file.stem, "rows": len(counted.lengths), "tokens": tokens, "trained_tokens": trained}
    counted.facts["dropped"] = dict(dropped)
    return counted


def lengths_of(
    recipe: dict[str, Any], dataset: dict[str, Any], rows: Iterable[dict[str, Any]], root: Path
) -> Iterator[Length]:
    """The length of each row, read as this dataset of the recipe says. UserError for another type."""
    folder = base_folder(recipe, root) or Path(str(recipe.get("base_model")))
    strategy, _ = strategy_of(recipe | {"datasets": [dataset]}, folder, recipe.get("revision_of_model"))
    for row in rows:
        made = strategy.tokenize_prompt(row)
        yield Length(1, len(made["input_ids"]), sum(label != IGNORED for label in made["labels"]))


def strategy_of(recipe: dict[str, Any], folder: Path, revision: str | None = None) -> tuple[Any, Any]:
    """Axolotl's tokenising strategy for the recipe's first dataset, and the tokenizer. UserError for another type."""
    entry = next((one for one in recipe.get("datasets") or [] if isinstance(one, dict)), {})
    if entry.get("type") != "chat_template" or not recipe.get("sequence_len"):
        raise UserError("tokens are counted of `type: chat_template` alone, and with `sequence_len`: make it so")
    silence_libraries()
    from axolotl.prompt_strategies.chat_template import StrategyLoader
    from axolotl.utils.dict import DictDefault
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), revision=revision or "main")
    except (OSError, ValueError) as error:  # not there, broken, or on a Hub that is out of reach
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"the tokenizer of {folder} cannot be loaded: {said}: check base_model") from error
    known = {"train_on_inputs": False, "chat_template": "tokenizer_default"}
    return StrategyLoader()(tokenizer, DictDefault(known | recipe), dict(entry)), tokenizer
