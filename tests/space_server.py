"""The page as a process of its own, a client that says exactly what it is told to, and a stand-in for huggingface.co.

with served("--jobs", folder) as page:                        on this machine
with sign_in_server() as hub, served(..., **hub.variables("ada")) as page:      as a Space whose SPACE_ALLOWED is "ada"
    cookie = sign_in(page, hub, "ada")
    page.call("start", [...], cookie)                         through Gradio's queue, as a browser does

The stand-in speaks OpenID Connect as far as authlib asks: discovery, a redirect, a code for a signed token, its key.
"""

import base64
import functools
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from eval.common.places import ROOT
from tests.patience import PATIENCE


@dataclass
class Page:
    """A served page."""

    address: str
    process: "subprocess.Popen[str]"

    def request(self, method: str, path: str, cookie: str = "", **more: Any) -> httpx.Response:
        headers = {**({"Cookie": cookie} if cookie else {}), **more.pop("headers", {})}
        return client().request(method, self.address.rstrip("/") + path, headers=headers, **more)

    def config(self) -> dict[str, Any]:
        return self.request("GET", "/config").json()  # type: ignore[no-any-return]

    @functools.cached_property
    def handlers(self) -> dict[str, tuple[int, int]]:
        """`{elem_id of what triggers it: (its number, how many values it takes)}`; `load` and `timer` too.

        The sign-in button's own, which only labels itself, is not ours and left out.
        """
        config = self.config()
        names = {part["id"]: part["props"].get("elem_id") or part["type"] for part in config["components"]}
        return {
            "load" if event == "load" else names[target]: (handler["id"], len(handler["inputs"]))
            for handler in config["dependencies"]
            for target, event in handler["targets"]
            if handler["backend_fn"] and not (event == "load" and len(handler["outputs"]) == 1)
        }

    def call(self, name: str, values: list[Any], cookie: str = "", **headers: str) -> tuple[bool, str]:
        """Call a handler; whether it succeeded, and everything that it said."""
        session = uuid.uuid4().hex
        body = {"data": values, "fn_index": self.handlers[name][0], "session_hash": session}
        joined = self.request("POST", "/gradio_api/queue/join", cookie, json=body, headers=headers)
        if joined.status_code != 200:
            return False, f"{joined.status_code} {joined.text}"
        url = f"{self.address.rstrip('/')}/gradio_api/queue/data?session_hash={session}"
        with client().stream("GET", url, headers={"Cookie": cookie} if cookie else {}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: ") and (said := json.loads(line[6:]))["msg"] == "process_completed":
                    return said["success"], json.dumps(said["output"])
        raise AssertionError("the queue ended before the handler")


@functools.cache
def _client() -> httpx.Client:
    return httpx.Client(verify=False, timeout=PATIENCE)  # plain http on this machine: no certificates to load


def client() -> httpx.Client:
    """The one client, which sends no cookie but those it is told to."""
    _client().cookies.clear()
    return _client()


@contextmanager
def served(*arguments: str, folder: Path = ROOT, **variables: str) -> Iterator[Page]:
    """`python -m spaces.trainer` of the repository, or of a copy of it."""
    command = [sys.executable, "-m", "spaces.trainer", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        said = ""
        while not (found := re.search(r"^page +(?:(http://\S+)|port (\d+))", said, re.MULTILINE)):
            line = process.stdout.readline()
            assert line, f"the page has ended: {said}"
            said += line
        yield Page(found[1] or f"http://127.0.0.1:{found[2]}", process)
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Hub:
    """Signs in whoever `user` names next."""

    def __init__(self, url: str) -> None:
        self.url, self.user, self.nonces = url, "nobody", dict[str, tuple[str, str]]()
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def variables(self, allowed: str) -> dict[str, str]:
        """What a Space's process finds in its environment."""
        return {
            "SYSTEM": "spaces", "SPACE_ID": "ada/page", "SPACE_ALLOWED": allowed, "GRADIO_SERVER_PORT": "0",
            "OAUTH_CLIENT_ID": "client", "OAUTH_CLIENT_SECRET": uuid.uuid4().hex, "OAUTH_SCOPES": "openid profile",
            "OPENID_PROVIDER_URL": self.url,
        }  # fmt: skip

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[dict[str, Any], str]:
        """A JSON answer, or where to be redirected."""
        if path == "/.well-known/openid-configuration":
            places = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            return {"issuer": self.url, **{name: self.url + place for name, place in places.items()}}, ""
        if path == "/keys":
            numbers = self.key.public_key().public_numbers()
            parts = {"n": encoded(numbers.n.to_bytes(256, "big")), "e": encoded(b"\x01\x00\x01")}
            return {"keys": [{"kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig", **parts}]}, ""
        if path == "/authorize":
            code = uuid.uuid4().hex
            self.nonces[code] = (query["nonce"][0], self.user)
            target = query["redirect_uri"][0]
            join = "&" if "?" in target else "?"
            return {}, f"{target}{join}{urlencode({'code': code, 'state': query['state'][0]})}"
        nonce, user = self.nonces.pop(query["code"][0])
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": "client", "sub": user, "iat": now, "exp": now + 600, "nonce": nonce,
            "name": user, "preferred_username": user, "profile": f"{self.url}/{user}", "picture": "",
        }  # fmt: skip
        token = {"access_token": "made-up", "token_type": "bearer", "expires_in": 600, "scope": "openid profile"}
        return {**token, "id_token": self.signed(claims)}, ""

    def signed(self, claims: dict[str, Any]) -> str:
        """A JSON web token, RFC 7519, signed as RS256."""
        parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": "1"}, claims)]
        text = ".".join(parts)
        return f"{text}.{encoded(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def sign_in_server() -> Iterator[Hub]:
    """The stand-in, on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            place = urlsplit(self.path)
            answer, target = hub.answer(place.path, parse_qs(self.rfile.read(length).decode() or place.query))
            self.send_response(302 if target else 200)
            self.send_header("Location", target) if target else self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub = Hub(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield hub
        server.shutdown()


def sign_in(page: Page, hub: Hub, user: str) -> str:
    """Go through the redirects of a sign-in; the cookie that a browser would then hold."""
    hub.user, cookie, url = user, "", f"{page.address}/login/huggingface"
    for _ in range(3):  # to the provider, back with a code, to the page
        ours = url.startswith(page.address)
        answer = client().get(url, headers={"Cookie": cookie} if cookie and ours else {})
        assert answer.status_code in (302, 307), answer.text
        if ours:
            cookie = answer.headers["set-cookie"].partition(";")[0]
        url = answer.headers["location"]
    return cookie
