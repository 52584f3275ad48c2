"""Is a file really safetensors: its header, its layout, and that every number in it is finite. Raises Refused.

    tensors = check_weights(folder / "adapter_model.safetensors")

The header is read here before the library sees it, and the data in pieces: a file of any size costs a few MB.
Not protected against: weights that are valid and bad.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from eval.common.errors import Refused
from eval.common.reading import open_regular
from eval.run.secret_patterns import find_secrets

# The format allows 100 MB. A tensor takes about 150 bytes, so that this is some 100 thousand of them.
MAX_HEADER_BYTES = 16_000_000
METADATA = {"format": "pt"}  # what PEFT writes; other libraries write none
CHUNK_BYTES = 1 << 22  # a multiple of every width
MAGIC = {b"\x80": "a pickle", b"PK\x03\x04": "a zip, as torch.save writes", b"GGUF": "a GGUF file"}
# Bits of a floating type that are all set in NaN and infinity, and in nothing else.
EXPONENTS = {"F64": 0x7FF0 << 48, "F32": 0x7F80 << 16, "F16": 0x7C00, "BF16": 0x7F80}
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def check_weights(path: Path, also: Mapping[str, int] = MappingProxyType({})) -> int:
    """Number of tensors of a safetensors file that is one, has plain float tensors, and no NaN or infinity.

    `also`: bytes a number of other types that a tensor may have.
    """
    size = path.stat().st_size
    with open_regular(path) as stream:
        header, data_start = read_header(path, stream, size)
        tensors = {name: describe(path, name, tensor, {**WIDTHS, **also}) for name, tensor in header.items()}
        check_layout(path, tensors, size - data_start)
        for name, (kind, start, end) in tensors.items():
            stream.seek(data_start + start)
            if kind in EXPONENTS and not is_finite(stream, kind, end - start):
                raise Refused(f"{path}: tensor {name} holds NaN or infinity: the training diverged")
    try:
        with safe_open(path, framework="numpy") as opened:
            names = set(opened.keys())
    except SafetensorError as error:
        raise Refused(f"{path} is not a safetensors file: {error}") from None
    if not names or names != tensors.keys():
        raise Refused(f"{path} holds no tensors, or others than its header lists")
    return len(names)


def read_header(path: Path, stream: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Tensors by name as the header describes them, and where the data starts, in bytes."""
    start = stream.read(8)
    length = int.from_bytes(start, "little")
    if size < 10 or length > min(MAX_HEADER_BYTES, size - 8):
        kind = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "no safetensors file")
        raise Refused(f"{path} is {kind}: its header of {length} bytes does not fit {size} bytes")
    text = stream.read(length).decode("utf-8", errors="replace")
    header = parse_object(path, text)
    metadata = header.pop("__metadata__", None)
    if found := find_secrets(f"{path.name} header", text):
        raise Refused(f"{found[0]}: remove it and train again")
    if metadata not in (None, METADATA):
        raise Refused(f"{path}: __metadata__ in its header is more than the format: save it again, or train again")
    return header, 8 + length


def describe(path: Path, name: str, tensor: Any, widths: Mapping[str, int]) -> tuple[str, int, int]:
    """Type, start and end of a tensor, once it is of a type in `widths` and as large as its shape."""
    try:
        kind, (start, end) = tensor["dtype"], tensor["data_offsets"]
        expected = math.prod(tensor["shape"]) * widths[kind]
        if not all(type(value) is int and value >= 0 for value in (start, end, *tensor["shape"])):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise Refused(f"{path}: tensor {name} is not described as floats at an offset") from None
    if end - start != expected:
        raise Refused(f"{path}: tensor {name} is not as large as its shape")
    return kind, start, end


def check_layout(path: Path, tensors: dict[str, tuple[str, int, int]], size: int) -> None:
    """Refused unless the tensors fill the data from its first byte to its last, each byte once."""
    place = 0
    for name, (_, start, end) in sorted(tensors.items(), key=lambda item: item[1][1:]):
        if end > size:
            raise Refused(f"{path}: tensor {name} lies outside the file")
        if start != place:
            raise Refused(f"{path}: tensor {name} overlaps another or leaves a gap: no safetensors file")
        place = end
    if tensors and place != size:
        raise Refused(f"{path}: {size - place} bytes belong to no tensor: no safetensors file")


def is_finite(stream: BinaryIO, kind: str, size: int) -> bool:
    """Whether none of the next `size` bytes, numbers of type `kind`, is NaN or infinity."""
    word = np.dtype(f"<u{WIDTHS[kind]}")
    mask = word.type(EXPONENTS[kind])
    return not any(((values & mask) == mask).any() for values in pieces(stream, word, size))


def pieces(stream: BinaryIO, word: np.dtype[Any], size: int) -> Iterator[np.ndarray[Any, Any]]:
    while size > 0:
        piece = stream.read(min(CHUNK_BYTES, size))
        if not piece:
            return
        size -= len(piece)
        yield np.frombuffer(piece, dtype=word)


def parse_object(path: Path, text: str) -> dict[str, Any]:
    """A JSON object. Refused when it is none, or names a key twice: readers differ in which one they take."""
    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError):
        value = None
    except KeyError as error:
        raise Refused(f"{path} names {error} twice: its readers would not agree") from None
    if not isinstance(value, dict):
        raise Refused(f"{path} is not what its name says: it holds no JSON object")
    return value


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise KeyError(key)
        found[key] = value
    return found
