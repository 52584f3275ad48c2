"""Spot answers of a variant: is its model really its parent's, merged and quantised? Imports torch.

    check_made_of(arms)         Refused where a tensor is not what merging the parent's adapter into its base gives

The parent's model is merged again and compared with the variant's, tensor by tensor. What is not quantised differs at
most by the last bit of a bfloat16, since another machine may round a product otherwise. A quantised matrix is unpacked:
block by block no value may be further from the merged one than half of NF4's widest step, scales rounded, allows.

Not protected against: values that were moved within that distance; such a model is still the one that was judged.
"""

from typing import Any

from eval.run.environment import silence_libraries

silence_libraries()

import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from eval.common.errors import Refused  # noqa: E402
from eval.contracts.backend import Arms  # noqa: E402
from eval.run.candidate import Candidate  # noqa: E402
from scripts.serving.forms import merged_model  # noqa: E402

BLOCK = 64  # values under one scale, as bitsandbytes has it for NF4
# NF4's levels -1 and -0.6962 are the furthest apart: half of that, of a block's largest value. Scales are 8-bit numbers
# themselves, off by up to 2 % of the largest scale.
WIDEST, SCALES = 0.152, 0.02
LAST_BIT = 2.0**-7  # of a bfloat16, relative


def check_made_of(arms: Arms) -> None:
    """Refused unless the variant (`arms.model`) is made of the base and the parent's adapter (`arms.baseline`)."""
    assert arms.model is not None and arms.baseline is not None
    candidate = Candidate(arms.baseline.parent, arms.base_model, arms.revision, arms.baseline)
    merged = {name: value for name, (value, _) in values_of(merged_model(candidate)).items()}
    compare(arms.model, merged, values_of(AutoModelForCausalLM.from_pretrained(arms.model)))


def values_of(model: Any) -> dict[str, tuple[torch.Tensor, bool]]:
    """Each weight of a loaded model by name, unpacked where it is quantised, and whether it was."""
    from bitsandbytes.functional import dequantize_4bit

    found: dict[str, tuple[torch.Tensor, bool]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        state = getattr(parameter, "quant_state", None)
        value = parameter.data if state is None else dequantize_4bit(parameter.data, state)
        found[name] = value, state is not None
    return found


def compare(shown: str, merged: dict[str, torch.Tensor], made: dict[str, tuple[torch.Tensor, bool]]) -> None:
    """Refused at the first tensor that is not the merged one's, or that one model has alone."""
    if differing := sorted(merged.keys() ^ made.keys()):
        raise Refused(f"{shown}: {differing[0]} is a tensor of one model alone: it is not made of its parent")
    for name, (value, quantised) in sorted(made.items()):
        own = merged[name].float()
        if value.shape != own.shape or not within(own, value.float(), quantised):
            said = "quantised" if quantised else "merged"
            raise Refused(f"{shown}: {name} is not its parent's, {said}: `make quantize` again")


def within(merged: torch.Tensor, value: torch.Tensor, quantised: bool) -> bool:
    """Whether every value is as near to the merged one as rounding leaves it."""
    apart = (value - merged).abs()
    if not quantised:
        return bool((apart <= LAST_BIT * merged.abs()).all())
    flat, gap = merged.flatten(), apart.flatten()
    missing = -flat.numel() % BLOCK
    blocks = torch.nn.functional.pad(flat, (0, missing)).view(-1, BLOCK).abs().amax(dim=1)
    gaps = torch.nn.functional.pad(gap, (0, missing)).view(-1, BLOCK).amax(dim=1)
    return bool((gaps <= WIDEST * blocks + SCALES * blocks.max() + LAST_BIT * blocks.max()).all())
