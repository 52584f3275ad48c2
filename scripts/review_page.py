"""The page of `make review`: the report beside a form, served to one browser on this machine until it decides.

    exit_code = decide_in_browser(run_folder)

It listens on 127.0.0.1 only, at a random port, below a random token that the terminal prints. A decision is a POST
with that token from the page itself, about the bytes that the page was made of, and is taken once. The report runs in
a sandboxed frame of its own origin, under another token: what a model wrote into it cannot read the form or send it.

Not protected against: other programs of the same user (they can write review.json without asking), a browser
extension, and whoever reads the terminal. On a remote machine it needs an SSH tunnel, for which the hint is printed.
"""

import hmac
import os
import secrets
import sys
import threading
import time
import webbrowser
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.common.errors import ProjectError, UserError
from eval.common.reading import read_bytes
from eval.report.rendering import edited_report
from eval.run.digests import json_sha256
from eval.run.files import read_metrics
from eval.run.metrics import Verdict
from scripts.publishing.approval import (
    REVIEW,
    Choice,
    Review,
    earlier_decision,
    git_user,
    make_review,
    policy_of,
    present_digests,
    write_review,
)

TEMPLATES = Path(__file__).resolve().parent / "templates"
HOST = "127.0.0.1"
LARGEST_FORM = 64 << 10  # bytes
GRACE_SECONDS = 1.0  # in which the browser loads the report of the last page again
SECONDS = 30  # for one request; a browser that opened a connection and says nothing is let go
CHOICES: dict[str, Choice] = {"approve": "approve", "reject": "reject"}
FIELDS = ("token", "seen", "decision", "reviewer", "comment", "override")


@dataclass
class Desk:
    """What one review session holds: the run, the tokens, and the decision once there is one."""

    folder: Path
    reviewer: str
    key: Path | None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    report_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    host: str = ""  # 127.0.0.1 and the port, once it is known
    lock: threading.Lock = field(default_factory=threading.Lock)
    decided: threading.Event = field(default_factory=threading.Event)
    review: Review | None = None
    warning: str = ""  # of a report that was edited: whoever reads it here would be told something else

    @property
    def page_path(self) -> str:
        return f"/{self.token}/"

    @property
    def report_path(self) -> str:
        return f"/{self.report_token}/report.html"

    def decide(self, form: dict[str, str]) -> Review:
        """Make and write the review. Raises UserError or Refused, and then nothing is written."""
        with self.lock:
            if self.review is not None:
                raise UserError(f"{self.folder.name} was already decided on this page: {self.review.decision}")
            if form["seen"] != json_sha256(present_digests(self.folder)):
                raise UserError("the run changed since this page was shown: load it again and read it again")
            decision = CHOICES.get(form["decision"])
            if decision is None:
                raise UserError("a decision is approve or reject")
            self.review = make_review(
                self.folder, decision, form["reviewer"], form["comment"], form["override"], self.key
            )
            write_review(self.folder, self.review)
            return self.review


def render(desk: Desk, nonce: str, message: str = "", form: dict[str, str] | None = None) -> str:
    """The page as it is now; `form` is what was typed before, when it was not accepted."""
    form = form or dict.fromkeys(FIELDS, "")
    verdict: Verdict | None = None
    try:
        metrics = read_metrics(desk.folder / "metrics.json")
        verdict, reasons = metrics.verdict, metrics.reasons
    except UserError as error:
        reasons = [str(error)]
    reasons = [*([desk.warning] if desk.warning else []), *reasons]
    digests = present_digests(desk.folder)
    templates = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True)
    return templates.get_template("review.html.j2").render(
        nonce=nonce,
        run=desk.folder.name,
        verdict=verdict,
        reasons=reasons,
        report_url=desk.report_path if "report.html" in digests else "",
        decide_url=f"{desk.page_path}decide",
        token=desk.token,
        seen=json_sha256(digests),
        digests=digests,
        reviewer=form["reviewer"] or desk.reviewer,
        comment=form["comment"],
        override=form["override"],
        allow_override=policy_of(desk.folder).allow_override,
        signing=desk.key or "",
        earlier="" if desk.review else earlier_decision(desk.folder),
        message=message,
        done=desk.review is not None,
    )


class Handler(BaseHTTPRequestHandler):
    """Two pages to read and one form to send; everything else is not there."""

    desk: Desk  # set on a subclass, one a session
    timeout = SECONDS
    server_version, sys_version = "review", ""

    def do_GET(self) -> None:
        if not self.is_ours():
            return
        if same(self.path, self.desk.page_path):
            self.send_page(HTTPStatus.OK)
        elif same(self.path, self.desk.report_path) and (report := self.desk.folder / "report.html").is_file():
            self.send(HTTPStatus.OK, read_bytes(report), "sandbox allow-scripts")
        else:
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        if not self.is_ours():
            return
        own_origin = f"http://{self.desk.host}"
        if not same(self.path, f"{self.desk.page_path}decide"):
            return self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        if (
            self.headers.get("Origin") != own_origin
            or self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin"
        ):
            return self.refuse(HTTPStatus.FORBIDDEN, "a decision comes from the page itself")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > LARGEST_FORM:
            return self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large, or its length is not given")
        body = self.rfile.read(int(length)).decode("utf-8", errors="replace")
        sent = parse_qs(body, keep_blank_values=True)
        form = {name: sent.get(name, [""])[0].replace("\r\n", "\n") for name in FIELDS}
        if not same(form["token"], self.desk.token):
            return self.refuse(HTTPStatus.FORBIDDEN, "the form lacks the token of this page")
        try:
            review = self.desk.decide(form)
        except ProjectError as error:
            return self.send_page(HTTPStatus.CONFLICT, str(error), form)
        self.send_page(HTTPStatus.OK, f"Recorded: {review.decision} by {review.reviewer}.")
        self.desk.decided.set()

    def is_ours(self) -> bool:
        """Whether the request was meant for this address: a page of another name that resolves here is refused."""
        if self.headers.get_all("Host") == [self.desk.host]:
            return True
        self.refuse(HTTPStatus.MISDIRECTED_REQUEST, "this is not the host you asked for")
        return False

    def send_page(self, status: HTTPStatus, message: str = "", form: dict[str, str] | None = None) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; frame-src 'self'; form-action 'self'"
        page = render(self.desk, nonce, message, form).encode()
        self.send(status, page, f"{policy}; base-uri 'none'; frame-ancestors 'none'")

    def send(self, status: HTTPStatus, content: bytes, policy: str, kind: str = "text/html") -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            # With no-referrer a form is sent with `Origin: null`, which could not be told from another site's.
            ("Referrer-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def refuse(self, status: HTTPStatus, why: str) -> None:
        self.send(status, f"{why}\n".encode(), "default-src 'none'", "text/plain")

    def log_message(self, *_: Any) -> None:
        """Nothing: a request line holds the token."""


def same(given: str, expected: str) -> bool:
    """Equality in a time that does not tell how much agrees."""
    return hmac.compare_digest(given.encode(), expected.encode())


def open_desk(folder: Path, reviewer: str = "", key: Path | None = None) -> tuple[ThreadingHTTPServer, Desk, str]:
    """A server that listens and does not serve yet, its state, and the address of the page."""
    desk = Desk(folder, reviewer or (git_user() or "").split(" <")[0], key)
    with suppress(UserError):  # a broken run can still be rejected
        if edited := edited_report(folder):
            desk.warning = f"{edited} is not what the run's files give: `make report`, and read that"
    server = ThreadingHTTPServer((HOST, 0), type("DeskHandler", (Handler,), {"desk": desk}))
    desk.host = f"{HOST}:{server.server_port}"
    return server, desk, f"http://{desk.host}{desk.page_path}"


def decide_in_browser(folder: Path, reviewer: str = "", key: Path | None = None) -> int:
    """Serve the page until it decided. Exit code 0; Ctrl-C ends it without a decision."""
    server, desk, address = open_desk(folder, reviewer, key)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    serving.start()
    try:
        print(f"review   {address}\nreport   {folder / 'report.html'}", flush=True)
        if not (has_screen() and webbrowser.open(address)):
            tunnel = f"ssh -L {server.server_port}:{desk.host} THIS_MACHINE"
            print(
                f"no browser could be opened here. From your own machine: {tunnel}, then open the address above; or "
                "decide with DECISION=approve|reject REVIEWER=NAME COMMENT=TEXT",
                flush=True,
            )
        print("waiting for a decision (Ctrl-C: none)", flush=True)
        desk.decided.wait()
        time.sleep(GRACE_SECONDS)
    finally:
        server.shutdown()  # requests in progress are finished
        server.server_close()
    assert desk.review is not None
    print(f"{desk.review.decision} by {desk.review.reviewer} recorded in {folder / REVIEW}")
    return 0


def has_screen() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
