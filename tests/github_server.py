"""What the workflows ask of GitHub, on loopback: approvals, pull requests, one list of comments, a job's identity.

with serve() as github:
    github.environment        variables as a runner sets them
    github.faults.append((404, "POST", "/comments"))     the next such request gets that code; 0: no answer comes,
                                                         although the request was carried out
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scripts.loopback_hub.server import listening

REPOSITORY, RUN, COMMIT, BRANCH = "someone/tuner", "4711", "c" * 40, "main"
PAGE = 2  # rows of a page here, so that few rows are several pages
BOT, PERSON = {"login": "github-actions[bot]", "type": "Bot"}, {"login": "ada", "type": "User"}


@dataclass
class GitHub:
    """The state, and what was asked."""

    url: str = ""
    token: str = "gh-token-of-this-run"
    identity: str = "header.identity.signature"
    approvals: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[int, str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    audiences: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": RUN,
            "GITHUB_SHA": COMMIT,
            "GITHUB_REF_NAME": BRANCH,
            "GITHUB_TOKEN": self.token,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/identity?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.token,
        }

    def approve(self, environment: str, comment: str, user: dict[str, str] = PERSON, state: str = "approved") -> None:
        self.approvals.append(
            {"state": state, "comment": comment, "environments": [{"name": environment}], "user": user}
        )

    def open_pull(self, number: int, branch: str = BRANCH, state: str = "open") -> None:
        self.pulls.append({"number": number, "state": state, "head": {"ref": branch}})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    github: GitHub

    def log_message(self, *_: object) -> None:
        """Nothing: `asked` has it."""

    def handle_any(self) -> None:
        address = urlsplit(self.path)
        self.github.asked.append(f"{self.command} {address.path}")
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        fault = next((one for one in self.github.faults if self.command == one[1] and one[2] in address.path), None)
        if fault:
            self.github.faults.remove(fault)
            if fault[0]:
                self.answer(fault[0], {"message": "injected"})
                return
        code, value = self.found(address.path, parse_qs(address.query), body)
        if fault:
            self.close_connection = True
            return
        self.answer(code, value, address.path, parse_qs(address.query))

    do_GET = do_POST = do_PATCH = handle_any

    def found(self, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if self.headers.get("Authorization") != f"Bearer {self.github.token}":
            return 401, {"message": "Bad credentials"}
        if path == "/identity":
            self.github.audiences += query["audience"]
            return 200, {"value": self.github.identity}
        place = path.removeprefix(f"/repos/{REPOSITORY}")
        if place == f"/actions/runs/{RUN}/approvals":
            return 200, self.github.approvals
        if place == f"/commits/{COMMIT}/pulls":
            return 200, self.github.pulls
        if re.fullmatch(r"/issues/\d+/comments", place):
            if self.command == "GET":
                return 200, self.github.comments
            new = {"id": 100 + len(self.github.comments), "user": BOT, "body": body["body"]}
            self.github.comments.append(new)
            return 201, new
        if match := re.fullmatch(r"/issues/comments/(\d+)", place):
            comment = next(row for row in self.github.comments if row["id"] == int(match[1]))
            comment["body"] = body["body"]
            return 200, comment
        return 404, {"message": "Not Found"}

    def answer(self, code: int, value: Any, path: str = "", query: dict[str, list[str]] | None = None) -> None:
        headers = {}
        if self.command == "GET" and isinstance(value, list) and query is not None and "per_page" in query:
            page = int(query.get("page", ["1"])[0])
            if page * PAGE < len(value):
                headers["Link"] = f'<{self.github.url}{path}?per_page=100&page={page + 1}>; rel="next"'
            value = value[(page - 1) * PAGE : page * PAGE]
        raw = json.dumps(value).encode()
        self.send_response(code)
        for name, text in {"Content-Length": str(len(raw)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def serve() -> Iterator[GitHub]:
    github = GitHub()
    with listening(type("Bound", (Handler,), {"github": github})) as github.url:
        yield github
