"""A process that answers for another: python -m eval.model.worker DESCRIPTOR, started by eval/model/workers.py.

Orders come in over the line of this descriptor, one answer goes out for each. The process ends when nobody is at the
other end, in the middle of a batch too.
"""

import os
import signal
import sys
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

from eval.common.errors import UserError, explain, run_command
from eval.contracts.backend import Backend, BaseMoved
from eval.model.hf import load
from eval.model.workers import Work, loaded_as


class Answering:
    """The model of this process, once it is loaded, and what it is ordered to do."""

    backend: Backend | None = None

    def load(self, work: Work) -> dict[str, Any]:
        """Load what the other process has; says what it is, to be compared."""
        os.chdir(work.folder)
        alone = work.settings.model_copy(update={"workers": 1})
        self.backend = load(alone, work.arms, work.seed, self.backend, say=lambda _: None)
        return loaded_as(self.backend)

    def do(self, kind: str, *given: Any) -> Any:
        if kind == "load":
            return self.load(*given)
        if self.backend is None:
            raise UserError(f"ordered to {kind} before anything was loaded")
        return self.backend.prove_base(thoroughly=True) if kind == "prove" else self.backend.answer(*given)


def listen(line: Connection, orders: SimpleQueue[Any]) -> None:
    """In a thread: hand orders on, until there is nobody to answer to."""
    try:
        while True:
            orders.put(line.recv())
    except (EOFError, OSError):
        os._exit(0)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process is interrupted as well, and then this one ends
    line, orders, answering = Connection(int(sys.argv[1])), SimpleQueue[Any](), Answering()
    Thread(target=listen, args=(line, orders), daemon=True).start()
    while True:
        try:
            reply: tuple[bool, Any] = True, answering.do(*orders.get())
        except Exception as error:
            reply = False, (isinstance(error, BaseMoved), explain(error))
        line.send(reply)


if __name__ == "__main__":
    run_command(main)
