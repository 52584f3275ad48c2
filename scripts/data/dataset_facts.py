"""What is known of what a recipe reads besides its base: data.json of a run.

    describe_data(recipe)   ->  [{path, role, sha256, rows, revision, source, licence}, ...], `cleaning` where known

Datasets for training and validation and a starting adapter, in this order, each with every file it is read from. A
file's licence, and what cleaning removed on the way to it, stand in MANIFEST.json beside it; a Hub dataset's licence in
its card, at the commit that the recipe pins. One that cannot be found out is null: training goes on and says so,
publishing refuses. `rows` is what the files hold, and after training what of it the recipe took (`split`, `shards`).
"""

from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from eval.common.errors import UserError
from eval.common.hub_client import use_bounded_client
from eval.common.places import ROOT
from eval.run.digests import file_sha256, json_sha256
from eval.run.files import read_json
from scripts.training.dataset_entries import START, TRAINING, BrokenRow, Entry, inputs, read_rows
from scripts.training.leakage import Asked, compared_with, leaked, requests

TIMEOUT_SECONDS = 20.0
IDENTITY = ("path", "sha256", "revision")  # what an input is; the rest is said about it


def describe_data(recipe: dict[str, Any], root: Path = ROOT) -> list[dict[str, Any]]:
    """One row for each of the recipe's inputs, in their order. UserError when one cannot be read."""
    tests, asked = compared_with(root), requests(root)
    return [describe_input(entry, root) | _leakage(entry, root, tests, asked) for entry in inputs(recipe)]


def same_data(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> bool:
    """Whether two descriptions are of the same bytes, whatever could be found out about them."""
    first, second = ([[row.get(name) for name in IDENTITY] for row in rows] for rows in (one, two))
    return first == second


def with_rows_taken(data: list[dict[str, Any]], counts: dict[str, Any]) -> list[dict[str, Any]]:
    """data.json with the rows that Axolotl took of each training dataset, where it took each once."""
    taken = counts.get("taken") or []
    training = [row for row in data if row.get("role") == TRAINING]
    if len(taken) == len(training):
        for row, number in zip(training, taken, strict=True):
            row["rows"] = number
    return data


def describe_input(entry: Entry, root: Path = ROOT) -> dict[str, Any]:
    """What is known of one input: its row without the comparison with the tests."""
    known = {"path": entry.path, "role": entry.role, "sha256": None, "rows": None, "revision": entry.revision}
    files = entry.files(root)
    if files is None:
        return {**known, "source": "hub", "licence": hub_licence(entry.path, entry.revision)}
    beside = files[0].parent / "MANIFEST.json"
    manifest = read_json(beside) if beside.is_file() else {}
    digests = {_name(file, root): file_sha256(file) for file in files}
    alone = files == [(root / entry.path).resolve()]
    row = {
        **known,
        "sha256": digests[_name(files[0], root)] if alone else json_sha256(digests),
        "rows": None if entry.role == START else sum(_count(file, entry) for file in files),
        "source": "local file" if alone else "local files",
        "licence": manifest.get("licence"),
    }
    listed = [one for one in manifest.get("files") or [] if alone and one.get("path") == files[0].name]
    built: dict[str, Any] = next(iter(listed), {})
    more = {} if alone else {"files": digests}
    return row | more | ({"cleaning": built["cleaning"]} if built.get("cleaning") else {})


def _leakage(entry: Entry, root: Path, tests: dict[str, str], asked: Asked) -> dict[str, Any]:
    """How many rows ask what a test asks, and which tests they were compared with; nothing for what cannot be read."""
    files = entry.files(root)
    if files is None or entry.role == START:
        return {}
    return {"rows_in_tests": sum(1 for _ in leaked(entry, files, asked)), "compared_with": tests}


def _name(file: Path, root: Path) -> str:
    return str(file.relative_to(root.resolve())) if file.is_relative_to(root.resolve()) else str(file)


def _count(file: Path, entry: Entry) -> int:
    try:
        return sum(1 for _ in read_rows(file, entry.given))
    except BrokenRow as error:
        raise UserError(f"{entry.where}: {file.name} {error}") from None


def hub_licence(repo: str, revision: str | None) -> str | None:
    """The licence that a Hub dataset's card states at this commit; None when there is none or the Hub is out of reach.

    Needs no token for a public dataset. What went wrong is printed without any address.
    """
    use_bounded_client(TIMEOUT_SECONDS)
    try:
        card = HfApi().dataset_info(repo, revision=revision, timeout=TIMEOUT_SECONDS).card_data
    except (HfHubHTTPError, httpx.HTTPError, OSError, UserError) as error:
        print(f"data: the licence of {repo} is not known ({type(error).__name__}): it cannot be published", flush=True)
        return None
    stated = card.get("license") if card else None
    # A card may name several: which of them holds for the rows used is for a person to say.
    return stated if isinstance(stated, str) else None
