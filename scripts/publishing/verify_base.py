"""Are tokenizer and chat template beside the adapter those of its base, with which it was measured? Raises Refused.

    notes = check_tokenizer_files(folder, recipe, names)      what the card has to say where the base is not at hand

Readers load both from what is published, so they are compared again here, and each that the base has must be there. At
hand is a base in the repository's folder, or in this machine's Hub cache at the pinned commit; nothing is fetched.
"""

import functools
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from eval.adapters.file_names import TOKENIZER
from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.model.adapter_check import check_tokenizer

LOADED_FROM = (*TOKENIZER, "config.json", "tokenizer.model")
NOT_AT_HAND = (
    "The base was not at hand when this was published: that tokenizer and chat template are the base's was checked by "
    "the evaluation, and not again."
)


def check_tokenizer_files(
    folder: Path, recipe: dict[str, Any], names: Iterable[str], part: str = "adapter"
) -> list[str]:
    """Nothing once the tokenizer files in this part of a run are the base's; a note where nobody can tell here."""
    adapter, base, revision = folder / part, str(recipe["base_model"]), recipe.get("revision_of_model")
    local = ROOT / base
    found = problem(adapter, local, names) if local.is_dir() else None
    if local.is_dir() and found is None:
        return []
    saved = saved_tokenizer(str(local) if local.is_dir() else base, str(revision) if revision else None)
    if saved is not None:
        found = problem(adapter, Path(saved.name), names)
    if found is not None:
        raise Refused(found)
    return [] if saved is not None else [NOT_AT_HAND]


def problem(adapter: Path, base: Path, names: Iterable[str]) -> str | None:
    """The first tokenizer file that is missing beside the adapter, or is not the base's."""
    missing = sorted(name for name in TOKENIZER if (base / name).is_file() and name not in names)
    if missing:
        return f"{adapter / missing[0]} is missing: the base has one, and it was measured with that: train again"
    try:
        check_tokenizer(adapter, base)
    except UserError as error:
        return str(error)
    return None


@functools.lru_cache(maxsize=4)
def saved_tokenizer(base: str, revision: str | None) -> "tempfile.TemporaryDirectory[str] | None":
    """The base's tokenizer as transformers saves it, which is how training wrote the adapter's; None if not at hand."""
    if not is_at_hand(base, revision):
        return None
    from transformers import AutoTokenizer  # seconds, and only for a base that is not in the form of a saved one

    try:
        tokenizer = AutoTokenizer.from_pretrained(base, revision=revision or "main", local_files_only=True)
    except Exception:  # whatever keeps a base from being read here: files, formats, a class that is not installed
        return None
    folder = tempfile.TemporaryDirectory(prefix="tokenizer-")
    tokenizer.save_pretrained(folder.name)
    return folder


def is_at_hand(base: str, revision: str | None) -> bool:
    """Whether a base is a folder here, or this machine's Hub cache has a file that a tokenizer is loaded from."""
    if Path(base).is_dir():
        return True
    try:
        found = [try_to_load_from_cache(base, name, revision=revision or "main") for name in LOADED_FROM]
    except HFValidationError:  # no name that a model of the Hub could have
        return False
    return any(isinstance(place, str) for place in found)
