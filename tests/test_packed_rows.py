"""Examples that share a packed row do not see each other under `attn_implementation: sdpa`, as every recipe has it.

The row comes from Axolotl's own collator; like its trainer, the test drops the row's mask, after which positions alone
say where an example begins. One model of each family that a recipe trains, small and random.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import EMBEDDED

pytestmark = pytest.mark.slow
FAMILIES = {"llama": "Llama", "qwen2": "Qwen2", "smollm3": "SmolLM3"}
EXAMPLES = ([5, 6, 7, 8, 9], [30, 31, 32], [40, 41, 42, 43, 44, 45, 46])
RECIPES = sorted(Path("configs/train").glob("*.yaml"))


def model_of(family: str) -> Any:
    import torch
    import transformers

    config = getattr(transformers, f"{FAMILIES[family]}Config")
    model = getattr(transformers, f"{FAMILIES[family]}ForCausalLM")
    torch.manual_seed(0)
    settings = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
    return model(config(**settings, **heads, attn_implementation="sdpa")).eval()


def packed_row() -> dict[str, Any]:
    """What Axolotl feeds a model for the three examples, in one row, less the mask that its trainer drops: tensors."""
    from axolotl.utils.collators.batching import V2BatchSamplerDataCollatorForSeq2Seq
    from transformers import AutoTokenizer

    rows = [
        {
            "input_ids": list(ids),
            "labels": list(ids),
            "attention_mask": [1] * len(ids),
            "position_ids": list(range(len(ids))),
        }
        for ids in EXAMPLES
    ]
    batch = V2BatchSamplerDataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(EMBEDDED))([rows])
    return {name: batch[name] for name in ("input_ids", "position_ids")}


def differences(model: Any, row: dict[str, Any]) -> list[float]:
    """Largest difference of a logit, packed against alone, of each example."""
    import torch

    with torch.no_grad():
        packed = model(**row, use_cache=False).logits[0]
        alone = [model(input_ids=torch.tensor([ids]), use_cache=False).logits[0] for ids in EXAMPLES]
    starts = [sum(map(len, EXAMPLES[:place])) for place in range(len(EXAMPLES))]
    return [
        float((packed[start : start + len(one)] - one).abs().max()) for start, one in zip(starts, alone, strict=True)
    ]


@contextmanager
def axolotls_patch() -> Iterator[None]:
    """Axolotl's own sdpa, which it puts in where a GPU computes in bf16; on a CPU it takes its other branch."""
    from axolotl.monkeypatch.attention import sdpa_varlen

    assert sdpa_varlen.patch_sdpa_varlen()
    try:
        yield
    finally:
        sdpa_varlen.unpatch_sdpa_varlen()


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_examples_compute_what_they_compute_alone(family: str) -> None:
    model, row = model_of(family), packed_row()
    assert max(differences(model, row)) < 1e-5
    with axolotls_patch():
        assert max(differences(model, row)) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_comparison_would_show_examples_that_see_each_other(family: str) -> None:
    import torch

    row = packed_row()
    row["position_ids"] = torch.arange(row["input_ids"].shape[1])[None]
    first, *others = differences(model_of(family), row)
    assert first < 1e-5 and min(others) > 1e-3


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_axolotl_drops_the_mask_of_every_recipe(path: Path) -> None:
    """`attn_decontaminates_packing` is what makes its trainer do so."""
    import torch
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault

    recipe = yaml.safe_load(path.read_text())
    assert recipe["attn_implementation"] == "sdpa" and recipe["sample_packing"] is True
    capabilities = {"bf16": True, "fp8": False, "tf32": True, "n_gpu": 1, "compute_capability": "sm_86"}
    resolved = validate_config(DictDefault(recipe), capabilities, {"torch_version": torch.__version__.split("+")[0]})
    assert resolved.attn_decontaminates_packing is True
