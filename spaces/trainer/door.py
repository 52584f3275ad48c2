"""What stands before Gradio: which requests reach it at all, and what a browser may do with the answers.

    app = Door(app, hosts={"127.0.0.1:4711"}, only_these=True, framed_by="'none'")

On this machine a request that names another host (DNS rebinding) gets 421. One that another site's page sent (its
Origin, or Sec-Fetch-Site) gets 403, since Gradio answers every origin where it is not on localhost, and its session
cookie goes along. What the page does not use (files, uploads, a proxy, statistics) is not there. On this machine Gradio
is mounted below a random token that the terminal prints, and nothing else is served.

Who may do what is not decided here, but in every handler (spaces/trainer/access.py).
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

READING = ("GET", "HEAD")
CLOSED = (
    "/upload", "/upload_progress", "/monitoring", "/process_recording", "/deep_link", "/vibe-", "/undo-vibe-", "/dev/",
    "/proxy=", "/component_server", "/stream/", "/file=", "/file/",
)  # fmt: skip
LARGEST_REQUEST = 64 << 10  # bytes; the longest field is a comment of 4,000 characters
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; object-src 'none'; "
    "form-action 'self'; frame-ancestors {framed_by}"
)


class Door:
    """An ASGI application around another."""

    def __init__(self, app: Any, hosts: set[str], only_these: bool, framed_by: str) -> None:
        self.app, self.hosts, self.only_these = app, hosts, only_these
        self.added = [
            (b"content-security-policy", POLICY.format(framed_by=framed_by).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a web socket is closed: the page opens none
        if refused := self.why_not(scope):
            await answer(send, *refused)
            return
        await self.app(scope, receive, lambda message: self.send(message, send))

    def why_not(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason when a request goes no further."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self.only_these and host not in self.hosts:
            return 421, "this is not the host you asked for"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc not in {host, *self.hosts} - {""}:
            return 403, "a request comes from the page itself"
        changes = scope["method"] not in READING
        if changes and headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "a request comes from the page itself"
        if any(part in scope["path"] for part in CLOSED):
            return 404, "there is no such page"
        length = headers.get("content-length", "" if changes else "0")
        if not (length.isascii() and length.isdigit() and int(length) <= LARGEST_REQUEST):
            return 413, "the request is too large, or its length is not given"
        return None

    async def send(self, message: MutableMapping[str, Any], send: Send) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in self.added}
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in ours]
            message = {**message, "headers": [*kept, *self.added]}
        await send(message)


async def answer(send: Send, status: int, why: str) -> None:
    """One line of text."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})
