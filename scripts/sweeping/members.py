"""The members of a sweep: copies of a recipe, one for each combination that Axolotl itself makes of a sweep file.

    learning_rate: [0.001, 0.002]       # every value with every other ...
    lora_r: [8, 16]
    _:                                  # ... and with each of these groups of keys, which go together
      - {lora_alpha: 16, lora_dropout: 0.0}

So `axolotl train RECIPE --sweep FILE` trains the same configurations. Members are named after their settings.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from eval.common.errors import UserError
from eval.common.reading import read_bytes, read_text
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.run.files import write_text
from scripts.training.lint_recipe import LONGEST_NAME, NAME, load_recipe

MOST = 50  # members; each is a training
# Other values of these would compare other things than trainings of one base, or mean nothing to a run.
NOT_SWEPT = ("base_model", "revision_of_model", "model_revision", "output_dir", "dataset_prepared_path", "hub_model_id")


@dataclass(frozen=True)
class Member:
    """One recipe of the sweep, and the values that set it apart from the others."""

    recipe: Path
    settings: dict[str, Any]

    @property
    def said(self) -> str:
        """`learning_rate 0.001, lora_r 8`."""
        return ", ".join(f"{key} {_word(value)}" for key, value in self.settings.items())


def write_members(recipe: Path, sweep: Path, folder: Path) -> list[Member]:
    """The members' recipes in `folder`, by name. UserError for a sweep file that cannot be meant."""
    lists = read_sweep(sweep)
    configurations = combinations(load_recipe(recipe), lists)
    swept = [key for key in _keys(lists) if len({_digest(one.get(key)) for one in configurations}) > 1]
    settings = [{key: one.get(key) for key in swept} for one in configurations]
    if len({_digest(one) for one in settings}) < len(settings):
        raise UserError(f"{sweep}: two members have the same settings: take the value out that is there twice")
    names = named(recipe.stem, settings)
    folder.mkdir(parents=True, exist_ok=True)
    members = []
    for name, own, whole in sorted(zip(names, settings, configurations, strict=True), key=lambda three: three[0]):
        member = Member(folder / f"{name}.yaml", own)
        text = f"# {recipe.name} in a sweep\n" + yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
        if not member.recipe.is_file() or read_text(member.recipe) != text:
            write_text(member.recipe, text)
        members.append(member)
    return members


def read_sweep(path: Path) -> dict[str, Any]:
    """A sweep file's lists by key. UserError for another shape, for what may not be swept, and for too many members."""
    try:
        lists = parse_yaml(read_bytes(path).decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"no sweep file {path}: SWEEP= names one (docs/sweep.md)") from None
    except (BrokenYaml, UnicodeDecodeError) as error:
        raise UserError(f"{path}: broken YAML: {error}") from None
    if not isinstance(lists, dict) or not all(isinstance(key, str) for key in lists):
        raise UserError(f"{path}: a sweep file is a mapping of recipe keys to lists of values (docs/sweep.md)")
    for key, values in lists.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{path}: {key}: it takes a list of values, one or more")
        groups = values if key == "_" else []
        if not all(isinstance(one, dict) and one and all(isinstance(name, str) for name in one) for one in groups):
            raise UserError(f"{path}: _: it takes a list of mappings, each of recipe keys that go together")
    if swept := [key for key in _keys(lists) if key in NOT_SWEPT]:
        raise UserError(f"{path}: {swept[0]}: members are trainings of one base, in folders of their own: take it out")
    count = math.prod(len(values) for values in lists.values()) if lists else 0
    if not 2 <= count <= MOST:
        raise UserError(f"{path}: {count} members: between 2 and {MOST} can be compared, and each is a training")
    return lists


def combinations(base: dict[str, Any], lists: dict[str, Any]) -> list[dict[str, Any]]:
    """The configurations that Axolotl makes, by its own function, which prints and seeds Python's random numbers."""
    state = random.getstate()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return list(axolotl_sweeps().generate_sweep_configs(base, lists))
    finally:
        random.setstate(state)


def axolotl_sweeps() -> ModuleType:
    """The module of the installed Axolotl, without its package, whose import takes torch and ten seconds."""
    package = importlib.util.find_spec("axolotl")
    place = Path(str(package and package.origin)).parent / "cli" / "utils" / "sweeps.py"
    spec = importlib.util.spec_from_file_location("axolotl_sweeps", place)
    if spec is None or spec.loader is None or not place.is_file():
        raise UserError(f"{place} is not there: the installed Axolotl has no sweeps; `make setup`")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(stem: str, settings: list[dict[str, Any]]) -> list[str]:
    """A name for each member, of its settings where they may stand in one and tell it apart; else of their digest."""
    names = []
    for own in settings:
        words = "-".join(f"{key}-{_word(value)}" for key, value in own.items())
        names.append(f"{stem}-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", words).strip("-."))
    fit = len(set(names)) == len(names) and all(NAME.fullmatch(name) and len(name) <= LONGEST_NAME for name in names)
    return names if fit else [f"{stem[: LONGEST_NAME - 15]}-sweep-{_digest(own)}" for own in settings]


def _keys(lists: dict[str, Any]) -> Iterator[str]:
    """Every key that a sweep file sets, once."""
    paired = (key for group in lists.get("_", []) for key in group)
    yield from dict.fromkeys([*(key for key in lists if key != "_"), *paired])


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float | str) else json.dumps(value, default=str)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]
