"""Whatever goes wrong with a rented machine: none is left, nothing unverified is kept, and the exit code says which.

Both providers are their real clients against stand-ins on this machine; time passes by hand. The cases are in
tests/remote_cases.py, and docs/remote.md shows them.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from huggingface_hub.utils import close_session

from eval.common.answer import Answer
from eval.run import folder as folders
from scripts.loopback_hub.faults import Hub
from scripts.remote import __main__ as remote
from scripts.remote import asked, clock, job, loop, site, starting
from tests.hub_server import Capture, hub
from tests.remote_cases import CASES, table
from tests.remote_cloud import Cloud
from tests.run_builder import build_run, call
from tests.runpod_server import Account, serve_pods

__all__ = ["hub"]
DOC = Path("docs/remote.md")
# phase that is being written, how often before, and whether the kill comes before the record is written
KILLS = {
    "before anything is asked": ("prepared", 0, False),
    "when the code is sent": ("asking", 0, False),
    "before the start": ("asking", 1, False),
    "after the start, before it is written down": ("running", 0, True),
    "while it trains": ("running", 1, False),
    "while it trains, too": ("running", 1, True),
    "before it is ended": ("ending", 0, False),
    "after it was ended": ("fetching", 0, True),
    "when the run is in results/": ("judging", 0, True),
    "before the verdict": ("judging", 0, False),
}


class Rig:
    """The command, its stand-ins, and where they stand."""

    def __init__(self, cloud: Cloud, hub: Hub, account: Account, capsys: Capture, results: Path) -> None:
        self.cloud, self.hub, self.account, self.capsys, self.results = cloud, hub, account, capsys, results
        self.hours, self.budget = 2.0, "20"

    def arguments(self, on: str) -> list[str]:
        limits = ["--max-hours", str(self.hours), "--budget", self.budget]
        return ["start", "--on", on, *limits, "--evaluate", "there", "--", "smollm2-135m-cpu"]

    def start(self, on: str) -> tuple[int, str]:
        code, out, err = call(remote.main, self.arguments(on), self.capsys)
        assert "Traceback" not in err and (code != 2 or err.count("\n") <= 1)
        return code, out + err

    def start_and_kill(self, on: str, point: str) -> None:
        """The command in a process of its own, which gets SIGKILL at a point of its life."""
        phase, skip, before = KILLS[point]
        close_session()
        child = os.fork()
        if child == 0:
            written, save = [0], job.Job.save

            def deadly(self: job.Job, **changes: object) -> None:
                hit = changes.get("phase", self.phase) == phase and written[0] >= skip
                written[0] += changes.get("phase", self.phase) == phase
                if not (hit and before):
                    save(self, **changes)
                if hit:
                    os.kill(os.getpid(), signal.SIGKILL)

            job.Job.save = deadly  # type: ignore[method-assign]
            try:
                remote.main(self.arguments(on))
            finally:
                os._exit(7)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status


@pytest.fixture
def rig(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Nothing rented; a repository whose HEAD is committed and pushed."""
    folder = tmp_path_factory.getbasetemp() / "remote-run"
    template = folder / "few" / "toy"
    if not folder.exists():  # few files: each is a request or two
        whole = build_run(folder / "whole")
        template.mkdir(parents=True)
        for name in ("run.json", "metrics.json", "scores.jsonl"):
            shutil.copy(whole / name, template)
    results, jobs = tmp_path / "results", tmp_path / "jobs"
    results.mkdir()
    with serve_pods(tmp_path / "pods") as account:
        cloud = Cloud(hub, account, template)
        monkeypatch.setenv("RUNPOD_API_KEY", account.token)
        monkeypatch.setenv("RUNPOD_API_URL", account.endpoint)
        for module in (job, starting, asked):
            monkeypatch.setattr(module, "JOBS", jobs)
        monkeypatch.setattr(folders, "RESULTS", results)
        monkeypatch.setattr(starting, "committed", lambda files: "c" * 40)
        monkeypatch.setattr(starting, "is_pushed", lambda commit: True)
        monkeypatch.setattr(starting, "lint_recipe", lambda path: [])
        monkeypatch.setattr(loop, "bundle_of", bundle)
        monkeypatch.setattr(site, "STOP_TRIES", 6)
        monkeypatch.setattr(loop, "POLL_SECONDS", 60.0)  # few looks: each is four requests
        monkeypatch.setattr(clock, "now", lambda: cloud.time)
        monkeypatch.setattr(clock, "pause", ticking(cloud, account))
        yield Rig(cloud, hub, account, capsys, results)


def bundle(commit: str, folder: Path) -> Path:
    path = folder / "code.bundle"
    path.write_bytes(b"code")
    return path


def ticking(cloud: Cloud, account: Account) -> Callable[[float], None]:
    """A pause in which the stand-ins' time passes, from whichever process."""
    place, headers = urlsplit(account.endpoint).netloc, {"Authorization": f"Bearer {account.token}"}

    def pause(seconds: float) -> None:
        with closing(
            HTTPConnection(place)
        ) as connection:  # no httpx: a client of its own takes longer than the request
            connection.request("POST", "/tick", json.dumps({"seconds": seconds}), headers)
            cloud.time = json.loads(connection.getresponse().read())["now"]

    return pause


@pytest.mark.parametrize("name", CASES)
def test_no_machine_is_left(name: str, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    rig.cloud.plan, rig.hours = list(case.plan), case.hours
    rig.cloud.keeps_deadlines = "ignored" not in name
    if case.plan[0] in ("hangs", "queued"):
        monkeypatch.setattr(loop, "POLL_SECONDS", 600.0)
    for key, value in case.account.items():
        setattr(rig.account, key, value)
    for fault in case.faults:
        (rig.account if fault.call.startswith(("pod", "gpus")) else rig.hub).faults.append(replace(fault))
    if case.kill:
        rig.start_and_kill(case.on, case.kill)
    code, said = rig.start(case.on)
    assert code == case.code, said
    assert case.words in said
    if case.again is not None:
        rig.hub.faults.clear()
        rig.account.faults.clear()
        rig.account.stock = "HIGH"
        rig.hours = 5.0
        code, more = rig.start(case.on)
        assert code == case.again, said + more
        said += more
    assert rig.cloud.live() == [], said
    assert rig.cloud.rented() == case.machines, said
    assert (rig.results / "toy").is_dir() == (code == 0)
    assert rig.hub.token not in said and rig.account.token not in said


def test_what_a_machine_says_is_shown_without_credentials(rig: Rig) -> None:
    code, said = rig.start("runpod")
    assert code == 0 and "step 1/9" in said and "HF_TOKEN is [removed]" in said
    (folder,) = (path.parent for path in job.JOBS.glob("*/job.json"))
    for path in folder.rglob("*"):
        assert not path.is_file() or rig.hub.token.encode() not in path.read_bytes()


def test_nothing_but_the_name_of_the_token_goes_into_a_pod(rig: Rig) -> None:
    pods: list[dict[str, Any]] = []
    rig.account.on_pod = pods.append
    assert rig.start("runpod")[0] == 0
    assert rig.hub.token not in json.dumps(pods) and rig.account.token not in json.dumps(pods)
    assert pods[0]["env"]["HF_TOKEN"] == "{{ RUNPOD_SECRET_HF_TOKEN }}"
    assert pods[0]["env"]["JUPYTER_DISABLE"] == "1"


def test_a_job_always_has_a_time_limit_and_its_token_is_a_secret(rig: Rig) -> None:
    assert rig.start("hf-jobs")[0] == 0
    (made,) = rig.hub.jobs
    assert made["timeoutSeconds"] == 7200 and made["secrets"] == {"HF_TOKEN": rig.hub.token}
    assert rig.hub.token not in json.dumps({**made, "secrets": None})
    assert rig.hub.store.get(next(iter(job.all_jobs())).repo) is None, "what is here is not kept on the Hub as well"


def test_the_budget_shortens_the_hours(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "POLL_SECONDS", 1200.0)
    rig.hours, rig.budget = 100.0, "2"
    rig.cloud.plan = ["hangs"]
    code, said = rig.start("runpod")
    assert code == 2 and "at most 4.00 hours and 2.00 USD" in said and "about 2.0" in said


def told(argv: list[str]) -> Any:
    """What a program is told by a command that is well."""
    answer = remote.main(argv)
    assert isinstance(answer, Answer) and answer == 0
    return answer.result


def test_status_shows_and_stop_ends_what_no_job_here_has(rig: Rig, capsys: Capture) -> None:
    orders = json.dumps({"attempt": 1, "repo": "someone/x"})
    rig.account.pods += [
        {"id": "p1", "name": "sct-lost-1", "status": "RUNNING", "cost": 0.5, "env": {"SECURECLI_ORDER": orders}},
        {"id": "p2", "name": "somebody-elses", "status": "RUNNING", "cost": 0.5, "env": {}},
    ]
    found = told(["status"])
    assert found["orphans"] == [{"provider": "runpod", "job": "sct-lost-1", "machine": "p1", "state": "running"}]
    code, out, _ = call(remote.main, ["stop", "--on", "runpod", "--", "sct-lost-1"], capsys)
    assert code == 0 and "nothing of it is left" in out
    assert [pod["id"] for pod in rig.account.pods] == ["p2"]


def test_a_detached_job_is_seen_stopped_and_continued(rig: Rig, capsys: Capture) -> None:
    code, _, _ = call(remote.main, [*rig.arguments("runpod")[:-2], "--detach", "--", "smollm2-135m-cpu"], capsys)
    assert code == 0 and len(rig.cloud.live()) == 1
    (row,) = told(["status"])["jobs"]
    assert (row["phase"], row["machine"]) == ("running", "starting")
    assert call(remote.main, ["stop", row["job"]], capsys)[0] == 0
    assert rig.cloud.live() == []
    (row,) = told(["status"])["jobs"]
    assert (row["phase"], row["machine"], row["exit_code"]) == ("paused", None, 2)
    assert rig.start("runpod")[0] == 0 and rig.cloud.rented() == 2


def test_status_ends_what_its_deadline_has_forgotten(rig: Rig, capsys: Capture) -> None:
    rig.cloud.plan = ["hangs"]
    call(remote.main, [*rig.arguments("runpod")[:-2], "--detach", "--", "smollm2-135m-cpu"], capsys)
    rig.cloud.tick(3 * 3600)
    code, out, _ = call(remote.main, ["status"], capsys)
    assert code == 0 and "its deadline has passed" in out and rig.cloud.live() == []


def test_the_documentation_shows_this_table() -> None:
    assert table() in DOC.read_text(), table()
