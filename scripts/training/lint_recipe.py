"""Validate recipes against Axolotl's own schema for a named GPU, without a GPU, a model or the network.

    python -m scripts.training.lint_recipe                      every recipe of configs/train
    python -m scripts.training.lint_recipe NAME --gpu t4        one, for a GPU by name
    python -m scripts.training.lint_recipe FILE --compute-capability sm_90

Every problem of every recipe is listed, one a line, `FILE: key: what; what to do`; exit 2 if there is one.
Axolotl accepts much that cannot work: an unknown key, a rate that is no number, an adapter without target
modules. Those are refused here, and so is what a run would only find out on a rented GPU.
"""

import argparse
import difflib
import re
import sys
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import CANNOT_EVALUATE, UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.run.records import Record
from scripts.training.dataset_entries import inputs
from scripts.training.recipe_base import base_folder
from scripts.training.recipe_data import FULL_COMMIT, dataset_problems
from scripts.training.recipe_rules import rule_problems
from scripts.training.sharded import engine_problems

GPUS = {"t4": 75, "a100": 80, "a5000": 86, "rtx3090": 86, "rtx4090": 89, "l4": 89, "h100": 90, "h200": 90}
DEFAULT_CAPABILITY = 86

# A run is named after its recipe, and its name becomes a folder, a word of a command, and a tag.
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?=[A-Za-z0-9_-]))*")
LONGEST_NAME = 80


def resolve_recipe(name: str, root: Path = ROOT) -> Path:
    """A recipe's file: `NAME` is configs/train/NAME.yaml, anything with a slash or a .yaml ending a path."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"{name}: no such recipe file; `make lint` lists those of configs/train")
        return Path(name)
    path = root / "configs" / "train" / f"{name}.yaml"
    if path.is_file():
        return path
    names = sorted(file.stem for file in path.parent.glob("*.yaml"))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.3)
    raise UserError(f"no recipe named {name}; did you mean {' or '.join(near or names)}?")


def load_recipe(path: Path) -> dict[str, Any]:
    """The recipe as a dict. Raises UserError with the line number if it is not YAML or names a key twice."""
    try:
        recipe = parse_yaml(read_bytes(path).decode("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except BrokenYaml as error:
        raise UserError(f"{_shown(path)}: {error}; fix the YAML") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{_shown(path)}: not readable as YAML text ({error}); save it as UTF-8") from error
    if not isinstance(recipe, dict):
        raise UserError(f"{_shown(path)}: not a recipe; it must be a mapping of Axolotl keys to values")
    return recipe


def lint_recipe(path: Path, gpu: str | None = None, root: Path = ROOT) -> list[str]:
    """Every problem of the recipe, one line each; empty if it is fit to train.

    `gpu` is a name of GPUS, a compute capability such as sm_86, `cpu`, or None for what the recipe is
    meant for. Dataset paths are taken relative to `root`.
    """
    try:
        recipe = load_recipe(path)
    except UserError as error:
        return [str(error)]
    from scripts.training.recipe_schema import asked_of_axolotl

    capability = compute_capability(gpu, recipe)
    data = dataset_problems(recipe, root, path.parent)
    problems = name_problems(path) + _own_problems(recipe, root) + _hardware_problems(recipe, capability) + data
    # Axolotl stops with a traceback on a shape it does not expect
    if not any("must be a" in line for line in data):
        problems += asked_of_axolotl(recipe, capability, root, wrong=bool(problems))
    return [f"{_shown(path)}: {line}" for line in dict.fromkeys(problems)]


def name_problems(path: Path) -> list[str]:
    """What is wrong with a recipe's file name."""
    if NAME.fullmatch(path.stem) and len(path.stem) <= LONGEST_NAME and not path.stem.endswith(".lock"):
        return []
    return [
        f"{path.stem!r} cannot name a run: use at most {LONGEST_NAME} letters (a to z), digits, `-`, `_` and single "
        "dots, a letter or digit first; rename the file"
    ]


def is_cpu_recipe(recipe: dict[str, Any]) -> bool:
    """Whether a recipe is meant for a CPU: bf16, fp16 and tf32 all written out as false.

    Axolotl has no key that says so (`device` is overwritten by what it finds, and it has no `use_cpu`). Left
    unset, bf16 and tf32 mean `auto`, so three explicit falses are a statement; no GPU recipe trains so. Quantised
    weights say nothing: bitsandbytes computes with them on a CPU as well.
    """
    return all(recipe.get(key) is False for key in ("bf16", "fp16", "tf32"))


def is_local_model(base_model: str, root: Path = ROOT) -> bool:
    """Whether `base_model` is a folder rather than a Hub name: `models/x` is, though it looks like one."""
    return base_model.startswith((".", "/", "~", "models/", "outputs/", "results/")) or (root / base_model).exists()


def compute_capability(gpu: str | None, recipe: dict[str, Any]) -> int | None:
    """86 for `rtx3090` or `sm_86`, None for `cpu`; without a name, what the recipe is meant for."""
    if gpu is None:
        return None if is_cpu_recipe(recipe) else DEFAULT_CAPABILITY
    name = gpu.lower().replace(" ", "").replace("_", "")
    if name == "cpu":
        return None
    number = re.fullmatch(r"sm(\d{2,3})", name)
    if number:
        return int(number.group(1))
    if name not in GPUS:
        raise UserError(f"unknown GPU {gpu}; give cpu, {', '.join(sorted(GPUS))}, or a capability such as sm_86")
    return GPUS[name]


def _own_problems(recipe: dict[str, Any], root: Path) -> list[str]:
    """What Axolotl lets pass and this project does not."""
    problems = rule_problems(recipe) + engine_problems(recipe, root)
    base, revision = recipe.get("base_model"), recipe.get("revision_of_model") or recipe.get("model_revision")
    if isinstance(base, str) and not is_local_model(base, root) and not FULL_COMMIT.fullmatch(str(revision)):
        problems.append(f"revision_of_model: Hub model {base} is not pinned; set the full 40-digit commit")
    # The plugin is on by default: Axolotl sees that beside the chunked one, not beside Liger's two
    cut = any("CutCrossEntropy" in str(name) for name in recipe.get("plugins") or [])
    liger = ("liger_cross_entropy", "liger_fused_linear_cross_entropy")
    other = next((key for key in liger if recipe.get(key)), None)
    if cut and other and recipe.get("cut_cross_entropy") is None:
        problems.append(f"{other}: a second optimised cross-entropy beside the plugin's; keep only one")
    return problems


def _hardware_problems(recipe: dict[str, Any], capability: int | None) -> list[str]:
    """What the named hardware cannot do; Axolotl only warns about it, or fails when the run starts."""
    problems = []
    name = "a CPU" if capability is None else f"sm_{capability}"
    if (capability or 0) < 80:
        for key in ("bf16", "bfloat16", "tf32"):
            if recipe.get(key) is True:
                problems.append(f"{key}: {name} has none (sm_80 or newer has); set it to false, or name another GPU")
        attention = str(recipe.get("attn_implementation"))
        if attention.startswith("flash_attention"):
            problems.append(f"attn_implementation: {attention} needs sm_80 or newer, not {name}; set it to sdpa")
    if capability is None and recipe.get("fp16") is True:
        problems.append("fp16: needs a GPU, not a CPU; set it to false")
    return problems


def unasked(recipe: dict[str, Any], root: Path = ROOT) -> str:
    """What could not be checked here, for the end of a line."""
    far = [entry.path for entry in inputs(recipe) if entry.files(root) is None]
    parts = [] if base_folder(recipe, root) else ["modules, layers and tokens: the base is not on this machine"]
    parts += [f"rows of {', '.join(far)}: on the Hub"] if far else []
    return f"; not checked: {'; '.join(parts)}" if parts else ""


def _shown(path: Path) -> str:
    """The path as seen from the repository root, where there is one."""
    full = path.resolve()
    return str(full.relative_to(ROOT)) if full.is_relative_to(ROOT) else str(path)


class Linted(Record):
    """The problems of each recipe; none: it can be trained."""

    recipes: dict[str, list[str]]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.training.lint_recipe", description=__doc__.split("\n")[0])
    parser.add_argument("recipe", nargs="*", help="name or file; without one, every recipe of configs/train")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--gpu", help=f"cpu, {', '.join(sorted(GPUS))}; default: what the recipe is meant for")
    which.add_argument("--compute-capability", metavar="sm_86", help="the same, by number")
    args = parser.parse_args(argv)

    gpu = args.gpu or args.compute_capability
    compute_capability(gpu, {})  # a wrong name is told at once
    recipes = [resolve_recipe(name) for name in args.recipe] or sorted((ROOT / "configs/train").glob("*.yaml"))
    print(f"checking {len(recipes)} recipe(s) against Axolotl's schema, about 10 s", file=sys.stderr, flush=True)
    linted = Linted(recipes={})
    for path in recipes:
        problems = linted.recipes[path.stem] = lint_recipe(path, gpu)
        if problems:
            print("\n".join(problems), file=sys.stderr, flush=True)
            continue
        recipe = load_recipe(path)
        number = compute_capability(gpu, recipe)
        assumed = "cpu" if number is None else f"sm_{number}"
        print(f"ok {path.stem} ({recipe['base_model']}, {recipe['adapter']}, {assumed}){unasked(recipe)}", flush=True)
    failed = [problems[0] for problems in linted.recipes.values() if problems]
    return Answer(CANNOT_EVALUATE if failed else 0, linted, error=failed[0] if failed else None)


if __name__ == "__main__":
    run_command(main, "lint")
