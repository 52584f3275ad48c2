"""File trees: read one as data, lay one out for a run, read what a run left, and clear it away.

What a command left behind is hostile: names with newlines, links to anywhere, pipes that block a reader, folders
nested deeper than any path may be long. So links are never followed, only regular files are opened, folders are
walked through descriptors, and both depth and number of entries are bounded.
"""

# Strings and descriptors on purpose: thousands of calls a run, and no link may be followed.
# ruff: noqa: PTH101, PTH102, PTH211
import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field, replace
from pathlib import Path

from eval.sandbox.archives import LIMIT, digest_of
from eval.sandbox.execution import Change, Entry, EntryType

# The frozen clock of the sandbox root (eval/fixtures/fixed_clock.c): 2026-01-15 12:00:00 UTC. A file time at or after
# it reads as it, so "in the future of NOW" means "during the run".
NOW = 1768478400
MAX_DEPTH = 100  # folders; what lies deeper is one entry of type `other`
MAX_ENTRIES = 20_000
MAX_PATH = 4096  # bytes: what the kernel takes in one call, so that both backends see the same; no longer name is shown
MAX_NAMES = 8 << 20  # bytes of all paths and link targets together: deep long ones cost their reader thousands of times
MAX_BYTES = 256 << 20  # of all files, holes included: a sparse file costs its reader what it does not cost the disk
IN_MEMORY = 1 << 20  # bytes of a file that a worker keeps between runs
MOST_LOST = 2000  # lines of one file that are listed as lost

_TYPES: dict[int, EntryType] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link",
                                stat.S_IFIFO: "fifo"}  # fmt: skip


class TooManyEntries(Exception):
    """A tree has more than MAX_ENTRIES entries, MAX_BYTES bytes or MAX_NAMES bytes of names, or a longer path."""


@dataclass(frozen=True)
class Node:
    """One path of a tree as it is on disk. `source` is where a large file's bytes are; small ones are in `content`.

    `lost` and `grew` of a file that differs from the one laid out: see Change.
    """

    entry: Entry
    modified: int  # nanoseconds
    content: bytes | None = None
    source: str | None = None
    lost: tuple[str, ...] | None = None
    grew: bool = False


Tree = dict[str, Node]  # by path relative to the tree's top, parents before children; "" is the top itself


@dataclass
class _Reading:
    """One pass over a tree: what to leave out, what is known, whether to keep bytes, and what may still be unpacked."""

    skip: Container[str]
    known: Tree
    keep: bool
    tree: Tree = field(default_factory=dict)
    unpack: int = LIMIT
    unread: int = MAX_BYTES
    names: int = MAX_NAMES

    def count(self, path: str, target: str = "") -> None:
        """Count one more path; TooManyEntries where that is one too many."""
        length = len(os.fsencode(path))
        self.names -= length + len(os.fsencode(target))
        if len(self.tree) >= MAX_ENTRIES or length >= MAX_PATH or self.names < 0:
            raise TooManyEntries(path[:100])


def read_tree(top: Path, skip: Container[str] = frozenset(), known: Tree | None = None, keep: bool = True) -> Tree:
    """Every path below `top`, links not followed, without the paths in `skip`.

    `known` is the tree as laid out: a file with the same bytes takes its digest from there. `keep` keeps the bytes of
    files up to IN_MEMORY. TooManyEntries, OSError.
    """
    reading = _Reading(skip, known or {}, keep)
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        reading.tree[""] = _node(os.fstat(descriptor), "directory")
        _read_folder(descriptor, "", 0, reading)
    finally:
        os.close(descriptor)
    return reading.tree


def _read_folder(folder: int, prefix: str, depth: int, reading: _Reading) -> None:
    with os.scandir(folder) as listing:
        names = sorted(found.name for found in listing)
    for name in names:
        path = prefix + name
        if path in reading.skip:
            continue
        reading.count(path)
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
        if kind == "directory" and depth >= MAX_DEPTH:
            kind = "other"
        if kind == "link":
            target = os.readlink(name, dir_fd=folder)
            reading.count("", target)
            reading.tree[path] = _node(status, kind, target=target)
        elif kind == "file":
            reading.tree[path] = _file(name, folder, status, path, reading)
        else:
            reading.tree[path] = _node(status, kind)
        if kind == "directory":
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                _read_folder(inner, path + "/", depth + 1, reading)
            finally:
                os.close(inner)


def _node(status: os.stat_result, kind: EntryType, target: str | None = None) -> Node:
    return Node(Entry(kind, stat.S_IMODE(status.st_mode), None, target, 0), status.st_mtime_ns)


def _file(name: str, folder: int, status: os.stat_result, path: str, reading: _Reading) -> Node:
    if status.st_size > reading.unread:
        raise TooManyEntries(path[:100])
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        content = os.read(descriptor, status.st_size + 1)  # a reader takes the memory it is asked for at once
    finally:
        os.close(descriptor)
    reading.unread -= len(content)
    known = reading.known.get(path)
    if known is not None and known.content == content:
        digest, size = known.entry.digest, known.entry.size
    else:
        digest, size, unpacked = digest_of(content, reading.unpack)
        reading.unpack -= unpacked
    entry = Entry("file", stat.S_IMODE(status.st_mode), digest, None, size)
    small = len(content) <= IN_MEMORY
    kept = content if reading.keep and small else None
    if known is None or known.content is None or known.content == content or not small:
        return Node(entry, status.st_mtime_ns, kept)
    lost, grew = lost_lines(known.content, content), content.startswith(known.content)
    return Node(entry, status.st_mtime_ns, kept, lost=lost, grew=grew)


def lost_lines(before: bytes, after: bytes) -> tuple[str, ...]:
    """Short digests of the lines of `before` that `after` has no more, or fewer times; sorted, at most MOST_LOST."""
    gone = Counter(_lines(before)) - Counter(_lines(after))
    return tuple(sorted(hashlib.sha256(line).hexdigest()[:12] for line in gone.elements())[:MOST_LOST])


def _lines(content: bytes) -> list[bytes]:
    return content.removesuffix(b"\n").split(b"\n") if content else []


def load_tree(top: Path) -> Tree:
    """`read_tree` of a stored fixture; files too large to keep in memory are remembered by their path."""
    tree = read_tree(top)
    return {
        path: replace(node, source=str(top / path)) if node.entry.type == "file" and node.content is None else node
        for path, node in tree.items()
    }


def lay_out(tree: Tree, top: str, owner: int | None = None, own: Container[str] = frozenset()) -> None:
    """Create every path of `tree` below the existing folder `top`, with its mode and time.

    `owner` gets all of it, as user and group; None: whoever calls, as when a tree is kept.

    A folder in `own` may exist already, empty. Any other that exists is the sandbox root's: it becomes sticky and
    writable for all, so that the owner cannot remove what is not his. Times of folders are set last, since filling a
    folder changes them.
    """
    folders = []
    for path, node in tree.items():
        if not path:
            continue
        where, entry = f"{top}/{path}", node.entry
        if entry.type == "directory":
            try:
                os.mkdir(where, 0o700)
            except FileExistsError:
                if path not in own:
                    os.chmod(where, 0o1777)
                    continue
            folders.append((where, node))
        elif entry.type == "link":
            os.symlink(entry.target or "", where)
        elif entry.type == "fifo":
            os.mkfifo(where)
        else:
            _write_file(where, node)
        if owner is not None:
            os.lchown(where, owner, owner)
        if entry.type != "link":
            os.chmod(where, entry.mode)
        os.utime(where, ns=(node.modified, node.modified), follow_symlinks=False)
    for where, node in reversed(folders):
        os.utime(where, ns=(node.modified, node.modified))


def _write_file(where: str, node: Node) -> None:
    content = node.content
    if content is None:
        content = Path(node.source or "").read_bytes()
    descriptor = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
    finally:
        os.close(descriptor)


def changes_between(before: Tree, after: Tree, roots: Container[str] = frozenset()) -> tuple[Change, ...]:
    """What differs, by path. Only content, type, mode and link target count: not times, not inodes.

    Folders in `roots` belong to the sandbox root, whatever their mode is at the moment; nobody can remove them.
    """
    changes = []
    for path in sorted((before.keys() | after.keys()) - {""}):
        if path in roots:
            continue
        old, new = before.get(path), after.get(path)
        was, is_now = old.entry if old else None, new.entry if new else None
        if was != is_now:
            kind = "added" if was is None else "removed" if is_now is None else "changed"
            lost, grew = (new.lost, new.grew) if new and old else (None, False)
            changes.append(Change("/" + path, kind, was, is_now, lost, grew))  # type: ignore[arg-type]
    return tuple(changes)


def disk_usage(top: str, skip: Container[str]) -> int:
    """Bytes allocated below `top` without `skip`. TooManyEntries past MAX_ENTRIES, MAX_NAMES, or what a path may be."""
    total, count, length = 0, 0, 0
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        if folder.count("/") > 2 * MAX_DEPTH:
            raise TooManyEntries(folder[:100])
        try:
            listing = os.scandir(f"{top}/{folder}")
        except (FileNotFoundError, NotADirectoryError):
            continue  # the command is still at work
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise TooManyEntries(folder[:100]) from None
            raise
        with listing:
            for found in listing:
                path = folder + found.name
                if path in skip:
                    continue
                count, length = count + 1, length + len(path)
                if count > MAX_ENTRIES or length > MAX_NAMES:
                    raise TooManyEntries(path[:100])
                try:
                    status = found.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno == errno.ENAMETOOLONG:
                        raise TooManyEntries(path[:100]) from None
                    raise
                total += status.st_blocks * 512
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(path + "/")
    return total
