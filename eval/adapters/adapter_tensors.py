"""Are the tensors of an adapter those that PEFT saves for its settings, and is nothing else in the header?

    check_tensors(path, config)      Refused (exit 1), with the tensor and why

    base_model.model.<module>.lora_A.weight              [rank, in]       a matrix, with
    base_model.model.<module>.lora_B.weight              [out, rank]
    base_model.model.<module>.lora_magnitude_vector      [out]            with `use_dora`
    base_model.model.<module>.lora_embedding_A, _B       [rank, tokens], [width, rank]
    base_model.model.<module>.base_layer.weight          of an adapted embedding or head: PEFT saves the base's with it
    base_model.model.<module>.weight, .bias              of a module in `modules_to_save`

The header of the file has to be, byte for byte, what safetensors writes for these tensors: a format of tensors has much
room for other text.

Not protected against: numbers. Weights that are valid can be bad, and can hold a message.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from eval.adapters.safetensors_file import METADATA, WIDTHS, read_header
from eval.common.errors import Refused
from eval.common.reading import open_regular

PREFIX = "base_model.model."
LONGEST_NAME = 300
MODULE = r"(?P<module>[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*?)"
NAMES = re.compile(
    re.escape(PREFIX)
    + MODULE
    + r"\.(?P<part>lora_[AB]\.weight|lora_embedding_[AB]|lora_magnitude_vector|base_layer\.weight|weight|bias)"
)
# Types as safetensors lays them out: the widest first.
LAYOUT = ("F64", "F32", "BF16", "F16")
Shapes = dict[str, dict[str, list[int]]]  # module -> part of it -> shape


def check_tensors(path: Path, config: dict[str, Any]) -> None:
    """Refused unless every tensor is one that a LoRA adapter of these settings has, and the header holds only them."""
    with open_regular(path) as stream:
        header, start = read_header(path, stream, path.stat().st_size)
        stream.seek(8)
        text = stream.read(start - 8)
    for module, parts in by_module(path, header).items():
        check_module(path, module, parts, config)
    if text not in (canonical(header, {"__metadata__": METADATA}), canonical(header, {})):
        raise Refused(
            f"{path}: its header is not what safetensors writes for its tensors: save it again, or train again"
        )


def by_module(path: Path, tensors: dict[str, Any]) -> Shapes:
    """Shapes by module and part. Refused for a name that no LoRA adapter has."""
    shapes: Shapes = {}
    for name, tensor in tensors.items():
        found = NAMES.fullmatch(name) if len(name) <= LONGEST_NAME else None
        if found is None:
            raise Refused(f"{path}: tensor {name[:80]!r} is not one that PEFT saves for a LoRA adapter")
        shapes.setdefault(found["module"], {})[found["part"]] = tensor["shape"]
    return shapes


def check_module(path: Path, module: str, parts: dict[str, list[int]], config: dict[str, Any]) -> None:
    """Refused unless the parts of a module go together and have the rank of the settings."""
    where = f"{path}: {PREFIX}{module}"
    kept = {part for part in parts if part in ("weight", "bias")}
    if kept:
        saved = config.get("modules_to_save") or []
        if kept != parts.keys() or not any(module == one or module.endswith(f".{one}") for one in saved):
            raise Refused(f"{where}: a whole tensor of a module that modules_to_save does not name")
        return
    embedding = "lora_embedding_A" in parts
    first, second = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A.weight", "lora_B.weight")
    extra = (
        parts.keys()
        - {first, second, "base_layer.weight"}
        - ({"lora_magnitude_vector"} if config.get("use_dora") else set())
    )
    if first not in parts or second not in parts or extra:
        raise Refused(f"{where}: its tensors are not a pair of a LoRA adapter with these settings")
    rank = rank_of(module, config)
    one, two = parts[first], parts[second]
    if len(one) != 2 or len(two) != 2 or (one[0], two[1]) != (rank, rank) or not one[1] or not two[0]:
        raise Refused(f"{where}: tensors of {one} and {two} are not of rank {rank}, as adapter_config.json says")
    outer = [one[1], two[0]] if embedding else [two[0], one[1]]
    if parts.get("base_layer.weight", outer) != outer:
        raise Refused(f"{where}: its base_layer is not of the shape that its update is for")
    if "lora_magnitude_vector" in parts and parts["lora_magnitude_vector"] != [two[0]]:
        raise Refused(f"{where}: its magnitudes are not as many as its rows")
    if not targeted(module, config):
        raise Refused(f"{where}: adapter_config.json does not target it")


def rank_of(module: str, config: dict[str, Any]) -> int:
    """Rank of a module's update: that of the first pattern that fits, as PEFT takes it, else `r`."""
    for pattern, rank in (config.get("rank_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return int(rank)
    return int(config["r"])


def targeted(module: str, config: dict[str, Any]) -> bool:
    """Whether the settings name this module. Layers are not looked at: what is not adapted has no tensors to load."""
    targets = config["target_modules"]
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, module) is not None
    return any(module == one or module.endswith(f".{one}") for one in targets)


def canonical(tensors: dict[str, Any], metadata: dict[str, Any]) -> bytes:
    """The header as safetensors writes it: the widest types first, each by name, and blanks up to 8 bytes."""
    place, described = 0, dict(metadata)
    for name in sorted(tensors, key=lambda name: (LAYOUT.index(tensors[name]["dtype"]), name)):
        kind, shape = tensors[name]["dtype"], tensors[name]["shape"]
        end = place + WIDTHS[kind] * math.prod(shape)
        described[name] = {"dtype": kind, "shape": shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(described, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)
