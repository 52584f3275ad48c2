"""One connection to the loopback Hub: which call a request is, the fault that hits it, bodies and answers.

The calls themselves are in scripts/loopback_hub/calls.py.
"""

import json
import re
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from scripts.loopback_hub.faults import Fault, Hub, Request
from scripts.loopback_hub.store import Repository

REPO = r"(?P<repo>[^/]+/[^/]+)"
ROUTES = [
    ("POST", "/oauth/token", "exchange"),
    ("GET", "/api/whoami-v2", "whoami"),
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "validate"),
    ("POST", f"/api/models/{REPO}/preupload/(?P<rev>[^/]+)", "preupload"),
    ("POST", f"/{REPO}\\.git/info/lfs/objects/batch", "batch"),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", "blob"),
    ("POST", "/lfs/(?P<oid>[0-9a-f]{64})/verify", "verify"),
    ("POST", f"/api/models/{REPO}/commit/(?P<rev>[^/]+)", "commit"),
    ("POST", f"/api/models/{REPO}/tag/(?P<rev>[^/]+)", "tag"),
    ("PUT", f"/api/models/{REPO}/settings", "settings"),
    ("GET", f"/api/models/{REPO}/refs", "refs"),
    ("GET", f"/api/models/{REPO}/tree/(?P<rev>[^/]+)", "tree"),
    ("GET", f"/api/(?:models|datasets)/{REPO}(?:/revision/(?P<rev>[^/]+))?", "info"),
    ("(?:GET|HEAD)", f"/{REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "resolve"),
    ("DELETE", "/api/repos/delete", "delete"),
    ("GET", "/api/jobs/hardware", "hardware"),
    ("GET", "/api/jobs/(?P<owner>[^/]+)", "jobs"),
    ("POST", "/api/jobs/(?P<owner>[^/]+)", "job_start"),
    ("GET", "/api/jobs/(?P<owner>[^/]+)/(?P<job>[^/]+)", "job"),
    ("GET", "/api/jobs/(?P<owner>[^/]+)/(?P<job>[^/]+)/logs", "job_logs"),
    ("POST", "/api/jobs/(?P<owner>[^/]+)/(?P<job>[^/]+)/cancel", "job_cancel"),
]
UNTOKENED = {"exchange", "blob", "info", "tree", "refs", "resolve"}  # a blob's address is its key; others check privacy
OF_ACCOUNTS = {"whoami", "create", "settings"}  # a token of trusted publishing is of one repository, and of no account
CHUNK_BYTES = 1 << 16


class Dropped(Exception):
    """The connection ends here."""


class Connection(BaseHTTPRequestHandler):
    """One connection. Each call is a method of its name that answers once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms for an ACK
    hub: Hub
    routes: ClassVar = ROUTES
    current: Fault | None = None
    entry: Request
    called: tuple[str, str | None]  # the call, and the repository it is about

    def log_message(self, *arguments: object) -> None:
        """Requests are in hub.log."""

    def handle_any(self) -> None:
        path = urlsplit(self.path).path
        call, match = next(
            (
                (call, match)
                for method, pattern, call in self.routes
                if (match := re.fullmatch(pattern, path)) and re.fullmatch(method, self.command)
            ),
            ("unknown", None),
        )
        self.entry = Request(call, self.command, self.path)
        self.current = self.hub.arrived(self.entry, path)
        if match is None:
            self.read_body()
            self.answer(404, {"error": f"no such call: {self.command} {path}"})
            return
        try:
            self.run_call(call, {name: unquote(value) for name, value in match.groupdict().items() if value})
        except (Dropped, ConnectionError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def run_call(self, call: str, arguments: dict[str, str]) -> None:
        self.called = call, arguments.get("repo")
        fault, kind = self.current, self.current.kind if self.current else None
        if fault and kind == "slow":
            time.sleep(fault.seconds)
        if kind == "drop":
            self.read_body(limit=int(self.headers.get("Content-Length", 0)) // 2)
            raise Dropped
        if fault and kind in ("drip", "trickle", "endless") and self.command != "HEAD":
            self.read_body()
            self.never_end(fault)
        if fault and kind in ("status", "garbage"):
            self.read_body()
            if kind == "status":
                self.answer(fault.code, {"error": "injected"}, fault.headers)
            else:
                self.send(200, b"<html>")
            return
        if call not in UNTOKENED and not self.is_known():
            self.read_body()
            self.answer(401, {"error": "no"}, {"X-Error-Message": "Invalid credentials in Authorization header"})
            return
        getattr(self, call)(**arguments)

    def never_end(self, fault: Fault) -> None:
        """Answer until the client goes away."""
        headers = {
            "drip": f"Content-Length: {CHUNK_BYTES}\r\n\r\n",
            "trickle": "X-Never: ",
            "endless": "Transfer-Encoding: chunked\r\n\r\n",
        }
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{headers[fault.kind]}".encode())
        chunk = b"%x\r\n%b\r\n" % (CHUNK_BYTES, b" " * CHUNK_BYTES)
        while True:
            self.wfile.write(chunk if fault.kind == "endless" else b" ")
            self.wfile.flush()
            time.sleep(fault.seconds)

    # Requests and answers

    def is_known(self) -> bool:
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        call, repo = self.called
        if bearer in self.hub.exchanged:
            return call not in OF_ACCOUNTS and repo in (None, self.hub.exchanged[bearer])
        return bearer == self.hub.token

    def repository(self, repo: str) -> Repository | None:
        """The repository, when it is there and the token may see it; answered otherwise."""
        found = self.hub.store.get(repo)
        if found and (not found.private or self.is_known()):
            return found
        # As the Hub: who may not see a repository cannot tell whether it exists.
        self.answer(404 if self.is_known() else 401, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        return None

    def revision(self, repo: str, rev: str) -> tuple[Repository, str] | None:
        repository = self.repository(repo)
        if repository and (commit := repository.resolve(rev)):
            return repository, commit
        if repository:
            self.answer(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        return None

    def chunks(self, limit: int | None = None) -> Iterator[bytes]:
        """The request's body, at most `limit` bytes of it."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0)) if limit is None else limit
        while left > 0:
            chunk = self.rfile.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise Dropped
            left -= len(chunk)
            yield chunk

    def read_body(self, limit: int | None = None) -> bytes:
        return b"".join(self.chunks(limit))

    def answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(value).encode(), headers)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        if self.current and self.current.kind == "lost":
            raise Dropped
        if self.current and self.current.kind == "late error":
            status, body = self.current.code, b'{"error": "injected"}'
        self.begin(status, len(body), {"Content-Type": "application/json", **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.entry.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
