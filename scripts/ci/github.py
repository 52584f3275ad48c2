"""GitHub's REST API, as far as the workflows need it: a few reads, and one comment.

    with GitHub.of_this_run() as github:           GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN of the step
        approvals = github.read(f"/actions/runs/{run}/approvals")
        for comment in github.read_all(f"/issues/{number}/comments"): ...

Paths are below the repository. Each answer is bounded in time; what may help is asked again (no connection, 429, 5xx, a
rate limit), anything else is one line with the permission that may be missing. The token goes to this address alone:
redirects are not followed, and a list's next page has to be on the same host.
"""

import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from eval.common.certificates import authorities
from eval.common.errors import UserError
from scripts.ci.runner import variable

SECONDS = 30.0  # of one answer
TRIES = 4
LONGEST_WAIT = 60.0  # seconds, whatever the server asks for
MOST_PAGES = 50  # of 100 rows
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "securecli"}


class Unanswered(Exception):
    """No answer, and another try may get one. `wait`: seconds that the server asks for."""

    def __init__(self, said: str, wait: float | None = None) -> None:
        super().__init__(said)
        self.wait = wait


class GitHub:
    """One repository at one server."""

    def __init__(self, api: str, repository: str, token: str) -> None:
        self.base = f"{api.rstrip('/')}/repos/{repository}"
        transport = httpx.HTTPTransport(verify=authorities())
        self._client = httpx.Client(
            transport=transport, headers=HEADERS | {"Authorization": f"Bearer {token}"}, timeout=SECONDS,
            follow_redirects=False,
        )  # fmt: skip

    @classmethod
    def of_this_run(cls) -> "GitHub":
        """The repository of the step that this runs in. UserError without its variables."""
        token = variable("GITHUB_TOKEN")
        if not token.isascii() or not token.isprintable():
            raise UserError("GITHUB_TOKEN is no token: it holds what no header can")
        return cls(os.environ.get("GITHUB_API_URL") or "https://api.github.com", variable("GITHUB_REPOSITORY"), token)

    def __enter__(self) -> "GitHub":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def read(self, path: str) -> Any:
        """The JSON of a GET. UserError when there is none after several tries."""
        return self._again("GET", self.base + path, None).json()

    def read_all(self, path: str) -> Iterator[Any]:
        """Every row of a list, over its pages."""
        url = f"{self.base}{path}?per_page=100"
        for _ in range(MOST_PAGES):
            response = self._again("GET", url, None)
            yield from response.json()
            url = response.links.get("next", {}).get("url", "")
            if not url:
                return
            if urlsplit(url)[:2] != urlsplit(self.base)[:2]:
                raise UserError(
                    "GitHub names a next page on another host, which is not asked: is GITHUB_API_URL right?"
                )
        raise UserError(f"{path} has more than {MOST_PAGES} pages: that many were never expected")

    def write_once(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """The JSON of one write that is not tried again. Unanswered when it may or may not have happened."""
        return self._once(method, self.base + path, body).json()

    def _again(self, method: str, url: str, body: dict[str, Any] | None) -> httpx.Response:
        last = Unanswered("")
        for number in range(TRIES):
            try:
                return self._once(method, url, body)
            except Unanswered as why:
                last = why
            if number + 1 < TRIES:
                pause(number, last)
        raise UserError(f"GitHub did not answer ({last}; asked {TRIES} times): run the job again")

    def _once(self, method: str, url: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            response = self._client.request(method, url, json=body)
            code = response.status_code
            if 200 <= code < 300:
                response.json()
                return response
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Unanswered(type(error).__name__) from None
        except ValueError:
            raise UserError("GitHub's answer is no JSON: is GITHUB_API_URL right?") from None
        limited = code in (403, 429) and (
            "Retry-After" in response.headers or response.headers.get("X-RateLimit-Remaining") == "0"
        )
        if limited or code == 429 or code >= 500:
            raise Unanswered(f"code {code}", seconds_of(response.headers.get("Retry-After")))
        advice = "does the job's `permissions:` allow it?" if code in (401, 403, 404) else "it refuses"
        raise UserError(f"GitHub answered {code} to {method} {urlsplit(url).path}: {advice}")


def pause(number: int, why: Unanswered) -> None:
    """Wait before the next try: what the server asks for, else twice the last time."""
    time.sleep(min(LONGEST_WAIT, why.wait if why.wait is not None else 2.0**number))


def seconds_of(header: str | None) -> float | None:
    """Seconds of a Retry-After; None where it names none."""
    return float(header) if header and header.isdecimal() and len(header) < 10 else None
