"""scripts.hooks: real commits in a repository of their own, refused in one line or let through."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eval.common.places import ROOT
from scripts import hooks
from scripts.hooks import LARGEST_BYTES, check, check_tree, install

TOKEN = "hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"
Done = subprocess.CompletedProcess[str]


def git(folder: Path, *arguments: str) -> Done:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the hook, installed by the command of `make hooks`."""
    folder = tmp_path_factory.mktemp("hooks") / "clone with a space"
    folder.mkdir()
    git(folder, "init", "-q")
    command = [sys.executable, "-m", "scripts.hooks", "install"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "pre-commit" in done.stdout, done.stderr
    return folder


@pytest.fixture
def clone(installed: Path, tmp_path: Path) -> Path:
    """A copy of it, with nothing committed."""
    return shutil.copytree(installed, tmp_path / installed.name)


def commit(clone: Path, **files: str | bytes) -> Done:
    for name, content in files.items():
        path = clone / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(clone, "add", "-A")
    return git(clone, "commit", "-m", "a change")


def commits(clone: Path) -> int:
    return int(git(clone, "rev-list", "--count", "--all").stdout)


def assert_refused(clone: Path, done: Done, *words: str) -> None:
    assert done.returncode == 1 and commits(clone) == 0, done.stdout
    assert done.stderr.startswith("refused: ") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_an_ordinary_commit_goes_through(clone: Path) -> None:
    done = commit(clone, README_dot_md="# Notes\n", code_dot_py="answer = 42\n", image_dot_png=b"\x89PNG\0\xff" * 99)
    assert done.returncode == 0 and commits(clone) == 1, done.stderr


def test_a_planted_secret(clone: Path) -> None:
    done = commit(clone, notes_dot_md=f"fine\n\ntoken {TOKEN}\n")
    assert_refused(clone, done, "notes.md:3: Hugging Face token", "revoke")
    assert TOKEN not in done.stderr + done.stdout


def test_a_large_file(clone: Path) -> None:
    assert_refused(clone, commit(clone, data_dot_bin=b"\0" * 6_000_000), "data.bin: 6.0 MB", ".gitignore")
    (clone / "data.bin").write_bytes(b"\0" * LARGEST_BYTES)
    git(clone, "add", "-A")
    assert git(clone, "commit", "-m", "smaller").returncode == 0


def test_a_broken_recipe(clone: Path) -> None:
    done = commit(clone, configs__train__mine_dot_yaml="base_model: a/b\nlora_r: 4\nlora_r: 8\n")
    assert_refused(clone, done, "configs/train/mine.yaml", "lora_r is given twice")


@pytest.mark.parametrize(
    ("code", "word"), [("import os\n", "F401"), ("x = [1,2]\n", "not formatted"), ("def f(\n", "mine.py")]
)
def test_python_that_ruff_refuses(clone: Path, code: str, word: str) -> None:
    (clone / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    assert_refused(clone, commit(clone, mine_dot_py=code), "mine.py", word)


def test_what_is_staged_counts_and_not_the_working_tree(clone: Path) -> None:
    (clone / "a.md").write_text(f"{TOKEN}\n")
    git(clone, "add", "a.md")
    (clone / "a.md").write_text("clean\n")
    assert_refused(clone, git(clone, "commit", "-m", "staged"), "a.md:1")
    git(clone, "add", "a.md")
    (clone / "a.md").write_text(f"{TOKEN}\n")
    assert git(clone, "commit", "-m", "clean").returncode == 0


def test_a_commit_of_named_paths_is_checked_too(clone: Path) -> None:
    commit(clone, a_dot_md="clean\n")
    (clone / "a.md").write_text(f"{TOKEN}\n")
    done = git(clone, "commit", "-m", "by path", "--", "a.md")
    assert done.returncode == 1 and "a.md:1" in done.stderr and commits(clone) == 1


def test_names_with_spaces_links_and_deletions(clone: Path) -> None:
    (clone / "a b ü.md").write_text("fine\n")
    (clone / "[x]*.md").write_text("fine\n")
    (clone / "link").symlink_to("/nowhere")
    assert commit(clone).returncode == 0
    (clone / "a b ü.md").unlink()
    assert commit(clone).returncode == 0
    (clone / "ü x.md").write_text(f"{TOKEN}\n")
    done = commit(clone)
    assert done.returncode == 1 and "ü x.md:1" in done.stderr


def test_every_problem_has_its_line(clone: Path) -> None:
    done = commit(clone, a_dot_md=f"{TOKEN}\n", b_dot_bin=b"\0" * 6_000_000)
    assert [line[:14] for line in done.stderr.splitlines()] == ["refused: a.md:", "refused: b.bin"]


def test_installing_again_is_safe_and_another_hook_is_kept(clone: Path) -> None:
    hook = install(clone)
    assert install(clone) == hook
    hook.write_text("#!/bin/sh\necho mine\n")
    with pytest.raises(hooks.UserError, match="is another hook"):
        install(clone)
    assert hook.read_text() == "#!/bin/sh\necho mine\n"


def test_a_python_that_is_gone_says_what_to_do(clone: Path) -> None:
    hook = install(clone)
    hook.write_text(hook.read_text().replace(sys.executable, "/nowhere/python"))
    done = commit(clone, a_dot_md="fine\n")
    assert done.returncode == 1 and "run make hooks again" in done.stderr


def test_outside_a_repository_it_is_one_line(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    command = [sys.executable, "-m", "scripts.hooks", "check"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: git rev-parse") and done.stderr.count("\n") == 1


def test_nothing_staged_is_no_problem(clone: Path) -> None:
    assert check(clone) == []


def test_a_credential_in_any_tracked_file_is_found(clone: Path) -> None:
    """As `make secrets` in CI: what --no-verify let through, but not what git ignores."""
    (clone / "notes.md").write_text("# Notes\n")
    (clone / "ignored.txt").write_text(TOKEN)
    git(clone, "add", "notes.md")
    assert check_tree(clone) == []
    (clone / "old").mkdir()
    (clone / "old" / "run.log").write_text(f"first\nkey {TOKEN}\n")
    git(clone, "add", "old")
    git(clone, "commit", "--no-verify", "-m", "in a hurry")
    (line,) = check_tree(clone)
    assert line.startswith("old/run.log:2: Hugging Face token; ") and TOKEN not in line
    command = [sys.executable, "-m", "scripts.hooks", "tree"]
    done = subprocess.run(
        command, cwd=clone, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, f"refused: {line}\n")
