"""Several trainings for the price of one import: the real worker, run after run in one process.

python -m tests.several_workers RUN PREPARED [RUN PREPARED]...

Prints a line for each run: its exit code and its name. What a worker changes in the libraries is undone after each;
everything else is scripts/train_worker.
"""

import os
import sys
from pathlib import Path

from scripts.training import train_worker


def train_alone(run: Path, prepared: Path) -> str:
    """The worker's exit code, or what it ended with, as text."""
    # Not at the top: each process that Axolotl starts to prepare data imports this file again.
    import axolotl.train
    import transformers.trainer
    from axolotl.utils.data import sft

    libraries = {module: dict(vars(module)) for module in (axolotl.train, sft)}
    callbacks = list(transformers.trainer.DEFAULT_CALLBACKS)
    out, err = os.dup(1), os.dup(2)
    try:
        return str(train_worker.main(run, prepared))
    except Exception as error:  # Axolotl's failure is this run's alone
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    finally:
        for module, before in libraries.items():
            vars(module).update(before)
        transformers.trainer.DEFAULT_CALLBACKS[:] = callbacks
        sys.stdout.flush()
        os.dup2(out, 1)
        os.dup2(err, 2)


if __name__ == "__main__":
    for folder, data in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        print(f"{train_alone(Path(folder), Path(data))} {Path(folder).name}", flush=True)
