"""What answers for an evaluation: two arms, asked the same items in the same batches.

    class Mine(Backend):                                    the methods marked `Always`, and those of its capabilities
    def load(settings, arms, seed, reuse=None, say=print): ...    how it is loaded, named by an entry point

A suite names its backend in `backend.kind`. An evaluation asks a backend for nothing beyond its `capabilities`: without
`likelihoods` a suite may not hold such tasks, without `logits` it may not measure drift. Without both proofs nobody
knows which bytes answered: a verdict is shown, and never published. eval/model/hf.py has every capability; what only
talks to a server (an OpenAI-compatible endpoint, vLLM) proves no bytes.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from eval.common.errors import UserError
from eval.contracts.numerics import AS_IT_IS, Numerics

if TYPE_CHECKING:
    from eval.config.suite_file import BackendSettings
    from eval.model.lm_tasks import LoadedTask, Sample
    from eval.run.metrics import AdapterEffect, GenerationSettings
    from eval.run.records import Generation

# likelihoods: of given texts. logits: of every next token, so that arms can be compared. reading: how far a recorded
# answer is from what an arm says. The proofs: that the candidate's tensors act, that the base stays what was loaded.
Capability = Literal["likelihoods", "logits", "reading", "proof_of_effect", "proof_of_base"]
PROOFS: frozenset[Capability] = frozenset({"proof_of_effect", "proof_of_base"})
Say = Callable[[str], None]


class BaseMoved(UserError):
    """The base is not what was loaded any more: no answer made on it counts."""


@dataclass(frozen=True)
class Arms:
    """What is compared. `revision`: the base's commit, None where it has none or it is not known. `candidate`,
    `baseline`: adapter folders, None for the base itself. `template_arguments`: what the recipe tells its template.
    `trained`: how training loaded the base. `model`: a whole model as the candidate, in place of an adapter.
    `brought`: the backend brings both arms (BringsArms). None of the three candidates: the base against itself."""

    base_model: str
    revision: str | None = None
    candidate: Path | None = None
    baseline: Path | None = None
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    trained: Numerics = AS_IT_IS
    model: str | None = None
    brought: bool = False


class ChatTemplate(Protocol):
    """What tasks need to make prompts. `tokenizer_name` names the template, for lm-eval's own cache of requests."""

    @property
    def tokenizer_name(self) -> str: ...

    @property
    def can_chat(self) -> bool:
        """Whether there is a template: False for a base model without one, whose tasks say `chat: false`."""
        ...

    def apply_chat_template(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as one prompt."""
        ...


@dataclass(frozen=True)
class MessagesAsJson:
    """The template of a backend that takes messages: a prompt is their JSON, which `answer` parses again."""

    tokenizer_name: str = "messages as JSON"
    can_chat: bool = True

    def apply_chat_template(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return json.dumps(messages, ensure_ascii=False)


class Positioned(Protocol):
    """A drift prompt as a backend reads it."""

    @property
    def sample(self) -> "Sample": ...


class Backend(ABC):
    """Both arms, loaded. Every method is called from one thread; UserError for what a machine or server cannot do.

    `name`: as suites call it (`backend.kind`). `capabilities`: what it can do beyond answering. `identity`: what the
    base's files are, any JSON value; None where that is not known, and then no answer is kept for later runs.
    `template`: makes prompts.
    """

    name: str
    capabilities: frozenset[Capability] = frozenset()
    identity: Any | None = None
    template: ChatTemplate = MessagesAsJson()

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Always. What of the machine decides the last bits of an answer: `device` and `dtype` (texts) at least."""

    @abstractmethod
    def settings(self) -> "GenerationSettings":
        """Always. How answers are drawn, and what the base asked for and was not given."""

    @abstractmethod
    def answer(self, arm: str, batch: "Sequence[Sample]") -> "list[Generation]":
        """Always. One arm's answers to a batch, in its order; each with the fields of `made_by`.

        What is asked are a sample's `instances`, lm-eval's requests: `args` is (prompt, {until, max_gen_toks, ...}) of
        a text, (prompt, continuation) of a likelihood. eval/model/task_rules.py has the settings a task may ask for.
        `text` of a likelihood item is the JSON of lm-eval's pairs [[log-likelihood in nats, is greedy], ...], one for
        each of its requests. BaseMoved where the arms are not the same base any more.
        """

    def answer_many(self, arm: str, batches: "Sequence[Sequence[Sample]]") -> "Iterator[tuple[int, list[Generation]]]":
        """Answers to every batch once, as `answer` gives them: (index of the batch, its answers), in any order.

        Each is kept as soon as it is given. A backend that can do several things at a time has its own.
        """
        yield from enumerate(self.answer(arm, batch) for batch in batches)

    def plan(self, tasks: "Sequence[LoadedTask]", batch_size: int) -> "list[list[Sample]]":
        """Every sample once, in batches that follow from the samples alone: equal batches give equal answers.

        All samples of a batch have the same kind of request.
        """
        kinds: dict[str, list[Sample]] = {}
        for sample in (sample for task in tasks for sample in task.samples):
            kinds.setdefault(sample.kind, []).append(sample)
        return [own[at : at + batch_size] for own in kinds.values() for at in range(0, len(own), batch_size)]

    def check_lengths(self, tasks: "Sequence[LoadedTask]") -> None:
        """UserError for a prompt that leaves no room for an answer, before anything is asked. Not every backend can
        tell."""
        return

    def made_by(self, arm: str) -> dict[str, str | None]:
        """`adapter_sha256`, `base_tensors_sha256` and `settings_sha256` of a Generation: hexadecimal digests of what
        was loaded; None where there is no adapter, or no bytes can be proven."""
        return {"adapter_sha256": None, "base_tensors_sha256": None, "settings_sha256": None}

    def effect(self, tasks: "Sequence[LoadedTask]") -> "AdapterEffect | None":
        """With `proof_of_effect`: that the candidate's tensors act on these prompts; None where it is the base."""
        raise UserError(f"backend {self.name} cannot prove that an adapter acts")

    def prove_base(self, thoroughly: bool = False) -> None:
        """With `proof_of_base`: BaseMoved unless the base is what was loaded; `thoroughly` by every byte of it."""
        return

    def plan_drift(self, samples: "Sequence[Sample]") -> "Sequence[Sequence[Positioned]]":
        """With `logits`: all of a task's drift prompts, each once, in batches that follow from the prompts alone."""
        raise UserError(f"backend {self.name} gives no logits to measure drift with")

    def measure_drift(self, batch: "Sequence[Positioned]") -> "list[Generation]":
        """With `logits`: both arms' rows of one batch. `text` is the JSON of {kl, positions, most}: the mean of
        KL(baseline || arm) in nats over the positions (null when it is not finite), their number, and
        [[context, nats], ...] of those that moved most."""
        raise UserError(f"backend {self.name} gives no logits to measure drift with")

    def gaps(self, arm: str, pairs: "Sequence[tuple[Sample, Generation]]") -> list[float]:
        """With `reading`: for each recorded answer the largest shortfall of one of its tokens, its end included, below
        the likeliest token, in nats; infinite where the arm cannot have said it."""
        raise UserError(f"backend {self.name} cannot read recorded answers again")


class Load(Protocol):
    """How a backend is loaded: what `find("backends", name)` returns."""

    def __call__(
        self, settings: "BackendSettings", arms: Arms, seed: int, reuse: Backend | None = None, say: Say = print
    ) -> Backend:
        """Both arms of `arms`. `settings`: the suite's `backend:` entry, whose `options` are this backend's own.
        `seed`: of drawn answers. `reuse`: what the same backend loaded before, for whatever base; nobody else holds
        it, and it may be taken over or let go. `say`: for one line about what takes long.

        UserError when the parts do not belong together, or an option is wrong.
        """
        ...


@runtime_checkable
class BringsArms(Protocol):
    """A `Load` with this method brings both arms, as what talks to a server does: its suite needs no run of ours."""

    def base_of(self, settings: "BackendSettings") -> str:
        """What the base is called there, for the report. UserError for wrong options. Imports nothing large."""
        ...
