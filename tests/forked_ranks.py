"""scripts/training/ranks.py, whose ranks are forked from this process instead of importing Axolotl anew.

python -m tests.forked_ranks PROCESSES RUN PREPARED       in a process of tests/preloaded.py

torchrun, its signals and its ranks are the real ones; only how Python starts in them is not. Axolotl asks whether two
GPUs reach each other, also for ranks that have none: a torch that was built for CUDA asks the driver, and fails.
With HELD_AT="CHECKPOINT REACHED" the first rank that has saved it waits there for a signal (tests/held_worker.py), and
the others wait for that rank.
"""

import os
import sys
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

from scripts.training import ranks
from tests.preloaded import Child


def forked(_: Any, command: tuple[str, ...], environment: dict[str, str]) -> Child:
    words = [part for part in command if part != "-u"]
    if held := os.environ.get("HELD_AT"):
        place = words.index("scripts.training.train_worker")
        words[place : place + 1] = ["tests.held_worker", *held.split(" ", 1)]
    return Child(words, env=environment, start_new_session=True)


if __name__ == "__main__":
    subprocess_handler.SubprocessHandler._popen = forked
    torch.cuda.can_device_access_peer = lambda *_: False
    sys.exit(ranks.main(int(sys.argv[1]), *sys.argv[2:4]))
