"""Suites and data are those that the repository has committed: a run folder cannot bring its own gates."""

import subprocess
from pathlib import Path

import pytest
import yaml

from eval.config import ROOT
from eval.errors import UserError
from eval.provenance import file_sha256
from scripts.publishing.committed import committed_sha256, committed_suites
from tests.hub_server import Capture, assert_refused, dry_run, run, settle

__all__ = ["run"]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments], cwd=folder, check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one committed suite, and one that is only on the disk."""
    folder = tmp_path / "repository"
    (folder / "configs" / "eval").mkdir(parents=True)
    git(folder.parent, "init", "-q", str(folder))
    (folder / "configs" / "eval" / "strict.yaml").write_text("name: strict\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "suite")
    (folder / "configs" / "eval" / "lax.yaml").write_text("name: lax\n")
    return folder


def test_only_what_is_committed_counts(repository: Path) -> None:
    suites = repository / "configs" / "eval"
    assert committed_suites(repository) == {file_sha256(suites / "strict.yaml"): "strict"}
    strict = file_sha256(suites / "strict.yaml")
    (suites / "strict.yaml").write_text("name: edited\n")
    assert list(committed_suites(repository)) == [strict]


def test_an_environment_cannot_name_another_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = committed_suites(repository)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    assert committed_suites(repository) == expected


def test_a_repository_that_git_cannot_read_has_no_suites(repository: Path) -> None:
    """The files on its disk are no stand-in: anybody may have put them there."""
    (repository / ".git" / "HEAD").write_text("nothing\n")
    with pytest.raises(UserError, match="git cannot read"):
        committed_suites(repository)


def test_an_unpacked_archive_has_the_suites_on_its_disk(tmp_path: Path) -> None:
    (tmp_path / "configs" / "eval").mkdir(parents=True)
    (tmp_path / "configs" / "eval" / "one.yaml").write_text("name: one\n")
    assert list(committed_suites(tmp_path).values()) == ["one"]


def test_a_file_outside_of_the_repository_is_not_committed(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    assert committed_sha256("a" * 40, tmp_path / "x") is None
    assert committed_sha256("HEAD", ROOT / "README.md") is None  # no commit: it moves


@pytest.mark.committed_suites
@pytest.mark.parametrize("policy", [{}, {"require_signature": False}, {"allow_override": True}])
def test_a_suite_that_only_the_run_has_is_refused(run: Path, capsys: Capture, policy: dict[str, bool]) -> None:
    """Somebody who may write to the run folder takes the signature, or a margin, out of its suite."""
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    (run / "suite.yaml").write_text(yaml.safe_dump(suite | {"review": policy}))
    settle(run)
    assert_refused(run, capsys, "suite.yaml is none of the suites committed in configs/eval")


@pytest.mark.committed_suites
def test_a_committed_suite_is_accepted(run: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "scripts.publishing.verify_run.committed_suites", lambda: {file_sha256(run / "suite.yaml"): "toy"}
    )
    assert dry_run(run, capsys)[0] == 0
