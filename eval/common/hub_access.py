"""Why a model of the Hub cannot be had, in one line: gated, unknown, refused token, rate limit, no network.

    hub_problem(error, "org/model")      the line; None when the error, and what caused it, is none of the Hub's
    reach("org/model", revision)         None, or the same line, by asking for the headers of one small file

The same line for training, which asks at preflight and in the worker, and for evaluation (eval/model).
huggingface_hub is imported on use. Messages hold no token and no address but the Hub's.
"""

import os
import re
from collections.abc import Iterator

LONGEST_WAIT = 86_400  # seconds; what a server asks for beyond that is not repeated


def hub_problem(error: BaseException, model: str) -> str | None:
    """One line for the first error of the Hub in the chain of causes."""
    from huggingface_hub import errors

    for one in chain(error):
        if isinstance(one, errors.GatedRepoError):
            return gated(model)
        if isinstance(one, errors.RevisionNotFoundError):
            return f"{model}: the Hub has no such revision: check revision_of_model against the model's page"
        if isinstance(one, errors.RepositoryNotFoundError):
            return unknown(model)
        if isinstance(one, errors.HfHubHTTPError):
            return by_status(model, one)
        if isinstance(one, errors.OfflineModeIsEnabled):
            return f"{model} is not in the cache, and HF_HUB_OFFLINE is set: unset it, or download the model before"
    for one in chain(error):
        if isinstance(one, errors.LocalEntryNotFoundError) or is_connection(one):
            offline = os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on")
            why = "HF_HUB_OFFLINE is set: unset it" if offline else "the Hub cannot be reached: check the network"
            return f"{model} is not in the cache, and {why}, or download the model before"
    return None


def reach(model: str, revision: str | None) -> str | None:
    """Ask for the headers of config.json; a file that is not there is nobody's refusal."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    from eval.common.hub_client import use_bounded_client

    use_bounded_client()
    try:
        get_hf_file_metadata(hf_hub_url(model, "config.json", revision=revision), timeout=10)
    except errors.EntryNotFoundError:
        return None
    except Exception as error:  # of the client, of httpx below it, or of what a server made of its answer
        return hub_problem(error, model) or f"{model}: the Hub's answer cannot be used ({type(error).__name__})"
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from or after, and so on; transformers wraps those of the Hub in OSErrors."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def is_connection(error: BaseException) -> bool:
    """Whether no answer came at all."""
    import httpx

    return isinstance(error, httpx.TransportError)


def page(model: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{model}"


def has_token() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def gated(model: str) -> str:
    token = "the account of HF_TOKEN has not been let in" if has_token() else "no token is set"
    then = "with that account" if has_token() else "and set HF_TOKEN to a token of that account"
    return f"{model} is gated, and {token}: accept its licence at {page(model)} {then}"


def unknown(model: str) -> str:
    """The Hub does not tell a private model from none."""
    token = (
        "HF_TOKEN must be of an account that may read it"
        if has_token()
        else "set HF_TOKEN, in case it is private or gated"
    )
    return f"the Hub shows no model {model}: check the name at {page(model)}; {token}"


def by_status(model: str, error: object) -> str:
    """For an answer that has no exception of its own; the wait is the server's, where it asks for a sane one."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status == 401:
        return (
            f"the Hub does not know the token of HF_TOKEN (401 for {model}): make a new one in the account's settings"
        )
    if status == 403:
        return (
            f"HF_TOKEN may not read {model} (403): accept its licence at {page(model)}, and give the token read access "
            "to gated repositories"
        )
    if status == 429:
        seconds = asked_to_wait(getattr(response, "headers", {}))
        wait = f"wait {seconds} seconds" if seconds else "wait some minutes"
        more = "" if has_token() else ", or set HF_TOKEN, which raises the limit"
        return f"the Hub limits requests (429 for {model}): {wait}, then run the same command again{more}"
    return f"the Hub answered {status} for {model}: run the same command again later"


def asked_to_wait(headers: object) -> int | None:
    """Seconds of `Retry-After`, or of `t=` in the Hub's own header (renamed by eval/common/hub_client.py)."""
    get = getattr(headers, "get", lambda name, default="": default)
    found = re.fullmatch(r"\d{1,6}", get("retry-after", "")) or re.search(r"t=(\d{1,6})\b", get("x-asked-to-wait", ""))
    seconds = int(found.group(found.lastindex or 0)) if found else 0
    return seconds if 0 < seconds <= LONGEST_WAIT else None
