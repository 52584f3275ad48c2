"""spaces.trainer.jobs: one job at a time in real processes; found again, stopped, cut off; what its log holds."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.common.places import ROOT
from spaces.trainer import jobs as jobs_module
from spaces.trainer.choices import Order
from spaces.trainer.jobs import Job, Jobs
from tests.patience import wait_until

pytestmark = pytest.mark.slow
TOKEN = "hf_" + "a1B2" * 9
# What `train` does, without its libraries: it says steps, saves at SIGTERM, and ends with 2.
TRAINING = f"""
import signal, sys, time
def stop(*_):
    print("error: interrupted, checkpoint saved: run the same command again to continue", flush=True)
    sys.exit(2)
signal.signal(signal.SIGTERM, stop)
print("train: new run toy-1\\ntrain: step 1/300, loss 4.250, 1 s", flush=True)
print("login with {TOKEN}\\ntrain: step 2/300, loss 3.125, 2 s", flush=True)
time.sleep(60)
"""
RUNNER = f"""
import sys
from spaces.trainer import runner
runner.first_command = lambda order: [sys.executable, "-c", {TRAINING!r}]
runner.trained_run = lambda *asked, **more: None
runner.main(sys.argv[1:])
"""
ORDER = Order(kind="train", recipe="smollm2-135m-cpu", suite="demo", user="Ada")


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs whose training is the program above; everything else is as in use."""
    monkeypatch.setattr(jobs_module, "RUNNER", (sys.executable, "-c", RUNNER))
    return Jobs(tmp_path / "jobs")


def newest(jobs: Jobs) -> Job:
    job = jobs.latest()
    assert job is not None
    return job


def wait_for_losses(jobs: Jobs) -> Job:
    wait_until(lambda: len(newest(jobs).losses()) == 2)
    return newest(jobs)


def wait_for_end(jobs: Jobs) -> Job:
    wait_until(lambda: not newest(jobs).running)
    return newest(jobs)


def test_a_job_is_watched_and_stopped_and_its_log_holds_no_credential(jobs: Jobs) -> None:
    jobs.start(ORDER)
    job = wait_for_losses(jobs)
    assert job.running and job.outcome == "" and job.state["step"] == "training"
    assert job.losses() == [[1, 4.25], [2, 3.125]] and job.order.user == "Ada"
    jobs.stop()
    job = wait_for_end(jobs)
    assert job.outcome == "stopped: start the same recipe again to continue" and "checkpoint saved" in job.log()
    for path in job.folder.iterdir():
        assert TOKEN not in path.read_text(errors="replace"), path.name
    assert "[Hugging Face token removed]" in job.log()
    with pytest.raises(UserError, match="no job is running"):
        jobs.stop()


def test_of_many_starts_one_succeeds_across_threads_and_processes(jobs: Jobs) -> None:
    refusals: list[str] = []

    def start() -> None:
        try:
            Jobs(jobs.folder).start(ORDER)
        except UserError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refusals) == 3 and all("a job is running (smollm2-135m-cpu, started by Ada)" in why for why in refusals)
    code = (
        "from pathlib import Path; from spaces.trainer.jobs import Jobs; from spaces.trainer.choices import *\n"
        f"Jobs(Path({str(jobs.folder)!r})).start(Order(**{ORDER.model_dump()!r}))"
    )
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert other.returncode == 1 and "a job is running" in other.stderr
    wait_for_losses(jobs)
    jobs.stop()
    wait_for_end(jobs)


def test_a_page_that_is_killed_leaves_its_job_to_the_next(jobs: Jobs) -> None:
    page = os.fork()
    if page == 0:
        jobs.start(ORDER)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(page, 0)
    again = Jobs(jobs.folder)
    job = wait_for_losses(again)
    assert job.running
    os.kill(int(job.state["group"]), signal.SIGKILL)  # the runner itself: its command still holds the lock, for a while
    wait_until(lambda: newest(again).log() != "")
    os.killpg(int(job.state["group"]), signal.SIGKILL)
    assert wait_for_end(again).outcome.startswith("cut off")


def test_a_recipe_that_is_refused_is_said_in_a_line_and_the_next_may_start(tmp_path: Path) -> None:
    """The real runner and the real `train`, which refuses this recipe before it imports anything large."""
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "leaky.yaml").write_text(f"base_model: models/tiny\nadapter: lora\nhub_token: {TOKEN}\n")
    jobs = Jobs(tmp_path / "jobs")
    for _ in range(2):
        jobs.start(ORDER.model_copy(update={"recipe": "leaky", "recipes": str(recipes)}))
        job = wait_for_end(jobs)
        assert job.outcome.startswith("training failed: ") and "Hugging Face token" in job.outcome
        assert TOKEN not in job.log() + json.dumps(job.state)
    assert len(list(jobs.folder.iterdir())) == 2


def test_old_jobs_are_removed(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "RUNNER", (sys.executable, "-c", ""))
    monkeypatch.setattr(jobs_module, "KEPT", 3)
    for _ in range(5):
        jobs.start(ORDER)
        wait_for_end(jobs)
    assert len(list(jobs.folder.iterdir())) == 3 and newest(jobs).outcome.startswith("cut off")


def test_the_end_of_a_long_log_begins_with_a_whole_line(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"".join(b"line %d \xff\n" % number for number in range(1000)))
    shown = Job(tmp_path, ORDER, {}, False).log(100).splitlines()
    assert shown[0].startswith("line ") and shown[-1] == "line 999 \ufffd" and len(shown) < 12
