"""One job at a time, across tabs, pages and processes; started apart from the page, found again, stopped.

    jobs = Jobs(folder)
    jobs.start(order)       UserError when something runs, or the order is on no list
    jobs.latest()           the newest job, running or not; None before the first
    jobs.stop()             what Ctrl-C would do

The lock is the kernel's, on the folder itself. The page takes it and hands it to the job, which holds it until its last
process has ended: killing the page does not end a job, and a killed job keeps nobody out. Whoever holds the lock is in
the job's process group, which is why the group's number still means this job when it gets a signal.
"""

import datetime
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import open_regular
from eval.run.files import read_json, write_json
from spaces.trainer.choices import Order, check
from spaces.trainer.runner import LOG, ORDER, STATE, read_order

FOLDER = ROOT / ".cache" / "space"
RUNNER = (sys.executable, "-m", "spaces.trainer.runner")
KEPT = 20  # jobs; older ones are removed when another starts
PATIENCE = 1.0  # seconds for another process that only looks whether the lock is free
LAST_BYTES = 48 << 10  # of a log, as the page shows it
STEP = re.compile(r"^train: step (\d{1,9})/(\d{1,9}), loss (-?\d{1,12}\.\d{1,6})", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """A job as it is now."""

    folder: Path
    order: Order
    state: dict[str, Any]
    running: bool

    @property
    def started(self) -> str:
        """`2026-11-27 00:43`, UTC, as the folder's name says it."""
        return f"{datetime.datetime.strptime(self.folder.name[:13], '%Y%m%dT%H%M'):%Y-%m-%d %H:%M}"

    @property
    def outcome(self) -> str:
        """How it ended; empty while it runs."""
        if self.running:
            return ""
        return str(self.state.get("outcome") or "cut off: start the same recipe again to continue")

    @property
    def mark(self) -> str:
        """Another text whenever there is something new to show."""
        log = self.folder / LOG
        size = log.stat().st_size if log.is_file() else 0
        return f"{self.folder.name} {self.running} {size} {self.state}"

    def log(self, most: int = LAST_BYTES) -> str:
        """The last bytes of its log, from the start of a line; redacted when it was written."""
        try:
            with open_regular(self.folder / LOG) as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - most))
                tail = stream.read(most)
        except FileNotFoundError:
            return ""
        if size > most:
            tail = tail.partition(b"\n")[2]
        return tail.decode(errors="replace")

    def losses(self) -> list[list[float]]:
        """`[[step, loss], ...]` as training said them; after a continuation, the later of two for one step."""
        found = {int(step): float(loss) for step, _, loss in STEP.findall(self.log(1 << 20))}
        return [[step, found[step]] for step in sorted(found)]


class Jobs:
    """The jobs of one folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder.resolve()
        self._mine = threading.Lock()  # two requests of this process do not mistake each other for a job

    def start(self, order: Order) -> Job:
        """Start an order apart from this process. UserError when a job runs, or for an order on none of the lists."""
        check(order)
        with self._mine:
            lock = self._claim(PATIENCE)
            if lock is None:
                running = self._newest()
                raise UserError(f"a job is running ({describe(running)}): wait until it has ended, or stop it")
            try:
                self._remove_old()
                folder = self._new_folder(order)
                command = [*RUNNER, str(folder), f"--lock={lock}"]
                with (folder / "runner.log").open("wb") as own:
                    process = subprocess.Popen(
                        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=own, stderr=own, start_new_session=True,
                        pass_fds=[lock],
                    )  # fmt: skip
                threading.Thread(target=process.wait, daemon=True).start()  # or it stays a zombie while the page runs
            finally:
                os.close(lock)
        return Job(folder, order, {}, True)

    def latest(self) -> Job | None:
        """The newest job."""
        with self._mine:
            lock = self._claim()
            if lock is not None:
                os.close(lock)
        folder = self._newest()
        if folder is None:
            return None
        state = read_json(folder / STATE) if (folder / STATE).is_file() else {}
        return Job(folder, read_order(folder), state if isinstance(state, dict) else {}, lock is None)

    def stop(self) -> Job:
        """Signal the running job's group. UserError when nothing runs."""
        job = self.latest()
        if job is None or not job.running:
            raise UserError("no job is running")
        if "group" not in job.state:
            raise UserError("the job is only just starting: try again")
        try:
            os.killpg(int(job.state["group"]), signal.SIGTERM)
        except ProcessLookupError:
            raise UserError("the job has just ended") from None
        return job

    def _claim(self, patience: float = 0.0) -> int | None:
        """A descriptor that holds the lock; None when a job has it."""
        end = time.monotonic() + patience
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() >= end:
                    os.close(descriptor)
                    return None
                time.sleep(0.05)
            except OSError as error:
                os.close(descriptor)
                why = f"{self.folder} knows no locks ({error.strerror})"
                raise UserError(f"{why}: put it on a local disk") from None

    def _newest(self) -> Path | None:
        found = sorted(path.parent for path in self.folder.glob(f"*/{ORDER}"))
        return found[-1] if found else None

    def _new_folder(self, order: Order) -> Path:
        folder = self.folder / f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%f}-{order.recipe}"
        folder.mkdir(mode=0o700)
        write_json(folder / ORDER, order.model_dump())
        return folder

    def _remove_old(self) -> None:
        for path in sorted(path.parent for path in self.folder.glob(f"*/{ORDER}"))[: -KEPT + 1]:
            shutil.rmtree(path)


def describe(folder: Path | None) -> str:
    """`smollm2-135m-cpu, started by Ada`."""
    if folder is None:
        return "on another page"
    order = read_order(folder)
    return f"{order.recipe}, started by {order.user}"
