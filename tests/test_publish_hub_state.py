"""What is on the Hub already, or not: other files, tags, tokens and records; nothing of others is touched."""

from pathlib import Path
from typing import Any

import pytest

from scripts import publish
from scripts.loopback_hub.faults import Hub
from tests.hub_server import REPO, WEIGHTS, Capture, hub, publish_run, run
from tests.run_builder import (
    assert_one_line,
    edit_json,
)

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")


def test_no_token(run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "no Hugging Face token")


def test_a_wrong_token(run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, out, err = publish_run(run, capsys)
    assert (code, hub.writes) == (2, [])
    assert_one_line(err, "401", "HF_TOKEN")
    assert "hf_wrong" not in out + err


def seed(hub: Hub, private: bool = True, **files: bytes) -> str:
    """A repository with files, as someone left it; returns its newest commit."""
    hub.store.create(REPO, private)
    return hub.store.commit(REPO, "theirs", {name: hub.store.put_bytes(content) for name, content in files.items()}, [])


def test_a_tag_with_other_content(run: Path, hub: Hub, capsys: Capture) -> None:
    commit = seed(hub, **{"README.md": b"another"})
    repository = hub.store.get(REPO)
    assert repository
    repository.tags["toy"] = commit
    hub.store.save(repository)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.writes) == (1, [])
    assert_one_line(err, "tag toy", "never moved")


def test_a_repository_of_other_files(run: Path, hub: Hub, capsys: Capture) -> None:
    seed(hub, **{"model.safetensors": b"someone's base model"})
    code, _, err = publish_run(run, capsys)
    assert (code, hub.writes) == (1, [])
    assert_one_line(err, "model.safetensors", "name another REPO")


MANIFESTS = {
    "empty": b"",
    "of one file only": f"{'0' * 64}  README.md\n{'1' * 64}  train.csv\n".encode(),
    "no manifest": b"see the paper\n",
    "no text": b"\xff\xfe\x00",
    "too large": f"{'0' * 64}  precious.parquet\n".encode() * 2000,
    "a list that names it elsewhere": f"{'0' * 64}  data/precious.parquet\n".encode(),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_repository_of_others_that_happens_to_have_a_manifest(
    name: str, run: Path, hub: Hub, capsys: Capture
) -> None:
    commit = seed(hub, **{"precious.parquet": b"years of work", "MANIFEST.sha256": MANIFESTS[name]})
    code, _, err = publish_run(run, capsys)
    repository = hub.store.get(REPO)
    assert (code, hub.writes) == (1, []) and repository and repository.head == commit
    assert_one_line(err, "precious.parquet", "name another REPO")


def test_a_listed_file_that_someone_replaced(run: Path, hub: Hub, capsys: Capture) -> None:
    manifest = f"{'0' * 64}  old.safetensors\n".encode()
    seed(hub, **{"old.safetensors": b"their weights under our name", "MANIFEST.sha256": manifest})
    code, _, err = publish_run(run, capsys)
    assert (code, hub.writes) == (1, [])
    assert_one_line(err, "old.safetensors", "name another REPO")


def test_a_repository_that_comes_up_between_look_and_create(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: Any
) -> None:
    """It was not there when the Hub was asked, and by then holds someone's files."""
    check = publish.check_remote

    def check_then_seed(*arguments: Any) -> None:
        check(*arguments)
        seed(hub, **{"model.safetensors": b"someone's base model"})

    monkeypatch.setattr(publish, "check_remote", check_then_seed)
    code, _, err = publish_run(run, capsys)
    repository = hub.store.get(REPO)
    assert code == 1 and repository and "model.safetensors" in repository.commits[repository.head]
    assert_one_line(err, "model.safetensors", "name another REPO")


def test_a_repository_that_is_public_already(run: Path, hub: Hub, capsys: Capture) -> None:
    seed(hub, private=False)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.writes) == (1, [])
    assert_one_line(err, "public", "PUBLIC=1")


def test_a_forged_record_of_a_publication(run: Path, hub: Hub, capsys: Capture) -> None:
    assert publish_run(run, capsys)[0] == 0
    hub.store.repositories.joinpath("someone--toy-adapter.json").unlink()
    hub.log.clear()
    code, _, err = publish_run(run, capsys)
    assert (code, hub.writes) == (1, [])
    assert_one_line(err, "publication.json says", "the Hub does not")


def test_a_record_of_other_files(run: Path, hub: Hub, capsys: Capture) -> None:
    assert publish_run(run, capsys)[0] == 0
    edit_json(run / "publication.json", lambda value: value["digests"].update({WEIGHTS: "0" * 64}))
    hub.log.clear()
    code, _, err = publish_run(run, capsys)
    assert (code, hub.writes) == (1, [])
    assert_one_line(err, "publication.json lists other files")


def test_offline_mode(run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "HF_HUB_OFFLINE")
