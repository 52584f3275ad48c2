"""What runs on a rented machine, run here: boot.sh and machine.py, a Makefile that plays the verbs, a loopback Hub.

The pod's container is a process, and RunPod's stand-in deletes the pod when it is told to.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.common.places import ROOT
from eval.run.digests import verify_manifest
from scripts.loopback_hub.faults import Fault, Hub
from scripts.publishing.hub_errors import connect
from scripts.remote import code, machine
from scripts.remote.exchange import Exchange
from scripts.remote.provider import RUN_PACKED
from tests.hub_server import hub
from tests.patience import wait_until
from tests.runpod_server import Account, serve_pods

__all__ = ["hub"]
REPO = "someone/sct-toy"
# Each verb says so; `train` writes a checkpoint, waits for the signal that stops it or for `go`, and ends.
MAKEFILE = """
setup:
	@{setup}
	@mkdir -p .venv/bin && printf '#!/bin/sh\\nexec {python} "$$@"\\n' > .venv/bin/python && chmod +x .venv/bin/python
preflight:
	@echo "preflight $(RECIPE)"
train:
	@sh train.sh
generate:
	@echo "error: no words left, RUN=$(RUN)"; {generate}
"""
TRAIN = """
run=results/toy-1; [ ! -d $run ] || echo "continuing"
mkdir -p $run/training/checkpoint-5
echo '{"run": "toy-1"}' > $run/run.json; echo '{}' > $run/training/checkpoint-5/trainer_state.json
trap 'echo "saved on a signal" > $run/training/saved; exit 2' TERM
while [ ! -e {go} ]; do sleep 0.1; done
echo '{"completed": true}' > $run/train.json; echo adapter > $run/adapter.txt
"""


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with serve_pods(tmp_path / "pods") as account:
        yield account


def bundle(folder: Path, go: Path, generate: str, setup: str = "true") -> tuple[Path, str]:
    """A repository with the verbs that the machine calls, as one file, and its commit."""
    source = folder / "source"
    (source / "configs").mkdir(parents=True)
    text = MAKEFILE.replace("{python}", sys.executable).replace("{generate}", generate).replace("{setup}", setup)
    (source / "Makefile").write_text(text)
    (source / "train.sh").write_text(TRAIN.replace("{go}", str(go)))
    (source / "configs" / "toy.yaml").write_text("base_model: org/base\n")
    git = ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "toy"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code, "ROOT", source)
        commit = code.committed([source / "configs" / "toy.yaml"])
        assert not code.is_pushed(commit)
        return code.bundle_of(commit, folder / "sct-toy"), commit


class Pod:
    """One pod whose container runs boot.sh as scripts/remote/runpod.py has it run."""

    def __init__(self, folder: Path, hub: Hub, account: Account, seconds: float, setup: str = "true") -> None:
        self.go, self.folder, self.account, self.hub = folder / "go", folder, account, hub
        path, commit = bundle(folder, self.go, "exit 0", setup)
        self.exchange = Exchange(connect(), REPO)
        self.exchange.prepare(path)
        deadline = time.time() + seconds
        orders = {"job": "sct-toy", "repo": REPO, "attempt": 1, "recipe": "configs/toy.yaml", "evaluate": "here",
                  "deadline": deadline}  # fmt: skip
        script = (ROOT / "scripts" / "remote" / "boot.sh").read_bytes()
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1",
            "SECURECLI_ORDER": json.dumps(orders), "SECURECLI_REPO": REPO, "SECURECLI_COMMIT": commit,
            "SECURECLI_SECONDS": str(int(seconds)), "SECURECLI_DEADLINE": str(int(deadline)), "SECURECLI_END": "runpod",
            "SECURECLI_PAUSE": "0.2", "SECURECLI_TICK": "0.2", "SECURECLI_LOOK": "0.2",
            "SECURECLI_BOOT": base64.b64encode(script).decode(), "RUNPOD_POD_ID": "pod1",
            "RUNPOD_API_KEY": account.token, "RUNPOD_API_URL": account.endpoint, **hub.environment,
        }  # fmt: skip
        account.pods.append({"id": "pod1", "name": "sct-toy", "status": "RUNNING"})
        self.log = folder / "pod.log"
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(["bash", "-c", RUN_PACKED], env=self.env, cwd=self.folder, stdout=log,
                                    stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip

    def wait_until_deleted(self) -> str:
        """Its log. As RunPod does, the container ends with the pod, and is started again when it ends before."""
        wait_until(lambda: not self.account.pods or self.process.poll() is not None)
        assert not self.account.pods, "the container ended, and the pod was left: " + self.log.read_text()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return self.log.read_text()

    def end(self) -> dict[str, Any] | None:
        return self.exchange.ended(1)


@pytest.mark.slow
def test_a_machine_trains_sends_its_run_and_deletes_itself(tmp_path: Path, hub: Hub, account: Account) -> None:
    pod = Pod(tmp_path, hub, account, seconds=3600)
    wait_until(lambda: "checkpoint-5" in str(pushed(hub)), pod.process)
    pod.go.touch()
    log = pod.wait_until_deleted()
    end = pod.end()
    assert end and (end["stage"], end["code"], end["run"]) == ("done", 0, "toy-1"), log
    there = pod.exchange.fetch(tmp_path / "here")
    assert there and (there / "toy-1" / "adapter.txt").read_text() == "adapter\n"
    assert not verify_manifest(there.parent, there.parent / "manifest.sha256")
    assert not list(there.rglob("checkpoint-*")), "checkpoints are not needed any more"
    assert hub.token not in log and account.token not in log
    account.pods.append({"id": "pod1", "name": "sct-toy", "status": "RUNNING"})  # the container is started again
    before, pod.process = pushed(hub), pod.start()
    pod.wait_until_deleted()
    assert pushed(hub) == before, "a restarted container does nothing twice"


@pytest.mark.slow
def test_at_its_deadline_a_pod_deletes_itself_whatever_it_does(tmp_path: Path, hub: Hub, account: Account) -> None:
    pod = Pod(tmp_path, hub, account, seconds=2, setup="sleep 1000")
    assert "the deadline is reached" in pod.wait_until_deleted()


@pytest.fixture
def work(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> machine.Work:
    """The work of one machine, in a clone of its own."""
    path, _ = bundle(tmp_path, tmp_path / "go", "exit 2")
    exchange = Exchange(connect(), REPO)
    exchange.prepare(path)
    monkeypatch.chdir(tmp_path / "source")
    monkeypatch.setattr(machine, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(machine, "AGAIN_SECONDS", 0.1)
    orders = machine.Orders("sct-toy", REPO, 1, "configs/toy.yaml", "here", time.time() + 3600)
    (tmp_path / "source" / "results").mkdir()
    return machine.Work(orders, exchange, tmp_path / "source" / "results")


def test_near_its_deadline_it_saves_and_another_machine_goes_on(
    tmp_path: Path, work: machine.Work, hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    work.stop_at = time.time() + 1.0
    work.run()
    work.say_end()
    end = work.exchange.ended(1)
    assert end and (end["again"], end["stage"], end["code"]) == (True, "train", 2)
    assert "checkpoint-5" in str(pushed(hub)) and work.exchange.ended(2) is None
    shutil.rmtree(work.results)
    work.results.mkdir()
    (tmp_path / "go").touch()
    second = machine.Work(replace(work.orders, attempt=2), work.exchange, work.results)
    second.run()
    second.say_end()
    out = capfd.readouterr().out
    assert "toy-1 is back" in out and "continuing" in out
    end = second.exchange.ended(2)
    assert end and (end["stage"], end["code"], end["said"]) == ("generate", 2, "no words left, RUN=toy-1"), out
    there = second.exchange.fetch(tmp_path / "here")
    assert there and (there / "toy-1" / "training" / "saved").is_file() and (there / "toy-1" / "adapter.txt").is_file()
    third = machine.Work(replace(work.orders, attempt=3), work.exchange, work.results)
    third.run()
    assert "make train" not in capfd.readouterr().out, "what is trained is not trained again"


def test_a_hub_that_is_away_costs_a_copy_and_not_the_training(tmp_path: Path, work: machine.Work, hub: Hub) -> None:
    hub.faults.append(Fault("commit", "status", times=2, code=500))
    (tmp_path / "go").touch()
    work.run()
    assert work.end.stage == "generate" and "checkpoint" not in str(pushed(hub)[-1:])
    work.say_end()
    assert work.exchange.ended(1)


def pushed(hub: Hub) -> list[str]:
    repository = hub.store.get(REPO)
    return [str(sorted(files)) for files in repository.commits.values()] if repository else []


def test_the_code_leaves_no_branch_behind(tmp_path: Path) -> None:
    bundle(tmp_path, tmp_path / "go", "exit 0")
    left = subprocess.run(["git", "-C", str(tmp_path / "source"), "branch", "--list", "sct-*"], capture_output=True)
    assert (left.returncode, left.stdout) == (0, b"")


@pytest.mark.parametrize("change", ["edited", "not there"])
def test_what_is_not_committed_is_refused(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle(tmp_path, tmp_path / "go", "exit 0")
    source = tmp_path / "source"
    monkeypatch.setattr(code, "ROOT", source)
    if change == "edited":
        (source / "train.sh").write_text("true")
    with pytest.raises(code.UserError, match="commit"):
        code.committed([source / "data.jsonl"] if change == "not there" else [])
