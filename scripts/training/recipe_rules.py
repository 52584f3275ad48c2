"""What Axolotl lets pass and a later stage of this project always refuses, from the recipe alone.

    rule_problems(recipe)  ->  ["adapter: missing, which trains all weights; ...", ...]

What is published is a LoRA adapter on an unchanged base, trained by one process that may be killed at any step, and
evaluated with the base's own tokenizer and chat template. Each rule keeps one of these.
"""

import math
from typing import Any

from scripts.training.training_end import asks_for_best

ADAPTERS = ("lora", "qlora")
NEVER = {
    "hub_model_id": "a recipe never publishes; remove it and use `make publish` after the gates",
    "push_dataset_to_hub": "a recipe never publishes; remove it",
    "comet_api_key": "a recipe never holds a secret; remove it and set it in the environment",
}
POSITIVE = (
    "learning_rate",
    "lora_r",
    "lora_alpha",
    "micro_batch_size",
    "gradient_accumulation_steps",
    "num_epochs",
    "sequence_len",
    "max_steps",
    "save_steps",
    "eval_steps",
    "logging_steps",
    "saves_per_epoch",
    "evals_per_epoch",
    "early_stopping_patience",
)
TARGETS = ("lora_target_modules", "lora_target_linear", "lora_target_parameters")
# Set to anything that counts as yes, these end in an error later, or in something else than was asked.
_PARALLEL = "a model is split by fsdp_config or deepspeed alone (docs/pods.md); remove it"
_BASE = "the base would no longer be the one that is evaluated; remove it"
_TOKENS = "the evaluation uses the base's own tokenizer, so that the adapter would be refused; remove it"
_REWARD = "a reward model writes no text and cannot be evaluated; remove it"
REFUSED = {
    **dict.fromkeys(("fsdp", "ddp", "qlora_sharded_model_loading"), _PARALLEL),
    **dict.fromkeys(("relora", "unfrozen_parameters", "reinit_weights", "shrink_embeddings", "qat"), _BASE),
    **dict.fromkeys(("resize_token_embeddings_to_32x", "fix_untrained_tokens", "peft_layer_replication"), _BASE),
    **dict.fromkeys(("tokens", "added_tokens_overrides", "chat_template_jinja", "tokenizer_type"), _TOKENS),
    **dict.fromkeys(("reward_model", "process_reward_model"), _REWARD),
    "merge_lora": "what is evaluated and published is the adapter; remove it",
    "pretraining_dataset": "text without requests and answers has no end and no rows; name rows under datasets",
    "streaming": "streamed rows cannot be counted or checked; remove it",
    "save_only_model": "an interrupted training could not go on from such a checkpoint; remove it",
    "resume_from_checkpoint": "`make train` goes on from the run's own checkpoints; remove it",
    "skip_prepare_dataset": "rows are prepared by Axolotl; remove it",
}
SEVERAL = (
    "tensor_parallel_size",
    "context_parallel_size",
    "sequence_parallel_degree",
    "dp_shard_size",
    "dp_replicate_size",
    "expert_parallel_size",
)
# Starting values of LoRA that leave the base as it is; pissa, olora, corda, eva and loftq rewrite it when loaded.
INITIAL = (None, True, False, "gaussian", "orthogonal")
LOSSES = ("loss", "eval_loss")
SMALLER_IS_BETTER = ("perplexity", "ter")  # of those that do_causal_lm_eval measures


def rule_problems(recipe: dict[str, Any]) -> list[str]:
    """One line for each rule that the recipe breaks."""
    problems = [f"{key}: {why}" for key, why in (NEVER | REFUSED).items() if recipe.get(key)]
    problems += [f"{key}: {recipe[key]}: {_PARALLEL}" for key in SEVERAL if (number(recipe.get(key)) or 0) > 1]
    for key in POSITIVE:
        value = number(recipe.get(key))
        if value is not None and not (math.isfinite(value) and value > 0):
            problems.append(f"{key}: {recipe[key]} is not a positive number; set one above 0")
    if recipe.get("datasets") in (None, []) and not recipe.get("pretraining_dataset"):
        problems.append("datasets: missing; name at least one file of the repository")
    if recipe.get("seed") is None:
        problems.append("seed: missing; set one (42), so that the run can be repeated and continued")
    return problems + _adapter(recipe) + _tokenizer(recipe) + _ending(recipe)


def number(value: Any) -> float | None:
    """YAML reads 1e-3 as a string, and Axolotl turns it into a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None  # the schema says what is wrong with it


def _adapter(recipe: dict[str, Any]) -> list[str]:
    adapter = recipe.get("adapter")
    if adapter is None:
        return ["adapter: missing, which trains all weights, and only adapters are evaluated and published; set lora"]
    if adapter not in ADAPTERS:
        return [f"adapter: {adapter} is not supported; set lora or qlora"]
    problems = []
    if not any(recipe.get(key) for key in TARGETS):
        problems.append("lora_target_linear: the adapter has no target modules; set it to true")
    if not recipe.get("lora_model_dir"):
        problems += [f"{key}: missing; set it (32)" for key in ("lora_r", "lora_alpha") if recipe.get(key) is None]
    start = recipe.get("peft_init_lora_weights")
    quantised = isinstance(recipe.get("peft"), dict) and recipe["peft"].get("loftq_config")
    if start not in INITIAL or quantised:
        key, value = ("peft.loftq_config", "loftq") if quantised else ("peft_init_lora_weights", start)
        problems.append(f"{key}: {value} rewrites the base's weights when the adapter is loaded; remove it")
    return problems


def _tokenizer(recipe: dict[str, Any]) -> list[str]:
    """Answers are generated with the base's tokenizer and template: a recipe that changes either is never accepted."""
    problems = []
    base, own = recipe.get("base_model"), recipe.get("tokenizer_config")
    if own and own != base:
        problems.append(f"tokenizer_config: {own} is not the base model, whose tokenizer is evaluated with; remove it")
    places = {"chat_template": recipe.get("chat_template")}
    for key in ("datasets", "test_datasets"):
        entries = recipe.get(key) if isinstance(recipe.get(key), list) else []
        for place, entry in enumerate(entries or []):
            if isinstance(entry, dict):
                places[f"{key}[{place}].chat_template"] = entry.get("chat_template")
                if entry.get("chat_template_jinja"):
                    problems.append(f"{key}[{place}].chat_template_jinja: {_TOKENS}")
    for key, template in places.items():
        if template not in (None, "tokenizer_default"):
            problems.append(f"{key}: {template} is not the base's own, which is evaluated with; set tokenizer_default")
    return problems


def _ending(recipe: dict[str, Any]) -> list[str]:
    """Training must be able to stop at any step and go on, and to find its result at the end."""
    problems = []
    strategy = recipe.get("save_strategy")
    if strategy not in (None, "steps", "epoch"):
        shown = "no" if strategy is False else strategy
        problems.append(
            f"save_strategy: {shown} keeps no checkpoint to continue an interrupted training from; set steps or epoch"
        )
    if not asks_for_best(recipe):
        return problems
    keys = ("load_best_model_at_end", "early_stopping_patience", "metric_for_best_model")
    key = next((key for key in keys if recipe.get(key)), keys[0])
    save, look = number(recipe.get("save_steps")), number(recipe.get("eval_steps"))
    if not ((number(recipe.get("val_set_size")) or 0) > 0) ^ bool(recipe.get("test_datasets")):
        problems.append(f"{key}: needs rows to validate on; set val_set_size or name test_datasets, one of the two")
    if not save or not look or (save / look) % 1 > 1e-9:
        problems.append(f"{key}: Axolotl ignores it without save_steps and eval_steps that divides them; set both")
    metric = recipe.get("metric_for_best_model")
    if metric not in (None, *LOSSES) and not recipe.get("do_causal_lm_eval"):
        problems.append(f"metric_for_best_model: {metric} is not measured in training; set eval_loss")
    if metric in (None, *LOSSES) and recipe.get("greater_is_better"):
        problems.append("greater_is_better: a loss is better when smaller, so that the worst would be kept; remove it")
    # Axolotl passes on `true` alone, and transformers takes more for better unless the name ends in `loss`
    smaller = recipe.get("greater_is_better") is False or str(metric).removeprefix("eval_") in SMALLER_IS_BETTER
    if metric not in (None, *LOSSES) and not str(metric).endswith("loss") and smaller:
        problems.append(
            f"metric_for_best_model: {metric}, where smaller is better: Axolotl ignores `greater_is_better: false`, so "
            "that the worst would be kept; set eval_loss"
        )
    return problems
