"""Is data.json what the recipe's inputs give? Each is described again from its committed bytes. Raises Refused.

    data, notes = check_data(folder, state, recipe, suite)   data.json as far as it could be derived; notes for the card

Of an input of the repository: files, rows, licence, source, cleaning, and that no row of it belongs to a test, nearly
or word for word, be it one of ours or of a domain that the suite lets in. One that is not at hand keeps its path,
digest and licence *as recorded*, and the card says so.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.config.suite_file import Suite
from eval.run.digests import json_sha256
from eval.run.files import read_json
from scripts.data.dataset_facts import describe_input
from scripts.publishing.committed import committed_bytes, relative
from scripts.publishing.verify_claims import check_words
from scripts.publishing.verify_guests import guest_requests
from scripts.training.dataset_entries import START, Entry, inputs
from scripts.training.leakage import Asked, leaked, requests

AS_RECORDED = "as recorded, not at hand to check"
MANIFEST = "MANIFEST.json"  # beside a dataset: its licence and cleaning
COLUMNS = ("path", "rows", "licence", "source", "revision", "sha256")
COUNTED_APART = {"rows", "rows_in_tests", "compared_with"}  # not facts of the bytes alone
IN_PART = {"split", "shards", "shards_idx", "preprocess_shards"}  # keys of an entry that take a part of its rows


class Version(NamedTuple):
    """An input's files somewhere, by their names in the repository, and the manifest beside the first."""

    where: str
    files: dict[str, bytes]
    manifest: bytes | None

    @property
    def digests(self) -> dict[str, str]:
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}


def check_data(
    folder: Path, state: dict[str, Any], recipe: dict[str, Any], suite: Suite
) -> tuple[list[dict[str, Any]], list[str]]:
    """The inputs, as far as they could be derived, and notes for the card. Refused for one that is not as trained."""
    file, data = folder / "data.json", read_json(folder / "data.json")
    if not isinstance(data, list) or not all(isinstance(row, dict) and row.get("path") for row in data):
        raise UserError(f"{file} is not a list of datasets: train again")
    entries = inputs(recipe)
    if not entries or [entry.path for entry in entries] != [str(row["path"]) for row in data]:
        raise Refused(f"{file} does not list the inputs of recipe.yaml: train again")
    if missing := [name for row in data for name in COLUMNS if name not in row]:
        raise UserError(f"{file}: a dataset lacks {missing[0]}: train again")
    commit = str((state.get("git") or {}).get("commit"))
    asked = asked_by_tests(suite)
    derived, notes = [], []
    for row, entry in zip(data, entries, strict=True):
        if row["revision"] != entry.revision:
            raise Refused(f"{file}: {row['path']} has another revision than in recipe.yaml: train again")
        if row.get("rows_in_tests"):
            raise Refused(f"{file}: {row['path']} holds rows of a test: remove them and train again")
        one, note = check_input(file, row, entry, commit, asked)
        derived.append(one)
        notes += note
    return derived, notes


def asked_by_tests(suite: Suite) -> Asked:
    """What the committed tests ask, and those of the suite's guests."""
    return requests(ROOT).beside(guest_requests(suite))


def check_input(
    file: Path, row: dict[str, Any], entry: Entry, commit: str, asked: Asked
) -> tuple[dict[str, Any], list[str]]:
    """A row of data.json, derived again where its files are at hand, and what the card has to say of it."""
    name, digest = entry.path, row["sha256"]
    several = row.get("files")
    if several is not None and (not isinstance(several, dict) or digest != json_sha256(several)):
        raise Refused(f"{file}: {name} has another digest than its files: train again")
    names = sorted(several) if several else [name]
    found = list(versions(names, commit))
    if digest is None:
        if not row["revision"] or found:
            raise Refused(f"{file}: {name} has neither a digest nor a revision: train again")
        return as_recorded(file, row, "hub"), [
            f"The licence of dataset {name} is what its card on the Hub said when trained."
        ]
    if not found:
        return as_recorded(file, row, "not at hand"), [f"Dataset {name} was not at hand: its licence is as recorded."]
    trained = several or {name: digest}
    if not (same := [version for version in found if version.digests == trained]):
        raise Refused(f"{file}: {name} has other bytes than those trained on: train again")
    for version in same:
        again, hits = described(entry, version, asked)
        if hits:
            raise Refused(f"{file}: {name} holds {hits} rows of a test: remove them and train again")
        if facts(again) == facts(row) and rows_agree(row["rows"], again["rows"], entry):
            check_words(file, name, row.get("compared_with") or {})
            return row, [] if version.where == "HEAD" else [f"Dataset {name} is not as HEAD has it: {version.where}."]
    changed = sorted(key for key in {*row, *again} if row.get(key) != again.get(key) and key not in COUNTED_APART)
    what = changed[0] if changed else "rows"
    raise Refused(f"{file}: {what} of {name} is not what the file and its {MANIFEST} give: train again")


def facts(row: dict[str, Any]) -> dict[str, Any]:
    """What of a row follows from the bytes alone."""
    return {key: value for key, value in row.items() if key not in COUNTED_APART}


def rows_agree(recorded: Any, counted: Any, entry: Entry) -> bool:
    """Whether so many rows can have been taken of a file that holds `counted`."""
    if recorded == counted:
        return True
    part = isinstance(recorded, int) and isinstance(counted, int) and 0 < recorded < counted
    return part and any(entry.given.get(key) for key in IN_PART)


def versions(names: list[str], commit: str) -> Iterator[Version]:
    """Where the files of an input can be read, all together: HEAD, the trained commit, the disk."""
    paths = [ROOT / name for name in names]
    if any(relative(path, ROOT) is None for path in paths):  # outside of the repository
        return
    beside = paths[0].parent / MANIFEST
    for where, at in (("HEAD", None), (f"as of commit {commit[:12]}", commit)):
        found = {name: committed_bytes(at, path, ROOT) for name, path in zip(names, paths, strict=True)}
        contents = {name: content for name, content in found.items() if content is not None}
        if len(contents) == len(names):
            yield Version(where, contents, committed_bytes(at, beside, ROOT))
    if all(path.is_file() and not path.is_symlink() for path in paths):
        contents = {name: read_bytes(path) for name, path in zip(names, paths, strict=True)}
        yield Version("not committed", contents, read_bytes(beside) if beside.is_file() else None)


def described(entry: Entry, version: Version, asked: Asked) -> tuple[dict[str, Any], int]:
    """The row that training writes of an input with these bytes, by the same function; and its rows that a test has."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        files = [root / name for name in version.files]
        for file, content in zip(files, version.files.values(), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if version.manifest is not None:
            (files[0].parent / MANIFEST).write_bytes(version.manifest)
        hits = 0 if entry.role == START else sum(1 for _ in leaked(entry, files, asked))
        return describe_input(entry, root), hits


def as_recorded(file: Path, row: dict[str, Any], source: str) -> dict[str, Any]:
    """Of a row that nobody could derive: what it is, and its licence, which decides whether it may be published."""
    check_words(file, str(row["path"])[:100], row)
    licence = row["licence"]
    kept = {"path": row["path"], "revision": row["revision"], "sha256": row["sha256"], "licence": licence}
    return {**kept, "rows": None, "source": f"{source}; licence {AS_RECORDED}"}
