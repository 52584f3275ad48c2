"""The page of `make space` as it runs: who is let in by name, cookie and origin; and the whole of it in a browser."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from itsdangerous import TimestampSigner

from eval.run.folder import locked
from scripts.publishing.approval import present_digests, read_review
from tests.browser import Browser, browser_path, open_browser
from tests.run_builder import build_run
from tests.space_server import Hub, Page, served, sign_in, sign_in_server
from tests.test_report_browser import CONTRAST, OVERFLOW

pytestmark = pytest.mark.slow
TOKEN = "hf_" + "a1B2" * 9
OURS = "#who *, #facts *, #checks *, #said *, #job *, #log *"  # the rest is Gradio's
HOSTILE = "<!-- <img src=x onerror='window.ran = true'> -->"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Jobs, one recipe that `train` refuses at once, and a run that ships."""
    root = tmp_path_factory.mktemp("space")
    made = {name: root / name for name in ("jobs", "recipes", "results")}
    made["recipes"].mkdir()
    leaky = f"# GPU     none {HOSTILE}\nbase_model: models/tiny\nadapter: lora\nhub_token: {TOKEN}\n"
    (made["recipes"] / "leaky.yaml").write_text(leaky)
    build_run(made["results"])
    build_run(made["results"], "worse", candidate_right=2)
    return made


@pytest.fixture(scope="module")
def arguments(folders: dict[str, Path]) -> list[str]:
    return [f"--{name}={folder}" for name, folder in folders.items()]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with sign_in_server() as serving:
        yield serving


@pytest.fixture(scope="module")
def space(hub: Hub, arguments: list[str]) -> Iterator[Page]:
    """The page as a Space that ada alone may use."""
    with served(*arguments, **hub.variables("ada")) as page:
        yield page


def undone(folders: dict[str, Path]) -> bool:
    return not list(folders["jobs"].glob("*/order.json")) and not list(folders["results"].glob("*/review.json"))


def forged(user: str, secret: str) -> str:
    """A session cookie as Gradio signs it, with a secret of one's own."""
    facts = {"oauth_info": {"expires_at": time.time() + 600, "userinfo": {"preferred_username": user}}}
    key = hashlib.sha256(f"{secret}-v4".encode()).hexdigest()
    text = base64.b64encode(json.dumps(facts).encode())
    return "session=" + TimestampSigner(key).sign(text).decode()


def test_nobody_and_strangers_are_refused_by_every_handler(space: Page, hub: Hub, folders: dict[str, Path]) -> None:
    handlers = space.handlers
    assert {"load", "start", "stop", "rehearse", "preflight", "approve", "reject", "run", "timer"} <= handlers.keys()
    values = {"start": ["leaky", "demo", "here", 1, 1, True], "recipe": ["leaky", "here", 1, 1]}
    for who, cookie in (("nobody", ""), ("stranger", sign_in(space, hub, "eve")), ("forged", forged("ada", ""))):
        for name, (_, count) in handlers.items():
            good, said = space.call(name, values.get(name, [None] * count), cookie)
            if name == "load":  # an invitation, and nothing else
                assert good and "toy" not in said and ("sign in first" in said or "may not use" in said), (who, said)
            else:
                assert not good and ("sign in first" in said or "may not use" in said), (who, name, said)
        body = {"data": values["start"], "fn_index": handlers["start"][0]}
        for path in ("run", "api"):  # without the queue
            assert space.request("POST", f"/gradio_api/{path}/start", cookie, json=body).status_code >= 400
        called = space.request("POST", "/gradio_api/call/start", cookie, json={"data": values["start"]})
        if called.status_code == 200:  # accepted, and then refused
            said = space.request("GET", f"/gradio_api/call/start/{called.json()['event_id']}", cookie).text
            assert "event: error" in said, (who, said)
    assert undone(folders)


def test_what_is_shown_before_signing_in_names_no_run(space: Page) -> None:
    text = space.request("GET", "/").text + json.dumps(space.config())
    assert "toy" not in text and "worse" not in text


def test_an_allowed_user_is_still_asked_for_the_tick_and_held_by_the_lock(
    space: Page, hub: Hub, folders: dict[str, Path]
) -> None:
    ada = sign_in(space, hub, "ada")
    good, said = space.call("start", ["leaky", "demo", "here", 1, 1, False], ada)
    assert not good and "tick" in said
    good, said = space.call("start", ["../leaky", "demo", "here", 1, 1, True], ada)
    assert not good
    with locked(folders["jobs"]):  # as a job of another page
        good, said = space.call("start", ["leaky", "demo", "here", 1, 1, True], ada)
    assert not good and "a job is running" in said
    for decision in ("approve", "reject"):  # nothing was shown in this session
        good, said = space.call(decision, [None, "toy", None, "by hand"], ada)
        assert not good
    assert undone(folders)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_another_sites_page_reaches_no_handler_with_the_users_cookie(
    space: Page, hub: Hub, folders: dict[str, Path], origin: str
) -> None:
    good, said = space.call("start", ["leaky", "demo", "here", 1, 1, True], sign_in(space, hub, "ada"), Origin=origin)
    assert not good and said.startswith("403")
    assert undone(folders)


def test_what_the_page_does_not_use_is_not_there(space: Page, hub: Hub) -> None:
    ada = sign_in(space, hub, "ada")
    for method, path in (
        ("POST", "/gradio_api/upload"), ("GET", "/gradio_api/file=README.md"), ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/monitoring"), ("GET", "/gradio_api/proxy=https://example.org"), ("GET", "/gradio_api/deep_link"),
    ):  # fmt: skip
        assert space.request(method, path, ada, **({"json": {}} if method == "POST" else {})).status_code == 404, path
    assert space.request("POST", "/gradio_api/queue/join", ada, content=b"x" * 100_000).status_code == 413
    answer = space.request("GET", "/")
    assert "frame-ancestors https://huggingface.co" in answer.headers["content-security-policy"]


# -------------------------------------------------------------------------------------------------- on this machine


@pytest.fixture(scope="module")
def page(arguments: list[str]) -> Iterator[Page]:
    with served(*arguments, "--reviewer=Ada Lovelace") as serving:
        yield serving


def test_without_the_address_nothing_is_served(page: Page, folders: dict[str, Path]) -> None:
    assert page.address.startswith("http://127.0.0.1:")
    bare = Page(page.address.rsplit("/", 2)[0], page.process)
    for path in ("/", "/config", "/gradio_api/info", "/wrong-token/", "/docs", "/openapi.json"):
        assert bare.request("GET", path).status_code == 404, path
    cases = [("Host", "evil.example", 421), ("Host", "localhost", 421), ("Origin", "https://evil.example", 403),
             ("Sec-Fetch-Site", "cross-site", 403)]  # fmt: skip
    for name, value, status in cases:
        headers = {name: value}
        assert page.request("POST", "/gradio_api/queue/join", json={}, headers=headers).status_code == status
    assert undone(folders)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.mark.skipif(browser_path() is None, reason="no Chromium here: apt-get install chromium")
def test_a_person_starts_a_job_reads_a_report_and_decides(
    page: Page, browser: Browser, folders: dict[str, Path]
) -> None:
    browser.show(page.address, 1280)
    browser.until("document.querySelector('#facts')?.innerText.includes('models/tiny')")
    assert browser.value("window.ran") is None  # what a recipe's header says is text
    browser.press("#start")
    browser.until("document.body.innerText.includes('tick that you have read')")
    browser.press("#agreed input")
    browser.press("#start")
    browser.until("document.querySelector('#job')?.innerText.includes('training failed')")
    log = "document.querySelector('#log').innerText"
    assert "Hugging Face token" in browser.value(log) and TOKEN not in browser.value(log)

    browser.show(page.address, 390, dark=True)  # another tab, on a phone: the job is found again
    browser.until("document.querySelector('#job')?.innerText.includes('started')")
    assert browser.value("document.documentElement.scrollWidth") <= 390
    assert browser.value(OVERFLOW.replace("body *", OURS)) == []

    browser.show(page.address, 1280)
    browser.until("document.querySelector('#job')?.innerText.includes('started')")
    assert browser.value(CONTRAST.replace("body *", OURS)) == []
    browser.value(
        "[...document.querySelectorAll('button[role=tab]')].find(b => b.innerText.includes('Reports')).click()"
    )
    choose_run(browser, "worse")
    browser.until("document.querySelector('#verdict')?.innerText.includes('no-ship')")
    browser.until("document.querySelector('#approve').disabled && !document.querySelector('#reject').disabled")
    choose_run(browser, "toy")
    frame = "document.querySelector('iframe.report')"
    browser.until(f"{frame}?.title.includes('toy')")
    assert browser.value(f"{frame}.getAttribute('sandbox')") == "allow-scripts"
    assert browser.value(f"{frame}.contentDocument") is None  # of another origin, which cannot reach this page either
    run = folders["results"] / "toy"
    before = (run / "report.html").read_bytes()
    (run / "report.html").write_bytes(before + b" ")
    browser.press("#approve")
    browser.until("document.body.innerText.includes('changed since it was shown')")
    assert not (run / "review.json").exists()
    (run / "report.html").write_bytes(before)
    browser.press("#comment textarea")
    browser.call("Input.insertText", text="read it all")
    browser.press("#approve")
    browser.until("document.querySelector('#decided')?.innerText.includes('Recorded: approve by Ada Lovelace')")
    review = read_review(run)
    assert (review.reviewer, review.comment) == ("Ada Lovelace", "read it all")
    assert review.digests == present_digests(run)


def choose_run(browser: Browser, name: str) -> None:
    """Choose from the list of runs as a person does."""
    browser.press("#run input")
    browser.press(f"ul[role=listbox] li[aria-label={name}]")
