"""Publishing to a Hub that fails: a verified publication, or nothing under the tag; and a second try completes it.

Each fault is injected into the loopback Hub, and hits the real client.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from eval.run.digests import folder_digests
from eval.run.files import read_json
from scripts.loopback_hub.faults import Fault, Hub
from scripts.publishing import hub_errors
from tests.hub_server import REPO, WEIGHTS, Capture, hub, publish_run, run
from tests.run_builder import assert_one_line

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
ALWAYS = 99
STOPPED = {
    "account: 503": (Fault("whoami", "status"), 2, "503"),
    "account: no JSON": (Fault("whoami", "garbage"), 2, "no JSON"),
    "look: 500": (Fault("info", "status", code=500), 2, "500"),
    "create: 500": (Fault("create", "status", code=500), 2, "500"),
    "create: answer lost": (Fault("create", "lost"), 2, "connection"),
    "create: 403": (Fault("create", "status", code=403), 2, "403"),
    "card check: 503": (Fault("validate", "status"), 2, "503"),
    "preupload: 503 for long": (Fault("preupload", "status", times=ALWAYS), 2, "503"),
    "batch: 500 for long": (Fault("batch", "status", times=ALWAYS, code=500), 2, "500"),
    "blob: dropped half-way": (Fault("blob", "drop", times=ALWAYS, path=""), 2, "connection"),
    "blob: 503 for long": (Fault("blob", "status", times=ALWAYS), 2, "503"),
    "blob: stored with another byte": (Fault("blob", "alter"), 2, "422"),
    "blob: stored, answer lost": (Fault("blob", "lost", times=ALWAYS), 2, "connection"),
    "verify: 404": (Fault("verify", "status", code=404), 2, "404"),
    "commit: 500": (Fault("commit", "status", code=500), 2, "500"),
    "commit: 409": (Fault("commit", "status", code=409), 2, "someone else pushed"),
    "commit: someone else's came first": (Fault("commit", "overtaken"), 2, "someone else pushed"),
    "commit: token expired": (Fault("commit", "status", code=401), 2, "HF_TOKEN"),
    "commit: dropped": (Fault("commit", "drop"), 2, "connection"),
    "commit: applied, answer lost": (Fault("commit", "lost"), 2, "connection"),
    "commit: answer is no JSON": (Fault("commit", "garbage"), 2, "no JSON"),
    "download: 500": (Fault("resolve", "status", times=ALWAYS, code=500), 2, "continues"),
    "download: truncated": (Fault("resolve", "truncate", times=ALWAYS, path=WEIGHTS), 2, "connection"),
    "download: another byte": (Fault("resolve", "alter", times=2, path=WEIGHTS), 1, "other bytes for adapter_model"),
    "download: another README": (Fault("resolve", "alter", times=2, path="README.md"), 1, "other bytes for README.md"),
    "tags: 502": (Fault("refs", "status", code=502), 2, "502"),
    "tag: 500": (Fault("tag", "status", code=500), 2, "500"),
    "tag: made, answer lost": (Fault("tag", "lost"), 2, "connection"),
}


def tagged_files(hub: Hub, tag: str = "toy") -> dict[str, str] | None:
    """Digests of what is visible under the tag, read from the store's bytes; None when there is no such tag."""
    repository = hub.store.get(REPO)
    if repository is None or tag not in repository.tags:
        return None
    files = repository.commits[repository.tags[tag]]
    return {name: blob.sha256 for name, blob in files.items() if hub.store.holds(blob.sha256) and name[0] != "."}


def assert_published(folder: Path, hub: Hub) -> None:
    digests = folder_digests(folder / "publication")
    record = read_json(folder / "publication.json")
    repository = hub.store.get(REPO)
    assert repository and tagged_files(hub) == digests == record["digests"]
    assert repository.tags["toy"] == record["commit"]


@pytest.mark.parametrize("name", STOPPED)
def test_a_fault_leaves_nothing_unverified_and_a_second_try_completes(
    name: str, run: Path, hub: Hub, capsys: Capture
) -> None:
    fault, expected, word = STOPPED[name]
    hub.faults.append(replace(fault))
    code, _, err = publish_run(run, capsys)
    assert code == expected, err
    assert_one_line(err, word)
    assert hub.endpoint not in err
    assert not (run / "publication.json").exists()
    assert tagged_files(hub) in (None, folder_digests(run / "publication"))
    hub.faults.clear()
    code, _, err = publish_run(run, capsys)
    assert (code, err) == (0, "")
    assert_published(run, hub)


@pytest.mark.parametrize("call", ["preupload", "batch", "blob", "verify"])
def test_a_short_fault_is_not_noticed(call: str, run: Path, hub: Hub, capsys: Capture) -> None:
    hub.faults.append(Fault(call, "status", times=2))
    code, _, err = publish_run(run, capsys)
    assert (code, err) == (0, "")
    assert_published(run, hub)
    # In the order of arrival, in which faults are dealt out: two uploads at once may end in another.
    first, second, *others = [request.status for request in hub.log if request.call == call]
    assert (first, second) == (503, 503) and others and 503 not in others


def test_a_second_run_sends_nothing_and_says_so(run: Path, hub: Hub, capsys: Capture) -> None:
    assert publish_run(run, capsys)[0] == 0
    record = (run / "publication.json").read_bytes()
    hub.log.clear()
    code, out, _ = publish_run(run, capsys)
    assert (code, hub.writes) == (0, [])
    assert "already published" in out and (run / "publication.json").read_bytes() == record


def test_a_lost_record_is_written_again_from_what_the_hub_gives_back(run: Path, hub: Hub, capsys: Capture) -> None:
    assert publish_run(run, capsys)[0] == 0
    (run / "publication.json").unlink()
    hub.log.clear()
    code, _, err = publish_run(run, capsys)
    assert (code, err, hub.writes) == (0, "", [])
    assert_published(run, hub)


def test_a_large_file_that_arrived_is_not_sent_again(run: Path, hub: Hub, capsys: Capture) -> None:
    hub.faults.append(Fault("commit", "status", code=500))
    assert publish_run(run, capsys)[0] == 2
    hub.log.clear()
    assert publish_run(run, capsys)[0] == 0
    assert [request.call for request in hub.log if request.call in ("blob", "commit")] == ["commit"]


def test_a_commit_whose_answer_was_lost_is_not_made_again(run: Path, hub: Hub, capsys: Capture) -> None:
    hub.faults.append(Fault("commit", "lost"))
    assert publish_run(run, capsys)[0] == 2
    hub.log.clear()
    code, out, _ = publish_run(run, capsys)
    assert code == 0 and "on the Hub already" in out
    assert [request.call for request in hub.writes] == ["tag"]


def test_a_tag_that_someone_made_meanwhile_stays_and_is_refused(run: Path, hub: Hub, capsys: Capture) -> None:
    hub.faults.append(Fault("tag", "overtaken"))
    for words in ("names another commit", "never moved"):
        code, _, err = publish_run(run, capsys)
        assert code == 1
        assert_one_line(err, words)
    assert not (run / "publication.json").exists()
    repository = hub.store.get(REPO)
    assert repository and repository.tags["toy"] == next(iter(repository.commits))


def test_a_hub_that_gives_back_other_bytes_each_time_is_never_tagged(run: Path, hub: Hub, capsys: Capture) -> None:
    hub.faults.append(Fault("resolve", "alter", times=ALWAYS, path=WEIGHTS))
    for _ in range(2):
        code, _, err = publish_run(run, capsys)
        assert code == 1
        assert_one_line(err, "other bytes", "not tagged")
        assert tagged_files(hub) is None


def test_a_hub_that_does_not_answer_is_not_waited_for(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_errors, "TIMEOUT_SECONDS", 0.5)
    hub.faults.append(Fault("commit", "slow", seconds=1.5))
    code, _, err = publish_run(run, capsys)
    assert code == 2
    assert_one_line(err, "ReadTimeout")
    assert tagged_files(hub) is None


def test_nothing_is_public_before_everything_is_verified(run: Path, hub: Hub, capsys: Capture) -> None:
    hub.faults.append(Fault("settings", "status", code=500))
    code = publish_run(run, capsys, "--public")[0]
    assert code == 2
    repository = hub.store.get(REPO)
    assert repository and repository.private
    assert tagged_files(hub) == folder_digests(run / "publication")
    assert publish_run(run, capsys, "--public")[0] == 0
    repository = hub.store.get(REPO)
    assert repository and not repository.private and read_json(run / "publication.json")["private"] is False


def test_a_repository_is_private_unless_asked(run: Path, hub: Hub, capsys: Capture) -> None:
    code, out, _ = publish_run(run, capsys)
    repository = hub.store.get(REPO)
    assert code == 0 and "(private)" in out and repository and repository.private
    assert not any(request.call == "settings" for request in hub.log)


def test_a_version_is_a_tag_beside_the_first(run: Path, hub: Hub, capsys: Capture) -> None:
    assert publish_run(run, capsys)[0] == 0
    assert publish_run(run, capsys, "--tag", "v1.0.0")[0] == 0
    repository = hub.store.get(REPO)
    assert repository and set(repository.tags) == {"toy", "v1.0.0"}
    card = (hub.store.blobs / repository.commits[repository.tags["v1.0.0"]]["README.md"].sha256).read_text()
    assert card.count('revision="v1.0.0"') == 2 and 'revision="toy"' not in card
    assert read_json(run / "publication.json")["tag"] == "v1.0.0"


def test_files_of_an_earlier_version_do_not_stay(run: Path, hub: Hub, capsys: Capture) -> None:
    assert publish_run(run, capsys)[0] == 0
    pickle = hub.store.put_bytes(b"a pickle")
    manifest = (run / "publication" / "MANIFEST.sha256").read_bytes() + f"{pickle.sha256}  adapter_model.bin\n".encode()
    earlier = {"adapter_model.bin": pickle, "MANIFEST.sha256": hub.store.put_bytes(manifest)}
    hub.store.commit(REPO, "an earlier version", earlier, [])
    assert publish_run(run, capsys, "--tag", "v1.0.0")[0] == 0
    assert "adapter_model.bin" not in (tagged_files(hub, "v1.0.0") or {"adapter_model.bin": ""})
