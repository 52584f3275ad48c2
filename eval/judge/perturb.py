"""Perturbed copies of a fixture: other contents, other tree and times, operands that were missing.

Each function returns an edit of a tree in place, for `eval.sandbox.fixtures.derive`. Edits are deterministic: every
choice comes from a digest of the seed and the file's path. What a copy must stay is plausible: files a person could
have, no traps (a folder called `notes.txt` would punish a candidate for what no request meant).
"""

import os
import posixpath
import random
import re
from collections.abc import Callable
from pathlib import Path

from eval.judge.edges import add_edges, is_extension
from eval.judge.file_contents import SAMPLES, altered, chooser, sample_text, write_operand
from eval.judge.hints import Hints
from eval.judge.limits import Limits
from eval.sandbox.trees import NOW

LOGS = re.compile(r"/(?:var/log|tmp|var/tmp)(?:/[\w-]+)*/?")

Edit = Callable[[Path], None]

DAY = 86400.0
AGES = (0.02, 0.2, 0.8, 1.6, 3.2, 6.6, 8.4, 15, 29, 33, 62, 100, 200, 400, 800)  # around the usual limits of -mtime
MODES = (0o644, 0o600, 0o640, 0o755, 0o750, 0o444)  # that a user has whose umask is the sandbox's: cp keeps them
MAX_TEXT_BYTES = 200_000
MAX_NEW_BYTES = 400_000  # a file for a `-size` limit above this is not made: copies must stay cheap
MAX_FOLDERS = 10
SYSTEM = frozenset(("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr", "var"))


def new_contents(hints: Hints, seed: str) -> Edit:
    """Other contents in every text file; names, tree and times stay (times are set back)."""

    def edit(tree: Path) -> None:
        for path in files_of(tree):
            status = path.stat()
            text = readable(path)
            if text is None or not text.strip():
                continue
            rng = chooser(seed, str(path.relative_to(tree)))
            rewrite(path, altered(text, path.suffix, hints, rng))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return edit


def named_folders(tree: Path, hints: Hints, cwd: str, gold: str) -> list[Path]:
    """Folders that the gold or the request names; the working directory too, where the gold names no other."""
    folders = [path for path in everything(tree) if path.is_dir() and not path.is_symlink()]
    named = [folder for folder in folders if is_mentioned(folder, tree, hints)]
    if not named or re.search(r"(^|\s)\.(/|\s|$)", gold):
        named.insert(0, tree / cwd.lstrip("/"))
    return named


def new_tree(hints: Hints, seed: str, cwd: str, gold: str) -> Edit:
    """Files added and removed, ages and modes changed; the contents of what stays are the same.

    Folders that the gold or the request names come first.
    """

    def edit(tree: Path) -> None:
        rng = chooser(seed, "tree")
        named = named_folders(tree, hints, cwd, gold)
        folders = [path for path in everything(tree) if path.is_dir() and not path.is_symlink()]
        other = [folder for folder in folders if folder not in named]
        chosen = (named + rng.sample(other, len(other)))[:MAX_FOLDERS]
        remove_some(tree, hints, rng)
        for folder in chosen:
            add_siblings(folder, hints, rng)
            for name in special_names(hints, rng):
                write_new(folder / name, sample_text(hints, rng), rng)
        if chosen:
            add_special(chosen[: max(2, len(named))], hints, rng)
        change_ages(tree, hints, seed)

    return edit


def with_edges(hints: Hints, limits: Limits, cwd: str, gold: str) -> Edit:
    """Files on either side of every limit of the gold, in the first two folders that it names (eval/judge/edges.py)."""

    def edit(tree: Path) -> None:
        if not limits.any and not hints.bounds:
            return
        named = {name: tree / posixpath.normpath(posixpath.join(cwd, name)).lstrip("/") for name in limits.newer}
        reference = {name: path for name, path in named.items() if path.is_file()}
        folders = [tree / name.lstrip("/") for name in hints.mentioned if LOGS.fullmatch(name)]
        for folder in folders:  # of the system, else left alone; the gold asks for what is in it
            folder.mkdir(parents=True, exist_ok=True)
        add_edges((folders + named_folders(tree, hints, cwd, gold))[:2], hints, limits, reference)

    return edit


def with_operands(kinds: dict[str, str], hints: Hints, cwd: str, home: str) -> Edit:
    """Paths that a gold found missing, created: a "folder" with a few files, an "empty" one, or a "file"."""

    def edit(tree: Path) -> None:
        for name, kind in sorted(kinds.items()):
            path = tree / posixpath.normpath(posixpath.join(cwd, name.replace("~", home, 1))).lstrip("/")
            if path.exists() or path.is_symlink() or any(parent.is_file() for parent in path.parents):
                continue
            rng = chooser("operand", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                write_operand(path, hints, rng)
                continue
            path.mkdir()
            for child in ("one.txt", "two.log") if kind == "folder" else ():
                write_new(path / child, sample_text(hints, rng), rng)

    return edit


def both(*edits: Edit) -> Edit:
    def edit(tree: Path) -> None:
        for one in edits:
            one(tree)

    return edit


def everything(tree: Path) -> list[Path]:
    """Every path of a tree but the folders of the system, in a fixed order."""
    paths = [(path, path.relative_to(tree).parts) for path in sorted(tree.rglob("*"))]
    return [path for path, parts in paths if parts[0] not in SYSTEM and ".git" not in parts]


def files_of(tree: Path) -> list[Path]:
    return [path for path in everything(tree) if path.is_file() and not path.is_symlink()]


def readable(path: Path) -> str | None:
    """The text of a file, None for binary or large ones."""
    if path.stat().st_size > MAX_TEXT_BYTES:
        return None
    data = path.read_bytes()
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def rewrite(path: Path, text: str) -> None:
    """New contents in the same file: mode kept, even where it forbids writing."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode & 0o7777)


def write_new(path: Path, text: str, rng: random.Random) -> None:
    if path.exists() or path.is_symlink():
        return
    path.write_text(text, encoding="utf-8")
    path.chmod(rng.choice(MODES))


def is_mentioned(path: Path, tree: Path, hints: Hints) -> bool:
    inside = "/" + str(path.relative_to(tree))
    return any(inside.endswith("/" + name.strip("./~")) for name in hints.mentioned if name.strip("./~"))


def remove_some(tree: Path, hints: Hints, rng: random.Random) -> None:
    """About one file in six goes, never one that the gold or the request names."""
    for path in files_of(tree):
        if rng.random() < 1 / 6 and not is_mentioned(path, tree, hints):
            path.unlink()


def add_siblings(folder: Path, hints: Hints, rng: random.Random) -> None:
    """For up to three files a new one with the same extension; sometimes the same name or contents elsewhere."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()]
    for path in rng.sample(files, min(3, len(files))):
        text = readable(path)
        if text is None:
            continue
        new = f"{path.stem}{rng.choice(('2', 'b', '-new', 'X'))}{path.suffix}"
        write_new(folder / new, altered(text, path.suffix, hints, rng) if text.strip() else text, rng)
        if rng.random() < 0.4:
            below = folder / rng.choice(SAMPLES)
            if not below.exists():
                below.mkdir()
            if below.is_dir():
                as_it_is = rng.random() < 0.5 and not hints.case_free
                write_new(below / (path.name if as_it_is else path.name.swapcase()), text, rng)


def special_names(hints: Hints, rng: random.Random) -> list[str]:
    """For each glob of the gold two names that match and some that almost do; for each named file one almost so."""
    chosen, names = [], []
    for glob in hints.globs[:5]:
        core = glob.strip("*/").rsplit("/", 1)[-1]
        if not core or "/" in core:
            continue
        fitting = filled_in(glob.rsplit("/", 1)[-1], rng)
        chosen.append(fitting.swapcase())  # always: whether case counts is the commonest difference between globs
        names += [fitting, fitting + ".bak", "x" + fitting]
        if "*" in glob:
            names.append(filled_in(glob.rsplit("/", 1)[-1], rng))
    chosen += rng.sample(names, len(names) * 2 // 3)
    return list(dict.fromkeys(name for name in chosen if 0 < len(name) < 60 and "/" not in name))


def filled_in(glob: str, rng: random.Random) -> str:
    """A name that the glob matches: `*` and `?` filled, of a class its first member."""
    name = re.sub(r"\[!?(.)[^\]]{0,200}\]", r"\1", glob)
    name = name.replace("\\", "").replace("?", rng.choice("qz"))
    dot = "." if is_extension(glob) else ""
    return re.sub(r"\*", lambda _: rng.choice(SAMPLES) + dot, name)


def add_special(folders: list[Path], hints: Hints, rng: random.Random) -> None:
    """What particular tests of find look for: sizes around a limit, modes around a mode, empty things, a link."""
    for folder in folders:
        for size in hints.sizes[:2]:
            for bytes_ in (size - 1, size, size + 1, 2 * size + 700):
                path = folder / f"size{bytes_}.{rng.choice(('dat', 'txt', 'c'))}"
                if 0 < bytes_ <= MAX_NEW_BYTES and rng.random() < 0.7 and not path.exists():
                    path.write_bytes((b"0123456789abcde\n" * (bytes_ // 16 + 1))[:bytes_])
        for mode in hints.modes[:2]:
            for other in (mode, mode ^ 0o001, mode ^ 0o020, mode | 0o444):
                path = folder / f"mode{other:o}.txt"
                if rng.random() < 0.7:
                    write_new(path, sample_text(hints, rng), rng)
                    path.chmod(other)
        for glob in hints.globs[:3]:
            if "." not in glob and hints.types:  # a folder or a file of that name are both natural
                path = folder / filled_in(glob.rsplit("/", 1)[-1], rng)
                if not path.exists() and "/" not in glob:
                    path.mkdir() if rng.random() < 0.5 else path.write_text("one\ntwo\n")
        write_new(folder / ".settings", "mode=1\n", rng)
        write_new(folder / f"none.{rng.choice(('txt', 'log', 'tmp'))}", "", rng)
        if not (folder / "hollow").exists():
            (folder / "hollow").mkdir()
    target = next((path for path in files_of(folders[0])), None)
    if target is not None and not (folders[0] / "current").exists():
        (folders[0] / "current").symlink_to(target.relative_to(folders[0]))


def change_ages(tree: Path, hints: Hints, seed: str) -> None:
    """Modification and access times spread over the usual limits and around those of the gold."""
    ages = list(AGES)
    for age in hints.ages[:3]:
        unit = 1.0 if age >= 1 else 1 / 1440
        ages += [max(age - 0.6 * unit, 0.0004), age + 0.5 * unit, age + 1.5 * unit] * 3
    for path in everything(tree):
        if path.is_symlink():
            continue
        rng = chooser(seed, "age" + str(path.relative_to(tree)))
        modified = NOW - rng.choice(ages) * DAY
        accessed = NOW - rng.choice(ages) * DAY
        os.utime(path, (max(accessed, modified) if rng.random() < 0.5 else accessed, modified))
        if path.is_file() and rng.random() < 0.15:
            path.chmod(rng.choice(MODES))
