"""What may be in an adapter's folder, and what a safetensors file is."""

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from eval.adapters import safetensors_file
from eval.common.errors import Refused
from tests.hub_server import TOKEN, WEIGHTS, Capture, assert_refused, dry_run, replace_weights, run, settle
from tests.run_builder import edit_json

__all__ = ["run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "debug.log", "adapter_model.bin", "handler.py"])
def test_a_listed_file_that_no_adapter_has(run: Path, capsys: Capture, name: str) -> None:
    (run / "adapter" / name).write_bytes(pickle.dumps({"a": 1}))
    settle(run)
    assert_refused(run, capsys, name, "not a file of an adapter")


def test_a_folder_in_the_adapter(run: Path, capsys: Capture) -> None:
    (run / "adapter" / "checkpoint-10").mkdir()
    assert_refused(run, capsys, "checkpoint-10", "not a plain file")


@pytest.mark.parametrize("name", [f"adapter/{WEIGHTS}", "adapter/tokenizer.json", "report.md", "review.json"])
def test_symbolic_links(run: Path, capsys: Capture, name: str) -> None:
    elsewhere = run.parent / "elsewhere"
    (run / name).rename(elsewhere)
    (run / name).symlink_to(elsewhere)
    assert_refused(run, capsys, Path(name).name)


def test_left_behind_files_do_not_go_up(run: Path, capsys: Capture) -> None:
    (run / "adapter" / "README.md").write_text("PEFT's card\n")
    settle(run)
    assert dry_run(run, capsys)[0] == 0
    assert "PEFT's card" not in (run / "publication" / "README.md").read_text()


def test_pickle_with_a_json_name(run: Path, capsys: Capture) -> None:
    (run / "adapter" / "tokenizer.json").write_bytes(pickle.dumps([1], protocol=0))
    settle(run)
    assert_refused(run, capsys, "tokenizer.json", "no JSON object")


def test_torch_zip_with_a_safetensors_name(run: Path, capsys: Capture) -> None:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps([1]))

    replace_weights(run, write)
    assert_refused(run, capsys, "is a zip")


def test_a_credential_among_the_numbers_of_the_weights(run: Path, capsys: Capture) -> None:
    """The last bytes of a tensor are read as text too."""
    path = run / "adapter" / WEIGHTS
    secret = TOKEN.encode().rjust(64, b"A")
    content = path.read_bytes()
    path.write_bytes(content[: -len(secret)] + secret)
    settle(run)
    assert TOKEN not in assert_refused(run, capsys, WEIGHTS, "Hugging Face token")
    assert not (run / "publication.partial").exists()


def test_a_credential_in_a_text_of_the_adapter(run: Path, capsys: Capture) -> None:
    named = f"/home/{TOKEN}/SmolLM2-135M-Instruct"
    edit_json(run / "adapter" / "adapter_config.json", lambda value: value.update(base_model_name_or_path=named))
    settle(run)
    assert TOKEN not in assert_refused(run, capsys, "adapter/adapter_config.json:", "Hugging Face token")


def safetensors_bytes(header: Any, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def one_tensor(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (struct.pack("<Q", 200_000_000) + b"{}", "does not fit"),
        (struct.pack("<Q", 2**63) + b"{}" * 50, "does not fit"),
        (b"", "does not fit"),
        (safetensors_bytes(b"[" * 5000 + b"]" * 5000), "no JSON object"),
        (safetensors_bytes(b"\xff\xfe not json"), "no JSON object"),
        (safetensors_bytes(one_tensor(offsets=(0, 400), shape=(100,)), b"\0" * 4), "outside the file"),
        (safetensors_bytes(one_tensor(offsets=(-4, 0)), b"\0" * 4), "not described"),
        (safetensors_bytes(one_tensor(offsets=(0.0, 4.0)), b"\0" * 4), "not described"),
        (safetensors_bytes(one_tensor(offsets=(4, 0)), b"\0" * 4), "not as large as its shape"),
        (safetensors_bytes(one_tensor(shape=(2,)), b"\0" * 4), "not as large as its shape"),
        (safetensors_bytes(one_tensor(shape=(2**40, 2**40)), b"\0" * 4), "not as large as its shape"),
        (safetensors_bytes(one_tensor(dtype="I64"), b"\0" * 8), "not described"),
        (safetensors_bytes({"w": 1}, b"\0" * 4), "not described"),
        (safetensors_bytes(one_tensor(), b"\0" * 4 + b"PK trailing"), "belong to no tensor"),
        (safetensors_bytes(one_tensor(offsets=(4, 8)), b"\0" * 8), "leaves a gap"),
        (safetensors_bytes({}), "no tensors"),
    ],
)
def test_malformed_safetensors(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(content)
    with pytest.raises(Refused, match=words):
        safetensors_file.check_weights(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_weights_that_are_not_finite(tmp_path: Path, dtype: type, bad: float) -> None:
    path = tmp_path / WEIGHTS
    values = np.full((4, 4), np.finfo(dtype).max, dtype=dtype)
    save_file({"w": values}, path)
    assert safetensors_file.check_weights(path) == 1
    values[3, 3] = bad
    save_file({"w": values}, path)
    with pytest.raises(Refused, match="NaN or infinity"):
        safetensors_file.check_weights(path)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_found_in_every_piece_of_a_large_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(safetensors_file, "CHUNK_BYTES", 64)
    values = np.ones(40, dtype=np.float32)  # pieces of 16, 16 and 8
    values[[0, 31, 39][place]] = np.nan
    save_file({"a": np.ones(3, dtype=np.float32), "w": values}, tmp_path / WEIGHTS)
    with pytest.raises(Refused, match="tensor w holds NaN"):
        safetensors_file.check_weights(tmp_path / WEIGHTS)


@pytest.mark.parametrize(("bits", "finite"), [(0x3F80, True), (0x7F7F, True), (0x7FC0, False), (0xFF80, False)])
def test_bfloat16_is_read_by_its_bits(tmp_path: Path, bits: int, finite: bool) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(safetensors_bytes(one_tensor("BF16", (2,), (0, 4)), struct.pack("<HH", 0x3F80, bits)))
    if finite:
        assert safetensors_file.check_weights(path) == 1
    else:
        with pytest.raises(Refused, match="NaN or infinity"):
            safetensors_file.check_weights(path)


def test_a_header_length_that_looks_like_a_pickle_is_none(tmp_path: Path) -> None:
    """640 = 0x0280 is written `80 02 00 ...`, which is how a pickle of protocol 2 starts."""
    path = tmp_path / WEIGHTS
    header = json.dumps(one_tensor()).encode().ljust(640)
    path.write_bytes(safetensors_bytes(header, b"\0" * 4))
    assert path.read_bytes().startswith(b"\x80\x02")
    assert safetensors_file.check_weights(path) == 1


def test_a_credential_that_only_the_card_would_hold(run: Path, capsys: Capture) -> None:
    text = (run / "suite.yaml").read_text().replace("Requests in English", f"Requests {TOKEN} in English")
    (run / "suite.yaml").write_text(text)
    settle(run)
    assert TOKEN not in assert_refused(run, capsys, "README.md:", "Hugging Face token")
    assert not (run / "publication.partial").exists()
