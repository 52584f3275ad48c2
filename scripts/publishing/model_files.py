"""What may be in a variant's model folder: a quantised model in the form that it is named after. Raises Refused.

    digests, tensors = check_model(folder)      digest by name of every file; how many tensors the weights have

Plain files, safetensors weights and text that names no code, as for an adapter (adapter_files.py); config.json asks for
exactly the quantisation of METHOD, and every quantised matrix has the scales and the code book of that method.

Not protected against: values. Whether they are the parent's, quantised, spot_variant.py asks.
"""

import json
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open

from eval.adapters.file_names import TOKENIZER
from eval.adapters.safetensors_file import check_weights, parse_object
from eval.common.errors import Refused, UserError
from eval.run.digests import read_manifest, verify_manifest
from eval.run.variant import MODEL, MODEL_MANIFEST
from scripts.publishing.adapter_files import check_object, check_plain, read_text

MODEL_CONFIG, INDEX = "config.json", "model.safetensors.index.json"
TEXTS = (MODEL_CONFIG, "generation_config.json", INDEX, *TOKENIZER)
WHOLE = "model.safetensors"  # which transformers loads before any other
WEIGHTS = re.compile(r"model(?:-\d{5}-of-\d{5})?\.safetensors")
# The quantisation block of config.json as transformers writes it for scripts/serving/forms.py's settings.
NF4_CONFIG = {
    "_load_in_4bit": True,
    "_load_in_8bit": False,
    "bnb_4bit_compute_dtype": "bfloat16",
    "bnb_4bit_quant_storage": "uint8",
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "llm_int8_enable_fp32_cpu_offload": False,
    "llm_int8_has_fp16_weight": False,
    "llm_int8_skip_modules": None,
    "llm_int8_threshold": 6.0,
    "load_in_4bit": True,
    "load_in_8bit": False,
    "quant_method": "bitsandbytes",
}
PACKED = {"U8": 1}  # type of what is quantised, and bytes of one number of it
STATE = ".quant_state.bitsandbytes__nf4"  # JSON: how a matrix is to be unpacked
SCALES = (".absmax", ".nested_absmax", ".nested_quant_map", ".quant_map")
STATE_KEYS = {"blocksize", "dtype", "nested_blocksize", "nested_dtype", "nested_offset", "quant_type", "shape"}


def check_model(folder: Path) -> tuple[dict[str, str], int]:
    """Digest by name of the model's files, once all are plain, expected, and those of model.sha256; its tensors."""
    model, manifest = folder / MODEL, folder / MODEL_MANIFEST
    if not model.is_dir() or not manifest.is_file():
        raise UserError(f"{model} or {manifest.name} is missing: publish where it was quantised, or `make quantize`")
    for path in sorted(model.rglob("*")):
        check_plain(path)
    if problems := verify_manifest(model, manifest):
        raise Refused(f"{model}: {problems[0]}: this is not the model that was evaluated")
    listed = read_manifest(manifest)
    weights = [name for name in listed if WEIGHTS.fullmatch(name)]
    if not weights or MODEL_CONFIG not in listed:
        raise UserError(f"{model} has no {MODEL_CONFIG} or no safetensors weights: `make quantize` again")
    for name in listed:
        if name in weights:
            continue
        if name not in TEXTS:
            raise Refused(f"{model / name} is not a file of a quantised model: only safetensors and text go up")
        text = read_text(model / name)
        if name.endswith(".json"):
            check_object(model / name, text)
    check_method(model / MODEL_CONFIG)
    check_loaded(model, weights, INDEX in listed)
    tensors = sum(check_weights(model / name, PACKED) for name in weights)
    if not sum(check_packed(model / name) for name in weights):
        raise Refused(f"{model}: no matrix of it is quantised: `make quantize` again")
    return listed, tensors


def check_loaded(model: Path, weights: list[str], indexed: bool) -> None:
    """Refused for weights beside those that transformers loads: nobody has judged them, and other readers take all."""
    loaded = {WHOLE}
    if indexed and WHOLE not in weights:
        places = parse_object(model / INDEX, read_text(model / INDEX)).get("weight_map")
        loaded = set(map(str, places.values())) if isinstance(places, dict) else set()
    if more := sorted(set(weights) - loaded):
        raise Refused(f"{model / more[0]} holds weights that transformers does not load: `make quantize` again")
    if missing := sorted(loaded - set(weights)):
        raise Refused(f"{model / INDEX} names {missing[0]}, which is not there: `make quantize` again")


def check_method(file: Path) -> None:
    """Refused unless a model's config.json asks for NF4 as `make quantize` makes it, and for nothing else."""
    found = parse_object(file, read_text(file)).get("quantization_config")
    if found != NF4_CONFIG:
        raise Refused(f"{file}: its quantization_config is not that of METHOD=nf4: `make quantize` again")


def check_packed(file: Path) -> int:
    """How many matrices of a file of sound safetensors are quantised. Refused for one that is so in another form."""
    with safe_open(file, framework="numpy") as opened:
        names = set(opened.keys())
        packed = {name for name in names if opened.get_slice(name).get_dtype() == "U8"}
        matrices = {name.removesuffix(STATE) for name in packed if name.endswith(STATE)}
        explained = matrices | {name + part for name in matrices for part in (STATE, ".absmax")}
        if strange := sorted(packed - explained):
            raise Refused(f"{file}: tensor {strange[0]} is packed in another form than NF4: `make quantize` again")
        for name in sorted(matrices):
            if missing := [part for part in ("", *SCALES) if name + part not in names]:
                raise Refused(f"{file}: {name} lacks its {missing[0] or 'values'}: `make quantize` again")
            check_state(file, name, bytes(opened.get_tensor(name + STATE)))
    return len(matrices)


def check_state(file: Path, name: str, content: bytes) -> None:
    """Refused unless this is how NF4 is to be unpacked, and nothing besides."""
    try:
        state: Any = json.loads(content)
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict) or state.get("quant_type") != "nf4" or not STATE_KEYS.issuperset(state):
        raise Refused(f"{file}: {name} does not say how NF4 is unpacked: `make quantize` again")
