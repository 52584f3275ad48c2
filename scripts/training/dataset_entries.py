"""What a recipe reads besides its base: one reading, for lint, secret scan, data.json, overlap check and publishing.

    for entry in inputs(recipe):
        files = entry.files(root)        None: a dataset on the Hub. UserError: `datasets[0].path: no such file x; ...`
        for number, row in read_rows(files[0]): ...

Axolotl's own rules: a path that exists is local; a folder means the files that the `datasets` library takes from it for
the split; the format follows from `ds_type`, else from the name, and is JSON for any other name.
"""

import bz2
import csv
import gzip
import io
import json
import logging
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.reading import read_bytes

TRAINING, VALIDATION, START = "training", "validation", "starting adapter"
KEYS = {"datasets": TRAINING, "test_datasets": VALIDATION}
FILE_SUFFIXES = {".jsonl", ".json", ".csv", ".parquet", ".arrow", ".txt", ".gz", ".bz2", ".xz", ".zst", ".zip"}
FORMATS = {".parquet": "parquet", ".arrow": "arrow", ".csv": "csv", ".txt": "text"}
BUILDERS = {"json", "csv", "parquet", "arrow", "text"}
UNPACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ\x00": lzma.decompress}
STORED = {"state.json", "dataset_info.json", "dataset_dict.json"}  # what Dataset.save_to_disk leaves


class BrokenRow(ValueError):
    """What is wrong with a row or a file, in one line, starting with `line 7` or `row 7` where it is known."""


@dataclass(frozen=True)
class Entry:
    """One input: `where` is its key in the recipe, `role` what it is for, `given` all the recipe says of it."""

    where: str
    role: str
    path: str
    given: dict[str, Any]

    @property
    def revision(self) -> str | None:
        return self.given.get("revision")

    def is_local(self, root: Path) -> bool:
        """Whether files are meant: `org/name` is a dataset on the Hub unless there is such a folder."""
        return (
            self.path.startswith((".", "/")) or Path(self.path).suffix in FILE_SUFFIXES or (root / self.path).exists()
        )

    def files(self, root: Path) -> list[Path] | None:
        """Its files, sorted; None for the Hub. UserError, with the key, for what Axolotl could not read from here."""
        if self.path.startswith("~") or "://" in self.path:
            raise UserError(f"{self.where}.path: {self.path} is outside the repository; copy it below data/")
        if self.path in BUILDERS and not (root / self.path).exists():
            raise UserError(
                f"{self.where}.path: {self.path} is a format, which Axolotl takes for a Hub name; name the file"
            )
        if not self.is_local(root):
            return None
        place = found_at(self, self.path, root)
        if not place.is_dir():
            return [place]
        if self.role == START:
            return sorted(path for path in place.iterdir() if path.is_file())
        names = self.given.get("data_files")
        if names:
            listed = [names] if isinstance(names, str) else list(names)
            return [found_at(self, str(name), root, "data_files") for name in listed]
        if any((place / name).exists() for name in STORED):
            raise UserError(
                f"{self.where}.path: {self.path} was written by save_to_disk; write its rows to a .jsonl file"
            )
        return [found_at(self, str(file), root) for file in self.of_folder(place)]

    def of_folder(self, folder: Path) -> list[str]:
        """The files that the `datasets` library would take from a folder for this entry's split."""
        from datasets.load import dataset_module_factory

        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            module = dataset_module_factory(str(folder))
            splits = module.builder_configs_parameters.builder_configs[0].data_files
        except Exception as error:  # whatever that library raises on a folder it cannot use
            raise UserError(
                f"{self.where}.path: {self.path}: no dataset in it ({' '.join(str(error).split())[:120]})"
            ) from None
        finally:
            logging.disable(disabled)
        wanted = re.findall(r"[A-Za-z_]\w*", str(self.given.get("split") or "")) or [
            "train" if self.role == TRAINING else "test"
        ]
        found = sorted(str(file) for split in splits for file in splits[split] if str(split) in wanted)
        if not found:
            has = ", ".join(str(split) for split in splits)
            raise UserError(f"{self.where}.split: {self.path} has no split {wanted[0]}; it has {has}")
        return found


def shown_path(file: Path, root: Path) -> str:
    """A file as messages and records name it: from the root, where it lies below."""
    return str(file.relative_to(root.resolve())) if file.is_relative_to(root.resolve()) else str(file)


def inputs(recipe: dict[str, Any]) -> list[Entry]:
    """Every input of a recipe that can be read as one; what is misshapen is for lint to say."""
    found = []
    for key, role in KEYS.items():
        given = recipe.get(key)
        for place, entry in enumerate(given if isinstance(given, list) else []):
            if isinstance(entry, dict) and isinstance(entry.get("path"), str) and entry["path"]:
                found.append(Entry(f"{key}[{place}]", role, entry["path"], entry))
    start = recipe.get("lora_model_dir")
    if isinstance(start, str) and start:
        found.append(Entry("lora_model_dir", START, start, {}))
    return found


def found_at(entry: Entry, name: str, root: Path, key: str = "path") -> Path:
    """A file or folder by its name. UserError when it is missing, no plain file, or empty."""
    place = (root / name).resolve()
    where = entry.where if entry.role == START else f"{entry.where}.{key}"
    if not place.exists():
        raise UserError(f"{where}: no such file {name}; run `make data`")
    if place.is_dir():
        if not any(place.iterdir()):
            raise UserError(f"{where}: {name} is an empty folder; run `make data`")
    elif not place.is_file():
        raise UserError(f"{where}: {name} is not a plain file; name one")
    elif place.stat().st_size == 0:
        raise UserError(f"{where}: {name} is empty; run `make data`")
    return place


def format_of(file: Path, given: dict[str, Any]) -> str:
    """The format that Axolotl reads a file in."""
    named = given.get("ds_type")
    return str(named) if named else next((kind for suffix, kind in FORMATS.items() if suffix in file.name), "json")


def read_rows(file: Path, given: dict[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
    """(`line 7`, row) for each row of a file, packed or not. Raises BrokenRow."""
    kind = format_of(file, given or {})
    if kind in ("parquet", "arrow"):
        yield from _columns(file, kind)
        return
    content = unpacked(file)
    if kind == "text":
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line:
                yield f"line {number}", {"text": line.decode("utf-8", errors="replace")}
    elif kind == "csv":
        table = csv.DictReader(io.StringIO(content.decode("utf-8", errors="replace"), newline=""))
        yield from ((f"row {number}", row) for number, row in enumerate(table, start=1))
    elif kind == "json":
        yield from _json_rows(content)
    else:
        raise BrokenRow(f"is of ds_type {kind}, which is not one of {', '.join(sorted(BUILDERS))}")


def unpacked(file: Path) -> bytes:
    """The bytes of a file, without the gzip, bzip2 or xz around them. BrokenRow for another packing."""
    content = read_bytes(file)
    unpack = next((unpack for magic, unpack in UNPACKED.items() if content.startswith(magic)), None)
    if unpack is None:
        if content.startswith((b"PK\x03\x04", b"\x28\xb5\x2f\xfd")):
            raise BrokenRow("is packed as zip or zstd; unpack it, or use gzip")
        return content
    try:
        return unpack(content)
    except (OSError, EOFError, lzma.LZMAError, ValueError):
        raise BrokenRow("is packed and broken") from None


def _json_rows(content: bytes) -> Iterator[tuple[str, Any]]:
    """Rows of JSON lines, or of one list, which may be spread over many lines."""
    if content.startswith(b"["):
        rows = _parsed(content, "")
        if not isinstance(rows, list):
            raise BrokenRow("is not a list of rows")
        yield from ((f"row {number}", _sound(row, f"row {number}")) for number, row in enumerate(rows, start=1))
        return
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            row = _parsed(line, f"line {number} ")
            yield f"line {number}", row if _is_plain(line) else _sound(row, f"line {number}")


def _is_plain(text: bytes) -> bool:
    """Whether JSON can hold no half of a surrogate pair: no letter but ASCII, nor one written as \\u, nor UTF-16."""
    return text.isascii() and b"\\u" not in text and b"\0" not in text


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # truncated, not JSON, not UTF-8, nested without end
        raise BrokenRow(f"{where}is not valid JSON") from None


def _sound(row: Any, where: str) -> Any:
    """The row, once each text in it can be written down again."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BrokenRow(f"{where} holds half a surrogate pair (\\ud83d and the like), which is no character") from None
    return row


def _columns(file: Path, kind: str) -> Iterator[tuple[str, Any]]:
    import pyarrow

    try:
        if kind == "parquet":
            import pyarrow.parquet

            batches = pyarrow.parquet.ParquetFile(file).iter_batches()
        else:
            batches = iter(pyarrow.ipc.open_stream(file))
        number = 0
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except (pyarrow.ArrowException, OSError):
        raise BrokenRow(f"is not readable as {kind}") from None
