"""A run made of an adapter that was trained elsewhere: by Axolotl itself, TRL, Unsloth, or whoever put it on the Hub.

    python -m eval.adapters.adopt ADAPTER [--base BASE] [--recipe FILE] [--licence NAME]
    run = adopt("outputs/mine")                 or "org/name@revision"; BASE likewise, where the adapter names none

The run holds the adapter's own bytes and what is known of its training: `as found` where a recipe lies beside it,
`unknown` otherwise; report and card say which. Refused (exit 1) with the field's name is every setting that makes of
the adapter something else than what both arms of an evaluation can prove: adapter_config.py lists them.
"""

import argparse
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from eval.adapters.adapter_config import check_config
from eval.adapters.adapter_tensors import check_tensors
from eval.adapters.file_names import CONFIG, TOKENIZER, WEIGHTS
from eval.adapters.found import Recipe, recipe_of, the_adapter, training_of
from eval.adapters.safetensors_file import check_weights
from eval.common.answer import Answer
from eval.common.errors import Refused, UserError, run_command
from eval.common.reading import copy_regular, read_bytes
from eval.run.digests import file_sha256, folder_digests, manifest_text, text_sha256, write_manifest
from eval.run.environment import capture_environment, git_state
from eval.run.files import read_json, write_json, write_text
from eval.run.folder import RESULTS, label_of, list_runs, new_run, read_run, resolve_run
from eval.run.records import Record

ADAPTER_FILES = (WEIGHTS, CONFIG, *TOKENIZER)
BESIDE = ("README.md", "trainer_state.json")  # read from the Hub as well
HUB = re.compile(r"(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(@(?P<revision>[\w./-]{1,200}))?", re.ASCII)
LARGEST_FILE = 20 << 30  # bytes of an adapter's file on the Hub
LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")


def adopt(
    adapter: str,
    base: str | None = None,
    recipe: Path | None = None,
    licence: str | None = None,
    results: Path = RESULTS,
    source: str | None = None,
) -> Path:
    """A run folder for an adapter, made now or the last time. UserError for what is none, Refused for a setting that
    cannot be judged; nothing is left behind then.

    `licence`: of what it was trained on, where the person who adopts knows it; publishing asks for it. `source`: where
    the adapter comes from, if more is to be said than the name of its folder.
    """
    if licence is not None and not LICENCE.fullmatch(licence):
        raise UserError(f"LICENCE={licence[:60]!r} is no licence's name: write its SPDX identifier, such as mit")
    place, here = located(adapter)
    folder = the_adapter(place)
    found = recipe_of(folder, base, recipe)
    about = {"source": source or here, "training": "as found" if found.found else "unknown", "licence": licence}
    with tempfile.TemporaryDirectory() as private:
        copy = copied(folder, Path(private) / "adapter")
        check(folder, copy, found)
        digest = text_sha256(manifest_text(folder_digests(copy)))
        if known := adopted_before(digest, found, about, results):
            return known
        return run_of(copy, folder, found, about, results)


def run_named(name: str | None) -> Path:
    """A run by name or folder, the newest for None; of a folder that holds an adapter and is no run, one made of it."""
    path = Path(name or "")
    if name is None or (path / "run.json").is_file() or not (path / CONFIG).is_file():
        return resolve_run(name)
    run = adopt(name)
    print(f"eval: {path.name} is an adapter and no run: adopted as results/{run.name}", flush=True)
    return run


def located(adapter: str) -> tuple[Path, str]:
    """The adapter's folder, and what is said of where it comes from: no path of this machine."""
    path = Path(adapter).expanduser()
    named = HUB.fullmatch(adapter)
    if path.exists() or named is None:
        return path, f"folder {path.resolve().name}"
    folder, commit = from_hub(named["repo"], named["revision"])
    return folder, f"{named['repo']}@{commit}"


def from_hub(repo: str, revision: str | None) -> tuple[Path, str]:
    """The files of an adapter on the Hub, and the commit they are of. UserError when they cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    from eval.common.hub_access import hub_problem
    from eval.common.hub_client import answers_within, use_bounded_client

    use_bounded_client()
    try:
        with answers_within(largest_file=LARGEST_FILE):
            folder = Path(snapshot_download(repo, revision=revision, allow_patterns=[*ADAPTER_FILES, *BESIDE]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        said = hub_problem(error, repo) or (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot get {repo}{'@' + revision if revision else ''} from the Hub: {said}") from error
    return folder, folder.name


def copied(folder: Path, copy: Path) -> Path:
    """The adapter's own files, where nobody else writes."""
    copy.mkdir(parents=True)
    for name in ADAPTER_FILES:
        if (folder / name).is_file():
            copy_regular(folder / name, copy / name)
    return copy


def check(shown: Path, copy: Path, recipe: Recipe) -> None:
    """Refused unless both arms of an evaluation can be proven with this adapter. `shown`: its folder for the reader."""
    config = read_json(copy / CONFIG)
    try:
        check_config(copy / CONFIG, config, recipe.values)
        check_weights(copy / WEIGHTS)
        check_tensors(copy / WEIGHTS, config)
    except (Refused, UserError) as error:
        raise type(error)(str(error).replace(str(copy), str(shown))) from None


def adopted_before(digest: str, recipe: Recipe, about: dict[str, Any], results: Path) -> Path | None:
    """The newest run of the same bytes, adopted in the same words."""
    for run in list_runs(results):
        manifest = run / "adapter.sha256"
        same = read_run(run).get("adopted") == about and manifest.is_file() and file_sha256(manifest) == digest
        if same and read_bytes(run / "recipe.yaml").decode() == recipe.text:
            return run
    return None


def run_of(copy: Path, folder: Path, recipe: Recipe, about: dict[str, Any], results: Path) -> Path:
    """The run's folder, whole."""
    values = recipe.values
    label, seed = f"adopted-{short_name(about['source'])}", values.get("seed")
    fields = {
        "recipe": label,
        "base_model": values["base_model"],
        "base_revision": values.get("revision_of_model"),
        "seed": seed if type(seed) is int else None,
        "command": "make adopt",
        "stages": {"train": "completed"},
        "adopted": about,
    }
    run = new_run(label, git_state(), fields, results)
    write_text(run / "recipe.yaml", recipe.text)
    write_json(run / "data.json", data_named(values))
    write_json(run / "environment.json", capture_environment())
    shutil.move(copy, run / "adapter")
    write_manifest(run / "adapter", run / "adapter.sha256")
    write_json(run / "train.json", training_of(folder))  # last: it is the completion mark
    return run


def short_name(source: str) -> str:
    """The last part of a source's name, as a folder may be called."""
    last = source.removeprefix("folder ").partition("@")[0].rpartition("/")[2]
    return label_of(last, "adapter")


def data_named(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """data.json as far as a recipe that was found names its data; what was in it then, nobody here saw."""
    entries = recipe.get("datasets") or []
    named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("path"), str)]
    unknown = {"rows": None, "licence": None, "source": "as the recipe names it", "sha256": None}
    return [{"path": entry["path"], "revision": entry.get("revision"), **unknown} for entry in named]


class Adopted(Record):
    """The run that was made, and what is known of its training."""

    run: str
    training: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.adapters.adopt", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("adapter", help="folder, or org/name@revision of the Hub")
    parser.add_argument("--base", help="base model, where the adapter names none: folder, or org/name@commit")
    parser.add_argument("--recipe", type=Path, help="the recipe it was trained by, where you have it")
    parser.add_argument("--licence", help="of what it was trained on, as an SPDX identifier")
    arguments = parser.parse_args()
    run = adopt(arguments.adapter, arguments.base, arguments.recipe, arguments.licence)
    training = read_run(run)["adopted"]["training"]
    print(f"adopt: results/{run.name}: its training is {training}; `make eval RUN={run.name}` judges it")
    return Answer(0, Adopted(run=run.name, training=training), files=[run])


if __name__ == "__main__":
    run_command(main)
