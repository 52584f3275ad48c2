"""Files at the edge of what a gold asks for: just inside and just outside each of its limits.

For each limit there is a family of files that differ in the one thing it looks at and pass every other test of the
gold: a name that its globs match, a size and an age that it lets through. Families come from the gold alone, so that
one copy serves every candidate. They are added last, when the rest of the copy has its contents and its ages.
"""

import fnmatch
import os
from dataclasses import dataclass
from pathlib import Path

from eval.judge.file_contents import SAMPLES
from eval.judge.hints import Hints
from eval.judge.limits import DAY, Limits, around_age, around_size, passing_age, passing_size
from eval.sandbox.trees import NOW

MAX_EDGES = 60  # files of one folder
MOST = 1 << 20  # bytes of a file whose size is not the question


@dataclass
class Family:
    """Makes the files of one folder; `made` counts them, so that no two have one name."""

    folder: Path
    hints: Hints
    limits: Limits
    made: int = 0

    def name(self) -> str:
        """A new name that the gold's globs match, or an ordinary one where it has none."""
        self.made += 1
        glob = next((glob for glob in self.hints.globs if "*" in glob and "/" not in glob and "[" not in glob), None)
        if glob is None:
            return f"{SAMPLES[self.made % 4]}{self.made}.txt"
        middle = f"{SAMPLES[self.made % 4]}{self.made}" + ("." if is_extension(glob) else "")
        return glob.replace("*", middle, 1).replace("*", "").replace("?", "q").replace("\\", "")

    def add(self, age: float | None = None, size: int | None = None, lines: int | None = None, below: str = "") -> None:
        """One file; what is not given is what the gold lets through."""
        folder = self.folder / below if below else self.folder
        if self.made >= MAX_EDGES or not os.access(folder, os.W_OK):
            return
        path = folder / self.name()
        if path.exists() or path.is_symlink():
            return
        if lines is not None:
            path.write_text("".join(f"{SAMPLES[number % 4]}\n" for number in range(lines)), encoding="utf-8")
        else:
            self.fill(path, size)
        path.chmod(0o644)
        if age is None:
            age = passing_age(self.limits.ages[0]) if self.limits.ages else 0.7 * DAY
        os.utime(path, (NOW - age, NOW - age))

    def fill(self, path: Path, size: int | None) -> None:
        """Lines with the words that the gold looks for, cut or repeated to a size."""
        data = "".join(f"{word} in {path.name}\n" for word in (*self.hints.words[:5], *SAMPLES)).encode()
        if size is None and self.limits.sizes:
            size = min(passing_size(self.limits.sizes[0]), MOST)
        path.write_bytes(data if size is None else (data * (size // len(data) + 1))[:size])


def add_edges(folders: list[Path], hints: Hints, limits: Limits, reference: dict[str, Path]) -> None:
    """Every family of the gold in each of the folders. `reference` holds the files that `-newer` names."""
    for place, folder in enumerate(folders):
        family = Family(folder, hints, limits)
        for limit in limits.ages[:3]:
            for age in around_age(limit):
                family.add(age=age)
        for limit in limits.sizes[:2]:
            for size in around_size(limit):
                if place == 0 or size <= 100_000:  # large ones once a copy
                    family.add(size=size)
        for moment in (*(path.stat().st_mtime for path in reference.values()), *limits.moments):
            for later in (-DAY, -3600, -1, 0, 1, 3600, DAY):
                if moment + later < NOW:
                    family.add(age=NOW - moment - later)
        for bound in hints.bounds:
            for lines in (bound - 1, bound, bound + 1):
                if 0 <= lines <= 300:
                    family.add(lines=lines)
        if limits.listed:
            for _ in range(limits.listed + 2 - family.made):
                family.add()
        if limits.depth and place == 0:
            add_depths(family)


def add_depths(family: Family) -> None:
    """Folders one in another, each with a file that the gold's other tests let through, deeper than its limit."""
    below = ""
    for level in range(1, family.limits.depth + 2):
        below = f"{below}/level{level}".lstrip("/")
        if not os.access((family.folder / below).parent, os.W_OK):
            return
        (family.folder / below).mkdir(exist_ok=True)
        family.add(below=below)


def is_extension(glob: str) -> bool:
    """A glob that ends in an extension without its dot (`*txt`): no file is called `alphatxt`."""
    return glob.lstrip("*").lower() in EXTENSIONS and fnmatch.fnmatchcase(f"a.{glob.lstrip('*')}", glob)


EXTENSIONS = frozenset(
    ("txt", "log", "php", "c", "h", "py", "sh", "js", "java", "html", "css", "json", "csv", "xml", "sql", "md", "gz",
     "tar", "zip", "jpg", "jpeg", "png", "gif", "mp3", "mp4", "pdf", "doc", "conf", "cfg", "ini", "bak", "tmp", "rb",
     "pl", "cpp", "yml", "yaml", "tgz", "bz2", "swp", "o")
)  # fmt: skip
