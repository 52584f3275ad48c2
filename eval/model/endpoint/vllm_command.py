"""The command line of a vLLM that serves a base with its adapters, and which adapters it serves as PEFT means them.

    rank = served_rank(folder, shown)           UserError for what vLLM would leave out, or compute in another way
    command = command_line(...)

Written for vLLM 0.33, whose own parser has read these lines; see docs/backends.md for what was not run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from eval.common.errors import UserError
from eval.model.endpoint.options import Asking
from eval.run.files import read_json

BASE_NAME = "base"
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that --max-lora-rank takes
# Of a PEFT config: what vLLM refuses, or what some version of it leaves out without a word.
NOT_SERVED = {
    "use_dora": "DoRA", "modules_to_save": "trained copies of modules", "lora_bias": "a bias of its own",
    "rank_pattern": "ranks by module", "alpha_pattern": "scales by module", "layer_replication": "replicated layers",
    "trainable_token_indices": "trained tokens", "target_parameters": "adapted parameters", "use_qalora": "QALoRA",
    "alora_invocation_tokens": "Activated LoRA", "use_bdlora": "block-diagonal LoRA",
    "fan_in_fan_out": "turned weights",
}  # fmt: skip


class VllmOptions(Asking):
    """A server that is started here. What is not said is vLLM's own choice."""

    program: str = Field("vllm", min_length=1, description="the command, on the PATH or as a path")
    start_s: float = Field(900, gt=0, le=7200, description="seconds until the model has to be loaded")
    max_model_len: int | None = Field(None, ge=1, description="tokens of prompt and answer together")
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    tensor_parallel_size: int | None = Field(None, ge=1, le=64)
    enforce_eager: bool = False


def served_rank(adapter: Path, shown: Path) -> int:
    """The adapter's rank. UserError for an adapter that vLLM does not serve as it was trained."""
    config = read_json(adapter / "adapter_config.json")
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UserError(f"{shown}: backend vllm serves LoRA adapters alone: use backend hf")
    found = [words for key, words in NOT_SERVED.items() if config.get(key)]
    if config.get("bias", "none") != "none":
        found.append(f"bias: {config['bias']}")
    if found:
        raise UserError(f"{shown}: it has {', '.join(found)}, which vLLM does not serve: use backend hf")
    rank = config.get("r")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= RANKS[-1]:
        raise UserError(f"{shown}: rank {rank!r}: vLLM serves ranks of 1 to {RANKS[-1]}: use backend hf")
    return rank


def command_line(
    options: VllmOptions,
    base_model: str,
    revision: str | None,
    adapters: Mapping[str, Path],
    rank: int,
    dtype: str,
    seed: int,
    port: int,
) -> list[str]:
    """`vllm serve` for one base and its adapters by arm. Neutral: sampling settings of the base's own are not used."""
    given: dict[str, Any] = {
        "revision": revision if revision and not Path(base_model).is_dir() else None,
        "max-model-len": options.max_model_len,
        "gpu-memory-utilization": options.gpu_memory_utilization,
        "tensor-parallel-size": options.tensor_parallel_size,
    }
    command = [options.program, "serve", base_model, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--served-model-name", BASE_NAME, "--dtype", dtype, "--seed", str(seed), "--generation-config", "vllm"]
    for name, value in given.items():
        command += [f"--{name}", str(value)] if value is not None else []
    command += ["--enforce-eager"] if options.enforce_eager else []
    if adapters:
        largest = next(size for size in RANKS if size >= rank)
        command += ["--enable-lora", "--max-loras", str(len(adapters)), "--max-lora-rank", str(largest)]
        command += ["--lora-modules", *(f"{arm}={folder}" for arm, folder in adapters.items())]
    return command
