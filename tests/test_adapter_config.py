"""The rules of adapter_config.json and of the tensors, held against PEFT itself: all it knows, and what it saves."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from eval.adapters.adapter_config import RULES, check_config
from eval.adapters.adapter_tensors import check_tensors
from eval.adapters.name_patterns import bounded_pattern
from eval.adapters.safetensors_file import check_weights

ATTENTION = r"model.layers.[\d]+.self_attn.(q|v)_proj"
# What PEFT is asked for, and the recipe that asks Axolotl for the same.
SAVED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({"target_modules": ["q_proj", "v_proj"]}, {"lora_target_modules": ["v_proj", "q_proj"]}),
    "linear": (
        {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [1]},
        {"lora_target_linear": True, "peft_layers_to_transform": [1]},
    ),
    "dora": (
        {"target_modules": ["q_proj"], "use_dora": True},
        {"lora_target_modules": ["q_proj"], "peft_use_dora": True},
    ),
    "pattern": ({"target_modules": ATTENTION}, {"lora_target_modules": ATTENTION}),
    "ranks": (
        {"target_modules": ["q_proj"], "rank_pattern": {"layers.0.self_attn.q_proj": 2}},
        {"lora_target_modules": ["q_proj"], "lora_rank_pattern": {"layers.0.self_attn.q_proj": 2}},
    ),
    "embedding": (
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"lora_target_modules": ["q_proj", "embed_tokens"]},
    ),
    "head": ({"target_modules": ["q_proj", "lm_head"]}, {"lora_target_modules": ["q_proj", "lm_head"]}),
    "whole module": (
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"lora_target_modules": ["q_proj"], "lora_modules_to_save": ["lm_head"]},
    ),
    "variant": (
        {"target_modules": ["q_proj"], "use_rslora": True, "init_lora_weights": "gaussian", "lora_dropout": 0.1},
        {
            "lora_target_modules": ["q_proj"],
            "peft_use_rslora": True,
            "peft_init_lora_weights": "gaussian",
            "lora_dropout": 0.1,
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAVED)
def test_what_peft_saves_for_a_recipe_is_taken(name: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
    base = LlamaForCausalLM(LlamaConfig(vocab_size=64, num_hidden_layers=2, tie_word_embeddings=False, **shape))
    asked, recipe = SAVED[name]
    get_peft_model(base, LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **asked)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text()) | {"base_model_name_or_path": "models/tiny"}
    check_config(tmp_path / "adapter_config.json", config, {"lora_r": 4, "lora_alpha": 8, **recipe})
    assert check_weights(tmp_path / "adapter_model.safetensors") > 1
    check_tensors(tmp_path / "adapter_model.safetensors", config)


@pytest.mark.slow
def test_every_setting_that_peft_knows_has_a_rule_and_no_other_has() -> None:
    from peft import LoraConfig

    known = {field.name for field in dataclasses.fields(LoraConfig)} - {"runtime_config"}  # PEFT never reads it
    assert known == RULES.keys()


@pytest.mark.parametrize("good", ["q_proj", r"model.layers.[\d]+.(q|k|v)_proj", r".*\.mlp\..*_proj", "layers.1$"])
def test_patterns_that_people_write_are_taken(good: str) -> None:
    assert bounded_pattern(good)


@pytest.mark.parametrize("bad", ["(a+)+", "(a|a)*", ".*.*.*x", "a{1,99}", "(?=x)", "(", "", "x" * 201, "a\nb", "é"])
def test_patterns_that_cost_or_hide_something_are_not(bad: str) -> None:
    assert not bounded_pattern(bad)
