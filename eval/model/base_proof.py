"""The base proves itself: both arms stand on one loaded base, and nothing that an adapter does may change it.

    proof = BaseProof.of(model)            once, when the base is loaded and nothing is on top of it
    said = proof.tensors_moved(model)      after adapters are put on or taken off, and when all answers are there
    said = proof.logits_moved(model)       after each batch, with the adapters switched off: one short forward pass

PEFT can rewrite the weights below an adapter (PiSSA, OLoRA, LoftQ, `bias: all`), keep a trained copy of a module when
an adapter is taken off (`modules_to_save`), or load tensors of the base from an adapter's file. Switching the adapter
off then gives no base. So every tensor is compared by SHA-256, and the logits bit for bit, whatever the adapter is.

A machine that does not compute the same logits twice has no such logits to compare; there the tensors alone are proof.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from eval.run.digests import json_sha256

PROBE_TOKENS = 8
# What PEFT puts between a module's name and its weight when it wraps the module.
WRAPPERS = {"base_layer", "original_module", "token_adapter"}
PEFT_PREFIX = "base_model.model."


@dataclass(frozen=True)
class BaseProof:
    """What the base is: the digest of each tensor by name, its persistent ones, and logits of a few tokens."""

    tensors: Mapping[str, str]
    persistent: frozenset[str]
    probe: torch.Tensor | None

    @classmethod
    def of(cls, model: Any) -> "BaseProof":
        """The proof of a bare base, in the state it is in."""
        first, second = probe_logits(model), probe_logits(model)
        return cls(tensor_digests(model), frozenset(model.state_dict()), first if torch.equal(first, second) else None)

    @cached_property
    def sha256(self) -> str:
        """One digest of the weights as loaded: names, types, shapes, bytes. Buffers that are computed are left out."""
        return json_sha256({name: digest for name, digest in self.tensors.items() if name in self.persistent})

    def tensors_moved(self, model: Any, bare: bool = False) -> str:
        """How the base's tensors differ from those loaded, in words; empty when they do not.

        `bare`: nothing may be on top of it either.
        """
        found = tensor_digests(model)
        moved = [name for name, digest in self.tensors.items() if found.get(name) != digest]
        if moved:
            return f"{len(moved)} of {len(self.tensors)} tensors of the base are not what was loaded, first {moved[0]}"
        if bare and (added := sorted(found.keys() - self.tensors.keys())):
            return f"{len(added)} tensors are on top of the base, first {added[0]}"
        return ""

    def logits_moved(self, model: Any) -> str:
        """Whether a few tokens have other logits than on the bare base, in words; empty when not a bit differs."""
        if self.probe is None or torch.equal(probe_logits(model), self.probe):
            return ""
        return f"with the adapter switched off, the logits of {PROBE_TOKENS} tokens are not those of the base"


def base_tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Every parameter and buffer under the name it has in the bare base; those of an adapter keep PEFT's names."""
    for tensors in (model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)):
        for name, tensor in tensors:
            yield base_name(name), tensor
    for name, module in model.named_modules():
        for part, tensor in scales(module):
            yield base_name(f"{name}.{part}"), tensor


def scales(module: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """What bitsandbytes multiplies a module's quantised weight with: neither parameters nor buffers."""
    four_bit = getattr(getattr(module, "weight", None), "quant_state", None)
    if four_bit is not None:
        yield from (
            (f"weight.{part}", tensor)
            for part, tensor in four_bit.as_dict(packed=True).items()
            if isinstance(tensor, torch.Tensor)
        )
    eight_bit = getattr(getattr(module, "state", None), "SCB", None)
    if isinstance(eight_bit, torch.Tensor):
        yield "weight.SCB", eight_bit


def base_name(name: str) -> str:
    """A tensor's name without what PEFT adds: `base_model.model.lm_head.base_layer.weight` is `lm_head.weight`."""
    return ".".join(part for part in name.removeprefix(PEFT_PREFIX).split(".") if part not in WRAPPERS)


def tensor_digests(model: Any) -> dict[str, str]:
    """SHA-256 of type, shape and bytes of each tensor, by `base_name`. Tensors that share memory are read once.

    Where PEFT holds several tensors under one name (a copy it sets aside), their digests are joined.
    """
    named: dict[str, list[tuple[Any, ...]]] = {}
    views: dict[tuple[Any, ...], torch.Tensor] = {}
    for name, tensor in base_tensors(model):
        place = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride(), str(tensor.device))
        views[place] = tensor
        named.setdefault(name, []).append(place)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashlib lets go of the interpreter's lock
        digests = dict(zip(views, pool.map(tensor_sha256, views.values()), strict=True))
    return {name: "+".join(sorted({digests[place] for place in places})) for name, places in named.items()}


def tensor_sha256(tensor: torch.Tensor) -> str:
    """SHA-256 of one tensor's type, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def probe_logits(model: Any) -> torch.Tensor:
    """Logits of PROBE_TOKENS tokens from all over the vocabulary: (tokens, vocabulary)."""
    apart = model.config.get_text_config().vocab_size // (PROBE_TOKENS + 1)
    tokens = torch.arange(1, PROBE_TOKENS + 1, device=model.device) * apart
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=tokens[None], use_cache=False).logits[0]
    return logits
