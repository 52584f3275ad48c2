"""In which numbers a base is loaded: as the recipe trained on it, or as the suite says instead.

    trained = trained_in(recipe, "results/x/recipe.yaml")       what training loaded
    numerics = chosen("as-trained", trained)                    what an evaluation loads; `backend.load` of the suite
    number_type("auto", numerics)                               its number type; `backend.dtype` of the suite

An adapter that was trained on a 4-bit base has learned to mend what quantising broke. Judged on full weights it is
judged on another base, and published without a word about it, it is loaded on another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from eval.common.errors import UserError

Form = Literal["full", "4bit", "8bit"]
TYPES = ("float32", "bfloat16", "float16")
LOADS = ("as-trained", "bf16", "4bit", "8bit")  # what a suite may ask for
# What of bitsandbytes' settings decides a 4-bit weight or what is computed with it.
SETTINGS = ("bnb_4bit_compute_dtype", "bnb_4bit_use_double_quant", "bnb_4bit_quant_type")
# Bytes of one weight of a matrix that is quantised, its share of scales included (double quantisation: 4.127 bits).
QUANTISED_BYTES: Mapping[Form, float] = {"4bit": 0.516, "8bit": 1.0}


@dataclass(frozen=True)
class Numerics:
    """`settings`: of transformers' BitsAndBytesConfig, number types by name. `dtype`: of the rest, None for the suite's
    own."""

    form: Form = "full"
    settings: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None

    def record(self) -> dict[str, Any]:
        """What an evaluation writes down of it; nothing of a base that is loaded as it is."""
        return {} if self.form == "full" else {"load": self.form, "quantisation": dict(self.settings)}

    @classmethod
    def recorded(cls, device: Mapping[str, Any]) -> "Numerics":
        """What `record` wrote down among the facts of a device."""
        form, settings = device.get("load"), device.get("quantisation")
        if form not in ("4bit", "8bit") or not isinstance(settings, dict):
            return cls()
        return cls(form, settings)

    @property
    def words(self) -> str:
        """After "the base in"."""
        if self.form == "full":
            return f"{self.dtype or 'its own number type'}, not quantised"
        if self.form == "8bit":
            return "8-bit (LLM.int8 of bitsandbytes)"
        double = ", double quantisation" if self.settings.get("bnb_4bit_use_double_quant") else ""
        kind = str(self.settings.get("bnb_4bit_quant_type", "fp4")).upper()
        return f"4-bit {kind}{double}, computed in {self.settings.get('bnb_4bit_compute_dtype', 'float32')}"


AS_IT_IS = Numerics()


def trained_in(recipe: Mapping[str, Any], where: str) -> Numerics:
    """How Axolotl 0.19 loads the base of a recipe, resolved or not (`ModelLoader._set_quantization_config`).

    UserError for a way that cannot be loaded again here.
    """
    for key in ("model_quantization_config", "gptq"):
        if recipe.get(key):
            raise UserError(
                f"{where}: {key}: a base that is loaded so cannot be loaded here: judge it with `load: bf16` in the "
                "suite's backend, which is another base, or train on one that bitsandbytes quantises"
            )
    if recipe.get("load_in_4bit") and recipe.get("adapter") == "qlora":
        return four_bit(computed_in(recipe), recipe.get("bnb_config_kwargs") or {})
    if recipe.get("load_in_8bit") and recipe.get("adapter") == "lora":
        return Numerics("8bit", {"load_in_8bit": True}, computed_in(recipe))
    return Numerics(dtype=resolved_type(recipe))


def to_be_trained(recipe: Mapping[str, Any], where: str) -> Numerics:
    """As `trained_in`, of a recipe that Axolotl has not resolved: in the number type that it asks for."""
    return trained_in({**recipe, "torch_dtype": computed_in(recipe)}, where)


def four_bit(dtype: str, given: Mapping[str, Any] | None = None) -> Numerics:
    """NF4 with double quantisation, as Axolotl sets it; `given` instead of its settings."""
    settings = {
        "load_in_4bit": True,
        "bnb_4bit_compute_dtype": dtype,
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_quant_type": "nf4",
        **{key: value for key, value in (given or {}).items() if key in SETTINGS and isinstance(value, str | bool)},
    }
    return Numerics("4bit", settings, dtype)


def computed_in(recipe: Mapping[str, Any]) -> str:
    """The number type that training computed in: what Axolotl resolved, else what the recipe asks for."""
    if resolved := resolved_type(recipe):
        return resolved
    if recipe.get("bf16") or recipe.get("bfloat16"):
        return "bfloat16"
    return "float16" if recipe.get("fp16") or recipe.get("float16") else "float32"


def resolved_type(recipe: Mapping[str, Any]) -> str | None:
    """The number type that Axolotl settled on for this machine, where the recipe is a resolved one."""
    resolved = str(recipe.get("torch_dtype") or "").removeprefix("torch.")
    return resolved if resolved in TYPES else None


def number_type(dtype: str, numerics: Numerics) -> str:
    """Of what is not quantised: as the suite says, else as trained, else `auto`, as the base's files are."""
    return dtype if dtype != "auto" else numerics.dtype or "auto"


def chosen(load: str, trained: Numerics) -> Numerics:
    """What is loaded where the suite says `load`."""
    if load == "as-trained":
        return trained
    if load == "bf16":
        return Numerics("full", {}, "bfloat16")
    computed = trained.dtype if trained.form != "full" and trained.dtype else "bfloat16"
    if load == "8bit":
        return Numerics("8bit", {"load_in_8bit": True}, computed)
    return trained if trained.form == "4bit" else four_bit(computed)
