"""What of a recipe is exchanged for a rehearsal on a CPU: each exchange is a fact of the rehearsal, and not rehearsed.

    rehearsed, exchanges = for_cpu(recipe, base, rows)

Everything else of the recipe is trained as it is: data and templates, LoRA, 4-bit weights, packing, optimiser settings,
scheduler, gradient checkpointing, validation and early stopping.
"""

from dataclasses import dataclass
from typing import Any

from scripts.training.dataset_entries import KEYS
from scripts.training.recipe_schema import LORA_KERNELS
from scripts.training.sharded import KEYS as ENGINES

STEPS, STOP_AFTER = 3, 2
MOST_ROWS = 200  # of each dataset that names no split of its own; the step `data` reads them all
GPU_PLUGINS = ("liger", "cutcrossentropy", "cut_cross_entropy")
GPU_OPTIMISERS = ("paged", "fused", "galore", "apollo")  # in their names; 8-bit AdamW runs on a CPU
ATTENTION = ("flash_attention", "xformers_attention", "sage_attention", "flex_attention")
NO_TRACKING = ("use_wandb", "wandb_project", "use_mlflow", "use_comet", "use_trackio", "use_tensorboard")


@dataclass(frozen=True)
class Exchange:
    """`key: was -> now`, and why."""

    key: str
    was: Any
    now: Any
    why: str

    def __str__(self) -> str:
        now = "left out" if self.now is None else self.now
        return f"{self.key}: {self.was if self.was is not None else 'not set'} -> {now} ({self.why})"


def for_cpu(recipe: dict[str, Any], base: str, rows: dict[str, int]) -> tuple[dict[str, Any], list[Exchange]]:
    """The recipe as it is rehearsed, and what was exchanged; `rows` of each dataset by its path."""
    wanted: dict[str, tuple[Any, str]] = {"base_model": (base, "a small stand-in")}
    if recipe.get("revision_of_model"):
        wanted["revision_of_model"] = (None, "the stand-in is a folder")
    wanted["max_steps"] = (STEPS, "enough to save, stop and resume")
    wanted["micro_batch_size"] = (1, "a CPU is slow, and memory is not rehearsed")
    wanted |= dict.fromkeys(("save_steps", "logging_steps"), (1, "so that each step shows"))
    if recipe.get("eval_steps") is not None:
        wanted["eval_steps"] = (1, "so that each step shows")
    if recipe.get("save_strategy") == "epoch":
        wanted["save_strategy"] = ("steps", "a rehearsal has no whole epoch")
    for key in ("saves_per_epoch", "evals_per_epoch"):
        if recipe.get(key) is not None:
            wanted[key] = (None, "steps are counted")
    if recipe.get("dataset_num_proc"):
        wanted["dataset_num_proc"] = (0, "few rows: starting processes takes longer")
    if recipe.get("peft_layers_to_transform"):
        wanted["peft_layers_to_transform"] = ([1], "the stand-in has two layers")
    wanted |= hardware(recipe)
    for key in NO_TRACKING:
        if recipe.get(key):
            wanted[key] = (None, "a rehearsal is tracked nowhere")
    exchanges = [
        Exchange(key, recipe.get(key), now, why) for key, (now, why) in wanted.items() if recipe.get(key) != now
    ]
    rehearsed = {key: value for key, value in recipe.items() if key not in wanted}
    rehearsed |= {key: now for key, (now, _) in wanted.items() if now is not None}
    return fewer_rows(rehearsed, exchanges, rows)


def hardware(recipe: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """What needs a GPU."""
    wanted: dict[str, tuple[Any, str]] = {}
    wanted |= dict.fromkeys(("bf16", "fp16", "tf32"), (False, "a CPU has no such number format here"))
    for key in ("bfloat16", "float16"):
        if recipe.get(key):
            wanted[key] = (None, "a CPU has no such number format here")
    wanted |= dict.fromkeys(LORA_KERNELS, (False, "a CUDA kernel"))
    if str(recipe.get("attn_implementation") or "sdpa") not in ("sdpa", "eager"):
        wanted["attn_implementation"] = ("sdpa", "a CUDA kernel")
    wanted |= {key: (None, "a CUDA kernel") for key in ATTENTION if recipe.get(key)}
    if any(word in str(recipe.get("optimizer")) for word in GPU_OPTIMISERS):
        wanted["optimizer"] = ("adamw_torch", "needs a GPU")
    of_engines = ("fsdp_version", "ray_num_workers", "ray_run_name", "resources_per_worker")
    wanted |= {key: (None, "several GPUs") for key in (*ENGINES, *of_engines) if recipe.get(key)}
    plugins = recipe.get("plugins") or []
    kept = [name for name in plugins if not any(word in str(name).lower() for word in GPU_PLUGINS)]
    if kept != plugins:
        wanted["plugins"] = (kept or None, "CUDA kernels")
        ours = [key for key in recipe if key.startswith(("liger_", "cut_cross_entropy"))]
        wanted |= dict.fromkeys(ours, (None, "of a plugin that is left out"))
    return wanted


def fewer_rows(
    recipe: dict[str, Any], exchanges: list[Exchange], rows: dict[str, int]
) -> tuple[dict[str, Any], list[Exchange]]:
    """No more than MOST_ROWS rows of each dataset, `rows` by path."""
    for key in KEYS:
        entries = recipe.get(key)
        for place, entry in enumerate(entries if isinstance(entries, list) else []):
            if entry.get("split") is None and entry.get("shards") is None and rows.get(entry["path"], 0) > MOST_ROWS:
                some = f"train[:{MOST_ROWS}]"
                exchanges.append(Exchange(f"{key}[{place}].split", None, some, "a rehearsal is short"))
                recipe = recipe | {key: [*recipe[key][:place], entry | {"split": some}, *recipe[key][place + 1 :]]}
    return recipe, exchanges
