"""A real browser for tests: headless Chromium, driven over a pair of pipes by its own DevTools protocol.

with open_browser() as browser:
    browser.show(path, width=390, dark=True)
    browser.value("document.title")

No package is needed, and no port is opened. What a page logs as an error (a script its policy blocked, say) is kept.
"""

import base64
import functools
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.common.programs import CHROMIUM
from tests.patience import PATIENCE


@functools.cache
def browser_path() -> str | None:
    """The browser of this machine, one that starts, or None."""
    return CHROMIUM.find()


class Browser:
    """One tab."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back, self._number, self._session = to, back, 0, ""
        self._rest = b""
        self.errors: list[str] = []
        self._seen: set[str] = set()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """One command and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def show(self, page: Path | str, width: int, height: int = 800, dark: bool = False) -> None:
        """Load a file or an address at a width, as a phone would below 500 pixels."""
        self.errors.clear()
        self._seen.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 500)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        while "Page.loadEventFired" not in self._seen:
            self._read()

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON; a promise, once it is kept."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """What an expression gives, once that is something; AssertionError with the page's words otherwise."""
        end = time.monotonic() + PATIENCE
        while not (found := self.value(expression)):
            assert time.monotonic() < end, f"{expression}: {self.value('document.body.innerText')}"
            time.sleep(0.05)
        return found

    def press(self, selector: str) -> None:
        """A click of the mouse into the middle of an element, once it is there, can be used and has come to rest."""
        middle = f"""(() => {{
          const element = document.querySelector({json.dumps(selector)});
          if (!element || element.disabled) return null;
          element.scrollIntoView({{block: 'center', behavior: 'instant'}});
          const box = element.getBoundingClientRect();
          const at = [box.x + box.width / 2, box.y + box.height / 2];
          const top = document.elementFromPoint(...at);
          return box.width && top && (element.contains(top) || top.contains(element)) ? at : null;
        }})()"""
        at = self.until(middle)
        while at != (at := self.until(middle)):
            pass
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def wait_for_error(self, words: str) -> None:
        """Until the page has logged an error with these words."""
        while not any(words in error for error in self.errors):
            self._read()

    def screenshot(self) -> bytes:
        """The visible part of the page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _read(self) -> dict[str, Any]:
        """The next message; errors that the page logs are kept on the way."""
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"the browser says nothing for {PATIENCE:.0f} s"
            more = os.read(self._back, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        raw, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(raw)
        self._seen.add(message.get("method", ""))
        if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
            self.errors.append(json.dumps(message["params"]))
        return message


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser of its own profile, ended afterwards. Needs `browser_path()`."""
    program = browser_path()
    assert program
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        command = [program, *flags, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        plumbing = ["bash", "-c", f'exec "$0" "$@" 3<&{to_read} 4>&{back_write}', *command]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            plumbing, pass_fds=(to_read, back_write), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        os.close(to_read)
        os.close(back_write)
        try:
            yield Browser(to_write, back_read)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(to_write)
            os.close(back_read)
