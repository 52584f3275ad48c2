"""Two arms on one loaded base: the model computes as one or the other, and proves that the base below stays itself.

with arms.arm(CANDIDATE): ...       the candidate's adapter is on, or the baseline's own, or none
arms.prove_base(thoroughly=True)    BaseMoved unless every tensor of the base is what was loaded
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from eval.contracts.backend import BaseMoved
from eval.model.adapters_on_base import Loaded
from eval.model.generation_settings import settings_of
from eval.model.recording_hf import RecordingHF
from eval.run.digests import settings_sha256


@dataclass
class TwoArms:
    """Both arms on one loaded base. `adapted` is None when neither has an adapter."""

    lm: RecordingHF
    adapted: Any | None = None
    adapters: dict[str, Loaded] = field(default_factory=dict)  # by arm
    seed: int = 0

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[None]:
        """Inside, the model computes as this arm does."""
        if self.adapted is not None and name in self.adapters:
            self.adapted.set_adapter(name)
            yield
        else:
            with self.base_alone():
                yield

    @contextlib.contextmanager
    def base_alone(self) -> Iterator[None]:
        """Inside, the model computes as the base does."""
        if self.adapted is None:
            yield
        else:
            with self.adapted.disable_adapter():
                yield

    def prove_base(self, thoroughly: bool = False) -> None:
        """BaseMoved unless the base is what was loaded: by the logits of a few tokens, `thoroughly` by every tensor."""
        if self.adapted is None:
            return
        with self.base_alone():
            said = self.lm.proof.tensors_moved(self.lm.model) if thoroughly else ""
            said = said or self.lm.proof.logits_moved(self.lm.model)
        if said:
            names = " and ".join(str(loaded.shown) for loaded in self.adapters.values())
            raise BaseMoved(
                f"{names}: the base that both arms share was changed, so that no answer counts: {said}; train a plain "
                "LoRA, without `peft_init_lora_weights` and without biases"
            )

    def made_by(self, arm: str) -> dict[str, str | None]:
        """The fields of a Generation that say what answered."""
        return {
            "adapter_sha256": self.adapters[arm].sha256 if arm in self.adapters else None,
            "base_tensors_sha256": self.lm.proof.sha256,
            "settings_sha256": settings_sha256(settings_of(self.lm)),
        }

    @property
    def is_let_go(self) -> bool:
        return "lm" not in self.__dict__

    def let_go(self) -> None:
        """Free the base, whoever still holds these arms. They can do nothing any more."""
        self.adapted = None
        self.adapters.clear()
        del self.lm
