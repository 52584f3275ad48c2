"""The backend `endpoint`: both arms by their names on a server that speaks OpenAI's API, as it runs.

    backend:
      kind: endpoint
      options: {base_url: "http://127.0.0.1:8000/v1", baseline: base, candidate: candidate}

It proves nothing: what a server calls `candidate` may be any model. Its verdicts are shown and never published.
docs/backends.md has the options, and how vLLM, SGLang and llama.cpp serve an adapter beside its base.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms, Backend, Capability, ChatTemplate, MessagesAsJson, Say
from eval.model.endpoint.answers import PATHS, Api, Said, check_item, read_answer, request_for
from eval.model.endpoint.connection import Server
from eval.model.endpoint.likelihoods import PROBE, likelihood_request, moved_spaces, read_likelihood
from eval.model.endpoint.meeting import Asked, found_on, is_here, key_of, limits_of
from eval.model.endpoint.options import Asking, EndpointOptions, read_options
from eval.model.task_rules import most_tokens, stop_strings
from eval.run.digests import settings_sha256
from eval.run.metrics import GenerationSettings
from eval.run.records import BASELINE, CANDIDATE, Generation

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask, Sample

Done = TypeVar("Done")


class Template(ChatTemplate, Protocol):
    """A template that also says which day it is told, and how its prompts are sent."""

    @property
    def date(self) -> str | None: ...

    def prompt(self, text: str) -> str: ...


class Messages(MessagesAsJson):
    """For a chat API: the server has the template."""

    date: str | None = None

    def prompt(self, text: str) -> str:
        return text


@dataclass(frozen=True)
class NoTemplate:
    """Completions without a tokenizer: only tasks in plain text."""

    tokenizer_name: str = "none"
    can_chat: bool = False
    date: str | None = None

    def apply_chat_template(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        raise UserError(
            "backend endpoint: a task asks in messages, and `api: completions` has no template: name the base's "
            "`tokenizer` in options, use `api: chat`, or set `chat: false` on the task"
        )

    def prompt(self, text: str) -> str:
        return text


class Endpoint(Backend):
    """Both arms of a server, as a backend."""

    name = "endpoint"
    template: Template

    def __init__(
        self,
        server: Server,
        asked: Mapping[str, Asked],
        options: Asking,
        api: Api,
        template: Template,
        arguments: Mapping[str, Any],
        seed: int,
    ) -> None:
        self.server, self.asked, self.options, self.api, self.seed = server, asked, options, api, seed
        self.template, self.arguments = template, dict(arguments)
        self.capabilities: frozenset[Capability] = frozenset()

    def facts(self) -> dict[str, Any]:
        return {
            "device": "a server",
            "dtype": "as served",
            "models": {arm: {"id": one.model, **one.told} for arm, one in self.asked.items()},
        }

    def settings(self) -> GenerationSettings:
        return GenerationSettings(
            end_tokens=[],
            pad_token=None,
            decoding={"api": self.api, "temperature": 0.0, "seed": self.seed},
            ignored={},
            template_arguments=self.arguments,
            template_date=self.template.date,
        )

    def made_by(self, arm: str) -> dict[str, str | None]:
        return super().made_by(arm) | {"settings_sha256": settings_sha256(self.settings())}

    def check_lengths(self, tasks: "Sequence[LoadedTask]") -> None:
        """UserError for what this API cannot be asked; lengths are the server's to know."""
        for sample in (sample for task in tasks for sample in task.samples):
            check_item(sample, self.api)

    def answer(self, arm: str, batch: "Sequence[Sample]") -> list[Generation]:
        started = time.monotonic()
        answers = self.together([partial(self._one, arm, sample) for sample in batch])
        seconds = round((time.monotonic() - started) / len(batch), 6)
        made_by = self.made_by(arm)
        return [
            Generation.to(
                sample,
                arm=arm,
                text=said.text,
                tokens=said.tokens,
                finish=said.finish,
                seconds=seconds,
                **made_by,
            )
            for sample, said in zip(batch, answers, strict=True)
        ]

    def together(self, jobs: Sequence[Callable[[], Done]]) -> list[Done]:
        """Every job's result, in order. The first that fails ends the others: nothing more is asked of the server."""
        with ThreadPoolExecutor(min(self.options.concurrency, len(jobs))) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                if failed := [future for future in futures if future in done and future.exception()]:
                    failed[0].result()
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.server.close()
                raise

    def _one(self, arm: str, sample: "Sample") -> Said:
        where = f"{arm} of {sample.task}: {sample.id}"
        if sample.kind != "generate_until":
            pairs = [self.likelihood(arm, str(one.args[0]), str(one.args[1]), where) for one in sample.instances]
            return Said(json.dumps(pairs), None, "stop")
        asked, other = self.asked[arm], self.asked[BASELINE if arm == CANDIDATE else CANDIDATE]
        prompt = self.template.prompt(str(sample.instances[0].args[0]))
        body = {**request_for(sample, self.api, asked.model, prompt, self.seed), **asked.body}
        if self.arguments and self.api == "chat":
            body["chat_template_kwargs"] = self.arguments
        most, stops = most_tokens(sample), stop_strings(sample)
        read = partial(read_answer, api=self.api, model=asked.model, other=other.model, most=most, stops=stops)
        return self.server.ask(PATHS[self.api], body, where, read)

    def likelihood(self, arm: str, context: str, continuation: str, where: str) -> tuple[float, bool]:
        """Log-likelihood in nats of a continuation, and whether it is what the arm would have said."""
        context, continuation = moved_spaces(self.template.prompt(context), continuation)
        body = {**likelihood_request(self.asked[arm].model, context, continuation, self.seed), **self.asked[arm].body}
        return self.server.ask(PATHS["completions"], body, where, partial(read_likelihood, continuation=continuation))

    def find_likelihoods(self, say: Say) -> None:
        """Ask once whether this server gives log-probabilities of a prompt; with them, suites may hold such tasks."""
        if self.options.likelihoods == "none" or self.api != "completions":
            return
        body = {**likelihood_request(self.asked[BASELINE].model, *PROBE, self.seed), **self.asked[BASELINE].body}
        read = partial(read_likelihood, continuation=PROBE[1])
        try:
            self.server.ask(PATHS["completions"], body, "a probe of its log-probabilities", read, retries=1)
        except UserError as error:  # servers refuse what they cannot, fail at it, or leave it out
            say(f"no likelihoods, so that no task may ask for them: {error}")
        else:
            self.capabilities |= {"likelihoods"}


class LoadEndpoint:
    """How a suite's server is met: nothing is asked but what it has."""

    def base_of(self, settings: BackendSettings) -> str:
        """The server's name of the base, which no run of ours knows."""
        return read_options(settings, EndpointOptions).baseline

    def __call__(
        self, settings: BackendSettings, arms: Arms, seed: int, reuse: Backend | None = None, say: Say = print
    ) -> Endpoint:
        """UserError, before anything is asked, for a server that is not there, refuses the key or lacks a model."""
        options = read_options(settings, EndpointOptions)
        if settings.dtype != "auto" or settings.load != "as-trained":
            raise UserError("backend endpoint: dtype and load are the server's own: remove them from the suite")
        asked = {
            BASELINE: Asked(options.baseline, options.baseline_body),
            CANDIDATE: Asked(options.candidate, options.candidate_body),
        }
        if arms.model is not None:
            raise UserError("backend endpoint: a whole model is the `candidate` of options: leave --model out")
        if arms.candidate is None and not arms.brought:
            asked[CANDIDATE] = asked[BASELINE]  # a self-check: the base, asked twice
        elif asked[BASELINE] == asked[CANDIDATE]:
            raise UserError(
                f"backend endpoint: options: baseline and candidate are both {options.baseline}: name two models, or "
                "use --self-check to see how far the server answers the same twice"
            )
        if isinstance(reuse, Endpoint):
            reuse.server.close()
        key = key_of(options)
        if key is not None and urlsplit(options.base_url).scheme == "http" and not is_here(options.base_url):
            say(f"caution: the key goes to {options.base_url} unencrypted; use https")
        server = Server(options.base_url, key, limits_of(options))
        template: Template = Messages()
        if options.api == "completions":
            template = NoTemplate() if options.tokenizer is None else tokenizer_template(options.tokenizer, arms)
        asked = found_on(server, asked)
        backend = Endpoint(server, asked, options, options.api, template, arms.template_arguments, seed)
        backend.find_likelihoods(say)
        if arms.candidate is not None:
            say(f"that {options.base_url} serves {arms.candidate} as {options.candidate} is believed, not proven")
        return backend


load = LoadEndpoint()


def tokenizer_template(name: str, arms: Arms, revision: str | None = None) -> Template:
    """The template of a tokenizer; transformers is loaded where one is asked for."""
    from eval.model.endpoint.templates import TokenizerTemplate

    return TokenizerTemplate.of(name, revision, arms.template_arguments)
