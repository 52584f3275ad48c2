"""One reading of a recipe's inputs: lint, secret scan, data.json and publishing see the same files and rows."""

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import Refused, UserError
from scripts.data.dataset_facts import describe_data
from scripts.training import train
from scripts.training.dataset_entries import BrokenRow, inputs, read_rows
from scripts.training.recipe_data import dataset_problems

ROWS: list[dict[str, Any]] = [{"a": number, "text": "one\u2028line"} for number in range(12)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def entry(path: str, **more: Any) -> dict[str, Any]:
    return {"datasets": [{"path": path, "type": "completion", **more}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", LINES),
        ("rows.json", LINES),
        ("rows.jsonl", LINES.rstrip(b"\n")),
        ("rows.jsonl", LINES.replace(b"\n", b"\n\n")),
        ("rows.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("rows.json", bz2.compress(LINES)),
        ("rows.jsonl.xz", lzma.compress(LINES)),
        ("pretty.json", json.dumps(ROWS, indent=2).encode()),
        ("rows.txt", b"x\n" * 12),
        ("rows.csv", b"text,b\n" + b'"two\nlines",1\n' * 12),
    ],
)
def test_twelve_rows_are_twelve_however_they_are_written(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert describe_data(entry(name), tmp_path)[0]["rows"] == 12
    assert dataset_problems(entry(name), tmp_path) == []


def test_columns_are_rows_too(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": ["x"] * 12}), tmp_path / "rows.parquet")
    assert describe_data(entry("rows.parquet"), tmp_path)[0]["rows"] == 12
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="not readable as parquet"):
        describe_data(entry("rows.parquet"), tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"text": "\\ud83d"}\n', "line 1 holds half a surrogate pair"),
        (b'[{"text": "\\udc00"}]', "row 1 holds half a surrogate pair"),
        (b'{"text": "\xed\xa0\xbd"}\n', "line 1 holds half a surrogate pair"),
        ('{"text": "\\uD83D"}'.encode("utf-16-le"), "line 1 holds half a surrogate pair"),
        (b"[[" * 100_000, "is not valid JSON"),
        (gzip.compress(LINES, mtime=0)[:-20], "is packed and broken"),
        (b"PK\x03\x04 and more", "unpack it"),
        (b'{"text": "cut', "line 1 is not valid JSON"),
    ],
)
def test_a_broken_row_is_named_by_all_readers(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(BrokenRow, match=said):
        list(read_rows(tmp_path / "rows.jsonl"))
    [problem] = dataset_problems(entry("rows.jsonl"), tmp_path)
    assert said in problem and problem.startswith("datasets[0].path: rows.jsonl")
    with pytest.raises(UserError, match=said):
        describe_data(entry("rows.jsonl"), tmp_path)


def test_a_folder_is_the_files_that_axolotl_takes_from_it(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("train-1.jsonl", "train-2.jsonl", "test.jsonl"):
        (folder / name).write_bytes(LINES)
    [row] = describe_data(entry("rows"), tmp_path)
    assert row["rows"] == 24 and sorted(row["files"]) == ["rows/train-1.jsonl", "rows/train-2.jsonl"]
    [row] = describe_data(entry("rows", split="test[:3]"), tmp_path)
    assert row["rows"] == 12 and list(row["files"]) == ["rows/test.jsonl"]
    [problem] = dataset_problems(entry("rows", split="tset"), tmp_path)
    assert problem == "datasets[0].split: rows has no split tset; it has train, test"
    (folder / "dataset_info.json").write_text("{}")
    assert "save_to_disk" in dataset_problems(entry("rows"), tmp_path)[0]


def test_every_input_is_evidence(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(LINES)
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "adapter_config.json").write_text("{}")
    recipe = entry("a.jsonl") | {"test_datasets": [{"path": "b.jsonl"}], "lora_model_dir": "start"}
    described = describe_data(recipe, tmp_path)
    assert [(row["path"], row["role"], row["rows"]) for row in described] == [
        ("a.jsonl", "training", 12),
        ("b.jsonl", "validation", 12),
        ("start", "starting adapter", None),
    ]
    before = described[2]["sha256"]
    (tmp_path / "start" / "adapter_config.json").write_text('{"r": 1}')
    assert describe_data(recipe, tmp_path)[2]["sha256"] != before
    assert [one.where for one in inputs(recipe)] == ["datasets[0]", "test_datasets[0]", "lora_model_dir"]


@pytest.mark.parametrize("place", ["datasets", "test_datasets", "folder"])
def test_a_credential_is_found_in_whatever_would_be_read(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "ROOT", tmp_path)
    token = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"[:34]
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "train.jsonl").write_text(json.dumps({"text": f"my token is {token}"}) + "\n")
    path = "rows" if place == "folder" else "rows/train.jsonl"
    recipe = {"datasets" if place == "folder" else place: [{"path": path}]}
    (tmp_path / "recipe.yaml").write_text("seed: 1\n")
    with pytest.raises(Refused, match=r"rows/train\.jsonl:1: "):
        train.refuse_credentials(tmp_path / "recipe.yaml", recipe)
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress((folder / "train.jsonl").read_bytes()))
    escaped = tmp_path / "escaped.jsonl"
    escaped.write_text((folder / "train.jsonl").read_text().replace("hf_", "\\u0068f_"))
    for path in (packed, escaped):
        with pytest.raises(Refused, match=f"{path.name}, line 1"):
            train.refuse_credentials(tmp_path / "recipe.yaml", {"datasets": [{"path": path.name}]})
    (tmp_path / f"{token}.yaml").write_text("seed: 1\n")
    with pytest.raises(Refused, match="file name"):
        train.refuse_credentials(tmp_path / f"{token}.yaml", {})
