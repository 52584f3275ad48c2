"""Served forms that are made of a run: its adapter merged into the base, quantised by bitsandbytes or by llama.cpp.

folder = form_of(candidate, "merged")      made now, or before of the same adapter and whole
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.contracts.numerics import four_bit
from eval.run.candidate import Candidate
from eval.run.digests import verify_manifest, write_manifest
from eval.run.environment import silence_libraries
from eval.run.files import read_json, write_json
from scripts.serving import gguf

MADE_OF = "made_of.json"  # what a form was made of; written last
GGUF = "model.gguf"
DTYPE = "bfloat16"  # in which models are merged and served
NF4 = dict(four_bit(DTYPE).settings)  # of transformers' BitsAndBytesConfig


def merged_model(candidate: Candidate) -> Any:
    """The base with the adapter in its weights, as PEFT merges it."""
    silence_libraries()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    dtype = getattr(torch, DTYPE)
    base = AutoModelForCausalLM.from_pretrained(candidate.base_model, dtype=dtype, **revision_of(candidate))
    return PeftModel.from_pretrained(base, str(candidate.adapter)).merge_and_unload()


def merged(candidate: Candidate, folder: Path) -> None:
    """The merged model and the base's tokenizer."""
    from transformers import AutoTokenizer

    merged_model(candidate).save_pretrained(folder)
    AutoTokenizer.from_pretrained(candidate.base_model, **revision_of(candidate)).save_pretrained(folder)


def nf4(candidate: Candidate, folder: Path) -> None:
    """The merged model, its matrices in 4-bit NF4 with double quantisation."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    source = folder.with_name("merged-for-nf4")
    merged(candidate, source)
    settings = BitsAndBytesConfig(**NF4)
    AutoModelForCausalLM.from_pretrained(source, quantization_config=settings, dtype=DTYPE).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    shutil.rmtree(source)


def as_gguf(quant: str, candidate: Candidate, folder: Path) -> None:
    """The merged model as one GGUF file; a quantised one is made of the 16-bit one. Both steps before it are kept."""
    tools = gguf.found_tools()
    if quant == "f16":
        gguf.convert(tools, form_of(candidate, "merged"), folder / GGUF)
    else:
        gguf.quantise(tools, form_of(candidate, "gguf-f16") / GGUF, folder / GGUF, quant)


FORMS: dict[str, Callable[[Candidate, Path], None]] = {"merged": merged, "nf4": nf4}  # loaded here
GGUFS = {f"gguf-{quant}": partial(as_gguf, quant) for quant in gguf.QUANTS}  # served by llama.cpp


def form_of(candidate: Candidate, form: str) -> Path:
    """The folder of the form: made now, or before of the same adapter and whole."""
    folder = candidate.run / "served" / form
    of = {"adapter_sha256": candidate.adapter_sha256, "base_model": candidate.base_model, "form": form}
    of |= {"llama_cpp": gguf.VERSION} if form in GGUFS else {}
    manifest = folder.with_name(f"{form}.sha256")
    if (folder.parent / f"{form}.{MADE_OF}").is_file() and read_json(folder.parent / f"{form}.{MADE_OF}") == of:
        if problems := verify_manifest(folder, manifest):
            raise UserError(f"{folder} is not what was made: {problems[0]}: remove it, and run the same command again")
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"serve-check: making {form} of {candidate.run.name}", flush=True)
    (FORMS.get(form) or GGUFS[form])(candidate, folder)
    write_manifest(folder, manifest)
    write_json(folder.parent / f"{form}.{MADE_OF}", of)
    return folder


def revision_of(candidate: Candidate) -> dict[str, str]:
    """The argument that names the base's commit, where it has one."""
    return {"revision": candidate.revision} if candidate.revision else {}


def base_folder(candidate: Candidate) -> Path:
    """Where the files of the base are: its folder, or the cache of the Hub's client, which has loaded it."""
    if Path(candidate.base_model).is_dir():
        return Path(candidate.base_model)
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            candidate.base_model, revision=candidate.revision, local_files_only=True, allow_patterns="*.safetensors"
        )
    )


def size_of(folder: Path) -> int:
    """Bytes of the weights in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".gguf"))
