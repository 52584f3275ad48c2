"""Meeting a server: with which key and limits, and does it have the two models. No model is asked anything yet."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from eval.common.errors import UserError
from eval.model.endpoint.answers import served_names
from eval.model.endpoint.connection import Limits, Server
from eval.model.endpoint.options import Address, Pace

FIRST_TRIES = 2  # more, while loading: a wrong address is said soon
LISTED = 10  # of a server's models, in a message
TOLD = ("owned_by", "parent")  # what a server says of a model that is written down


@dataclass(frozen=True)
class Asked:
    """An arm on the server: its name there, what its requests hold besides, what the server says of it."""

    model: str
    body: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)


def key_of(options: Address, whose: str = "backend endpoint") -> str | None:
    """The key, from the variable that is named. UserError when it is not set, or can be no header."""
    if options.key_env is None:
        return None
    key = os.environ.get(options.key_env, "").strip()
    if not key:
        raise UserError(f"{whose}: {options.key_env} (key_env) is not set: export it, or remove key_env")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"{whose}: {options.key_env} (key_env) holds letters that no key has: set it again")
    return key


def limits_of(options: Pace) -> Limits:
    return Limits(options.timeout_s, options.retries, options.longest_wait_s)


def is_here(url: str) -> bool:
    """Whether an address is this machine's own."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def found_on(server: Server, asked: Mapping[str, Asked]) -> dict[str, Asked]:
    """The arms with what the server says of them. UserError, with its models, where one is not there."""
    tries = min(FIRST_TRIES, server.limits.retries)
    names = server.ask("/models", None, "its list of models", served_names, retries=tries)
    for arm, one in asked.items():
        if one.model not in names:
            shown = ", ".join(visible(name) for name in list(names)[:LISTED]) or "no model"
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            raise UserError(f"{server.base_url} has no model {one.model} ({arm} of options): it has {shown}{more}")
    return {
        arm: Asked(
            one.model, one.body, {key: visible(names[one.model][key]) for key in TOLD if names[one.model].get(key)}
        )
        for arm, one in asked.items()
    }


def visible(text: Any) -> str:
    """A server's word, short and on one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:100])
