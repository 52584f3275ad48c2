"""A server on this machine that speaks OpenAI's API and looks answers up in a dictionary, with faults on request.

    with Answering({"base": {}, "tuned": {"List files": "ls"}}) as server:
        server.faults = ["503", "cut"]         one for each of the next answers, then none
        ... server.url ... server.asked        every request: path, headers, body

What a model does not know it answers with `true`. Completions are looked up by a request that the prompt holds. With
`likelihoods` they give each word of a prompt a log-probability: tuned words are likelier.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LIKELY = {"base": -2.0, "candidate": -0.5}
OTHER = -1.0  # of the likeliest other word
Fault = Callable[["Handler", dict[str, Any]], None]


class Answering(ThreadingHTTPServer):
    """The server; a context that serves while it is open."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, models: Mapping[str, Mapping[str, str]], key: str = "", likelihoods: bool = False, port: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.models, self.key, self.likelihoods = models, key, likelihoods
        self.faults: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0
        self.pace = 0.0  # seconds before an answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> "Answering":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a client that goes away is part of the tests

    def texts(self) -> list[tuple[str, str]]:
        """(model, last text) of every question."""
        return [(one["body"]["model"], last_text(one["body"])) for one in self.asked if one["body"]]


def last_text(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"] if "messages" in body else body["prompt"])


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Answering

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        if self.path == "/health":
            self.reply(200, b"")
            return
        self.note({})
        if self.allowed():
            self.json(200, {"data": [{"id": name, "owned_by": "tests"} for name in self.server.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.note(body)
        with self.server.lock:
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
            fault = self.server.faults.pop(0) if self.server.faults else ""
        try:
            time.sleep(self.server.pace)
            if fault:
                FAULTS[fault](self, body)
            elif self.allowed():
                self.json(200, self.answer(body))
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def note(self, body: dict[str, Any]) -> None:
        self.server.asked.append({"path": self.path, "headers": dict(self.headers), "body": body})

    def allowed(self) -> bool:
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.server.key and key != self.server.key:
            self.json(401, {"error": {"message": f"wrong key {key}"}})
            return False
        return True

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        known, text = self.server.models[body["model"]], last_text(body)
        if body.get("echo") and self.server.likelihoods:
            return self.response(body, text=text, logprobs=likelihoods(body["model"], text))
        said = known.get(text) or next((known[request] for request in known if request in text), "true")
        if "messages" in body:
            return self.response(body, message={"role": "assistant", "content": said})
        extra = {"logprobs": likelihoods(body["model"], "")} if body.get("logprobs") else {}
        return self.response(body, text=said, **extra)

    def response(self, body: dict[str, Any], **choice: Any) -> dict[str, Any]:
        return {
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", **choice}],
            "usage": {"completion_tokens": 3, "prompt_tokens": 9},
        }

    def json(self, code: int, value: Any, **headers: str) -> None:
        self.reply(code, json.dumps(value).encode(), **headers)

    def reply(self, code: int, raw: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def cut(self, body: dict[str, Any]) -> None:
        raw = json.dumps(self.answer(body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw[: len(raw) // 2])
        self.close_connection = True

    def drip(self, start: bytes) -> None:
        """A byte now and then, for as long as somebody reads."""
        self.wfile.write(start)
        for _ in range(600):
            self.wfile.write(b" ")
            time.sleep(0.05)

    def after(self, seconds: float, fault: str, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        FAULTS[fault](self, body)

    def changed(self, body: dict[str, Any], **fields: Any) -> None:
        self.json(200, {**self.answer(body), **fields})


def likelihoods(model: str, prompt: str) -> dict[str, Any]:
    """As vLLM gives them: the prompt's words, and one more that is generated; the first has no log-probability."""
    tokens = [*re.findall(r"\s*\S+|\s+$", prompt), "!"]
    own = LIKELY.get(model, -3.0)
    first = [None] if prompt else []
    values = [*first, *[own] * (len(tokens) - len(first))]
    tops = [None if value is None else {token: value, "~": OTHER} for token, value in zip(tokens, values, strict=True)]
    return {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": []}


def message(content: Any) -> list[dict[str, Any]]:
    return [{"message": {"content": content}, "text": content, "finish_reason": "stop"}]


HEAD = b"HTTP/1.1 200 OK\r\n"
FAULTS: Mapping[str, Fault] = {
    "429": lambda on, _: on.json(429, {"error": {"message": "slow down"}}, Retry_After="0.1"),
    "429 for long": lambda on, _: on.json(429, {}, Retry_After="9000"),
    "500": lambda on, _: on.json(500, {"error": {"message": "out of luck"}}),
    "503": lambda on, _: on.reply(503, b"<html>no JSON</html>"),
    "400": lambda on, _: on.json(400, {"error": {"message": f"too long\x1b[31m {on.headers['Authorization']}"}}),
    "400 soon": lambda on, body: on.after(0.3, "400", body),
    "late": lambda on, body: on.after(60.0, "400", body),
    "401": lambda on, _: on.json(401, {"detail": "gone"}),
    "404": lambda on, _: on.json(404, {"error": {"message": "no such model"}}),
    "cut": lambda on, body: on.cut(body),
    "hung up": lambda on, _: setattr(on, "close_connection", True),
    "no JSON": lambda on, _: on.reply(200, b"{'choices': ["),
    "deep": lambda on, _: on.reply(200, b"[" * 1_000_000),
    "latin": lambda on, _: on.reply(200, '{"choices": "é"}'.encode("latin-1")),
    "packed": lambda on, _: on.reply(200, b"\x1f\x8b", Content_Encoding="gzip"),
    "a list": lambda on, _: on.json(200, []),
    "no choices": lambda on, body: on.changed(body, choices=[]),
    "choices of text": lambda on, body: on.changed(body, choices=["ls"]),
    "no content": lambda on, body: on.changed(body, choices=[{"message": {}, "finish_reason": "stop"}]),
    "a number": lambda on, body: on.changed(body, choices=message(7)),
    "half a letter": lambda on, body: on.changed(body, choices=message("\ud83d")),
    "another model": lambda on, body: on.changed(body, model="somebody-else"),
    "the other arm": lambda on, body: on.changed(body, model="candidate" if body["model"] == "base" else "base"),
    "10 MB": lambda on, body: on.changed(body, choices=message("x" * 10_000_000)),
    "1 MB": lambda on, body: on.changed(body, choices=message("x" * 1_000_000)),
    "slow head": lambda on, _: on.drip(HEAD + b"X-Slow: "),
    "slow body": lambda on, _: on.drip(HEAD + b"Content-Length: 600\r\n\r\n"),
    "redirect": lambda on, _: on.reply(307, b"", Location="http://elsewhere.example/v1/chat/completions"),
    "odd usage": lambda on, body: on.changed(body, usage={"completion_tokens": True}),
}
