"""What is known of the datasets a recipe names: data.json of a run.

    describe_data(recipe)   ->  [{path, sha256, rows, revision, source, licence}, ...], with `cleaning` where known

A file's licence, and what cleaning removed on the way to it, stand in MANIFEST.json beside it; a Hub dataset's licence
in its card, at the commit that the recipe pins. One that cannot be found out is null: training goes on and says so,
publishing refuses.
"""

from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from eval.config import ROOT
from eval.errors import UserError
from eval.files import read_json
from eval.hub_client import use_bounded_client
from eval.provenance import file_sha256
from eval.reading import read_bytes

TIMEOUT_SECONDS = 20.0
IDENTITY = ("path", "sha256", "rows", "revision")  # what a dataset is; the rest is said about it


def describe_data(recipe: dict[str, Any], root: Path = ROOT) -> list[dict[str, Any]]:
    """One row for each of the recipe's datasets, in their order."""
    return [_describe(str(dataset["path"]), dataset.get("revision"), root) for dataset in recipe["datasets"]]


def same_data(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> bool:
    """Whether two descriptions are of the same bytes, whatever could be found out about them."""
    first, second = ([[row.get(name) for name in IDENTITY] for row in rows] for rows in (one, two))
    return first == second


def _describe(path: str, revision: str | None, root: Path) -> dict[str, Any]:
    file = root / path
    known = {"path": path, "sha256": None, "rows": None, "revision": revision}
    if not file.is_file():
        return {**known, "source": "hub", "licence": hub_licence(path, revision)}
    beside = file.parent / "MANIFEST.json"
    manifest = read_json(beside) if beside.is_file() else {}
    row = {
        **known,
        "sha256": file_sha256(file),
        "rows": read_bytes(file).count(b"\n"),
        "source": "local file",
        "licence": manifest.get("licence"),
    }
    built: dict[str, Any] = next((entry for entry in manifest.get("files") or [] if entry.get("path") == file.name), {})
    return row | ({"cleaning": built["cleaning"]} if built.get("cleaning") else {})


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
