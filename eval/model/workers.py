"""Several processes that answer, each with a whole copy of the model: one a GPU, or a share of a CPU's threads.

    workers = Workers(4, threads=2)
    workers.work = Work(settings, arms, seed)                       what each of them loads, when it is first needed
    for index, rows in workers.answer(arm, batches, own): ...       batches as they are done, in any order
    workers.prove()                                                 BaseMoved unless the base of each is what it was

The calling process is the first worker, with the model that it has loaded already (`own`); the others are processes of
eval/model/worker.py. Batches are fixed before, and an answer is that of its batch: who made it changes nothing, as long
as all have the same bytes on equal devices. So each worker says what it loaded before it is given a batch.

Workers end with this process, however that ends. One that fails ends the evaluation with one line; what was yielded
before is the caller's to keep.
"""

import contextlib
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from eval.common.errors import ProjectError, UserError
from eval.common.places import ROOT
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms, Backend, BaseMoved, Say
from eval.run.records import BASELINE, CANDIDATE, Generation

if TYPE_CHECKING:
    from eval.model.lm_tasks import Sample

PATIENCE = 1800.0  # seconds for a load or a proof; for a batch at least as many
SLOWER = 20  # times the longest batch of this process: what takes longer elsewhere will not end
KEPT = "finished batches are kept, and the same command continues"
Done = tuple[int, list[Generation]]  # index of a batch, and its answers
Batches = Sequence[Sequence["Sample"]]


@dataclass(frozen=True)
class Work:
    """What a worker loads, as `load` of eval/model/hf.py takes it; relative names are those of `folder`."""

    settings: BackendSettings
    arms: Arms
    seed: int
    folder: Path = field(default_factory=Path.cwd)


def loaded_as(backend: Backend) -> dict[str, Any]:
    """All that has to be the same in every worker, by what it is called."""
    return {
        "base": backend.identity,
        "device": backend.facts(),
        "baseline's digests": backend.made_by(BASELINE),
        "candidate's digests": backend.made_by(CANDIDATE),
    }


def without_data(batch: "Sequence[Sample]") -> "list[Sample]":
    """The batch with what answering needs: a row of a benchmark may hold what cannot be sent."""

    def bare(sample: "Sample") -> "Sample":
        asked = (replace(one, doc={}, resps=[], filtered_resps={}) for one in sample.instances)
        return replace(sample, doc={}, instances=tuple(asked))

    return [bare(sample) for sample in batch]


@dataclass
class Worker:
    """One process and the line to it. `name`: as messages call it."""

    name: str
    process: Any  # subprocess.Popen
    line: Connection
    loaded: Work | None = None

    def tell(self, *order: Any) -> None:
        """Order something: an order is answered before the next is read. UserError when nobody is there."""
        try:
            self.line.send(order)
        except OSError:
            raise self._ended() from None

    def hear(self, seconds: float | None = None) -> Any:
        """What came of the oldest order. UserError when that failed, nobody is there, or `seconds` have passed."""
        try:
            if not self.line.poll(seconds):
                raise UserError(f"{self.name} has said nothing for {seconds:.0f} s: {KEPT}")
            said = self.line.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        done, value = said
        if done:
            return value
        moved, text = value
        raise (BaseMoved if moved else UserError)(f"{self.name}: {text}")

    def _ended(self) -> UserError:
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            return UserError(f"{self.name} closed its line: {KEPT}")
        why = f"signal {-code}" if code < 0 else f"code {code}"
        return UserError(
            f"{self.name} ended by {why}: {KEPT}; where memory does not suffice for so many, lower `workers` of the "
            "suite's backend"
        )


def stop(crew: list[Worker]) -> None:
    """End these processes. Their lines close when nobody reads them any more."""
    while crew:
        worker = crew.pop()
        worker.process.kill()
        worker.process.wait()


class Workers:
    """This process and `count - 1` others, started when they are first needed."""

    work: Work

    def __init__(self, count: int, threads: int, gpus: Sequence[str] = (), say: Say = print) -> None:
        """`threads`: of each. `gpus`: how CUDA_VISIBLE_DEVICES names the GPU of each; none on a CPU."""
        self.count, self.threads, self.gpus, self.say = count, threads, gpus, say
        self.crew: list[Worker] = []
        self.busy = False
        weakref.finalize(self, stop, self.crew)

    def close(self) -> None:
        stop(self.crew)
        self.busy = False

    def answer(
        self, arm: str, batches: Batches, own: Callable[["Sequence[Sample]"], list[Generation]], ours: dict[str, Any]
    ) -> Iterator[Done]:
        """Answers of each batch as soon as they are there. `own` answers in this process, `ours` is what that loaded.

        UserError for a worker that fails, after what the others have finished.
        """
        self._ready(ours)
        self.busy = True
        todo: SimpleQueue[int] = SimpleQueue()
        done: SimpleQueue[Done | ProjectError] = SimpleQueue()
        for index in range(len(batches)):
            todo.put(index)
        mine = taken(todo)  # the first is ours, so that it is known how long one takes
        for worker in self.crew:
            Thread(target=_keep_answering, args=(worker, arm, batches, todo, done), daemon=True).start()
        left, longest = len(batches), 0.0
        try:
            while left:
                if mine is not None:
                    started = time.monotonic()
                    done.put(_answered(mine, batches[mine], own))
                    longest = max(longest, time.monotonic() - started)
                for index, rows in finished(done, max(PATIENCE, SLOWER * longest)):
                    yield index, rows
                    left -= 1
                mine = taken(todo)
        except BaseException:
            self.close()
            raise
        self.busy = False

    def prove(self) -> None:
        """BaseMoved unless every tensor of each worker's base is what was loaded. Those not started have none."""
        self._all("prove")

    def _ready(self, ours: dict[str, Any]) -> None:
        """Every worker has loaded what this process has. UserError where one has other bytes, or another device."""
        if self.busy:  # somebody left in the middle: what comes from there belongs to nobody
            self.close()
        if not self.crew:
            self.say(f"{self.count} workers answer, each with a whole copy of the model")
            self.crew += [self._start(number) for number in range(1, self.count)]
        if all(worker.loaded == self.work for worker in self.crew):
            return
        for worker, found in zip(self.crew, self._all("load", self.work), strict=True):
            if differing := [what for what, value in ours.items() if found.get(what) != value]:
                self.close()
                raise UserError(
                    f"{worker.name} has not loaded what this process has ({differing[0]}): stop what writes to the "
                    "model, and evaluate again; of several kinds of GPUs choose one with CUDA_VISIBLE_DEVICES"
                )
            worker.loaded = self.work

    def _all(self, *order: Any) -> list[Any]:
        """What each says to an order that all are given at once."""
        try:
            for worker in self.crew:
                worker.tell(*order)
            return [worker.hear(PATIENCE) for worker in self.crew]
        except BaseException:
            self.close()
            raise

    def _start(self, number: int) -> Worker:
        here, there = Pipe()
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[number]
        command = [sys.executable, "-m", "eval.model.worker", str(there.fileno())]
        with there:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[there.fileno()])
        return Worker(f"worker {number + 1} of {self.count}", process, here)


def _keep_answering(
    worker: Worker, arm: str, batches: Batches, todo: SimpleQueue[int], done: SimpleQueue[Done | ProjectError]
) -> None:
    """In a thread: have one worker answer batches until none is left."""
    while (index := taken(todo)) is not None:
        try:
            worker.tell("answer", arm, without_data(batches[index]))
            done.put((index, worker.hear()))
        except ProjectError as error:
            done.put(error)
            return


def _answered(
    index: int, batch: "Sequence[Sample]", own: Callable[["Sequence[Sample]"], list[Generation]]
) -> Done | ProjectError:
    try:
        return index, own(batch)
    except ProjectError as error:
        return error


def taken(todo: SimpleQueue[int]) -> int | None:
    """The next batch that nobody has; None when there is none."""
    try:
        return todo.get_nowait()
    except Empty:
        return None


def finished(done: "SimpleQueue[Done | ProjectError]", seconds: float) -> Iterator[Done]:
    """What is done, at least one batch, waited for no longer than `seconds`. After it the first failure is raised."""
    failed: list[ProjectError] = []
    try:
        arrived = [done.get(timeout=seconds)]
    except Empty:
        raise UserError(f"a worker has answered nothing for {seconds:.0f} s: {KEPT}") from None
    while arrived:
        said = arrived.pop()
        if isinstance(said, ProjectError):
            failed.append(said)
        else:
            yield said
        with contextlib.suppress(Empty):
            arrived.append(done.get_nowait())
    if failed:
        raise failed[0]
