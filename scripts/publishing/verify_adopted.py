"""What may be said of an adapter that was trained elsewhere (eval/adapters/adopt.py). Raises Refused.

    data, notes = adopted_data(folder, state)       rows for the card as far as they are known, and what it has to say

Nothing of its training can be derived here, so nothing is claimed: the card says where the adapter comes from and that
recipe, data and losses are as found, or unknown. The licence of its data is what the person who adopted it stated.
"""

from pathlib import Path
from typing import Any

from eval.common.errors import Refused
from eval.run.folder import read_data
from scripts.publishing.verify_claims import check_words

UNKNOWN = {"rows": None, "revision": None, "sha256": None}


def adopted_data(folder: Path, state: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The datasets that the recipe names, each with the licence that was stated. Refused where none was."""
    adopted, named = state["adopted"], read_data(folder)
    licence = adopted.get("licence")
    if licence is None:
        raise Refused(
            f"{folder / 'run.json'}: nobody knows the licence of what this adapter was trained on: `make adopt "
            "ADAPTER=... LICENCE=...` states it, then evaluate again"
        )
    for row in named:
        check_words(folder / "data.json", str(row["path"])[:100], row)
    rows = [{**UNKNOWN, **row, "licence": licence} for row in named]
    note = (
        f"The adapter was not trained here: it comes from {adopted['source']}, and its training is "
        f"{adopted['training']}. Its data's licence is as stated by who adopted it."
    )
    unknown = {"path": "not known", **UNKNOWN, "licence": licence, "source": "not known"}
    return rows or [unknown], [note]
