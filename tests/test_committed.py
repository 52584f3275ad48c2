"""What the repository has committed: from git's objects alone, and only what is merged."""

import hashlib
import subprocess
from pathlib import Path

import pytest
import yaml

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.run.digests import file_sha256
from scripts.publishing import committed
from scripts.publishing.committed import (
    committed_bytes,
    committed_suites,
    differs_from_head,
    head,
    in_history,
    one_state,
    relative,
)
from tests.hub_server import Capture, assert_refused, dry_run, run, settle

__all__ = ["run"]
pytestmark = [pytest.mark.committed_suites, pytest.mark.usefixtures("made_up_runs")]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgSign=false", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one committed suite, and one that is only on the disk."""
    folder = tmp_path / "repository"
    (folder / "configs" / "eval").mkdir(parents=True)
    git(folder.parent, "init", "-q", "-b", "main", str(folder))
    (folder / "configs" / "eval" / "strict.yaml").write_text("name: strict\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "suite")
    (folder / "configs" / "eval" / "lax.yaml").write_text("name: lax\n")
    return folder


def commit_all(folder: Path, message: str = "more") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


def test_only_what_is_committed_counts(repository: Path) -> None:
    suites = repository / "configs" / "eval"
    assert committed_suites(repository) == {file_sha256(suites / "strict.yaml"): "strict"}
    strict = file_sha256(suites / "strict.yaml")
    (suites / "strict.yaml").write_text("name: edited\n")
    assert list(committed_suites(repository)) == [strict]


@pytest.mark.parametrize(
    "variable", ["GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG_GLOBAL", "HOME"]
)
def test_an_environment_cannot_name_another_repository(
    variable: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = committed_suites(repository)
    monkeypatch.setenv(variable, str(tmp_path / "another"))
    assert committed_suites(repository) == expected


def test_settings_of_a_repository_run_nothing(repository: Path) -> None:
    """A filter, a monitor and a pager that would leave a trace, and a name that stands for another command."""
    trace = repository / "trace"
    for name in ("core.fsmonitor", "core.pager", "filter.x.smudge", "diff.x.textconv", "alias.cat-file"):
        git(repository, "config", name, f"!touch {trace}" if name.startswith("alias") else f"touch {trace}")
    (repository / ".gitattributes").write_text("*.yaml filter=x diff=x\n")
    assert list(committed_suites(repository).values()) == ["strict"]
    assert not trace.exists()


def test_a_repository_that_git_cannot_read_has_no_suites(repository: Path) -> None:
    """The files on its disk are no stand-in: anybody may have put them there."""
    (repository / ".git" / "HEAD").write_text("nothing\n")
    with pytest.raises(UserError, match="git cannot read"):
        committed_suites(repository)


def test_an_unpacked_archive_has_no_suites(tmp_path: Path) -> None:
    (tmp_path / "configs" / "eval").mkdir(parents=True)
    (tmp_path / "configs" / "eval" / "one.yaml").write_text("name: one\n")
    with pytest.raises(UserError, match="not a git repository"):
        committed_suites(tmp_path)


def test_a_repository_around_it_is_not_taken(repository: Path) -> None:
    inner = repository / "inner"
    (inner / "configs" / "eval").mkdir(parents=True)
    with pytest.raises(UserError, match="not a git repository"):
        committed_suites(inner)


def test_a_branch_beside_the_merged_ones_brings_nothing_of_its_own(repository: Path) -> None:
    git(repository, "switch", "-qc", "feature")
    commit_all(repository)
    assert list(committed_suites(repository).values()) == ["strict"]
    git(repository, "switch", "-q", "main")
    git(repository, "merge", "-q", "feature")
    assert list(committed_suites(repository).values()) == ["lax", "strict"]


def test_a_checkout_of_an_older_merged_commit_counts(repository: Path) -> None:
    first = head(repository)
    (repository / "configs" / "eval" / "strict.yaml").write_text("name: stricter\n")
    commit_all(repository)
    git(repository, "switch", "-q", "--detach", first)
    assert list(committed_suites(repository).values()) == ["strict"]


def test_what_origin_has_counts_on_every_branch(repository: Path, tmp_path: Path) -> None:
    commit_all(repository)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    git(clone, "switch", "-qc", "work")
    git(clone, "branch", "-qD", "main")
    assert sorted(committed_suites(clone).values()) == ["lax", "strict"]
    (clone / "configs" / "eval" / "mine.yaml").write_text("name: mine\n")
    commit_all(clone)
    assert sorted(committed_suites(clone).values()) == ["lax", "strict"]


def test_without_a_main_branch_head_counts_as_long_as_a_branch_holds_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk", "own")
    own = tmp_path / "own"
    (own / "configs" / "eval").mkdir(parents=True)
    (own / "configs" / "eval" / "one.yaml").write_text("name: one\n")
    commit_all(own)
    assert list(committed_suites(own).values()) == ["one"]
    git(own, "switch", "-q", "--detach")
    (own / "configs" / "eval" / "two.yaml").write_text("name: two\n")
    commit_all(own)
    with pytest.raises(UserError, match="no branch or tag holds"):
        committed_suites(own)


def test_an_older_version_counts_only_from_the_history(repository: Path) -> None:
    file = repository / "configs" / "eval" / "strict.yaml"
    first = head(repository)
    git(repository, "switch", "-qc", "passing")
    file.write_text("name: passing\n")
    lost = commit_all(repository)
    git(repository, "switch", "-q", "main")
    git(repository, "branch", "-qD", "passing")
    file.write_text("name: second\n")
    second = commit_all(repository)
    assert committed_bytes(first, file, repository) == b"name: strict\n"
    assert committed_bytes(None, file, repository) == committed_bytes(second, file, repository) == b"name: second\n"
    assert committed_bytes(lost, file, repository) is None
    # A graft that says the lost commit was always there.
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "grafts").write_text(f"{second} {first} {lost}\n")
    assert committed_bytes(lost, file, repository) is None
    assert differs_from_head(file, hashlib.sha256(b"name: strict\n").hexdigest(), repository)
    assert not differs_from_head(file, hashlib.sha256(b"name: second\n").hexdigest(), repository)


def test_paths_are_taken_by_their_letters(repository: Path) -> None:
    suites = repository / "configs" / "eval"
    (suites / "alias.yaml").symlink_to("strict.yaml")
    commit_all(repository)
    assert committed_bytes(None, suites / "alias.yaml", repository) is None
    assert committed_bytes(None, suites / "Strict.yaml", repository) is None
    assert relative(suites / ".." / "x", repository) is None and relative(Path("/etc/passwd"), repository) is None


def test_a_name_that_moves_is_no_commit() -> None:
    assert committed_bytes("HEAD", ROOT / "README.md") is None


@pytest.mark.parametrize("policy", [{}, {"require_signature": False}, {"allow_override": True}])
def test_a_suite_that_only_the_run_has_is_refused(run: Path, capsys: Capture, policy: dict[str, bool]) -> None:
    """Somebody who may write to the run folder takes the signature, or a margin, out of its suite."""
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    (run / "suite.yaml").write_text(yaml.safe_dump(suite | {"review": policy}))
    settle(run)
    assert_refused(run, capsys, "suite.yaml is not one of the suites committed in configs/eval")


def test_a_committed_suite_is_accepted(run: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "scripts.publishing.verify_guests.committed_suites", lambda: {file_sha256(run / "suite.yaml"): "toy"}
    )
    assert dry_run(run, capsys)[0] == 0


def test_a_publication_holds_everything_against_one_state(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed or merged meanwhile is for the next one; and git is asked once what is checked out."""
    first, asked = head(repository), []
    git_itself = committed.git
    monkeypatch.setattr(committed, "git", lambda root, *words: asked.append(words[0]) or git_itself(root, *words))
    with one_state():
        assert head(repository) == first
        assert committed_bytes(None, repository / "configs/eval/lax.yaml", repository) is None
        later = commit_all(repository)
        assert head(repository) == first and list(committed_suites(repository).values()) == ["strict"]
        assert committed_bytes(None, repository / "configs/eval/lax.yaml", repository) is None
        assert in_history(first, repository) and not in_history(later, repository)
        assert asked.count("rev-parse") == 1
        with one_state():
            assert head(repository) == later
        assert head(repository) == first
    assert head(repository) == later and len(committed_suites(repository)) == 2
