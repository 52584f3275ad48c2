"""A small client for a provider's REST API: bounded, no redirects, the key in a header of this server alone.

    api = Rest("https://api.runpod.io/v2", key, "runpod")
    api.ask("GET", "/pods")                      parsed JSON; Answered for a refusal, Unsure for no usable answer

Reading, and deleting, is asked again a few times; what makes something is asked once, since nobody knows whether an
answer that was lost had been acted upon.
"""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from eval.common.certificates import authorities
from eval.common.deadlines import end_in_time, set_deadline
from eval.common.errors import UserError
from eval.model.endpoint.connection import wait_of
from scripts.remote import clock
from scripts.remote.provider import Unsure

TIMEOUT_SECONDS = 60.0
LARGEST = 8 << 20
TRIES = 4
LONGEST_WAIT = 60.0
LONGEST_SAID = 200


class Answered(Exception):
    """The server understood and refuses: status, and its own words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


class Rest:
    """One API."""

    def __init__(self, base_url: str, key: str, who: str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise UserError(f"{who}: the address {base_url!r} is not https, and would show the key: correct it")
        self.base_url, self.who, self._key = base_url.rstrip("/"), who, key
        transport = httpx.HTTPTransport(trust_env=True, verify=authorities())
        end_in_time(transport)
        self._client = httpx.Client(
            transport=transport,
            headers={"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"},
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer, None for an empty one."""
        tries = TRIES if method in ("GET", "DELETE") else 1
        for number in range(tries):
            try:
                return self._once(method, path, body)
            except Unsure as unsure:
                last = unsure
                if number + 1 < tries:
                    clock.pause(min(LONGEST_WAIT, getattr(unsure, "wait", None) or 2.0**number))
        raise last

    def _once(self, method: str, path: str, body: Any) -> Any:
        set_deadline(time.monotonic() + TIMEOUT_SECONDS)
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            response = self._client.request(method, self.base_url + path, content=content, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unsure(f"no connection to {self.who} ({type(error).__name__})") from None
        if len(response.content) > LARGEST:
            raise Unsure(f"the answer of {self.who} is larger than {LARGEST:,} bytes")
        if response.is_success:
            return self._json(response) if response.content else None
        status = response.status_code
        if status == 429 or status >= 500:
            unsure = Unsure(f"{self.who} answers {status}")
            unsure.wait = wait_of(response.headers.get("Retry-After"))  # type: ignore[attr-defined]
            raise unsure
        raise Answered(status, self._words(response))

    def _json(self, response: httpx.Response) -> Any:
        try:
            return json.loads(response.content.decode("utf-8"))
        except (ValueError, RecursionError):
            raise Unsure(f"the answer of {self.who} is no JSON") from None

    def _words(self, response: httpx.Response) -> str:
        """What the server says is wrong (RFC 9457: `detail`), on one line, without the key."""
        try:
            value = json.loads(response.content[: 64 << 10])
            said = str(value.get("detail") or value.get("title") or "")
        except (ValueError, AttributeError, RecursionError):
            said = ""
        line = " ".join(said.replace(self._key, "***").split())[:LONGEST_SAID]
        return "".join(letter if letter.isprintable() else "?" for letter in line)

    def events(self, path: str, last: str, seconds: float) -> Iterator[tuple[str, str]]:
        """Id and data of the server-sent events after the one called `last`, for so many seconds at most."""
        set_deadline(time.monotonic() + seconds)
        headers = {"Last-Event-ID": last} if last else {}
        try:
            with self._client.stream("GET", self.base_url + path, headers=headers) as response:
                if response.status_code != 200:
                    raise Unsure(f"{self.who} answers {response.status_code} (the log)")
                identity, size = "", 0
                for line in response.iter_lines():
                    size += len(line)
                    if size > LARGEST:
                        return
                    if line.startswith("id:"):
                        identity = line[3:].strip()
                    elif line.startswith("data:"):
                        yield identity, line[5:].strip()
        except (httpx.HTTPError, TimeoutError):
            return  # a log ends when nothing more comes; what was cut off is asked for again
