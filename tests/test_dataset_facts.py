"""data.json: what is known of a recipe's datasets, from manifests beside files and from cards on the Hub."""

import json
from pathlib import Path

import pytest

from scripts.data.dataset_facts import describe_data, hub_licence, same_data
from scripts.loopback_hub.faults import Fault, Hub
from tests.hub_server import hub

__all__ = ["hub"]
REVISION = "3" * 40


def serve_dataset(hub: Hub, folder: Path, card: str) -> None:
    folder.mkdir()
    (folder / "README.md").write_text(card)
    hub.store.add_model("org/rows", folder, REVISION)


def test_a_file_is_described_by_its_bytes_and_the_manifest_beside_it(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    cleaning = {"duplicates": 3}
    manifest = {"licence": "MIT", "files": [{"path": "other.jsonl"}, {"path": "rows.jsonl", "cleaning": cleaning}]}
    (tmp_path / "MANIFEST.json").write_text(json.dumps(manifest))
    [row] = describe_data({"datasets": [{"path": "rows.jsonl"}]}, tmp_path)
    assert (row["rows"], row["licence"], row["source"], row["cleaning"]) == (2, "MIT", "local file", cleaning)


def test_a_file_without_a_manifest_has_no_licence(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    [row] = describe_data({"datasets": [{"path": "rows.jsonl"}]}, tmp_path)
    assert row["licence"] is None and "cleaning" not in row


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-4.0\n---\n# Rows\n", "cc-by-4.0"),
        ("---\nlicense:\n- mit\n- gpl-3.0\n---\n", None),  # which one holds is for a person to say
        ("---\npretty_name: Rows\n---\n", None),
        ("# Rows\n", None),
    ],
)
def test_a_hub_dataset_has_the_licence_of_its_card(hub: Hub, tmp_path: Path, card: str, licence: str | None) -> None:
    serve_dataset(hub, tmp_path / "rows", card)
    [row] = describe_data({"datasets": [{"path": "org/rows", "revision": REVISION}]}, tmp_path)
    assert row == {
        "path": "org/rows", "sha256": None, "rows": None, "revision": REVISION, "source": "hub", "licence": licence,
        "role": "training",
    }  # fmt: skip


def test_a_hub_out_of_reach_leaves_the_licence_unknown(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults[:] = [Fault("info", "status", times=99, code=500)]
    assert hub_licence("org/rows", REVISION) is None
    assert capsys.readouterr().out.count("\n") == 1
    hub.faults[:] = [Fault("info", "drop", times=99)]
    assert hub_licence("org/rows", REVISION) is None
    out = capsys.readouterr().out
    assert "the licence of org/rows is not known" in out and "http" not in out


def test_a_run_continues_when_only_what_is_known_about_its_data_changed() -> None:
    row = {"path": "org/rows", "sha256": None, "rows": None, "revision": REVISION, "licence": None}
    assert same_data([row], [row | {"licence": "mit"}])
    assert not same_data([row], [row | {"revision": "4" * 40}])
    assert not same_data([row], [])
