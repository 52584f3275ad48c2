"""The HTTP client that huggingface_hub uses here: every answer has a total deadline and a largest size.

    use_bounded_client()                            from now on, in this process
    with answers_within(largest_file=5 << 20):      files that are downloaded inside are no larger

The client's own default waits for ever for the next byte, and httpx's time-outs begin anew with each. Here a request
has SECONDS for its answer to end, more only for what its declared length takes at SLOWEST_RATE. An answer of the API
is at most LARGEST_ANSWER; a file at most what the caller expects. Answers are asked for uncompressed, since a small
one may unpack to gigabytes, and a wait that a rate limit asks for is the client's own, of seconds.

Not protected against: a server that answers many requests, each just in time.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import hf_request_event_hook

from eval.common.certificates import authorities
from eval.common.deadlines import end_in_time, set_deadline
from eval.common.errors import UserError

IDLE_SECONDS = 120.0  # without a byte


@dataclass
class Bounds:
    """What an answer may cost. `seconds` is the whole answer's, from the request's first byte to the last of it."""

    seconds: float = 300.0
    slowest_rate: float = 100e3  # bytes a second, of what has a declared length
    largest_answer: int = 16 << 20  # bytes; the listing of a repository of 100,000 files
    largest_file: int = 60 << 30  # bytes; the Hub gives out no larger ones over HTTP


BOUNDS = Bounds()


class TooMuch(UserError):
    """The Hub's answer takes longer or is larger than any honest one. No reason to ask again at once."""


def use_bounded_client(idle_seconds: float = IDLE_SECONDS) -> None:
    """Let huggingface_hub, and every library that downloads through it, use the bounded client in this process."""

    def made() -> httpx.Client:
        hooks = {"request": [hf_request_event_hook]}  # as the library's own client has
        client = httpx.Client(event_hooks=hooks, follow_redirects=True, timeout=idle_seconds, verify=authorities())
        client._transport = _Bounded(client._transport)
        client._mounts = {place: _Bounded(inner) if inner else None for place, inner in client._mounts.items()}
        return client

    set_client_factory(made)


@contextmanager
def answers_within(largest_file: int) -> Iterator[None]:
    """Downloads inside are of files of at most so many bytes."""
    before, BOUNDS.largest_file = BOUNDS.largest_file, largest_file
    try:
        yield
    finally:
        BOUNDS.largest_file = before


class _Bounded(httpx.BaseTransport):
    """A transport whose requests end in time and whose answers have a size."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        end_in_time(inner)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        sent = int(request.headers.get("Content-Length") or 0)
        set_deadline(time.monotonic() + BOUNDS.seconds + sent / BOUNDS.slowest_rate, _late)
        request.headers["Accept-Encoding"] = "identity"
        response = self.inner.handle_request(request)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise TooMuch("the Hub's answer is compressed, which was not asked for: is HF_ENDPOINT right?")
        if limit := response.headers.pop("ratelimit", None):  # or the client sleeps for as long as it says
            response.headers["x-asked-to-wait"] = limit[:200]
        most = BOUNDS.largest_answer if _is_api(request) else BOUNDS.largest_file
        declared = int(response.headers.get("Content-Length") or 0) if request.method != "HEAD" else 0
        if declared > most:
            response.close()
            raise TooMuch(_too_large(most))
        until = time.monotonic() + BOUNDS.seconds + declared / BOUNDS.slowest_rate
        response.stream = _Limited(response.stream, until, most)
        return response

    def close(self) -> None:
        self.inner.close()


def _is_api(request: httpx.Request) -> bool:
    """Whether the answer is held in memory: everything but the contents of a file."""
    return request.method != "GET" or request.url.path.startswith("/api/")


def _too_large(most: int) -> str:
    return f"the Hub's answer is larger than {most:,} bytes, which is the most that was expected: is HF_ENDPOINT right?"


def _late() -> TooMuch:
    return TooMuch("the Hub's answer did not end in time: is the network very slow? the same command continues")


class _Limited(httpx.SyncByteStream):
    """The body of an answer, up to a moment and a size."""

    def __init__(self, inner: Any, until: float, most: int) -> None:
        self.inner, self.until, self.most = inner, until, most

    def __iter__(self) -> Iterator[bytes]:
        pieces, received = iter(self.inner), 0
        while True:
            set_deadline(self.until, _late)
            piece = next(pieces, None)
            if piece is None:
                return
            received += len(piece)
            if received > self.most:
                raise TooMuch(_too_large(self.most))
            yield piece

    def close(self) -> None:
        self.inner.close()
