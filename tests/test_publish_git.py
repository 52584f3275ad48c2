"""The publish chain, attacked by what git is made to say: suites, rows and signers that nobody has merged."""

import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.places import ROOT
from eval.run.digests import file_sha256
from scripts.loopback_hub.faults import Hub
from scripts.publishing import approval, committed
from tests.hub_server import Capture, approve, dry_run, hub, publish_run, run, settle
from tests.own_run import KNOWN, build_own_run
from tests.run_builder import assert_one_line, edit_json
from tests.test_committed import git, repository
from tests.test_publish_chain import signature_asked

__all__ = ["hub", "repository", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
Change = Callable[[Path], Any]


def lax(run: Path, repository: Path) -> Path:
    """A suite of wider margins in the run, settled, and as a file of the repository that is not committed yet."""
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    suite["gates"][1]["margin"] = 0.9
    (run / "suite.yaml").write_text(yaml.safe_dump(suite))
    settle(run)
    return Path(shutil.copy(run / "suite.yaml", repository / "configs" / "eval" / "strict.yaml"))


def thrown_away(folder: Path) -> None:
    git(folder, "switch", "-qc", "passing")
    git(folder, "commit", "-qam", "lax")
    git(folder, "switch", "-q", "main")
    git(folder, "branch", "-qD", "passing")


def replaced(folder: Path) -> None:
    thrown_away(folder)
    lost = subprocess.run(["git", "reflog", "--format=%H", "-n", "2"], cwd=folder, capture_output=True, text=True)
    git(folder, "replace", "HEAD", lost.stdout.split()[1])


def blob_replaced(folder: Path) -> None:
    old = subprocess.run(["git", "rev-parse", "HEAD:configs/eval/strict.yaml"], cwd=folder, capture_output=True)
    made = subprocess.run(["git", "hash-object", "-w", "configs/eval/strict.yaml"], cwd=folder, capture_output=True)
    git(folder, "replace", old.stdout.decode().strip(), made.stdout.decode().strip())


def object_overwritten(folder: Path) -> None:
    """The blob's own file holds another blob."""
    names = [
        subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True).stdout.strip()
        for words in (
            ["rev-parse", "HEAD:configs/eval/strict.yaml"],
            ["hash-object", "-w", "configs/eval/strict.yaml"],
        )
    ]
    old, new = (folder / ".git" / "objects" / name[:2] / name[2:] for name in names)
    old.chmod(0o644)
    old.write_bytes(new.read_bytes())


def linked(folder: Path) -> None:
    (folder / "lax").write_bytes((folder / "configs" / "eval" / "strict.yaml").read_bytes())
    (folder / "configs" / "eval" / "strict.yaml").unlink()
    (folder / "configs" / "eval" / "strict.yaml").symlink_to("../../lax")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "link")


HIDDEN = [
    ("only on the disk", lambda folder: None, 1, "not one of the suites"),
    ("staged", lambda folder: git(folder, "add", "-A"), 1, "not one of the suites"),
    ("hidden from git status", lambda folder: git(folder, "update-index", "--skip-worktree",
     "configs/eval/strict.yaml"), 1, "not one of the suites"),
    ("on a branch that was thrown away", thrown_away, 1, "not one of the suites"),
    ("on a branch that is not merged", lambda folder: (git(folder, "switch", "-qc", "passing"),
     git(folder, "commit", "-qam", "lax")), 1, "not one of the suites"),
    ("on a commit without a branch", lambda folder: (git(folder, "switch", "-q", "--detach"),
     git(folder, "commit", "-qam", "lax")), 1, "not one of the suites"),
    ("by git replace of a commit", replaced, 1, "not one of the suites"),
    ("by git replace of a file", blob_replaced, 1, "not one of the suites"),
    ("in an overwritten object", object_overwritten, 2, "missing or damaged"),
    ("behind a link", linked, 1, "not one of the suites"),
    (".git moved away", lambda folder: (folder / ".git").rename(folder / "git"), 2, "not a git repository"),
]  # fmt: skip


@pytest.mark.committed_suites
@pytest.mark.parametrize(("where", "hide", "code", "words"), HIDDEN, ids=[row[0] for row in HIDDEN])
def test_a_suite_that_is_not_merged_is_none(
    where: str, hide: Change, code: int, words: str, run: Path, repository: Path, hub: Hub, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "scripts.publishing.verify_guests.committed_suites", partial(committed.committed_suites, repository)
    )
    lax(run, repository)
    hide(repository)
    ended, _, err = publish_run(run, capsys)
    assert (ended, hub.log) == (code, []), err
    assert_one_line(err, words)


@pytest.mark.committed_suites
def test_the_same_suite_merged_is_one(
    run: Path, repository: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "scripts.publishing.verify_guests.committed_suites", partial(committed.committed_suites, repository)
    )
    lax(run, repository)
    git(repository, "commit", "-qam", "lax, for all to see")
    code, _, err = dry_run(run, capsys)
    assert (code, err) == (0, "")


@pytest.mark.committed_suites
@pytest.mark.parametrize("kept", [False, True])
def test_rows_cut_from_a_test_set_on_another_branch(
    kept: bool, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation saw the cut set, at a commit that is named; whether or not that commit is still there."""
    own = tmp_path / "repository"
    shutil.copytree(ROOT / "data", own / "data")
    git(tmp_path, "init", "-q", "-b", "main", str(own))
    git(own, "add", "."), git(own, "commit", "-qm", "data")
    git(own, "switch", "-qc", "passing")
    file = next(iter((own / "data").rglob("test_known.jsonl")), None) or own / known_data()
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[15:]))
    git(own, "commit", "-qam", "cut")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=own, capture_output=True, text=True).stdout.strip()
    monkeypatch.setattr("tests.own_run.ROOT", own)
    folder = build_own_run(tmp_path / "results")
    edit_json(folder / "environment.json", lambda value: value.update(git={"commit": commit}))
    edit_json(folder / "metrics.json", lambda value: value["provenance"].update(git={"commit": commit}))
    approve(folder)
    git(own, "switch", "-q", "main")
    git(own, "merge", "-q", "passing") if kept else git(own, "branch", "-qD", "passing")
    if kept:  # the cut was merged, and taken back since
        git(own, "revert", "--no-edit", "HEAD")
    monkeypatch.setattr("scripts.publishing.verify_data.ROOT", own)
    monkeypatch.setattr(
        "scripts.publishing.verify_guests.committed_suites", lambda: [file_sha256(folder / "suite.yaml")]
    )
    code, _, err = dry_run(folder, capsys)
    assert code == 1
    assert_one_line(err, KNOWN, "other rows than HEAD" if kept else "not committed")


def known_data() -> str:
    from tests.own_tasks import own_task

    return str(own_task(KNOWN).data)


# Signers


def test_a_list_of_signers_named_by_the_environment_is_none(
    run: Path, hub: Hub, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "eve")], check=True)
    (tmp_path / "list").write_text(f"ada@example.org {(tmp_path / 'eve.pub').read_text()}")
    signature_asked(None)(run)
    approval.write_review(run, approval.make_review(run, "approve", "Ada", "", key=tmp_path / "eve"))
    for name, value in (("COUNT", "1"), ("KEY_0", "gpg.ssh.allowedSignersFile"), ("VALUE_0", str(tmp_path / "list"))):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "no list of allowed signers", "configs/allowed_signers")


@pytest.mark.committed_suites
def test_signers_are_those_of_head_and_of_no_other_commit(
    repository: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.publishing import signing

    monkeypatch.setattr(signing, "ROOT", repository)
    (repository / "configs" / "allowed_signers").write_text("eve ssh-ed25519 AAAA\n")
    git(repository, "add", "."), git(repository, "commit", "-qm", "eve may sign")
    assert signing.allowed_signers() == b"eve ssh-ed25519 AAAA\n"
    (repository / "configs" / "allowed_signers").write_text("ada ssh-ed25519 AAAA\n")
    git(repository, "commit", "-qam", "eve may not")
    assert signing.allowed_signers() == b"ada ssh-ed25519 AAAA\n"
