"""Several trainings for the price of one import: the real worker, in a process forked for each run.

python -m tests.forked_workers RUN...

Prints a line for each run: its exit code and its name. Everything else is scripts/train_worker.
"""

import os
import sys
from pathlib import Path

import axolotl.cli.train
import axolotl.train  # noqa: F401

from scripts import train_worker

if __name__ == "__main__":
    for run in map(Path, sys.argv[1:]):
        child = os.fork()
        if child == 0:
            os._exit(train_worker.main(run, run / "prepared"))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), run.name, flush=True)
