"""A Hub that drips or never ends costs bounded time and memory, at every call; and what the Hub said is shown.

Each fault is injected into the loopback Hub and hits the real client, in the real publish command.
"""

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from eval.common.hub_client import BOUNDS
from scripts.loopback_hub.faults import Fault, Hub
from tests.hub_server import Capture, hub, publish_run, run
from tests.run_builder import assert_one_line
from tests.test_hub_faults import ALWAYS, tagged_files

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
CALLS = ("whoami", "info", "validate", "batch", "blob", "commit", "resolve")
SECONDS = 0.5
PATIENCE = 120.0  # for what the command does besides waiting; without a limit each of these cases takes for ever


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BOUNDS, "seconds", SECONDS)
    monkeypatch.setattr(BOUNDS, "slowest_rate", 1e6)
    monkeypatch.setattr(BOUNDS, "largest_answer", 1 << 20)


CASES = [(call, kind) for kind in ("drip", "endless") for call in CALLS]


@pytest.mark.parametrize(
    ("call", "kind"), [*CASES, ("whoami", "trickle"), ("commit", "trickle"), ("resolve", "trickle")]
)
def test_an_answer_that_does_not_end_costs_bounded_time_and_memory(
    call: str, kind: str, run: Path, hub: Hub, capsys: Capture
) -> None:
    hub.faults.append(Fault(call, kind, times=ALWAYS, seconds=0.0 if kind == "endless" else 0.05))  # type: ignore[arg-type]
    if kind == "endless":
        tracemalloc.start()
    started = time.monotonic()
    code, _, err = publish_run(run, capsys)
    seconds, peak = time.monotonic() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code == 2, err
    words = ("larger than", "did not end in time")[kind != "endless" :]  # on a busy machine the time may be over first
    assert_one_line(err)
    assert any(word in err for word in words), err
    assert seconds < PATIENCE
    assert peak < 100 << 20
    assert tagged_files(hub) is None


def test_after_an_answer_that_did_not_end_the_same_command_continues(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.append(Fault("commit", "trickle", seconds=0.05))
    assert publish_run(run, capsys)[0] == 2
    monkeypatch.setattr(BOUNDS, "seconds", 120.0)
    assert publish_run(run, capsys)[0] == 0
    assert tagged_files(hub)


def test_an_answer_that_declares_gigabytes_is_not_begun(run: Path, hub: Hub, capsys: Capture) -> None:
    BOUNDS.largest_answer = 100
    code, _, err = publish_run(run, capsys)
    assert code == 2
    assert_one_line(err, "larger than 100 bytes")


def test_a_file_that_was_not_sent_is_not_fetched(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def more(repo: str, message: str, added: dict, deleted: list) -> str:  # type: ignore[type-arg]
        return commit(repo, message, {**added, "extra.bin": hub.store.put_bytes(b"x" * 1000)}, deleted)

    commit = hub.store.commit
    monkeypatch.setattr(hub.store, "commit", more)
    code, _, err = publish_run(run, capsys)
    assert code == 1
    assert_one_line(err, "extra.bin", "not sent")
    assert not any("extra.bin" in request.path for request in hub.log)


@pytest.mark.parametrize("status", [400, 402, 404, 413, 422])
def test_what_cannot_succeed_is_not_to_be_repeated_and_what_the_hub_said_is_shown(
    status: int, run: Path, hub: Hub, capsys: Capture
) -> None:
    hub.faults.append(Fault("commit", "status", code=status, times=ALWAYS))
    code, _, err = publish_run(run, capsys)
    assert code == 2
    assert_one_line(err, str(status), "injected")
    assert "again later" not in err and "continues" not in err


@pytest.mark.parametrize("token", ["hf_cafés", "hf_abc\u2013def", "hf_with blank", "hf_\u0430bc"])
def test_a_token_that_cannot_be_sent_is_said_and_not_shown(
    token: str, run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    code, out, err = publish_run(run, capsys)
    assert code == 2
    assert_one_line(err, "not ASCII")
    assert token not in out + err and not hub.log


def test_an_answer_of_another_form_is_one_line(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.loopback_hub.calls import Handler

    for answer in ([], {}, {"name": None, "siblings": 3}, 7, "x", None):
        monkeypatch.setattr(Handler, "whoami", lambda self, answer=answer: self.answer(200, answer))
        code, _, err = publish_run(run, capsys)
        assert code in (0, 2) and "Traceback" not in err
        if code:
            assert_one_line(err, "form")


def test_a_wait_that_a_rate_limit_asks_for_is_not_believed(
    run: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.loopback_hub.calls import Handler

    slept: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", slept.append)
    late = {"ratelimit": '"api";r=0;t=1000000000', "ratelimit-policy": '"fixed window";"api";q=500;w=300'}
    monkeypatch.setattr(Handler, "refs", lambda self, repo: self.answer(429, {"error": "slow down"}, late))
    code, _, err = publish_run(run, capsys)
    assert code == 2
    assert_one_line(err, "429")
    assert all(seconds <= 10 for seconds in slept)
    assert os.environ["HF_TOKEN"] not in err
