"""Files that change while a run is verified, copied and sent: nobody gets anything in between."""

from pathlib import Path
from typing import Any

import pytest

from eval.config.suite_file import ReviewPolicy
from eval.run.digests import write_manifest
from scripts import publish
from scripts.loopback_hub.faults import Hub
from scripts.publishing import hub_upload, publication, verify_run
from tests.hub_server import WEIGHTS, Capture, hub, publish_run, run
from tests.run_builder import (
    assert_one_line,
    edit_json,
)

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")


def test_files_that_change_between_check_and_copy(run: Path, hub: Hub, capsys: Capture, monkeypatch: Any) -> None:
    verify = publish.verify

    def slow_verify(folder: Path, place: Any = None) -> Any:
        evidence = verify(folder, place)
        path = folder / "adapter" / WEIGHTS
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
        write_manifest(folder / "adapter", folder / "adapter.sha256")
        return evidence

    monkeypatch.setattr(publish, "verify", slow_verify)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, WEIGHTS, "changed while it was being")


def test_files_that_change_between_copy_and_upload(run: Path, hub: Hub, capsys: Capture, monkeypatch: Any) -> None:
    look = hub_upload.look

    def look_and_swap(*arguments: Any) -> Any:
        path = run / "publication" / WEIGHTS
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
        return look(*arguments)

    monkeypatch.setattr(publish, "look", look_and_swap)
    code, _, err = publish_run(run, capsys)
    assert code == 1 and not [request for request in hub.log if request.call in ("preupload", "blob", "commit")]
    assert not (run / "publication.json").exists()
    assert_one_line(err, WEIGHTS, "not what was verified any more")


@pytest.mark.parametrize("name", ["notes.txt", WEIGHTS])
def test_files_planted_while_the_folder_is_made(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: Any, name: str
) -> None:
    """Somebody waits for the folder and puts a link to a private file into it, or other weights."""
    (run.parent / "private.txt").write_text("private")
    render = publication.render_card

    def render_slowly(*arguments: Any) -> str:
        (made,) = run.glob("publication.*.partial")
        (made / name).unlink(missing_ok=True)
        (made / name).symlink_to(run.parent / "private.txt")
        return str(render(*arguments))

    monkeypatch.setattr(publication, "render_card", render_slowly)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, name)


@pytest.mark.parametrize("name", ["metrics.json", "suite.yaml", "recipe.yaml"])
def test_evidence_that_changes_while_it_is_read(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: Any, name: str
) -> None:
    """Whoever parses a file and whoever digests it must not be shown two different ones."""
    check = verify_run.check_weights

    def check_slowly(path: Path) -> int:
        file = run / name
        file.write_text(file.read_text() + "\n")
        return check(path)

    monkeypatch.setattr(verify_run, "check_weights", check_slowly)
    code, _, err = publish_run(run, capsys)
    assert code in (1, 2) and hub.log == []
    assert_one_line(err, name)


def test_a_review_that_changes_before_its_signature_is_read(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: Any
) -> None:
    """An unsigned approval is swapped for a signed rejection of the same bytes."""
    check = verify_run.check_signature

    def check_slowly(folder: Path, policy: ReviewPolicy) -> str | None:
        edit_json(folder / "review.json", lambda value: value.update(decision="reject"))
        return check(folder, policy.model_copy(update={"require_signature": True}))

    monkeypatch.setattr(verify_run, "check_signature", check_slowly)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, "review.json", "changed while it was being read")
