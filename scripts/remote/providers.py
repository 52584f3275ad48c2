"""The providers by name. One is opened when it is used: each needs an account of its own."""

import os
from collections.abc import Callable

from huggingface_hub import HfApi, get_token

from eval.common.errors import UserError
from scripts.remote import runpod
from scripts.remote.command_line import open_tool
from scripts.remote.hf_jobs import HfJobs
from scripts.remote.provider import Provider

PROVIDERS: dict[str, Callable[[HfApi, float | None], Provider]] = {
    "hf-jobs": lambda api, price: HfJobs(api),
    "runpod": lambda api, price: runpod.connect(),
    "modal": lambda api, price: open_tool("modal", price),
    "dstack": lambda api, price: open_tool("dstack", price),
    "skypilot": lambda api, price: open_tool("skypilot", price),
}


def open_provider(name: str, api: HfApi, price: float | None = None) -> Provider:
    """A provider by name. UserError when there is none, or its account is not set up.

    `price`: the most to pay for an hour, where a provider is not asked for its prices.
    """
    if name not in PROVIDERS:
        raise UserError(f"no provider {name!r}: ON= takes {', '.join(PROVIDERS)}")
    return PROVIDERS[name](api, price)


def set_up() -> list[str]:
    """Providers that can be asked here at once; one behind a program takes seconds, and is asked by its name."""
    there = {"hf-jobs": bool(get_token()), "runpod": bool(os.environ.get("RUNPOD_API_KEY"))}
    return [name for name, known in there.items() if known]
