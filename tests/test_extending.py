"""docs/extending.md performed: its chapter on SQL, block by block as it stands, in a folder outside the repository.

What its commands start as `python` is forked from a process that has imported torch and Axolotl (tests/preloaded.py);
and publishing has fewer answers given again.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from eval.common.places import ROOT
from tests import preloaded

SPOT = 4  # items of each draw, of 20
PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def chapter() -> list[tuple[str, str, str]]:
    """(language, file name or nothing, text) of every block of the chapter, in order."""
    text = PAGE.read_text(encoding="utf-8")
    start = text.index("## A domain: text to SQL")
    return BLOCK.findall(text[start : text.index("\n## ", start + 1)])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone as this checkout is now, so that its results/ and recipes stay alone; set up with what is set up here."""
    clone = tmp_path / "checkout"
    git = ["git", "-c", "safe.directory=*"]
    subprocess.run([*git, "clone", "--quiet", "--shared", ROOT, clone], check=True)
    listed = subprocess.run([*git, "ls-files", "-z", "-mo", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, clone / name)
    for name in (".venv", "models", ".cache"):
        (clone / name).symlink_to((ROOT / name).resolve())
    for path in clone.glob("*.txt"):
        os.utime(path, (0, 0))  # make sets nothing up again
    return clone


def perform(command: str, checkout: Path, home: Path) -> str:
    """Run one block of shell as a reader would, in the checkout, with `home` for `~`."""
    named = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
    named |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in named.items()}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=checkout,
        env={**os.environ, **named, "HOME": str(home), "SPOT": str(SPOT), "MAKEFLAGS": f"PY={preloaded.python()}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_chapter_has_what_it_promises() -> None:
    files = [name for _, name, _ in chapter() if name]
    assert files == ["domain.py", "shop.sql", "rows.py", "suite.yaml"]
    assert sum(language == "sh" for language, _, _ in chapter()) == 3


@pytest.mark.slow
def test_text_to_sql_from_nothing_to_a_publish_dry_run(checkout: Path, tmp_path: Path) -> None:
    said = ""
    for language, name, text in chapter():
        if name:
            (tmp_path / "text2sql" / name).write_text(text, encoding="utf-8")
        elif language == "sh":
            said = perform(text, checkout, tmp_path)
    assert "dry run: nothing was uploaded" in said and "verdict: ship" in said
