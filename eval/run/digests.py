"""Digests: which bytes a result came from. Pure; the machine's own description is in eval/run/environment.py.

A manifest is the format of `sha256sum`: one line `<64 hex>  <relative path>` a file, sorted by path, so
that `sha256sum -c` checks it too.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eval.common.reading import open_regular, read_bytes, witness
from eval.run.files import write_text
from eval.run.metrics import GenerationSettings

CHUNK_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    witness(path, digest.hexdigest())
    return digest.hexdigest()


def text_sha256(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def json_sha256(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form (sorted keys, no spaces)."""
    return text_sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def files_sha256(paths: Iterable[Path]) -> str:
    """SHA-256 of the contents of several files, in this order. UserError as `file_sha256`."""
    return json_sha256([file_sha256(path) for path in paths])


def names_below(folder: Path) -> list[str]:
    """Relative POSIX path of everything below `folder` that is not itself a folder, sorted."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    )


def folder_digests(folder: Path, ignore: tuple[str, ...] = ()) -> dict[str, str]:
    """Digest of every file below `folder`, by relative POSIX path, sorted."""
    files = sorted(
        path for path in folder.rglob("*") if not path.is_dir()
    )  # what is no file is refused, not passed over
    relative = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: file_sha256(path) for name, path in sorted(relative.items()) if name not in ignore}


def write_manifest(folder: Path, manifest: Path) -> None:
    """List every file below `folder` in `manifest` (which may lie inside it and is not listed)."""
    ignore = (manifest.relative_to(folder).as_posix(),) if manifest.is_relative_to(folder) else ()
    write_text(manifest, manifest_text(folder_digests(folder, ignore)))


def manifest_text(digests: dict[str, str]) -> str:
    """A manifest of these digests by relative path."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def read_manifest(manifest: Path) -> dict[str, str]:
    """Digest by relative path. Raises FileNotFoundError or ValueError (naming the line)."""
    listed: dict[str, str] = {}
    for number, line in enumerate(read_bytes(manifest).decode().splitlines(), start=1):
        digest, separator, name = line.partition("  ")
        if len(digest) != 64 or not separator or not name:
            raise ValueError(f"{manifest.name} line {number} is not `<sha256>  <path>`")
        listed[name] = digest
    return listed


def verify_manifest(folder: Path, manifest: Path) -> list[str]:
    """Differences between a folder and its manifest, one sentence each; empty when they agree."""
    if not manifest.is_file():
        return [f"{manifest.name} is missing"]
    try:
        listed = read_manifest(manifest)
    except ValueError as error:
        return [str(error)]
    ignore = (manifest.relative_to(folder).as_posix(),) if manifest.is_relative_to(folder) else ()
    present = folder_digests(folder, ignore)
    problems = [f"{name} is missing" for name in sorted(listed.keys() - present.keys())]
    problems += [f"{name} is not in {manifest.name}" for name in sorted(present.keys() - listed.keys())]
    problems += [
        f"{name} has other bytes" for name in sorted(listed) if present.get(name, "") not in ("", listed[name])
    ]
    return problems


def settings_sha256(settings: GenerationSettings) -> str:
    """Digest of what may decide an answer; what was ignored decides none."""
    return json_sha256(settings.model_dump(mode="json", exclude={"ignored"}))
