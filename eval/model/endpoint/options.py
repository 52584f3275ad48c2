"""What a suite may say of a server: `backend.options`, every mistake said at once. A key is named, never written."""

from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, ValidationError, field_validator

from eval.common.entries import Strict
from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings

# Decided by the task, the suite or this repository, the same for both arms.
NOT_AN_ARMS = {
    "model", "messages", "prompt", "max_tokens", "temperature", "seed", "stop", "stream", "n", "echo", "logprobs",
    "top_logprobs", "chat_template", "chat_template_kwargs",
}  # fmt: skip
Body = dict[str, JsonValue]


class Pace(Strict):
    """How fast any server is asked, and for how long."""

    concurrency: int = Field(8, ge=1, le=256, description="requests at the same time")
    timeout_s: float = Field(120, gt=0, le=3600, description="seconds for one whole answer, to its last byte")
    retries: int = Field(5, ge=0, le=20, description="how often a request is made again")
    longest_wait_s: float = Field(120, ge=0, le=3600, description="seconds a server may ask to wait (Retry-After)")


class Asking(Pace):
    """How the server of an evaluation is asked."""

    likelihoods: Literal["auto", "none"] = Field(
        "auto", description="auto: one request finds out whether completions give log-probabilities of a prompt"
    )


class Address(Strict):
    """Where a server is, and the name of the variable with its key."""

    base_url: str = Field(description="up to and with /v1")
    key_env: str | None = Field(None, description="name of the environment variable that holds the key")

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            known = False
        if not known or not url.isprintable() or " " in url:
            raise ValueError("not an address like http://127.0.0.1:8000/v1")
        if "@" in parts.netloc:
            raise ValueError("holds a user or a password: put a key into a variable and name that in key_env")
        if parts.query or parts.fragment:
            raise ValueError("has a `?` or `#`: give the address alone, up to /v1")
        return url.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _a_name(cls, name: str | None) -> str | None:
        if name is not None and not (name.isascii() and name.isidentifier() and name == name.upper()):
            raise ValueError("not the NAME of an environment variable; the key itself never stands in a suite")
        return name


class ServerOptions(Asking, Address):
    """A server that runs already, and its model that is the candidate."""

    candidate: str = Field(min_length=1, max_length=300, description="the server's name of the candidate")
    candidate_body: Body = Field(default_factory=dict, description="added to every request of the candidate")

    @field_validator("baseline_body", "candidate_body", check_fields=False)
    @classmethod
    def _not_what_is_measured(cls, body: Body) -> Body:
        if taken := sorted(body.keys() & NOT_AN_ARMS):
            raise ValueError(f"{taken[0]} is not an arm's to set")
        return body


class EndpointOptions(ServerOptions):
    """A server that runs already, for both arms."""

    baseline: str = Field(min_length=1, max_length=300, description="the server's name of the base model")
    api: Literal["chat", "completions"] = "chat"
    tokenizer: str | None = Field(None, description="folder or Hub name of the base's tokenizer, for completions")
    baseline_body: Body = Field(default_factory=dict, description="added to every request of the baseline")


Kind = TypeVar("Kind", bound=Asking)


def read_options(settings: BackendSettings, kind: type[Kind]) -> Kind:
    """The options of a suite's backend. UserError with all that is wrong; no value is repeated, one could be a key."""
    if settings.workers != "auto":
        raise UserError(
            f"backend {settings.kind} has no workers: remove `workers`; its option `concurrency` is what helps"
        )
    try:
        return kind.model_validate(settings.options)
    except ValidationError as error:
        problems = [_said(problem) for problem in error.errors(include_url=False, include_input=False)]
        raise UserError(f"backend {settings.kind}: options: {'; '.join(problems)}") from None


def _said(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
