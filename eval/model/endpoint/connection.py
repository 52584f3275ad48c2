"""Requests to a server, each bounded in time and size, made again where that may help, and one line where it does not.

    server = Server("http://127.0.0.1:8000/v1", key=None, limits)
    found = server.ask("/models", None, "its models", read)         GET; with a body it is a POST

Made again, after a wait that doubles and is partly random: no connection, a connection cut off, an answer that is late,
too large or not what `read` takes (Malformed), and the codes 408, 409, 425, 429 and 5xx. A server's Retry-After is
kept to. Anything else ends with one line: a request that was refused once is refused again.

The key is sent in a header to this server alone: redirects are not followed, and neither proxies nor a .netrc of the
environment are read. It stands in no message; a server that repeats it is shown without.

Not protected against: a server that lies, or is another than the one that was meant (use https, or a tunnel).
"""

import datetime
import json
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from eval.common.certificates import authorities
from eval.common.deadlines import end_in_time, set_deadline
from eval.common.errors import UserError

LARGEST = 8 << 20  # bytes of one answer; the log-probabilities of a prompt of 16,000 tokens are 3 MB
AGAIN = (408, 409, 425, 429)
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds, where the server names none
SHOWN = 200  # characters of a server's own words
Found = TypeVar("Found")


class Unanswered(Exception):
    """No usable answer, and another try may have one. `wait`: seconds that the server asks for."""

    def __init__(self, said: str, wait: float | None = None) -> None:
        super().__init__(said)
        self.wait = wait


class Malformed(Unanswered):
    """An answer that is not what the API says."""


@dataclass(frozen=True)
class Limits:
    """Seconds of one answer; tries after the first; seconds that a server may ask to wait."""

    timeout_s: float
    retries: int
    longest_wait_s: float


class Server:
    """One server. Any thread may ask; after `close` nothing more is asked, and what is under way ends at once."""

    def __init__(self, base_url: str, key: str | None, limits: Limits) -> None:
        self.base_url, self.limits, self._key = base_url, limits, key
        self._closed = threading.Event()
        transport = httpx.HTTPTransport(trust_env=False, verify=authorities(trust_env=False))
        end_in_time(transport)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "securecli-tuner"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.Client(
            transport=transport,
            headers=headers,
            timeout=limits.timeout_s,
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        self._closed.set()
        self._client.close()

    def ask(self, path: str, body: Any, what: str, read: Callable[[Any], Found], retries: int | None = None) -> Found:
        """What `read` makes of the JSON that comes back; it raises Malformed for what is not the API's.

        UserError when there is no such answer after `retries` more tries; `what` names the item in it.
        """
        tries = 1 + (self.limits.retries if retries is None else retries)
        for number in range(tries):
            try:
                return read(self._once(path, body, what))
            except Unanswered as why:
                last = why
            if number + 1 < tries and self._closed.wait(self._pause(number, last.wait, what)):
                break
        times = "" if tries == 1 else f" (asked {tries} times)"
        raise UserError(f"{self.base_url}: {what}: {last}{times}: is the server well? the same command continues")

    def _pause(self, number: int, wait: float | None, what: str) -> float:
        """Seconds before try `number` + 2: what the server asks for, else twice the last, up to half of it random."""
        if wait is None:
            return min(LONGEST_WAIT, FIRST_WAIT * 2**number) * random.uniform(0.5, 1.0)
        if wait > self.limits.longest_wait_s:
            raise UserError(
                f"{self.base_url}: {what}: the server asks to wait {wait:.0f} s, longer than longest_wait_s: "
                "wait, then run the same command, or raise it"
            )
        return wait * random.uniform(1.0, 1.1)

    def _once(self, path: str, body: Any, what: str) -> Any:
        set_deadline(time.monotonic() + self.limits.timeout_s, self._late)
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        method = "GET" if body is None else "POST"
        try:
            with self._client.stream(method, self.base_url + path, content=content, headers=headers) as response:
                raw = _bounded(response)
        except httpx.TransportError as error:
            raise Unanswered(_words(str(error)) or type(error).__name__) from None
        except RuntimeError as error:  # of a client that was closed meanwhile
            if not self._closed.is_set():
                raise
            raise Unanswered("given up") from error
        if response.status_code != 200:
            self._refuse(response, raw, what)
        try:
            return json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError):
            raise Malformed("its answer is not JSON in UTF-8") from None

    def _late(self) -> Exception:
        return Unanswered(f"its answer did not end within {self.limits.timeout_s:g} s (timeout_s)")

    def _refuse(self, response: httpx.Response, raw: bytes, what: str) -> None:
        """Raise what a status other than 200 means."""
        code, said = response.status_code, self._own_words(raw)
        words = f": {said}" if said else ""
        if response.is_redirect:
            there = urlsplit(response.headers.get("Location", "")).hostname
            elsewhere = f" to {_words(there)}" if there else ""
            raise UserError(f"{self.base_url}: it redirects{elsewhere}, which is not followed: give the right base_url")
        if code in AGAIN or code >= 500:
            raise Unanswered(f"it answers with code {code}{words}", wait_of(response.headers.get("Retry-After")))
        if code in (401, 403):
            named = "it takes another key" if self._key is not None else "it wants a key: name its variable in key_env"
            raise UserError(f"{self.base_url}: {what}: code {code}, {named}{words}")
        if code == 404:
            raise UserError(f"{self.base_url}: {what}: code 404{words}: is base_url right, with /v1 at its end?")
        raise UserError(f"{self.base_url}: {what}: it refuses with code {code}{words}")

    def _own_words(self, raw: bytes) -> str:
        """What the server says is wrong, on one line, without the key."""
        text = raw[: 64 * SHOWN].decode("utf-8", errors="replace")
        try:
            value = json.loads(text)
            found = value.get("error", value) if isinstance(value, dict) else value
            text = str(found.get("message", found) if isinstance(found, dict) else found)
        except (ValueError, RecursionError):
            pass
        if self._key:
            text = text.replace(self._key, "***")
        return _words(text)


def _bounded(response: httpx.Response) -> bytes:
    """The body, up to LARGEST. Malformed where it is larger, or packed."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Malformed("its answer is compressed, which was not asked for")
    pieces, size = [], 0
    for piece in response.iter_raw():
        size += len(piece)
        if size > LARGEST:
            raise Malformed(f"its answer is larger than {LARGEST:,} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _words(text: str) -> str:
    """Somebody else's words on one line, with nothing that a terminal obeys."""
    line = " ".join(text[: 4 * SHOWN].split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)
    return shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."


def wait_of(header: str | None) -> float | None:
    """Seconds that a Retry-After asks for (RFC 9110, 10.2.3): a number, or a moment. None where it says nothing."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            until = parsedate_to_datetime(header)
            seconds = (until - datetime.datetime.now(until.tzinfo)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
