"""Stored file trees: kept once under the digest of their content, laid out fresh for every run.

Times: the sandbox clock stands at trees.NOW. A file whose time is later reads as "now" and is stored so.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eval.sandbox.trees import NOW, Tree, lay_out, load_tree, read_tree

CACHE = Path(".cache/fixtures")
HOME = "/home/user"
KEPT_IN_MEMORY = 64  # trees


@dataclass(frozen=True)
class Fixture:
    """A stored tree. `tree` is the folder that becomes `/`; `writable` are its top folders, what an edit may touch.

    `variables` are environment variables beside the usual ones.
    """

    name: str
    digest: str
    tree: Path
    cwd: str
    home: str
    writable: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()


def derive(fixture: Fixture, name: str, edit: Callable[[Path], None]) -> Fixture:
    """A variant of `fixture`: `edit` changes a copy of its tree, given its top (`/home` is then `top / "home"`).

    Equal results share one stored tree. Paths that `edit` leaves with a present time read as changed "now".
    """

    def make(top: Path) -> None:
        lay_out(tree_of(fixture), str(top))
        edit(top)

    return store(name, fixture.cwd, make, fixture.home, fixture.variables)


def with_base(make: Callable[[Path], None], cwd: str, home: str = HOME) -> Callable[[Path], None]:
    """`make`, after the folders that every tree has: /tmp, the home folder and the working directory."""

    def both(top: Path) -> None:
        for folder in ("/tmp", home, cwd):
            (top / folder[1:]).mkdir(parents=True, exist_ok=True)
        (top / "tmp").chmod(0o1777)
        make(top)

    return both


def store(
    name: str, cwd: str, make: Callable[[Path], None], home: str = HOME, variables: tuple[tuple[str, str], ...] = ()
) -> Fixture:
    """Let `make` fill an empty tree, then keep it under the digest of its content, times and working directory."""
    CACHE.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=CACHE))
    try:
        top = scratch / "tree"
        top.mkdir()
        make(top)
        latest = NOW * 10**9
        for path in [*sorted(top.rglob("*"), reverse=True), top]:
            if path.lstat().st_mtime_ns > latest:
                os.utime(path, ns=(latest, latest), follow_symlinks=False)
        tree = read_tree(top)
        writable = tuple(sorted("/" + path for path in tree if path and "/" not in path))
        about: dict[str, object] = {"cwd": cwd, "home": home, "writable": writable, "variables": variables}
        digest = _digest(tree, about)
        final = CACHE / digest
        if not final.exists():
            (scratch / "fixture.json").write_text(json.dumps(about), encoding="utf-8")
            try:
                scratch.rename(final)
            except OSError:  # another process stored the same tree in the meantime
                if not final.exists():
                    raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Fixture(name, digest, final / "tree", cwd, home, writable, variables)


def read_stored(name: str, digest: str) -> Fixture | None:
    """The stored tree with this digest, None when it is not there."""
    final = CACHE / digest
    if not (final / "fixture.json").exists():
        return None
    about = json.loads((final / "fixture.json").read_text(encoding="utf-8"))
    variables = tuple((key, value) for key, value in about["variables"])
    return Fixture(name, digest, final / "tree", about["cwd"], about["home"], tuple(about["writable"]), variables)


def _digest(tree: Tree, about: dict[str, object]) -> str:
    lines = [json.dumps([path, vars(node.entry), node.modified]) for path, node in sorted(tree.items())]
    return hashlib.sha256("\n".join([json.dumps(about), *lines]).encode()).hexdigest()


_loaded: dict[str, Tree] = {}


def tree_of(fixture: Fixture) -> Tree:
    """The tree of a fixture as data; the most recent KEPT_IN_MEMORY are kept."""
    tree = _loaded.pop(fixture.digest, None) or load_tree(fixture.tree)
    _loaded[fixture.digest] = tree
    while len(_loaded) > KEPT_IN_MEMORY:
        del _loaded[next(iter(_loaded))]
    return tree
