"""Teachers, all through one interface: messages in, text out; and what is written down of each reply.

    teacher = open_teacher(settings)
    said = teacher.answer(question)             UserError when there is no reply, and none is to be had by asking again
    teacher.close()

A server is asked through eval/model/endpoint/connection.py, which bounds a request in time and size and makes it again
where that may help. The `openai` client was not taken: its time-out is one between two bytes and its replies have no
largest size, so that one slow or endless reply holds an expansion for ever; and it would be one package more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Field

from eval.model.endpoint.answers import PATHS, read_answer
from eval.model.endpoint.connection import Server
from eval.model.endpoint.meeting import is_here, key_of, limits_of, visible
from eval.run.digests import json_sha256
from eval.run.records import Placed
from scripts.teachers.settings import AnyTeacher, EndpointTeacher

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Question:
    """What one request asks. `number`: how many this teacher was asked before; `rows`: new rows that are wanted."""

    number: int
    messages: Messages
    seed: int
    rows: int

    @property
    def prompt_sha256(self) -> str:
        return json_sha256(list(self.messages))


@dataclass(frozen=True)
class Said:
    """One reply. Tokens as the server counts them, None where it does not say; `served`: the model as it says."""

    text: str
    finish: Literal["stop", "length", "unknown"] = "stop"
    tokens: int | None = None
    prompt_tokens: int | None = None
    served: str | None = None


class Reply(Placed):
    """One line of the journal. `arm` is the teacher, `sample` the question's number, or the id of the row asked."""

    prompt_sha256: str
    seed: int
    text: str
    redacted: bool = Field(description="a suspected credential was taken out of the text before it was stored")
    finish: Literal["stop", "length", "unknown"]
    tokens: int | None = Field(ge=0)
    prompt_tokens: int | None = Field(ge=0)
    served: str | None


class Teacher(Protocol):
    """Whoever answers. Any thread may ask, `concurrency` of them at a time."""

    @property
    def concurrency(self) -> int: ...

    def facts(self) -> dict[str, Any]:
        """Who this is, for every row: plain data, the same in every run."""
        ...

    def answer(self, question: Question) -> Said: ...

    def close(self) -> None:
        """End what is under way; nothing is asked afterwards."""
        ...


class ServedTeacher:
    """A model behind a server."""

    def __init__(self, settings: EndpointTeacher) -> None:
        self.settings = settings
        key = key_of(settings, f"teacher {settings.name}")
        if key is not None and urlsplit(settings.base_url).scheme == "http" and not is_here(settings.base_url):
            print(f"caution: the key goes to {settings.base_url} unencrypted; use https", flush=True)
        self.server = Server(settings.base_url, key, limits_of(settings))

    @property
    def concurrency(self) -> int:
        return self.settings.concurrency

    def facts(self) -> dict[str, Any]:
        return model_facts(self.settings) | ({"body": self.settings.body} if self.settings.body else {})

    def answer(self, question: Question) -> Said:
        sampling = self.settings.sampling
        body = {
            "model": self.settings.model, "messages": list(question.messages), "seed": question.seed,
            **sampling.model_dump(), **self.settings.body,
        }  # fmt: skip
        what = f"teacher {self.settings.name}, request {question.number + 1}"
        read = partial(read_reply, model=self.settings.model, most=sampling.max_tokens)
        return self.server.ask(PATHS["chat"], body, what, read)

    def close(self) -> None:
        self.server.close()


def read_reply(value: Any, model: str, most: int) -> Said:
    """The reply in a response. Malformed unless it is one of `model`."""
    said = read_answer(value, "chat", model, model, most, [])
    usage = value.get("usage")
    prompt = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    known = isinstance(prompt, int) and not isinstance(prompt, bool) and 0 <= prompt <= 1e9
    served = visible(value["model"]) if value.get("model") else None
    return Said(said.text, said.finish, said.tokens, prompt if known else None, served)


def model_facts(settings: Any) -> dict[str, Any]:
    """What a row says of a teacher that is a model."""
    facts: dict[str, Any] = settings.model_dump(mode="json", include={"name", "kind", "model", "revision", "sampling"})
    return facts


def open_teacher(settings: AnyTeacher) -> Teacher:
    """UserError where one cannot be asked: no key in its variable, no such model or grammar."""
    if isinstance(settings, EndpointTeacher):
        return ServedTeacher(settings)
    from scripts.teachers import offline  # torch and the grammar, where they are wanted

    return offline.open_teacher(settings)
