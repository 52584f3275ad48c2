"""What answers for an evaluation: two arms, asked the same items in the same batches.

    loaded = load(suite.backend, Arms(base, revision, candidate=adapter, baseline=None), seed=42, reuse=None)

A backend is loaded by one function of this shape, found by the name in `backend.name` of the suite. What it can do is
in its `capabilities`, and the evaluation asks for nothing else: without `logits` a suite may not measure drift, without
the proofs no verdict can be published. eval/model/hf.py is the one for transformers and PEFT.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask, Sample
    from eval.run.metrics import AdapterEffect, GenerationSettings
    from eval.run.records import Generation

Capability = Literal["likelihoods", "logits", "proof_of_effect", "proof_of_base"]


@dataclass(frozen=True)
class Arms:
    """What is compared. `revision`: the base's commit, None where it has none or it is not known. `candidate`,
    `baseline`: adapter folders, None for the base itself. `template_arguments`: what the recipe tells its template."""

    base_model: str
    revision: str | None = None
    candidate: Path | None = None
    baseline: Path | None = None
    template_arguments: Mapping[str, Any] = field(default_factory=dict)


class ChatTemplate(Protocol):
    """What tasks need to make prompts. `tokenizer_name` names the template, for lm-eval's own cache of requests."""

    tokenizer_name: str

    def apply_chat_template(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as one prompt. A backend that takes messages returns them as JSON."""
        ...


class Backend(Protocol):
    """Both arms, loaded. Every method is called from one thread.

    `capabilities`: what it can do beyond answering. `identity`: what the base's files are, any JSON value; None where
    that is not known, and then no answer is kept for later runs. `template`: what makes prompts.
    """

    name: str
    capabilities: frozenset[Capability]
    identity: Any | None
    template: ChatTemplate

    def facts(self) -> dict[str, Any]:
        """What of the machine decides the last bits of an answer: `device` and `dtype` (strings) at least."""
        ...

    def settings(self) -> "GenerationSettings":
        """How answers are drawn, and what the base asked for and was not given."""
        ...

    def made_by(self, arm: str) -> dict[str, str | None]:
        """`adapter_sha256`, `base_tensors_sha256` and `settings_sha256` of a Generation: hexadecimal digests, None
        where there is no adapter, or where no bytes can be proven."""
        ...

    def plan(self, tasks: "Sequence[LoadedTask]", batch_size: int) -> "list[list[Sample]]":
        """Every sample once, in batches that follow from the samples alone: equal batches give equal answers."""
        ...

    def answer(self, arm: str, batch: "Sequence[Sample]") -> "list[Generation]":
        """Answers of one arm to one batch, in its order. `text` of a likelihood item is the JSON of lm-eval's pairs
        [[log-likelihood in nats, is greedy], ...], one for each of its requests.

        UserError where the machine cannot, in one line; BaseMoved where the arms are no longer the same base.
        """
        ...

    def check_lengths(self, tasks: "Sequence[LoadedTask]") -> None:
        """UserError for a prompt that leaves no room for an answer, before anything is asked."""
        ...

    def effect(self, tasks: "Sequence[LoadedTask]") -> "AdapterEffect | None":
        """The proof that the candidate's tensors act (`proof_of_effect`); None where the candidate is the base."""
        ...

    def prove_base(self, thoroughly: bool = False) -> None:
        """BaseMoved unless the base is what was loaded (`proof_of_base`); returns where nothing can have moved it."""
        ...


class Load(Protocol):
    """How a backend is loaded: what `find("backends", name)` returns."""

    def __call__(self, settings: Any, arms: Arms, seed: int, reuse: Backend | None = None) -> Backend:
        """Both arms of `arms`. `settings`: the suite's `backend:` entry. `reuse`: what the same backend loaded
        before, for whatever base; it may be taken over or dropped. UserError when the parts do not belong together."""
        ...
