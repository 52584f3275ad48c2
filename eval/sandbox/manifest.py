"""What lies in the sandbox root, written down when it is built and held against it when it is used.

A root from which somebody removed /etc answers differently under the same identity. So names, types, modes, sizes,
times and link targets are compared every time a sandbox opens (a tenth of a second), contents by `--check` alone.
"""

# Strings on purpose: thousands of calls, and no link may be followed.
# ruff: noqa: PTH115
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.sandbox.execution import SandboxError

MANIFEST = "manifest.json"
REBUILD = "build it again with `make sandbox-root FORCE=1`"
UNREADABLE = "unreadable"
Facts = list[Any]  # mode, size, time and link target of a path; a file's sha256 comes behind them


def write_manifest(folder: Path) -> str:
    """Write down what lies in `folder`/root. Returns the SHA-256 of the list, which belongs into root.json."""
    top = folder / "root"
    listed = {path: [*facts, _digest(top / path, facts)] for path, facts in _walk(str(top), [])}
    content = json.dumps(listed, sort_keys=True, separators=(",", ":")).encode()
    (folder / MANIFEST).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def check_root(folder: Path, sha256: str | None, contents: bool = False) -> None:
    """SandboxError when the root in `folder` is not what was built; `contents`: compare every byte as well.

    `sha256` is what root.json says of the list; None for a root that was built before there was one, of which only
    the most necessary is looked for.
    """
    top = folder / "root"
    if sha256 is None:
        for path in ("etc/passwd", "usr/bin/env", "bin/bash"):
            if not (top / path).exists():
                raise SandboxError(f"the sandbox root in {folder} has no /{path}: {REBUILD}")
        return
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError:
        raise SandboxError(f"{folder / MANIFEST} cannot be read: {REBUILD}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SandboxError(f"{folder / MANIFEST} is not what was written with the sandbox root: {REBUILD}")
    listed: dict[str, Facts] = json.loads(content)
    closed: list[str] = []  # folders that an ordinary user may not look into
    found = dict(_walk(str(top), closed))
    for path in sorted(listed.keys() | found.keys()):
        if path.startswith(tuple(closed)):
            continue
        was, is_now = listed.get(path), found.get(path)
        if was is None or is_now is None or was[:-1] != is_now or (contents and _differs(top / path, was)):
            raise SandboxError(f"the sandbox root in {folder} is not what was built: /{path} differs; {REBUILD}")


def _walk(top: str, closed: list[str]) -> Iterator[tuple[str, Facts]]:
    """Every path below `top` with its facts; the names of folders that cannot be read go to `closed`."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(f"{top}/{folder}") as listing:
                entries = list(listing)
        except PermissionError:
            closed.append(folder)
            continue
        for entry in entries:
            path, status = folder + entry.name, entry.stat(follow_symlinks=False)
            plain = stat.S_ISREG(status.st_mode)
            target = os.readlink(entry.path) if stat.S_ISLNK(status.st_mode) else ""
            yield path, [status.st_mode, status.st_size if plain else 0, status.st_mtime_ns if plain else 0, target]
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path + "/")


def _differs(path: Path, listed: Facts) -> bool:
    return _digest(path, listed[:-1]) not in (listed[-1], UNREADABLE)


def _digest(path: Path, facts: Facts) -> str:
    if not stat.S_ISREG(facts[0]):
        return ""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except PermissionError:  # an ordinary user, and a file for root alone, which no command of theirs can read either
        return UNREADABLE
