"""The estimate of an evaluation's memory: weights counted to the byte, and nothing downloaded to count them."""

import copy
from pathlib import Path
from typing import Any

import pytest

from eval.common.places import ROOT
from eval.contracts.numerics import AS_IT_IS, four_bit
from scripts.training.evaluation_memory import config_of, estimate, of_config
from tests.conftest import EMBEDDED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config() -> Any:
    return config_of(str(EMBEDDED), None)


def test_weights_are_counted_as_they_are_stored(config: Any) -> None:
    found = of_config(config, AS_IT_IS, batch_size=1)
    stored = sum(path.stat().st_size for path in (ROOT / EMBEDDED).glob("*.safetensors"))
    assert found.weights == pytest.approx(stored, rel=0.01), "bf16, as the embedded base is stored"


def test_four_bits_take_what_bitsandbytes_makes_of_them(config: Any) -> None:
    """Of a few layers, which takes a second instead of four: they are all alike."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = copy.deepcopy(config)
    config.num_hidden_layers = 3
    numerics = four_bit("bfloat16")
    loaded = AutoModelForCausalLM.from_pretrained(
        EMBEDDED, config=config, dtype=torch.bfloat16, quantization_config=BitsAndBytesConfig(**numerics.settings)
    )
    assert of_config(config, numerics, 1).weights == pytest.approx(loaded.get_memory_footprint(), rel=0.03)


def test_a_larger_batch_takes_more_and_the_line_says_what_for(config: Any) -> None:
    small, large = of_config(config, AS_IT_IS, 1), of_config(config, AS_IT_IS, 64)
    assert large.cache == 64 * small.cache == 64 * 1024 * 2 * 30 * 3 * 64 * 2
    assert str(small).startswith("about 1.8 GB: weights 0.3 (bf16), cache 0.0, logits 1.5")


def test_a_recipe_for_a_cpu_is_judged_in_float32_of_twice_the_bytes(config: Any) -> None:
    half = of_config(config, AS_IT_IS, 8)
    recipe = {"base_model": str(EMBEDDED), "bf16": False, "fp16": False}
    whole = estimate(recipe, 8)
    assert whole and whole.weights == 2 * half.weights and whole.cache == 2 * half.cache
    assert "0.5 (float32)" in str(whole)
    assert estimate(recipe | {"bf16": "auto"}, 8) == half


def test_a_base_that_is_not_at_hand_has_no_estimate(tmp_path: Path) -> None:
    assert estimate({"base_model": "org/nobody-has-this", "revision_of_model": "a" * 40}, 16) is None
    assert estimate({"base_model": str(tmp_path)}, 16) is None


def test_preflight_says_both_and_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    from scripts.training.preflight import memory_lines

    known, unknown = {"base_model": str(EMBEDDED)}, {"base_model": "org/nobody-has-this"}
    training, evaluation = memory_lines(known, "#   Memory  about 11 GB (estimated)\n")
    assert training == "note memory for training: about 11 GB (estimated)"
    assert evaluation.startswith("note memory for evaluation, ") and ": about " in evaluation
    assert memory_lines(unknown, "")[0].endswith("not known before the base's config is at hand")
