"""The backend `beside`: the baseline arm is loaded here and proven, the candidate arm is a model of a server.

    backend:
      kind: beside
      options: {base_url: "http://127.0.0.1:8000/v1", candidate: served}

For `make serve-check`: is what a server answers still what was approved? The approved adapter on its base answers
through hf, the server through its chat API. Prompts, and so their digests, are hf's; the server is given the messages
that each was made of. Nothing is proven of the server's bytes, so that a verdict is shown and never published.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms, Backend, ChatTemplate, Say
from eval.model.endpoint.answers import check_settings, messages_of
from eval.model.endpoint.connection import Server
from eval.model.endpoint.meeting import Asked, found_on, is_here, key_of, limits_of
from eval.model.endpoint.options import ServerOptions, read_options
from eval.model.endpoint.serving import Endpoint
from eval.run.digests import settings_sha256
from eval.run.metrics import GenerationSettings
from eval.run.records import BASELINE, CANDIDATE, Generation

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask, Sample


@dataclass
class Remembered:
    """The base's own template, which keeps the messages that it made each prompt of, as JSON."""

    own: ChatTemplate
    made_of: dict[str, str] = field(default_factory=dict)
    date: str | None = None  # the server has its own

    @property
    def tokenizer_name(self) -> str:
        return self.own.tokenizer_name

    @property
    def can_chat(self) -> bool:
        return self.own.can_chat

    def apply_chat_template(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        text = self.own.apply_chat_template(messages, add_generation_prompt)
        # Messages of one prompt are one question, whichever of them the server is given.
        self.made_of.setdefault(text, json.dumps(messages, ensure_ascii=False))
        return text

    def prompt(self, text: str) -> str:
        """What the server is asked for a prompt of ours: its messages. The prompt itself where it was made of none."""
        return self.made_of.get(text, text)


class Beside(Backend):
    """Two backends, one an arm. It has none of hf's capabilities: each would have to hold for both arms."""

    name = "beside"
    template: Remembered

    def __init__(self, here: Backend, there: Endpoint, template: Remembered) -> None:
        self.here, self.there, self.template = here, there, template

    @property
    def identity(self) -> Any:  # type: ignore[override]
        return self.here.identity

    def facts(self) -> dict[str, Any]:
        """This machine's, what the server says of its model, and what is proven of the baseline alone."""
        served = self.there.facts()["models"][CANDIDATE]
        return self.here.facts() | {"served": served, "baseline": self.here.made_by(BASELINE)}

    def settings(self) -> GenerationSettings:
        """Of both arms together: how each draws its answers."""
        here, there = self.here.settings(), self.there.settings()
        return here.model_copy(update={"decoding": {**here.decoding, "served": there.decoding}})

    def made_by(self, arm: str) -> dict[str, str | None]:
        """No base that both arms have is known."""
        adapter = self.here.made_by(arm)["adapter_sha256"] if arm == BASELINE else None
        return super().made_by(arm) | {"adapter_sha256": adapter, "settings_sha256": settings_sha256(self.settings())}

    def plan(self, tasks: "Sequence[LoadedTask]", batch_size: int) -> "list[list[Sample]]":
        return self.here.plan(tasks, batch_size)

    def answer(self, arm: str, batch: "Sequence[Sample]") -> list[Generation]:
        answers = (self.here if arm == BASELINE else self.there).answer(arm, batch)
        made_by = self.made_by(arm)
        return [answer.model_copy(update=made_by) for answer in answers]

    def check_lengths(self, tasks: "Sequence[LoadedTask]") -> None:
        """UserError for a prompt that leaves no room for an answer here, or is no question in messages there."""
        self.here.check_lengths(tasks)
        for sample in (sample for task in tasks for sample in task.samples):
            check_settings(sample)
            messages = messages_of(self.template.prompt(str(sample.instances[0].args[0])))
            if messages is None or messages[-1]["role"] == "assistant":
                raise UserError(
                    f"task {sample.task} asks in plain text (`chat: false`) or begins the answer itself, which no chat "
                    "API takes: take it out of the suite"
                )

    def prove_base(self, thoroughly: bool = False) -> None:
        self.here.prove_base(thoroughly)


class LoadBeside:
    """How both arms are met: the server first, which is there in a second or not at all."""

    def base_of(self, settings: BackendSettings) -> str:
        """A suite without a run has no base here, which `__call__` refuses; options are read all the same."""
        return read_options(settings, ServerOptions).candidate

    def __call__(
        self, settings: BackendSettings, arms: Arms, seed: int, reuse: Backend | None = None, say: Say = print
    ) -> Beside:
        """UserError, before the base is loaded, for a server that is not there, refuses the key or lacks the model."""
        options = read_options(settings, ServerOptions)
        if arms.baseline is None or arms.candidate is not None or arms.model is not None:
            raise UserError(
                "backend beside compares a server's model with an approved adapter: "
                "`make serve-check RUN= FORM=endpoint URL= NAME=`"
            )
        key = key_of(options)
        if key is not None and options.base_url.startswith("http:") and not is_here(options.base_url):
            say(f"caution: the key goes to {options.base_url} unencrypted; use https")
        server = Server(options.base_url, key, limits_of(options))
        one = Asked(options.candidate, options.candidate_body)
        asked = found_on(server, {CANDIDATE: one, BASELINE: one})  # an answer of no other model counts
        if isinstance(reuse, Beside):
            reuse.there.server.close()
            reuse = reuse.here

        from eval.model import hf  # torch, 10 s

        approved = replace(arms, brought=False)  # its baseline has the adapter, its candidate is never asked
        alone = settings.model_copy(update={"kind": "hf", "options": {}, "workers": 1})  # batch by batch, as the server
        here = hf.load(alone, approved, seed, reuse, say)
        template = Remembered(here.template)
        there = Endpoint(server, asked, options, "chat", template, arms.template_arguments, seed)
        if here.settings().template_date:
            say("caution: the chat template asks what day it is: the server tells its own, hf that of every run")
        return Beside(here, there, template)


load = LoadBeside()
