"""Is what a run says of its training so? Recipe, data and record, each held against what has it too. Raises Refused.

    data, notes = check_data(folder, state, recipe)      data.json as far as it could be derived, and notes for the card
    check_record(folder, state, recipe)                  train.json and resolved.yaml against the recipe
    notes = recipe_notes(folder, state)                  is the recipe one of the repository's?

A dataset of the repository is described again from its committed bytes: rows, licence, source, cleaning. One that
is not at hand keeps its path, digest and licence *as recorded*, and the card says so.

Not derived: losses, seconds and memory, which only the training saw. The card calls them recorded.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.config import ROOT
from eval.errors import Refused, UserError
from eval.files import read_json
from eval.provenance import file_sha256
from eval.reading import read_bytes
from eval.strict_yaml import BrokenYaml, parse_yaml
from scripts.dataset_facts import describe_data
from scripts.publishing.committed import RECIPES, committed_bytes, committed_files, differs_from_head, relative
from scripts.publishing.verify_claims import check_words

AS_RECORDED = "as recorded, not at hand to check"
MANIFEST = "MANIFEST.json"  # beside a dataset: its licence and cleaning
COLUMNS = ("path", "rows", "licence", "source", "revision", "sha256")
# What decides a training, as recipe and resolved.yaml both have it.
DECIDING = (
    "base_model", "adapter", "learning_rate", "lr_scheduler", "optimizer", "num_epochs", "max_steps", "seed",
    "micro_batch_size", "gradient_accumulation_steps", "sequence_len", "weight_decay", "warmup_ratio", "warmup_steps",
    "lora_r", "lora_alpha", "lora_dropout", "lora_target_linear", "peft_use_dora", "peft_use_rslora",
)  # fmt: skip
STEADY = ("cosine", "linear", "constant", "constant_with_warmup")  # schedules that reach the recipe's learning rate
FEWEST_POINTS = 10  # logged learning rates from which on the highest must be near the recipe's


def check_data(folder: Path, state: dict[str, Any], recipe: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The datasets, as far as they could be derived, and notes for the card. Refused for one that is not as trained."""
    file, data = folder / "data.json", read_json(folder / "data.json")
    if not isinstance(data, list) or not all(isinstance(row, dict) and row.get("path") for row in data):
        raise UserError(f"{file} is not a list of datasets: train again")
    asked = [row for row in recipe.get("datasets") or [] if isinstance(row, dict)]
    if not asked or [str(row.get("path")) for row in asked] != [str(row["path"]) for row in data]:
        raise Refused(f"{file} does not list the datasets of recipe.yaml: train again")
    if missing := [name for row in data for name in COLUMNS if name not in row]:
        raise UserError(f"{file}: a dataset lacks {missing[0]}: train again")
    commit = str((state.get("git") or {}).get("commit"))
    derived, notes = [], []
    for row, entry in zip(data, asked, strict=True):
        if row["revision"] != entry.get("revision"):
            raise Refused(f"{file}: {row['path']} has another revision than in recipe.yaml: train again")
        one, note = check_dataset(file, row, commit)
        derived.append(one)
        notes += note
    return derived, notes


def check_dataset(file: Path, row: dict[str, Any], commit: str) -> tuple[dict[str, Any], list[str]]:
    """A row of data.json, derived again where its file is at hand, and what the card has to say of it."""
    name, digest = str(row["path"]), row["sha256"]
    found = list(versions(name, commit))
    if digest is None:
        if not row["revision"] or found:
            raise Refused(f"{file}: {name} has neither a digest nor a revision: train again")
        return as_recorded(file, row, "hub"), [
            f"The licence of dataset {name} is what its card on the Hub said when trained."
        ]
    same = [version for version in found if hashlib.sha256(version[1]).hexdigest() == digest]
    if not found:
        return as_recorded(file, row, "not at hand"), [f"Dataset {name} was not at hand: its licence is as recorded."]
    if not same:
        raise Refused(f"{file}: {name} has other bytes than those trained on: train again")
    for where, content, manifest in same:
        again = described(name, content, manifest)
        if again == row:
            return row, [] if where == "HEAD" else [f"Dataset {name} is not as HEAD has it: {where}."]
    changed = sorted(key for key in {*row, *again} if row.get(key) != again.get(key))
    raise Refused(f"{file}: {changed[0]} of {name} is not what the file and its {MANIFEST} give: train again")


def versions(name: str, commit: str) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Where a dataset can be read, its bytes and those of its manifest: HEAD, the trained commit, the disk."""
    path = ROOT / name
    if relative(path, ROOT) is None:  # outside of the repository
        return
    beside = path.parent / MANIFEST
    for where, at in (("HEAD", None), (f"as of commit {commit[:12]}", commit)):
        content = committed_bytes(at, path, ROOT)
        if content is not None:
            yield where, content, committed_bytes(at, beside, ROOT)
    if path.is_file() and not path.is_symlink():
        yield "not committed", read_bytes(path), read_bytes(beside) if beside.is_file() else None


def described(name: str, content: bytes, manifest: bytes | None) -> dict[str, Any]:
    """The row that training writes of a dataset with these bytes, by the same function."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        if manifest is not None:
            (file.parent / MANIFEST).write_bytes(manifest)
        return describe_data({"datasets": [{"path": name}]}, Path(folder))[0]


def as_recorded(file: Path, row: dict[str, Any], source: str) -> dict[str, Any]:
    """Of a row that nobody could derive: what it is, and its licence, which decides whether it may be published."""
    check_words(file, str(row["path"])[:100], row)
    licence = row["licence"]
    kept = {"path": row["path"], "revision": row["revision"], "sha256": row["sha256"], "licence": licence}
    return {**kept, "rows": None, "source": f"{source}; licence {AS_RECORDED}"}


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
    file = folder / "resolved.yaml"
    if not file.is_file():
        return
    try:
        resolved = parse_yaml(read_bytes(file).decode("utf-8"))
    except (BrokenYaml, UnicodeDecodeError) as error:
        raise UserError(f"{file}: broken YAML: {error}") from None
    if not isinstance(resolved, dict):
        raise UserError(f"{file} is no mapping: train again")
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
