"""What the repository has committed: the anchor that someone who can write to a run folder cannot move.

    committed_files("configs/eval")     name of every file of a folder at HEAD by the SHA-256 of its bytes
    committed_bytes(None, path)         a file of the repository at HEAD, or at an older commit of its history
    differs_from_head(path, sha256)     whether HEAD has other bytes under this path
    with one_state():                   inside, HEAD and the branches are looked up once

HEAD counts as far as it is merged: a file has the same bytes in a protected branch (PROTECTED, those of `origin` and
the local main or master), or HEAD itself is in the history of one. A branch that is thrown away afterwards is no
anchor. A repository without any of these branches has HEAD alone, once a branch or tag holds it.

Nothing on the disk counts but git's objects: commit, trees and blob are read raw, each held against its own name, so
that replacements, grafts, attributes, filters, links and index flags change nothing, nor does git's environment.
Without a repository there is no answer (UserError).

Not protected against: whoever may commit to a protected branch, or rewrites it, on this machine; another program named
git. What is committed stands in the history.
"""

import functools
import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import Any, ParamSpec, TypeVar

from eval.common.errors import UserError
from eval.common.places import ROOT

COMMIT = re.compile(r"[0-9a-f]{40}")
SUITES, SERVED, RECIPES = "configs/eval", "configs/serve", "configs/train"
PROTECTED = (
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
    "refs/heads/main",
    "refs/heads/master",
)
FILES, FOLDER = (b"100644", b"100755"), b"40000"  # modes of a tree's entries; a link or a submodule is neither
# Settings of people and machines are not read, nothing is fetched, and no file may say that history was another.
ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
SETTINGS = (
    "core.commitGraph=false",
    "core.multiPackIndex=false",
    "core.fsmonitor=false",
)
Given = ParamSpec("Given")
Found = TypeVar("Found")
_found: ContextVar[dict[tuple[Any, ...], Any] | None] = ContextVar("found", default=None)


@contextmanager
def one_state() -> Iterator[None]:
    """Inside this block everything is held against one state of a repository: what is checked out and merged when it is
    first asked. A commit made meanwhile is for the next block. Threads started inside are outside of it."""
    token = _found.set({})
    try:
        yield
    finally:
        _found.reset(token)


def once(lookup: Callable[Given, Found]) -> Callable[Given, Found]:
    """Ask git once in a `one_state` block, and each time outside of one."""

    @functools.wraps(lookup)
    def looked_up(*arguments: Given.args, **named: Given.kwargs) -> Found:
        found = _found.get()
        if found is None:
            return lookup(*arguments, **named)
        key = (lookup.__name__, *arguments, *named.items())
        if key not in found:
            found[key] = lookup(*arguments, **named)
        known: Found = found[key]
        return known

    return looked_up


def committed_suites(root: Path = ROOT) -> dict[str, str]:
    """Name of every committed suite by the SHA-256 of its bytes. UserError without a repository."""
    return committed_files(SUITES, root)


def committed_served(root: Path = ROOT) -> dict[str, str]:
    """The same of the suites that hold a served form against what was approved."""
    return committed_files(SERVED, root)


def committed_files(folder: str, root: Path = ROOT) -> dict[str, str]:
    """Stem by SHA-256 of every YAML file of a folder at HEAD that is merged."""
    here, branches = head(root), protected(root)
    names = [name for name in _children(root, here, folder) if name.endswith(".yaml")]
    found = ((name, _merged(root, here, branches, f"{folder}/{name}")) for name in names)
    return {hashlib.sha256(content).hexdigest(): Path(name).stem for name, content in found if content is not None}


def committed_bytes(commit: str | None, path: Path, root: Path = ROOT) -> bytes | None:
    """A file as merged HEAD has it (None), or as a commit had it that is in the history of HEAD or a protected branch.

    None where there is no such file or commit. UserError without a repository.
    """
    name = relative(path, root)
    if name is None:
        return None
    if commit is None:
        return merged_bytes(name, root)
    return _file(root, commit, name) if in_history(commit, root) else None


def merged_bytes(name: str, root: Path = ROOT) -> bytes | None:
    """A file at HEAD, where a protected branch has the same bytes or HEAD's commit; None otherwise."""
    return _merged(root, head(root), protected(root), name)


def _merged(root: Path, here: str, branches: tuple[str, ...], name: str) -> bytes | None:
    content = _file(root, here, name)
    if content is None or not branches or any(_file(root, branch, name) == content for branch in branches):
        return content
    return content if _in_history(root, here, branches) else None


def differs_from_head(path: Path, sha256: str, root: Path = ROOT) -> bool:
    """Whether HEAD lacks this file, or has it with other bytes than those of this digest."""
    name = relative(path, root)
    content = None if name is None else _file(root, head(root), name)
    return content is None or hashlib.sha256(content).hexdigest() != sha256


def in_history(commit: object, root: Path = ROOT) -> bool:
    """Whether a commit is in the history of HEAD or of a protected branch."""
    known = isinstance(commit, str) and COMMIT.fullmatch(commit) is not None
    return known and _in_history(root, str(commit), (head(root), *protected(root)))


def repository_of(folder: Path) -> Path:
    """The git repository around a folder. UserError where there is none."""
    for root in (folder, *folder.parents):
        if (root / ".git").exists():
            return root
    raise UserError(f"{folder} is in no git repository: commit it first")


def relative(path: Path, root: Path = ROOT) -> str | None:
    """A path from the repository's root, by its letters alone: no link is followed. None for one outside."""
    try:
        name = PurePosixPath(path.relative_to(root).as_posix())
    except ValueError:
        return None
    return None if ".." in name.parts or not name.parts else str(name)


@once
def head(root: Path = ROOT) -> str:
    """The commit that is checked out. UserError without a repository, or where no branch or tag has it."""
    found = git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    commit = (found or b"").decode().strip()
    if not COMMIT.fullmatch(commit):
        why = "git cannot read what it has committed" if (root / ".git").exists() else "it is not a git repository"
        raise UserError(f"{root}: {why}, such as its suites, and nothing is published without: try `git status` there")
    if not protected(root) and not git(root, "for-each-ref", "--count=1", f"--contains={commit}"):
        raise UserError(f"{root}: no branch or tag holds what is checked out ({commit[:12]}): check out a branch")
    return commit


@once
def protected(root: Path = ROOT) -> tuple[str, ...]:
    """Commits at the tips of the protected branches that there are."""
    listed = git(root, "for-each-ref", "--format=%(objectname)", *PROTECTED) or b""
    return tuple(dict.fromkeys(listed.decode().split()))


@once
def _in_history(root: Path, commit: str, tips: tuple[str, ...]) -> bool:
    return any(git(root, "merge-base", "--is-ancestor", commit, tip) is not None for tip in dict.fromkeys(tips))


def _file(root: Path, commit: str, name: str) -> bytes | None:
    *folders, last = name.split("/")
    tree = _tree(root, commit, folders)
    found = {} if tree is None else {entry: (mode, oid) for mode, entry, oid in _entries(root, tree)}
    mode, oid = found.get(last, (b"", ""))
    return _object(root, "blob", oid) if mode in FILES else None


def _children(root: Path, commit: str, folder: str) -> list[str]:
    tree = _tree(root, commit, folder.split("/"))
    return [] if tree is None else [name for _, name, _ in _entries(root, tree)]


def _tree(root: Path, commit: str, folders: list[str]) -> str | None:
    """Id of a folder's tree at a commit."""
    tree = _object(root, "commit", commit).split(b"\n", 1)[0].removeprefix(b"tree ").decode()
    for folder in folders:
        found = [oid for mode, name, oid in _entries(root, tree) if (mode, name) == (FOLDER, folder)]
        if not found:
            return None
        tree = found[0]
    return tree


def _entries(root: Path, tree: str) -> Iterator[tuple[bytes, str, str]]:
    """Mode, name and id of everything in a tree."""
    content, width = _object(root, "tree", tree), len(tree) // 2
    while content:
        mode, _, rest = content.partition(b" ")
        name, _, rest = rest.partition(b"\0")
        yield mode, name.decode(errors="replace"), rest[:width].hex()
        content = rest[width:]


@functools.lru_cache(maxsize=512)
def _object(root: Path, kind: str, oid: str) -> bytes:
    """An object's bytes. UserError when it is missing, or is not what its name says."""
    content = git(root, "cat-file", kind, oid)
    named = b"" if content is None else f"{kind} {len(content)}\0".encode() + content
    if content is None or hashlib.sha1(named, usedforsecurity=False).hexdigest() != oid:
        raise UserError(f"{root}: git's {kind} {oid[:12]} is missing or damaged: try `git fsck` there")
    return content


def git(root: Path, *arguments: str) -> bytes | None:
    """What git prints about the repository in `root`, and no other; None when it fails, or there is none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | ENVIRONMENT
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    command = ["git", "--no-replace-objects", f"--git-dir={root / '.git'}", *settings, *arguments]
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
