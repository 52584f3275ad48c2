"""What an evaluation of a recipe's adapter will hold in memory, before anything is rented: an estimate from the base's
own config, beside the one for training in the recipe's header.

    found = estimate(recipe, batch_size=64)     None where the base's config is not at hand; nothing is downloaded

Counted: the base's weights in the form that training loads them in, the cache of keys and values of a whole batch at
its longest, the logits of a batch and those that drift reads. Not counted: what CUDA itself takes (about 0.5 GB).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.common.places import ROOT
from eval.contracts.numerics import QUANTISED_BYTES, Numerics, to_be_trained
from eval.run.environment import silence_libraries

silence_libraries()

TOKENS = 1024  # of a prompt and its answer: the longest of our own suites have fewer
NUMBER_BYTES = {"float32": 4}  # of what is not quantised, and of the cache; 2 of every other type
LOGIT_BYTES = 4 * 3  # float32, and the copies that generating makes
DRIFT_BYTES = 1.5e9  # both arms' logits of one batch of eval/model/drift.py, in float32, and what is made of them


@dataclass(frozen=True)
class Memory:
    """Bytes of each part."""

    weights: float
    cache: float
    logits: float
    words: str  # in which form the weights are

    @property
    def total(self) -> float:
        return self.weights + self.cache + max(self.logits, DRIFT_BYTES)

    def __str__(self) -> str:
        parts = f"weights {self.weights / 1e9:.1f} ({self.words}), cache {self.cache / 1e9:.1f}, logits"
        return f"about {self.total / 1e9:.1f} GB: {parts} {max(self.logits, DRIFT_BYTES) / 1e9:.1f}"


def estimate(recipe: Mapping[str, Any], batch_size: int) -> Memory | None:
    """The estimate for a suite that asks `batch_size` items at once. UserError as `to_be_trained`."""
    config = config_of(str(recipe.get("base_model")), recipe.get("revision_of_model"))
    return None if config is None else of_config(config, to_be_trained(recipe, "the recipe"), batch_size)


def of_config(config: Any, numerics: Numerics, batch_size: int) -> Memory:
    """The estimate for a base of this transformers config; its parameters are counted, and none is made."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    output = model.get_output_embeddings()
    # bitsandbytes quantises the matrices of linear layers, and leaves the output matrix as it is.
    linear = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not output]
    quantised = sum(part.weight.numel() for part in linear)
    rest = sum(parameter.numel() for parameter in model.parameters()) - quantised
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    each = NUMBER_BYTES.get(numerics.dtype or "", 2)
    per_token = 2 * text.num_hidden_layers * heads * width * each
    return Memory(
        quantised * QUANTISED_BYTES.get(numerics.form, each) + rest * each,
        batch_size * TOKENS * per_token,
        batch_size * text.vocab_size * LOGIT_BYTES,
        (numerics.dtype or "bf16").replace("bfloat", "bf") if numerics.form == "full" else numerics.form,
    )


def config_of(base: str, revision: Any) -> Any | None:
    """The base's config where it is at hand: a folder, or this machine's Hub cache."""
    from transformers import AutoConfig

    folder = ROOT / base
    try:
        if folder.is_dir():
            return AutoConfig.from_pretrained(folder)
        return AutoConfig.from_pretrained(base, revision=str(revision) if revision else "main", local_files_only=True)
    except Exception:  # whatever keeps a config from being read: it is no reason not to train
        return None
