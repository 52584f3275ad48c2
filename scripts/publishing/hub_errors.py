"""The Hub's client as publishing uses it: how it is set up, and every way in which the Hub cannot be used as one line.

api = connect()
with hub_errors(repo): ...          UserError that says what went wrong and what to do
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import disable_progress_bars, logging

from eval.common.errors import UserError
from eval.common.hub_client import use_bounded_client
from eval.run.secret_patterns import redact

TIMEOUT_SECONDS = 120.0  # of one answer; the client's own default is to wait for ever
LONGEST_SAID = 200  # characters of the Hub's own message
ADDRESS = re.compile(r"[a-z]+://\S+")
FINAL = "the same again would get the same answer: mend what it says first"
ADVICE = {
    401: "the token is missing, wrong or expired: set HF_TOKEN",
    402: "the account of the owner has to pay, or free some storage, first",
    403: "the token may not write here: use one with write access to the owner",
    404: "check the name, and that the token may see it",
    408: "publish again later, it continues",
    409: "someone else pushed meanwhile: look at the repository, then publish again",
    412: "the repository is not as it was any more, someone else pushed: look at it, then publish again",
    413: "a file is larger than this Hub takes",
    425: "publish again later, it continues",
    429: "too many requests: publish again later, it continues",
}


def connect() -> HfApi:
    """The client, which does not wait for ever and does not print addresses: those of uploads carry signatures."""
    check_token(get_token())
    use_bounded_client(TIMEOUT_SECONDS)
    logging.set_verbosity_error()
    disable_progress_bars()
    return HfApi()


def check_token(token: str | None) -> None:
    """UserError for a token that cannot be sent: pasted from a mail, it may hold what only looks like a letter."""
    strange = next((place for place, letter in enumerate(token or "") if not "!" <= letter <= "~"), None)
    if strange is not None:
        raise UserError(f"the Hugging Face token is none: character {strange + 1} is not ASCII; copy it once more")


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Every way in which the Hub cannot be used, as one line."""
    try:
        yield
    except RuntimeError as error:  # the client's upload threads wrap what went wrong
        cause = error.__cause__
        # Its threads share one connection pool, which the first that cannot connect closes under the others.
        if "client has been closed" in str(error):
            cause = httpx.ConnectError("")
        if isinstance(cause, UserError):
            raise cause from None
        if not isinstance(cause, (OSError, httpx.HTTPError)):
            raise
        raise UserError(explain(cause, repo)) from None
    except (OSError, httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError) as error:
        raise UserError(explain(error, repo)) from None
    except (AttributeError, LookupError, TypeError) as error:  # JSON, and not what the client takes for granted
        raise UserError(f"the Hub's answer has another form ({type(error).__name__}): is HF_ENDPOINT right?") from error
    except ValueError as error:
        if "metadata in README.md" not in str(error):
            raise
        raise UserError(f"the Hub does not accept the card: {error}") from None


def said_by(error: HfHubHTTPError) -> str:
    """` ("what the Hub says about its answer")`, without addresses, which may carry a signature; empty for nothing."""
    said = plain(error.server_message or "")
    return f' ("{said}")' if said else ""


def plain(text: str) -> str:
    """One short line of somebody else's text, without addresses and credentials."""
    said = ADDRESS.sub("[address]", redact(" ".join(text.split())))
    return "".join(letter if letter.isprintable() else "?" for letter in said)[:LONGEST_SAID]


def explain(error: Exception, repo: str) -> str:
    """What went wrong and what to do. Holds no address."""
    if isinstance(error, LocalTokenNotFoundError):
        return "no Hugging Face token: set HF_TOKEN, or log in with `hf auth login`"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and publishing needs the Hub: unset it"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        advice = ADVICE.get(status, FINAL if 400 <= status < 500 else "publish again later, it continues")
        return f"the Hub answered {status} for {repo}{said_by(error)}: {advice}"
    if isinstance(error, LocalEntryNotFoundError):
        return f"{repo} could not be read back: publish again later, it continues"
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "HF_ENDPOINT is no address: unset it, or set it to the https:// address of a Hub"
    if isinstance(error, httpx.HTTPError):
        return f"the connection to the Hub failed ({type(error).__name__}): publish again, it continues"
    if isinstance(error, json.JSONDecodeError):
        return "the Hub's answer is no JSON: is HF_ENDPOINT right? publish again, it continues"
    said = plain(str(error).strip().partition("\n")[0]) or type(error).__name__
    return f"{repo}: {said}: publish again, it continues"
