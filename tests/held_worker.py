"""The training worker, held after a checkpoint until a signal came: what a test interrupts, it interrupts there.

python -m tests.held_worker CHECKPOINT REACHED RUN PREPARED

REACHED is a file that says that the checkpoint is whole and a signal may come. Everything else is scripts/train_worker.
"""

import signal
import sys
import time
from pathlib import Path
from typing import Any

from scripts.training import train_worker

CHECKPOINT, REACHED, RUN, PREPARED = map(Path, sys.argv[1:])
begin_epoch = train_worker.pack_for_epoch


def wait_for_signal() -> None:
    """Until SIGTERM came and the worker's own handler has had it."""
    came, handler = [], signal.getsignal(signal.SIGTERM)
    assert callable(handler)
    signal.signal(signal.SIGTERM, lambda *caught: came.append(handler(*caught)))
    REACHED.touch()
    while not came:
        time.sleep(0.01)


def hold_after_saving(*arguments: Any) -> None:
    """Where an epoch begins, Axolotl has been imported: only now change what saves a checkpoint."""
    from transformers import Trainer

    save = Trainer._save_checkpoint

    def save_and_wait(*given: Any) -> None:
        save(*given)
        if (RUN / "training" / CHECKPOINT).is_dir() and not REACHED.exists():
            wait_for_signal()

    Trainer._save_checkpoint = save_and_wait
    begin_epoch(*arguments)


if __name__ == "__main__":
    train_worker.pack_for_epoch = hold_after_saving
    sys.exit(train_worker.main(RUN, PREPARED))
