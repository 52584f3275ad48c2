"""Run files: the committed schemas, whole writes, and one line for everything that can be broken."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.run.digests import verify_manifest, write_manifest
from eval.run.files import SCHEMAS, read_json, read_jsonl, write_json, write_jsonl
from eval.run.partial_log import PartialLog
from eval.run.records import Generation, Score
from eval.run.secret_patterns import redact_file

ROW = Score(arm="baseline", task="t", sample="1", repeat=0, metric="m", value=1.0, status="scored", cluster="1")


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_committed_schemas_are_current(name: str) -> None:
    committed = json.loads(Path(f"eval/schemas/{name}.schema.json").read_text())
    assert committed == SCHEMAS[name].model_json_schema(), "run `python -m eval.run.files`"


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


BROKEN_JSON = {
    "a key twice": ('{"a": {"verdict": "ship", "verdict": "no-ship"}}', "key 'verdict' is given twice"),
    "deep nesting": ("[" * 100_000, "nested too deeply"),
    "a long number": ('{"a": ' + "9" * 5000 + "}", "4300 digits"),
    "Latin-1": (b'{"a": "\xe9"}', "utf-8"),
}


@pytest.mark.parametrize("name", BROKEN_JSON)
def test_json_that_cannot_be_read_is_one_line(name: str, tmp_path: Path) -> None:
    content, message = BROKEN_JSON[name]
    path = tmp_path / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 400


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Whoever hands over a run folder could point the temporary names of its files at someone else's."""
    precious, run = tmp_path / "precious", tmp_path / "run"
    run.mkdir()
    writes: dict[str, Callable[[Path], object]] = {
        "x.json.partial": lambda path: write_json(path.with_suffix(""), {}),
        "y.json": lambda path: write_json(path, {}),
        "x.sha256.partial": lambda path: write_manifest(run, path.with_suffix("")),
        "x.partial.jsonl": lambda path: PartialLog(run, "x", Generation, "key").add([]),
        "x.log.partial": lambda path: redact_file(path.with_suffix("")),
    }
    for name, write in writes.items():
        precious.write_text("precious")
        (run / "x.log").write_text("hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345")
        (run / name).symlink_to(precious)
        write(run / name)
        assert precious.read_text() == "precious", name
        assert not (run / name).is_symlink(), name
        (run / name).unlink(missing_ok=True)


def test_what_comes_up_under_the_temporary_name_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "x.json.partial").symlink_to(tmp_path / "precious")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # as if it were planted just afterwards
    with pytest.raises(FileExistsError):
        write_json(tmp_path / "x.json", {})
    assert (tmp_path / "precious").read_text() == "precious"
