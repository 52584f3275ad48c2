"""An approval on GitHub is a person's, about these bytes, or it is none; and the Hub's token is one hour old."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.common.places import ROOT
from eval.report.rendering import render_report
from eval.run.files import write_json
from scripts import review
from scripts.ci import __main__ as ci
from scripts.ci import github, hub_token
from scripts.ci.summary import SHORT
from scripts.loopback_hub.server import serve as serve_hub
from scripts.publishing.approval import evidence_digest, present_digests, require_approval
from tests import github_server
from tests.github_server import BOT
from tests.hub_server import REPO
from tests.run_builder import assert_one_line, build_run, call, edit_json, judge
from tests.test_review import keys, signed

__all__ = ["keys"]
Capture = pytest.CaptureFixture[str]
WHERE = "publish-shell"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[github_server.GitHub]:
    monkeypatch.setattr(github, "pause", lambda *_: None)
    with github_server.serve() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return build_run(tmp_path / "results")


def digest_of(run: Path) -> str:
    return evidence_digest(present_digests(run))


def approve(run: Path, capsys: Capture, digest: str = "", environment: str = WHERE) -> tuple[int, str, str]:
    arguments = ["approve", "--run", str(run), "--digest", digest or digest_of(run), "--environment", environment]
    return call(ci.main, arguments, capsys)


def test_the_digest_is_that_of_sha256sum(run: Path, capsys: Capture) -> None:
    names = sorted(present_digests(run))
    done = subprocess.run(
        ["sh", "-c", 'sha256sum "$@" | sha256sum', "_", *names], cwd=run, capture_output=True, check=True
    )
    assert done.stdout.split()[0].decode() == digest_of(run)
    assert f"evidence {digest_of(run)}" in call(review.main, ["--run", str(run)], capsys)[1]


def test_a_reviewer_who_names_the_evidence_approves_it(
    run: Path, served: github_server.GitHub, capsys: Capture
) -> None:
    served.approve(WHERE, f"read it all: {digest_of(run)[:SHORT]}")
    code, out, err = approve(run, capsys)
    assert code == 0 and "approve by ada" in out, err
    written = require_approval(run, "ship")
    assert written.reviewer == "ada" and "read it all" in written.comment and "/runs/4711" in written.comment


NONE_OF_THEM = {
    "nobody": lambda hub, short: None,
    "no digest": lambda hub, short: hub.approve(WHERE, "looks good"),
    "half of it": lambda hub, short: hub.approve(WHERE, short[:-1]),
    "another environment": lambda hub, short: hub.approve("train", short),
    "a bot": lambda hub, short: hub.approve(WHERE, short, user=BOT),
    "rejected": lambda hub, short: hub.approve(WHERE, short, state="rejected"),
}


@pytest.mark.parametrize("name", NONE_OF_THEM)
def test_what_is_no_approval_of_a_person_publishes_nothing(
    name: str, run: Path, served: github_server.GitHub, capsys: Capture
) -> None:
    NONE_OF_THEM[name](served, digest_of(run)[:SHORT])
    code, _, err = approve(run, capsys)
    assert code == 1 and not (run / "review.json").exists()
    assert_one_line(err, "nobody approved", WHERE, digest_of(run)[:SHORT])


def test_an_approval_is_of_the_bytes_that_were_evaluated(
    run: Path, served: github_server.GitHub, capsys: Capture
) -> None:
    before = digest_of(run)
    served.approve(WHERE, before[:SHORT])
    edit_json(run / "environment.json", lambda value: value.update(packages={}))
    judge(run)
    code, _, err = approve(run, capsys, before)
    assert code == 1
    assert_one_line(err, "not what was evaluated")
    for short in ("", before[: SHORT - 1], before.upper(), "x" * 64):
        assert approve(run, capsys, short or "-")[0] == 2


def test_no_click_approves_what_does_not_ship(tmp_path: Path, served: github_server.GitHub, capsys: Capture) -> None:
    bad = build_run(tmp_path / "bad", candidate_right=2)
    served.approve(WHERE, digest_of(bad)[:SHORT])
    code, _, err = approve(bad, capsys)
    assert code == 1
    assert_one_line(err, "only a ship can be approved")


def dispatched(folder: Path, monkeypatch: pytest.MonkeyPatch, sender: dict[str, str], name: str) -> None:
    write_json(folder / "event.json", {"sender": sender, "inputs": {}})
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(folder / "event.json"))
    monkeypatch.setenv("GITHUB_EVENT_NAME", name)
    monkeypatch.setenv("COMMENT", "fine")


@pytest.mark.parametrize(
    ("sender", "event", "ended"),
    [(github_server.PERSON, "workflow_dispatch", 0), (BOT, "workflow_dispatch", 1), (github_server.PERSON, "push", 1)],
)
def test_who_starts_it_by_hand_is_the_reviewer(
    sender: dict[str, str], event: str, ended: int, run: Path, tmp_path: Path, served: github_server.GitHub,
    monkeypatch: pytest.MonkeyPatch, capsys: Capture,
) -> None:  # fmt: skip
    dispatched(tmp_path, monkeypatch, sender, event)
    code, _, err = approve(run, capsys, digest_of(run)[:SHORT], environment="")
    assert code == ended, err
    assert not ended or "person" in err
    assert ended or require_approval(run, "ship").reviewer == "ada"


def ask_for_signatures(run: Path) -> None:
    with (run / "suite.yaml").open("a") as suite:
        suite.write("review: {require_signature: true}\n")
    judge(run)
    render_report(run)


@pytest.mark.slow
def test_where_signatures_are_asked_for_a_click_is_none(
    run: Path, tmp_path: Path, served: github_server.GitHub, keys: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:  # fmt: skip
    ask_for_signatures(run)
    served.approve(WHERE, digest_of(run)[:SHORT])
    dispatched(tmp_path, monkeypatch, github_server.PERSON, "workflow_dispatch")
    for environment in (WHERE, ""):
        code, _, err = approve(run, capsys, environment=environment)
        assert code == 1
        assert_one_line(err, "signed approval")
    assert signed(run, keys / "ada", capsys)[0] == 0
    text = (run / "review.json").read_text()
    for change, ended in (("none", 0), ("eve", 1), ("unsigned", 1), ("reviewer", 1), ("garbage", 2)):
        (run / "review.json").unlink(missing_ok=True)
        if change == "eve":
            signed(run, keys / "eve", capsys)
            given = (run / "review.json").read_text()
            (run / "review.json").unlink()
        else:
            value = json.loads(text)
            value |= {"unsigned": {"signature": None}, "reviewer": {"reviewer": "Eve"}}.get(change, {})
            given = "{" if change == "garbage" else json.dumps(value)
        monkeypatch.setenv("REVIEW", given)
        code, _, err = approve(run, capsys, environment="")
        assert code == ended, f"{change}: {err}"
        assert (run / "review.json").exists() == (ended == 0)


@pytest.mark.slow
def test_a_command_gets_a_token_that_nobody_stored_and_nothing_to_ask_for_another(
    tmp_path: Path, served: github_server.GitHub, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The real `hf auth token` asks the stand-ins; tests/test_workflow_walk.py publishes with what it gives."""
    shown = [sys.executable, "-c", "import os; print(sorted(os.environ), len(os.environ['HF_TOKEN']))"]
    with serve_hub(tmp_path / "hub") as hub:
        for name, value in hub.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        hub.trusted[REPO] = served.identity
        code, _, err = with_token(shown, capfd)
        assert code == 2
        assert_one_line(err, "no token", REPO)
        hub.store.create(REPO, private=True)
        code, out, err = with_token(shown, capfd)
        assert code == 0, out + err
        (token,) = hub.exchanged
        assert f"::add-mask::{token}" in out and (out + err).count(token) == 1
        assert served.audiences[-1] == hub.endpoint
        assert (
            "HF_OIDC_RESOURCE" not in out and "ACTIONS_ID_TOKEN_REQUEST_TOKEN" not in out and "GITHUB_TOKEN" not in out
        )


def with_token(command: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """As the workflow calls it, in a process of its own: what it prints is what a log holds."""
    arguments = [sys.executable, "-m", "scripts.ci", "with-token", "--repo", REPO, "--", *command]
    code = subprocess.run(arguments, cwd=ROOT, env=dict(os.environ), check=False).returncode
    return code, *capfd.readouterr()


def test_without_its_environment_one_line_says_how(tmp_path: Path) -> None:
    with pytest.raises(hub_token.UserError, match="make hub-login"):
        hub_token.short_lived_token(REPO, tmp_path / "hf")
