"""The code that a machine gets: this repository's history up to one commit, as a git bundle.

A bundle needs no account at a git host, holds nothing that is not committed, and git checks every byte of it.
"""

import subprocess
from pathlib import Path

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.run.environment import GIT

SECONDS = 300.0


def git(*words: str) -> str:
    """The output of git here. UserError when it fails."""
    try:
        done = subprocess.run([*GIT, *words], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"git {words[0]} did not end within {SECONDS:.0f} s: is the disk well?") from None
    if done.returncode:
        raise UserError(f"git {words[0]}: {' '.join(done.stderr.split())[:200] or 'failed'}: look at `git status`")
    return done.stdout.strip()


def committed(files: list[Path]) -> str:
    """The commit of HEAD. UserError unless tracked files are as committed and these are among them."""
    if git("status", "--porcelain", "--untracked-files=no"):
        raise UserError("files differ from the last commit, and the machine gets the commit: commit them first")
    commit = git("rev-parse", "HEAD")
    tracked = set(git("ls-tree", "-r", "--name-only", commit).splitlines())
    for path in files:
        inside = path.resolve().is_relative_to(ROOT)
        if not inside or path.resolve().relative_to(ROOT).as_posix() not in tracked:
            raise UserError(f"{path} is not in the last commit, and the machine would not have it: commit it first")
    return commit


def is_pushed(commit: str) -> bool:
    """Whether a branch of a remote has the commit, as far as is known here."""
    return bool(git("branch", "--remotes", "--contains", commit))


def bundle_of(commit: str, folder: Path) -> Path:
    """The history of a commit as one file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path, ref = folder / "code.bundle", f"refs/heads/{folder.name}"
    git("update-ref", ref, commit)  # a bundle holds branches, for the moment that it takes: HEAD may have moved on
    try:
        git("bundle", "create", str(path), ref)
    finally:
        git("update-ref", "-d", ref)
    return path
