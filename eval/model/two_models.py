"""Both arms as whole models, each loaded by itself: a merged or fully fine-tuned model, a quantised one, another base.

    both = Both({BASELINE: load_the_base, CANDIDATE: load_the_other})
    arms = TwoModels(both, compared(both, "models/mine", digest), None, seed=42)

Everything that asks two arms on one base asks these: inside `arm(name)` the model is that arm's. Each proves itself,
and the candidate's tensors are compared with the base's by name. Both stay in memory when they fit; else one is freed
before the other is loaded, and loaded again it has to be the same, byte for byte.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from eval.run.environment import silence_libraries

silence_libraries()

import torch  # noqa: E402
from peft import PeftModel  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.contracts.backend import BaseMoved  # noqa: E402
from eval.model.adapters_on_base import Loaded  # noqa: E402
from eval.model.base_proof import BaseProof  # noqa: E402
from eval.model.recording_hf import RecordingHF  # noqa: E402
from eval.model.two_arms import TwoArms  # noqa: E402
from eval.run.records import BASELINE, CANDIDATE  # noqa: E402

Load = Callable[[], RecordingHF]
ROOM = 1.3  # times a model's weights: what answering takes beside them


@dataclass
class Both:
    """Two models of which at least one is loaded. `proofs`: of each that was loaded once."""

    loads: Mapping[str, Load]
    loaded: dict[str, RecordingHF] = field(default_factory=dict)
    proofs: dict[str, BaseProof] = field(default_factory=dict)
    tokenizers: dict[str, Any] = field(default_factory=dict)

    def of(self, arm: str) -> RecordingHF:
        """The arm's model, loaded now if it is not. BaseMoved where it is not what it was."""
        if arm in self.loaded:
            return self.loaded[arm]
        if any(not fits_beside(lm) for lm in self.loaded.values()):
            self.let_go()
        lm = self.loads[arm]()
        known = self.proofs.setdefault(arm, lm.proof)
        if known.sha256 != lm.proof.sha256:
            raise BaseMoved(f"the {arm}'s model has other weights than when it was loaded first: evaluate again")
        self.loaded[arm], self.tokenizers[arm] = lm, lm.tokenizer
        return lm

    def let_go(self) -> None:
        """Free every model."""
        self.loaded.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def fits_beside(lm: RecordingHF) -> bool:
    """Whether memory suffices for another model of this size."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in lm.model.parameters())
    free = torch.cuda.mem_get_info(lm.device)[0] if lm.device.type == "cuda" else psutil.virtual_memory().available
    return bool(free > ROOM * size)


class TwoModels(TwoArms):
    """The two arms, by which of both models is asked now. Outside of `arm` that is the baseline's."""

    def __init__(self, both: Both, candidate: Loaded, baseline: Loaded | None, seed: int) -> None:
        """`baseline`: the adapter on the baseline's model, where it has one."""
        self.both, self.now, self.seed = both, BASELINE, seed
        self.adapted, self.adapters = None, {CANDIDATE: candidate} | ({BASELINE: baseline} if baseline else {})
        self.makers: dict[str, dict[str, str | None]] = {}

    @property
    def lm(self) -> RecordingHF:  # type: ignore[override]
        return self.both.of(self.now)

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[None]:
        before, self.now = self.now, name
        try:
            yield
        finally:
            self.now = before

    def prove_base(self, thoroughly: bool = False) -> None:
        """BaseMoved unless each model that is loaded is what was loaded."""
        for arm, lm in self.both.loaded.items():
            with lm.model.disable_adapter() if isinstance(lm.model, PeftModel) else contextlib.nullcontext():
                said = lm.proof.tensors_moved(lm.model) if thoroughly else ""
                said = said or lm.proof.logits_moved(lm.model)
            if said:
                raise BaseMoved(f"the {arm}'s model was changed, so that no answer counts: {said}")

    def made_by(self, arm: str) -> dict[str, str | None]:
        """Of the candidate, the digest of its files stands where an adapter's does: the base is the other arm's."""
        if not self.makers:
            self.makers = {name: super(TwoModels, self).made_by(name) for name in (BASELINE, CANDIDATE)}
        return self.makers[arm]

    @property
    def is_let_go(self) -> bool:
        return not self.both.loads

    def let_go(self) -> None:
        self.both.let_go()
        self.both.loads = {}


def compared(both: Both, shown: str, digest: str) -> Loaded:
    """How many tensors the candidate has, and how many differ from the base's of the same name. Both were loaded.

    UserError for one that reads texts otherwise than the base: its prompts would be others.
    """
    base, other = both.tokenizers[BASELINE], both.tokenizers[CANDIDATE]
    for what, of_base, of_other in (
        ("vocabulary", base.get_vocab(), other.get_vocab()),
        ("chat template", base.chat_template, other.chat_template),
    ):
        if of_base != of_other:
            raise UserError(
                f"{shown} has another {what} than the base, so that both would be asked other prompts: serve "
                "both and compare them as messages, with `backend: {kind: endpoint}`"
            )
    known, own = both.proofs[BASELINE].tensors, both.proofs[CANDIDATE]
    persistent = {name: tensor for name, tensor in own.tensors.items() if name in own.persistent}
    differing = sum(known.get(name) != tensor for name, tensor in persistent.items())
    return Loaded(Path(shown), digest, len(persistent), len(persistent), differing)
