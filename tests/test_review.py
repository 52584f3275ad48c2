"""scripts.review: a decision about exact bytes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eval.common.errors import Refused
from eval.common.places import ROOT
from eval.run.digests import file_sha256
from scripts import review
from scripts.publishing import approval, signing
from tests.run_builder import assert_one_line, build_run, call, edit_json, judge

# Put together here, so that no scanner takes this file for a leak.
TOKEN = "hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"
AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgSign=false")


def decide(run: Path, decision: str, capsys: pytest.CaptureFixture[str], reviewer: str = "Ada") -> tuple[int, str, str]:
    argv = ["--run", str(run), "--decision", decision, "--reviewer", reviewer, "--comment", "read it"]
    return call(review.main, argv, capsys)


def test_without_a_decision_it_only_shows(tmp_path, capsys):
    run = build_run(tmp_path)
    code, out, _ = call(review.main, ["--run", str(run)], capsys)
    assert code == 0
    assert "verdict  ship" in out and "report.html" in out and "DECISION=approve|reject" in out
    assert "better: pass" in out
    assert not (run / "review.json").exists()


def test_approval_binds_every_reviewed_file(tmp_path, capsys):
    run = build_run(tmp_path)
    code, _, _ = decide(run, "approve", capsys)
    assert code == 0
    written = json.loads((run / "review.json").read_text())
    assert written["digests"] == {name: file_sha256(run / name) for name in (*approval.REVIEWED, "report.html")}
    assert (written["decision"], written["reviewer"], written["verdict"]) == ("approve", "Ada", "ship")
    assert written["time"].endswith("+00:00") and written["previous"] == []


def test_only_a_ship_can_be_approved(tmp_path, capsys):
    for name, right in (("worse", 2), ("unclear", 21)):
        run = build_run(tmp_path, name, candidate_right=right)
        code, _, err = decide(run, "approve", capsys)
        assert code == 1
        assert_one_line(err, "only a ship can be approved")
        assert not (run / "review.json").exists()


def test_anything_can_be_rejected(tmp_path, capsys):
    worse = build_run(tmp_path, "worse", candidate_right=2)
    broken = build_run(tmp_path, "broken")
    (broken / "metrics.json").write_text("{")
    (broken / "report.md").unlink()
    assert decide(worse, "reject", capsys)[0] == 0
    assert decide(broken, "reject", capsys)[0] == 0
    written = json.loads((broken / "review.json").read_text())
    assert written["verdict"] is None and "report.md" not in written["digests"]


@pytest.mark.parametrize("reviewer", ["", "   ", "Ada\n# heading", "a" * 101])
def test_a_reviewer_has_a_name(tmp_path, capsys, reviewer):
    run = build_run(tmp_path)
    code, _, err = decide(run, "approve", capsys, reviewer)
    assert code == 2
    assert_one_line(err, "--reviewer")


@pytest.mark.parametrize("field", ["reviewer", "comment", "override"])
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_text_that_holds_a_credential_is_refused(tmp_path, capsys, field, decision):
    run = build_run(tmp_path)
    given = {"reviewer": "Ada", "comment": "read it", "override": ""} | {field: f"see {TOKEN}"}
    argv = [
        "--run",
        str(run),
        "--decision",
        decision,
        *(word for item in given.items() for word in (f"--{item[0]}", item[1])),
    ]
    code, out, err = call(review.main, argv, capsys)
    assert code == 1 and TOKEN not in out + err
    assert_one_line(err, f"the {field} holds", "Hugging Face token")
    assert not (run / "review.json").exists()


def test_a_second_review_keeps_the_first(tmp_path, capsys):
    run = build_run(tmp_path)
    for decision, reviewer in (("approve", "Ada"), ("reject", "Bob"), ("approve", "Cyd")):
        decide(run, decision, capsys, reviewer)
    written = json.loads((run / "review.json").read_text())
    assert written["reviewer"] == "Cyd"
    assert [(row["decision"], row["reviewer"]) for row in written["previous"]] == [
        ("approve", "Ada"),
        ("reject", "Bob"),
    ]


def test_an_unreadable_review_is_replaced_and_remembered(tmp_path, capsys):
    run = build_run(tmp_path)
    (run / "review.json").write_text("{")
    digest = file_sha256(run / "review.json")
    assert decide(run, "reject", capsys)[0] == 0
    assert json.loads((run / "review.json").read_text())["previous"] == [{"unreadable_sha256": digest}]


def test_show_says_when_the_reviewed_bytes_changed(tmp_path, capsys):
    run = build_run(tmp_path)
    decide(run, "approve", capsys)
    (run / "report.md").write_text("another report\n")
    _, out, _ = call(review.main, ["--run", str(run)], capsys)
    assert "approve by Ada" in out and "but report.md changed since" in out


def test_approving_with_a_missing_file_says_which(tmp_path, capsys):
    run = build_run(tmp_path)
    (run / "data.json").unlink()
    code, _, err = decide(run, "approve", capsys)
    assert code == 2
    assert_one_line(err, "data.json is missing")


@pytest.mark.slow
def test_the_real_command_ends_with_one_line(tmp_path):
    run = build_run(tmp_path, candidate_right=2)
    command = [sys.executable, "-m", "scripts.review", "--run", str(run), "--decision", "approve"]
    done = subprocess.run([*command, "--reviewer", "Ada"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, "no-ship")


# Overrides


def allow(run: Path, **policy: object) -> None:
    """Let the suite of a run ask this of its review, and evaluate again."""
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    (run / "suite.yaml").write_text(yaml.safe_dump(suite | {"review": policy}))
    judge(run)


def override(run: Path, reason: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    argv = ["--run", str(run), "--decision", "approve", "--reviewer", "Ada", "--override", reason]
    return call(review.main, argv, capsys)


def test_a_suite_that_does_not_allow_overrides_gets_none(tmp_path, capsys):
    run = build_run(tmp_path, candidate_right=2)
    code, _, err = override(run, "the demo is tomorrow", capsys)
    assert code == 1
    assert_one_line(err, "only a ship can be approved")
    assert not (run / "review.json").exists()


def test_an_override_needs_a_reason_and_is_said_aloud(tmp_path, capsys):
    run = build_run(tmp_path, candidate_right=2)
    allow(run, allow_override=True)
    code, _, err = override(run, "  ", capsys)
    assert code == 1
    assert_one_line(err, "no-ship", "OVERRIDE=")
    code, out, _ = override(run, "known regression, asked for by the pilot", capsys)
    assert code == 0 and "OVERRIDE: the verdict is no-ship" in out
    _, out, _ = call(review.main, ["--run", str(run)], capsys)
    assert "OVERRIDES the verdict no-ship: known regression" in out
    assert approval.require_approval(run, "no-ship").override == "known regression, asked for by the pilot"


def test_a_ship_and_a_rejection_override_nothing(tmp_path, capsys):
    run = build_run(tmp_path)
    allow(run, allow_override=True)
    assert override(run, "why not", capsys)[0] == 2
    argv = ["--run", str(run), "--decision", "reject", "--reviewer", "Ada", "--override", "why not"]
    assert call(review.main, argv, capsys)[0] == 2


def test_an_approval_of_a_no_ship_without_a_reason_approves_nothing(tmp_path, capsys):
    run = build_run(tmp_path, candidate_right=2)
    allow(run, allow_override=True)
    override(run, "a reason", capsys)
    edit_json(run / "review.json", lambda value: value.update(override=" "))
    with pytest.raises(Refused, match="no reason"):
        approval.require_approval(run, "no-ship")


# Signatures


@pytest.fixture
def keys(tmp_path, monkeypatch) -> Path:
    """A folder with the keys of ada, who is listed as a signer, and of eve, who is not."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("ada", "eve"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "allowed").write_text(f"ada@example.org {(folder / 'ada.pub').read_text()}")
    monkeypatch.setattr(signing, "allowed_signers", (folder / "allowed").read_bytes)
    return folder


def signed(run: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    argv = ["--run", str(run), "--decision", "approve", "--reviewer", "Ada", "--key", str(key)]
    return call(review.main, argv, capsys)


def test_a_signed_review_names_its_signer(tmp_path, capsys, keys):
    run = build_run(tmp_path)
    assert decide(run, "approve", capsys)[0] == 0 and approval.verify_signature(run) is None
    code, out, _ = signed(run, keys / "ada", capsys)
    assert code == 0 and "signed" in out
    assert approval.verify_signature(run) == "ada@example.org"
    _, out, _ = call(review.main, ["--run", str(run)], capsys)
    assert "signed by ada@example.org" in out


def test_an_approval_cannot_be_lifted_out_of_a_later_rejection(tmp_path, capsys, keys):
    run = build_run(tmp_path)
    for _ in range(2):
        signed(run, keys / "ada", capsys)
    edit_json(run / "review.json", lambda value: value["previous"][0].update(signature="of an older version"))
    assert decide(run, "reject", capsys, "Bob")[0] == 0
    text = (run / "review.json").read_text()
    assert "BEGIN SSH SIGNATURE" not in text and "of an older version" not in text
    assert [row["decision"] for row in json.loads(text)["previous"]] == ["approve", "approve"]


@pytest.mark.parametrize(
    "change", [{"reviewer": "Grace"}, {"comment": "other"}, {"decision": "reject"}, {"override": "x"}, {"digests": {}}]
)
def test_a_signature_is_of_every_field(tmp_path, capsys, keys, change):
    run = build_run(tmp_path)
    signed(run, keys / "ada", capsys)
    edit_json(run / "review.json", lambda value: value.update(change))
    with pytest.raises(Refused, match="not of this review"):
        approval.verify_signature(run)


def test_a_signature_of_a_stranger_or_for_something_else(tmp_path, capsys, keys, monkeypatch):
    run = build_run(tmp_path)
    signed(run, keys / "eve", capsys)
    with pytest.raises(Refused, match="of no key in"):
        approval.verify_signature(run)
    monkeypatch.setattr(signing, "NAMESPACE", "git")
    signed(run, keys / "ada", capsys)
    monkeypatch.undo()
    monkeypatch.setattr(signing, "allowed_signers", (keys / "allowed").read_bytes)
    with pytest.raises(Refused, match="not of this review"):
        approval.verify_signature(run)


@pytest.mark.parametrize(("on_disk", "said"), [(False, "no list of allowed signers"), (True, "is not committed")])
def test_only_a_committed_list_of_signers_counts(tmp_path, capsys, keys, monkeypatch, on_disk, said):
    run = build_run(tmp_path)
    signed(run, keys / "ada", capsys)
    monkeypatch.undo()  # the list that the other tests give
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *AUTHOR, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(signing, "ROOT", tmp_path)
    if on_disk:
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / "allowed_signers").write_text("eve ssh-ed25519 AAAA")
    code, _, err = call(review.main, ["--run", str(run)], capsys)
    assert code == 2
    assert_one_line(err, "configs/allowed_signers", said)


def test_a_suite_may_ask_for_a_signature(tmp_path, capsys, keys):
    run = build_run(tmp_path)
    allow(run, require_signature=True)
    code, _, err = decide(run, "approve", capsys)
    assert code == 2
    assert_one_line(err, "signed approval")
    assert decide(run, "reject", capsys)[0] == 0
    assert signed(run, keys / "ada", capsys)[0] == 0


def test_a_key_that_is_not_there_is_one_line(tmp_path, capsys):
    code, _, err = signed(build_run(tmp_path), tmp_path / "no-key", capsys)
    assert code == 2
    assert_one_line(err, "no-key does not exist")
