"""What may be in an adapter's folder: plain files, safetensors weights that are finite, text. Raises Refused.

Not protected against: weights that are valid and bad; what a later library does with a file harmless today.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from eval.errors import Refused, UserError
from eval.provenance import read_manifest, verify_manifest
from scripts.hub_upload import CONFIG, WEIGHTS
from scripts.secret_patterns import find_secrets

TOKENIZER = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
LEFT_BEHIND = ("README.md", "config.json")  # PEFT's card and the base's settings: harmless, and not ours to send
MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format
MAGIC = {b"\x80": "a pickle", b"PK\x03\x04": "a zip, as torch.save writes", b"GGUF": "a GGUF file"}
# Bits of a floating type that are all set in NaN and infinity, and in nothing else.
EXPONENTS = {"F64": 0x7FF0 << 48, "F32": 0x7F80 << 16, "F16": 0x7C00, "BF16": 0x7F80}
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def check_adapter(folder: Path) -> dict[str, str]:
    """Digest by name of the adapter's files, once all are plain, expected, and those of adapter.sha256."""
    adapter, manifest = folder / "adapter", folder / "adapter.sha256"
    if not adapter.is_dir():
        raise UserError(f"{adapter} is missing: its weights are not in git; publish where it was trained")
    if not manifest.is_file():
        raise UserError(f"{manifest} is missing: train again")
    for path in sorted(adapter.rglob("*")):
        if path.is_symlink() or not path.is_file():
            raise Refused(f"{path} is not a plain file: an adapter has no links and no folders")
    if problems := verify_manifest(adapter, manifest):
        raise Refused(f"{adapter}: {problems[0]}: this is not the adapter that was evaluated")
    listed = read_manifest(manifest)
    for name in listed:
        if name not in (WEIGHTS, CONFIG, *TOKENIZER, *LEFT_BEHIND):
            raise Refused(f"{adapter / name} is not a file of an adapter: only safetensors and text go up")
        if name != WEIGHTS:
            text = read_text(adapter / name)
            if name.endswith(".json"):
                parse_object(adapter / name, text)
    for name in (WEIGHTS, CONFIG):
        if name not in listed:
            raise UserError(f"{adapter / name} is missing: train again")
    return {name: digest for name, digest in listed.items() if name not in LEFT_BEHIND}


def check_weights(path: Path) -> int:
    """Number of tensors of a safetensors file that is one, has plain float tensors, and no NaN or infinity.

    The header is read here before the library sees it; the library then checks the layout once more.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or length > min(MAX_HEADER_BYTES, size - 8):
            stream.seek(0)
            start = stream.read(8)
            kind = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "no safetensors file")
            raise Refused(f"{path} is {kind}: its header of {length} bytes does not fit {size} bytes")
        raw_header = stream.read(length)
    header = parse_object(path, raw_header.decode("utf-8", errors="replace"))
    metadata = json.dumps(header.pop("__metadata__", {}))
    if found := find_secrets(f"{path.name} header", metadata):
        raise Refused(f"{found[0]}: remove it and train again")
    for name, tensor in header.items():
        check_tensor(path, 8 + length, name, tensor)
    try:
        with safe_open(path, framework="numpy") as opened:
            names = set(opened.keys())
    except SafetensorError as error:
        raise Refused(f"{path} is no safetensors file: {error}") from None
    if not names or names != header.keys():
        raise Refused(f"{path} holds no tensors, or others than its header lists")
    return len(names)


def check_tensor(path: Path, data_start: int, name: str, tensor: Any) -> None:
    """Refused unless the tensor is of a known float type, inside the file, as large as its shape, and finite."""
    try:
        kind, (start, end) = tensor["dtype"], tensor["data_offsets"]
        bits, count = EXPONENTS[kind], math.prod(tensor["shape"])
        if not all(type(value) is int and value >= 0 for value in (start, end, *tensor["shape"])):
            raise ValueError
        fits = 0 <= start <= end <= path.stat().st_size - data_start and end - start == count * WIDTHS[kind]
    except (KeyError, TypeError, ValueError):
        raise Refused(f"{path}: tensor {name} is not described as floats at an offset") from None
    if not fits:
        raise Refused(f"{path}: tensor {name} lies outside the file or is not as large as its shape")
    if count:
        word = np.dtype(f"<u{WIDTHS[kind]}")
        values = np.memmap(path, dtype=word, mode="r", offset=data_start + start, shape=(count,))
        mask = word.type(bits)
        if ((values & mask) == mask).any():
            raise Refused(f"{path}: tensor {name} holds NaN or infinity: the training diverged")


def read_text(path: Path) -> str:
    """A file as UTF-8 text. UserError when it is missing, Refused when it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} is not a text file") from None


def parse_object(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refused(f"{path} is not what its name says: it holds no JSON object")
    return value
