"""A base is loaded in the numbers that training saw, or in those that the suite asks for; it is recorded and proven."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms
from eval.contracts.numerics import Numerics, chosen, four_bit, trained_in
from eval.run.candidate import candidate_of
from eval.run.files import read_json
from tests.test_suite import evaluate, make_run, make_suite

RECIPES = sorted((ROOT / "configs" / "train").glob("*.yaml"))


def test_every_recipe_says_in_which_numbers_it_trains() -> None:
    forms = {path.stem: trained_in(yaml.safe_load(path.read_text()), path.name).form for path in RECIPES}
    assert {name for name, form in forms.items() if form == "4bit"} == {name for name in forms if "qlora" in name}
    assert "full" in forms.values()


@pytest.mark.parametrize(
    ("recipe", "form", "dtype"),
    [
        ({"adapter": "qlora", "load_in_4bit": True, "bf16": True}, "4bit", "bfloat16"),
        ({"adapter": "qlora", "load_in_4bit": True, "bf16": "auto", "torch_dtype": "torch.float16"}, "4bit", "float16"),
        ({"adapter": "qlora", "load_in_4bit": True, "bf16": False, "fp16": False}, "4bit", "float32"),
        ({"adapter": "lora", "load_in_8bit": True, "fp16": True}, "8bit", "float16"),
        ({"adapter": "lora", "load_in_4bit": True, "bf16": True}, "full", None),  # Axolotl quantises for qlora alone
        ({"adapter": "lora"}, "full", None),
        ({"adapter": "lora", "bf16": False, "torch_dtype": "torch.float32"}, "full", "float32"),
    ],
)
def test_a_recipe_is_read_as_axolotl_reads_it(recipe: dict[str, Any], form: str, dtype: str | None) -> None:
    found = trained_in(recipe, "recipe.yaml")
    assert (found.form, found.dtype) == (form, dtype)


@pytest.mark.slow
def test_axolotl_would_quantise_with_the_same_settings() -> None:
    """What Axolotl's own loader asks bitsandbytes for."""
    import torch
    from axolotl.loaders.model import ModelLoader
    from axolotl.utils.dict import DictDefault
    from transformers import BitsAndBytesConfig

    recipe = {
        "adapter": "qlora",
        "load_in_4bit": True,
        "bf16": True,
        "bnb_config_kwargs": {"bnb_4bit_use_double_quant": False},
    }
    loader = object.__new__(ModelLoader)
    loader.cfg, loader.model_kwargs = DictDefault(recipe | {"torch_dtype": torch.bfloat16}), {}
    loader.model_config = object()
    loader._set_quantization_config()
    asked = loader.model_kwargs["quantization_config"].to_dict()
    ours = BitsAndBytesConfig(**trained_in(recipe, "recipe.yaml").settings).to_dict()
    # Storage is how the bits are packed for FSDP, and says nothing of their values.
    assert asked.pop("bnb_4bit_quant_storage") != ours.pop("bnb_4bit_quant_storage")
    assert asked == ours


@pytest.mark.parametrize("key", ["model_quantization_config", "gptq"])
def test_a_base_that_cannot_be_loaded_again_is_one_line(key: str) -> None:
    with pytest.raises(UserError, match=f"recipe.yaml: {key}: .*`load: bf16`"):
        trained_in({key: "Mxfp4Config"}, "recipe.yaml")


def test_what_a_suite_asks_for_goes_before_what_was_trained() -> None:
    mine = four_bit("float16", {"bnb_4bit_quant_type": "fp4"})
    assert chosen("as-trained", mine) is mine and chosen("4bit", mine) is mine
    assert chosen("as-trained", Numerics()) == Numerics()
    assert chosen("bf16", mine) == Numerics("full", {}, "bfloat16")
    assert chosen("4bit", Numerics()) == chosen("4bit", Numerics(dtype="float32")) == four_bit("bfloat16")
    assert chosen("8bit", mine).form == "8bit"
    with pytest.raises(ValueError, match="contradict"):
        BackendSettings(load="bf16", dtype="float32")


@pytest.mark.slow
@pytest.mark.parametrize("load", ["4bit", "8bit"])
def test_both_arms_stand_on_a_quantised_base_that_proves_itself(
    load: Any, tiny_model: Path, tiny_adapter: Path
) -> None:
    import torch

    from eval.model import hf

    arms = Arms(str(tiny_model), candidate=tiny_adapter)
    model = hf.load(BackendSettings(load=load), arms, 42)
    facts = model.adapters["candidate"]
    assert facts.tensors == facts.tensors_loaded > 0
    assert model.facts()["load"] == load and model.facts()["quantisation"][f"load_in_{load}"]
    digest = model.lm.proof.sha256
    full = hf.load(BackendSettings(), arms, 42, reuse=model)
    assert full.lm.proof.sha256 != digest and "load" not in full.facts(), "another base is loaded anew"
    again = hf.load(BackendSettings(load=load), arms, 42)
    assert again.lm.proof.sha256 == digest
    again.prove_base(thoroughly=True)
    scales = [name for name in again.lm.proof.tensors if name.endswith((".absmax", ".SCB"))]
    assert scales, "what a quantised weight is multiplied with is proven, too"
    module = dict(again.lm.model.named_modules())[f"base_model.model.{scales[0].rpartition('.weight')[0]}.base_layer"]
    (state,) = [getattr(module.weight, "quant_state", None) or module.state.SCB]
    with torch.no_grad():
        (state if load == "8bit" else state.absmax).add_(1)
    with pytest.raises(UserError, match="tensors of the base are not what was loaded"):
        again.prove_base(thoroughly=True)


@pytest.mark.slow
def test_a_run_that_was_trained_on_four_bits_is_judged_on_four_bits(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe |= {"adapter": "qlora", "load_in_4bit": True, "bf16": False}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert candidate_of(run).trained.form == "4bit"
    assert evaluate(monkeypatch, "--config", make_suite(tmp_path / "suite.yaml"), "--run", run) in (0, 1, 3)
    device = read_json(run / "metrics.json")["provenance"]["device"]
    assert device["load"] == "4bit" and device["quantisation"]["bnb_4bit_quant_type"] == "nf4"
    assert "4-bit NF4" in (run / "report.md").read_text()


@pytest.mark.slow
def test_auto_is_the_number_type_of_training(tiny_model: Path, tiny_adapter: Path) -> None:
    """Else a CPU without bfloat16 units judges in bfloat16 what it trained in float32, in several times the time."""
    from eval.model import hf

    trained = Arms(str(tiny_model), candidate=tiny_adapter, trained=Numerics(dtype="bfloat16"))
    model = hf.load(BackendSettings(), trained, 42)
    assert model.facts()["dtype"] == "torch.bfloat16" and "load" not in model.facts()
    same = hf.load(BackendSettings(dtype="bfloat16"), Arms(str(tiny_model), candidate=tiny_adapter), 42, reuse=model)
    assert same.lm is model.lm, "the same numbers by another name need no second load"
    whole = hf.load(BackendSettings(), Arms(str(tiny_model), model=str(tiny_model), trained=trained.trained), 42)
    assert whole.facts()["dtype"] == "torch.bfloat16"
    assert hf.load(BackendSettings(dtype="float32"), trained, 42).facts()["dtype"] == "torch.float32"
