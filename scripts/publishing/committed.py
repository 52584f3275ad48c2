"""What the repository has committed: the anchor that someone who can write to a run folder cannot move.

    committed_suites()                  digest of every suite in configs/eval at HEAD, with its name; UserError
                                        when git cannot say
    committed_bytes(commit, path)       a file of the repository at a commit; None when git does not have it

Without a git repository (an unpacked archive) the files on the disk are taken.
Not protected against: whoever may commit on this machine. What they commit stands in the history.
"""

import hashlib
import os
import re
import subprocess
from pathlib import Path

from eval.config import ROOT
from eval.errors import UserError
from eval.provenance import file_sha256

COMMIT = re.compile(r"[0-9a-f]{40}")
SUITES = "configs/eval"


def committed_suites(root: Path = ROOT) -> dict[str, str]:
    """Name of every committed suite by the SHA-256 of its bytes."""
    listed = git(root, "ls-tree", "-z", "--name-only", "HEAD", f"{SUITES}/")
    if listed is None and (root / ".git").exists():
        raise UserError(f"git cannot read what {root} has committed, such as its suites: try `git -C {root} status`")
    if listed is None:
        return {file_sha256(path): path.stem for path in sorted((root / SUITES).glob("*.yaml"))}
    names = [name for name in listed.decode().split("\0") if name.endswith(".yaml")]
    contents = {name: git(root, "show", f"HEAD:{name}") for name in names}
    return {hashlib.sha256(text).hexdigest(): Path(name).stem for name, text in contents.items() if text is not None}


def committed_bytes(commit: str, path: Path) -> bytes | None:
    """A file of this repository as it was at a commit; None when git does not have it."""
    if not COMMIT.fullmatch(commit) or not path.resolve().is_relative_to(ROOT):
        return None
    return git(ROOT, "show", f"{commit}:{path.resolve().relative_to(ROOT).as_posix()}")


def committed_sha256(commit: str, path: Path) -> str | None:
    """SHA-256 of a file of this repository at a commit; None when git does not have it."""
    content = committed_bytes(commit, path)
    return None if content is None else hashlib.sha256(content).hexdigest()


def git(root: Path, *arguments: str) -> bytes | None:
    """What git prints; None when it fails, or there is none.

    Without git's environment variables, which would turn it to another repository.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
