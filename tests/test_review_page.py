"""scripts.review_page: real HTTP requests against the page of `make review`, and a real browser."""

import http.client
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from PIL import Image

from eval.common.places import ROOT
from eval.run.digests import json_sha256
from scripts.publishing.approval import present_digests, read_review
from scripts.review_page import open_desk
from tests.browser import browser_path
from tests.patience import PATIENCE
from tests.run_builder import build_run


class Page:
    """A served page and a client that says exactly what it is told to."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.server, self.desk, self.address = open_desk(run)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def request(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        host = headers.pop("Host", self.desk.host)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=PATIENCE)
        connection.putrequest(method, path, skip_host=True)
        if host:
            connection.putheader("Host", host)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body.encode())))
        connection.endheaders(body.encode() if body is not None else None)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers

    def form(self, **changes: str) -> str:
        seen = json_sha256(present_digests(self.run))
        fields = {"token": self.desk.token, "seen": seen, "decision": "approve", "reviewer": "Ada", "comment": "read"}
        return urlencode(fields | changes)

    def send(self, form: str | None = None, path: str | None = None, **headers: str) -> tuple[int, str]:
        headers = {"Origin": f"http://{self.desk.host}", **headers}
        status, text, _ = self.request("POST", path or f"{self.desk.page_path}decide", form or self.form(), **headers)
        return status, text


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    run = build_run(tmp_path)
    served = Page(run)
    yield served
    served.server.shutdown()
    served.server.server_close()


def undecided(page: Page) -> bool:
    return not (page.run / "review.json").exists() and not page.desk.decided.is_set()


def test_the_page_shows_verdict_reasons_and_the_sandboxed_report(page: Page) -> None:
    status, text, headers = page.request("GET", page.desk.page_path)
    assert status == 200 and '<div class="verdict ship">ship</div>' in text and "better: pass" in text
    assert '<iframe sandbox="allow-scripts" referrerpolicy="no-referrer"' in text and page.desk.report_path in text
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    status, text, headers = page.request("GET", page.desk.report_path)
    assert status == 200 and "<title>" in text and "toy" in text
    assert headers["Content-Security-Policy"] == "sandbox allow-scripts"


def test_the_address_of_the_report_does_not_hold_the_token_of_the_page(page: Page) -> None:
    assert page.desk.token not in page.desk.report_path
    assert page.send(path=page.desk.report_path.replace("report.html", "decide"))[0] == 404
    assert undecided(page)


def test_a_decision_is_recorded_with_digests_and_ends_the_session(page: Page) -> None:
    status, text = page.send()
    assert status == 200 and "Recorded: approve by Ada" in text
    made = read_review(page.run)
    assert (made.decision, made.reviewer, made.comment, made.verdict) == ("approve", "Ada", "read", "ship")
    assert made.digests == present_digests(page.run) and "report.html" in made.digests
    assert page.desk.decided.wait(PATIENCE)


@pytest.mark.parametrize("host", ["evil.example", "localhost:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_host_is_refused(page: Page, host: str) -> None:
    host = host.format(port=page.server.server_port)
    assert page.request("GET", page.desk.page_path, Host=host)[0] == 421
    assert page.send(Host=host)[0] == 421
    assert undecided(page)


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_a_wrong_token_decides_nothing(page: Page, token: str) -> None:
    assert page.send(page.form(token=token))[0] == 403
    assert page.send(path=f"/{'x' if token else ''}/decide")[0] == 404
    assert page.request("GET", "/")[0] == 404 and page.request("GET", "/x/")[0] == 404
    assert undecided(page)


def test_reading_does_not_decide(page: Page) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, _, _ = page.request(method, f"{page.desk.page_path}decide?{page.form()}")
        assert status in (404, 501), method
    assert undecided(page)


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Sec_Fetch_Site": "cross-site"}],
)
def test_another_origin_decides_nothing(page: Page, headers: dict[str, str]) -> None:
    assert page.send(**headers)[0] == 403
    assert undecided(page)


def test_a_second_submit_changes_nothing(page: Page) -> None:
    answers = []
    threads = [
        threading.Thread(target=lambda name=name: answers.append(page.send(page.form(reviewer=name))[0]))
        for name in ("Ada", "Bob", "Cyd", "Dan")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409]
    assert read_review(page.run).previous == []


def test_a_run_that_changed_since_it_was_shown_is_not_decided(page: Page) -> None:
    form = page.form()
    (page.run / "scores.jsonl").write_text("")
    status, text = page.send(form)
    assert status == 409 and "changed since this page was shown" in text
    assert undecided(page)


def test_what_was_typed_survives_a_mistake_and_is_escaped(page: Page) -> None:
    comment = "</textarea><script>alert(1)</script>"
    status, text = page.send(page.form(reviewer=" ", comment=comment))
    assert status == 409 and "a name of 1 to 100 characters" in text
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert page.send(page.form(comment=comment))[0] == 200 and read_review(page.run).comment == comment


@pytest.mark.parametrize(("length", "status"), [("-1", 413), ("x", 413), (str(1 << 30), 413), ("²", 413)])
def test_a_form_of_no_sensible_length_is_refused(page: Page, length: str, status: int) -> None:
    headers = {"Origin": f"http://{page.desk.host}", "Content_Length": length}
    assert page.request("POST", f"{page.desk.page_path}decide", None, **headers)[0] == status
    assert undecided(page)


def test_a_decision_must_be_one_of_two(page: Page) -> None:
    assert page.send(page.form(decision="maybe"))[0] == 409
    assert undecided(page)


def test_a_no_ship_can_only_be_rejected(tmp_path: Path) -> None:
    run = build_run(tmp_path, candidate_right=2)
    (run / "report.html").unlink()
    page = Page(run)
    _, text, _ = page.request("GET", page.desk.page_path)
    assert 'value="approve"' not in text and "There is no report.html" in text and "Only a ship" in text
    status, text = page.send(page.form(override="because"))
    assert status == 409 and "only a ship can be approved" in text and undecided(page)
    assert page.send(page.form(decision="reject"))[0] == 200
    page.server.shutdown()
    page.server.server_close()


def test_a_report_that_was_edited_is_said_to_be_and_cannot_be_approved(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    (run / "report.html").write_text("<!doctype html><h1>The best model so far</h1>")
    page = Page(run)
    assert "report.html is not what the run&#39;s files give" in page.request("GET", page.desk.page_path)[1]
    status, text = page.send()
    assert status == 409 and "make report" in text and undecided(page)
    page.server.shutdown()
    page.server.server_close()


def test_the_command_prints_the_address_and_ends_with_the_decision(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "scripts.review", "--run", str(run), "--page"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    address = process.stdout.readline().split()[1]
    said = [process.stdout.readline() for _ in range(3)]
    assert "report.html" in said[0] and "ssh -L" in said[1] and "Ctrl-C" in said[2]
    place = urlsplit(address)
    form = {
        "token": place.path.strip("/"),
        "seen": json_sha256(present_digests(run)),
        "decision": "reject",
        "reviewer": "Ada",
    }
    connection = http.client.HTTPConnection(place.netloc, timeout=PATIENCE)
    headers = {"Origin": f"http://{place.netloc}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"{place.path}decide", urlencode(form), headers)
    assert connection.getresponse().status == 200
    assert process.wait(PATIENCE) == 0 and "reject by Ada recorded" in process.stdout.read()


@pytest.mark.skipif(browser_path() is None, reason="no Chromium here: apt-get install chromium")
def test_a_browser_draws_the_page_and_the_report_in_it(page: Page, tmp_path: Path) -> None:
    (page.run / "report.html").write_text("<!doctype html><body style='margin:0;background:#00f;height:100vh'></body>")
    target = tmp_path / "page.png"
    command = [
        str(browser_path()),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--window-size=1280,800",
    ]
    done = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={target}", page.address],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert target.is_file(), done.stderr[-500:]
    with Image.open(target) as image:
        drawn = image.convert("RGB")
    assert drawn.getpixel((400, 400)) == (0, 0, 255)  # the report, in its frame
    assert drawn.getpixel((1100, 790)) == (245, 243, 238)  # the side with the form
