"""Run files: the committed schemas, whole writes, and one line for everything that can be broken."""

import json
import math
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.files import SCHEMAS, read_json, read_jsonl, write_json, write_jsonl
from eval.provenance import verify_manifest, write_manifest
from eval.records import Score

ROW = Score(arm="baseline", task="t", sample="1", repeat=0, metric="m", value=1.0, status="scored", cluster="1")


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_committed_schemas_are_current(name: str) -> None:
    committed = json.loads(Path(f"eval/schemas/{name}.schema.json").read_text())
    assert committed == SCHEMAS[name].model_json_schema(), "run `python -m eval.files`"


def test_rows_survive_a_round_trip(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "s.jsonl", [ROW, ROW])
    assert read_jsonl(tmp_path / "s.jsonl", Score) == [ROW, ROW]
    assert [path.name for path in tmp_path.iterdir()] == ["s.jsonl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (ROW.model_dump_json()[:40], "s.jsonl:1: the last line is cut off"),
        (ROW.model_dump_json() + "\n" + ROW.model_dump_json()[:40], "s.jsonl:2: the last line is cut off"),
        (ROW.model_dump_json() + "\n{}\n", "s.jsonl:2: arm"),
        (ROW.model_dump_json().replace("1.0", "NaN") + "\n", "s.jsonl:1: value"),
        (ROW.model_dump_json().replace("1.0", "null") + "\n", "s.jsonl:1:"),
        (ROW.model_dump_json().replace('"t"', '"t","extra":1') + "\n", "s.jsonl:1: extra"),
        ("not json\n", "s.jsonl:1:"),
    ],
)
def test_a_broken_file_names_the_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(content)
    with pytest.raises(UserError) as caught:
        read_jsonl(tmp_path / "s.jsonl", Score)
    assert message in str(caught.value)


def test_missing_and_broken_json_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        read_json(tmp_path / "run.json")
    (tmp_path / "run.json").write_text('{"a": ')
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(tmp_path / "run.json")


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"loss": math.nan})


def test_a_manifest_notices_every_kind_of_change(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "a").write_text("1")
    (folder / "b").write_text("2")
    manifest = tmp_path / "adapter.sha256"
    write_manifest(folder, manifest)
    assert verify_manifest(folder, manifest) == []
    (folder / "a").write_text("changed")
    (folder / "b").unlink()
    (folder / "c").write_text("3")
    assert verify_manifest(folder, manifest) == ["b is missing", "c is not in adapter.sha256", "a has other bytes"]
    manifest.write_text("nonsense\n")
    assert "line 1" in verify_manifest(folder, manifest)[0]
