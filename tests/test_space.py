"""`make sync TO=trackio`: trackio's own app on this machine takes the rows, under a Hub that knows one Space."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from eval.common.errors import UserError
from scripts.track import pushed
from scripts.tracking.space import push
from scripts.tracking.tracker import PROJECT
from tests.tracked_run import installed

TOKEN = "hf_" + "sesame" * 5
# One process is both: what was tracked here, then the app of the Space. Importing trackio takes seconds.
APP = """
import sys
from pathlib import Path
import trackio
from trackio import sqlite_storage as store
here, there, project = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
store.TRACKIO_DIR = here
for run in ("one.train", "one.eval", "two.eval"):
    rows = [{"loss": 0.5}, {"loss": 0.25}]
    store.SQLiteStorage.bulk_log(project, run, rows, steps=[1, 2], config={"verdict": "ship"})
store.SQLiteStorage.bulk_log_system(project, "one.train", [{"cpu": 101.0, "second": 30.0}])
store.TRACKIO_DIR = there
trackio.show(open_browser=False)
"""
PUSHES = """
import sys
from eval.common.errors import UserError
from scripts.track import main
for space in sys.argv[2:]:
    try:
        print("code", main(["--sync", "--to", "trackio", "--folder", sys.argv[1], "--space", space]))
    except UserError as error:
        print("error", error)
"""


class Hub(BaseHTTPRequestHandler):
    """Says where the Space me/runs is; no other is known."""

    app = ""
    tokens: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.tokens.append(self.headers.get("authorization"))
        known = self.path.startswith("/api/spaces/me/runs")
        runtime = {"stage": "RUNNING", "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}}
        answer: dict[str, Any] = {"error": "Repository not found"}
        if known:
            space = {"id": "me/runs", "private": True, "host": self.app, "runtime": runtime}
            answer = runtime if self.path.endswith("/runtime") else space
        content = json.dumps(answer).encode()
        self.send_response(200 if known else 404)
        if not known:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def space(tmp_path: Path) -> Iterator[str]:
    """The address of a Hub whose Space me/runs runs trackio's app; its store is tmp_path/there."""
    installed("trackio")
    for name in ("stored/trackio", "there"):
        (tmp_path / name).mkdir(parents=True)
    command = [sys.executable, "-c", APP, str(tmp_path / "stored/trackio"), str(tmp_path / "there"), PROJECT]
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with (
        subprocess.Popen(command, env=os.environ | quiet, stdout=subprocess.PIPE, text=True) as app,
        ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub,
    ):
        try:
            assert app.stdout is not None
            found = (re.search(r"launched at: (http://127.0.0.1:\d+)", line) for line in app.stdout)
            Hub.app = next(filter(None, found)).group(1)
            threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True).start()
            yield f"http://127.0.0.1:{hub.server_address[1]}"
        finally:
            app.kill()
            hub.shutdown()


def rows(folder: Path, table: str) -> list[tuple[str, str]]:
    with sqlite3.connect(folder / f"{PROJECT}.db") as stored:
        return stored.execute(f"select run_name, cast(metrics as text) from {table} order by run_name, id").fetchall()


@pytest.mark.slow
def test_a_space_takes_every_row_once(space: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PUSHES, str(tmp_path / "stored"), "me/runs", "me/runs", "me/none"]
    given = {"HF_ENDPOINT": space, "HF_TOKEN": TOKEN, "HOME": str(tmp_path)}
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    assert [line for line in said if line.startswith(("code", "error"))][:2] == ["code 0", "code 0"], done.stderr
    assert "there is no Space me/none that this login may see" in said[-1]
    for table in ("metrics", "system_metrics"):
        assert rows(tmp_path / "there", table) == rows(tmp_path / "stored/trackio", table) != []
    assert TOKEN not in done.stdout + done.stderr
    assert Hub.tokens[0] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("to", "name", "said"),
    [
        ("trackio", "no-owner", "is not a Space: name it as user/space"),
        ("trackio", "me/runs", "nothing is stored there: `make track TO=trackio` first"),
        ("mlflow", "me/runs", "nothing is pushed to mlflow"),
        ("trackio", None, "TO=trackio with SPACE=user/space"),
    ],
)
def test_what_cannot_be_pushed_is_one_line(tmp_path: Path, to: str, name: str | None, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        pushed(tmp_path, None, to, name)


def test_without_a_login_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{PROJECT}.db").touch()
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with pytest.raises(UserError, match="no Hugging Face login"):
        push(tmp_path, "me/runs", None)
