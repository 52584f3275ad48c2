"""Several processes that train together, one on each device: torchrun, as Axolotl's `--launcher torchrun` starts it.

    python -m scripts.training.ranks PROCESSES RUN_FOLDER PREPARED_DATA_FOLDER       for scripts/training/launch.py

torchrun gives each process its rank, starts no other when one fails, and ends the rest. It is called in this process,
which ends with its parent and takes signals: SIGTERM and SIGINT go to every rank, and each has GRACE_SECONDS to finish
the step and save. `accelerate launch`, Axolotl's default, starts the same torchrun, but first reads the user's own
configuration file. Exit codes: those of scripts/training/train_worker.py; 1 when a rank failed.

In the ranks: `in_group()`, `leads()` (only one writes our files), `agreed(flag)` (what one knows, all know) and
`hold(run)`, so that nobody trains on beside ranks whose command was killed.
"""

import fcntl
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from eval.common.errors import UserError
from scripts.training.prepared_rows import forget_uncounted

INTERRUPTED = 130
GRACE_SECONDS = 300  # for the step that runs and its checkpoint; torchrun's own 30 are short for a large batch
WORKER = "scripts.training.train_worker"


def arguments(processes: int, *given: str) -> list[str]:
    """torchrun's: one machine, a free port, one try.

    What `--standalone` means, by number: a container need not know its own name, nor `localhost`.
    """
    meeting = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", f"--rdzv-id={uuid.uuid4()}"]
    shape = [*meeting, "--local-addr=127.0.0.1", "--nnodes=1", f"--nproc-per-node={processes}", "--max-restarts=0"]
    return [*shape, f"--shutdown-timeout={GRACE_SECONDS}", "-m", WORKER, *given]


def in_group() -> bool:
    """Whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether this process writes what belongs to the run; alone, it does."""
    return os.environ.get("RANK", "0") == "0"


def agreed(flag: bool, device: Any) -> bool:
    """Whether any process of the group says yes. Every process has to ask at the same step."""
    if not in_group():
        return flag
    import torch

    said = torch.tensor([float(flag)], device=device)
    torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX)
    return bool(said.item())


def lock_file(run: Path) -> Path:
    return run / "training" / "ranks.lock"


def hold(run: Path) -> IO[bytes]:
    """A lock that ranks share, while the file that is returned is open."""
    stream = lock_file(run).open("ab")
    fcntl.flock(stream, fcntl.LOCK_SH)
    return stream


@contextmanager
def no_ranks(run: Path) -> Iterator[None]:
    """Nobody of an earlier group is still at work when the block begins. UserError otherwise."""
    with lock_file(run).open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{run.name} is in use: processes of a training whose command was killed are still saving; wait until "
                "they have ended"
            ) from None
        except OSError:
            pass  # a file system without locks, of which eval/run/folder.py has warned
    yield


def main(processes: int, run: str, prepared: str) -> int:
    from scripts.training.train_worker import end_with_parent

    end_with_parent()
    forget_uncounted(Path(prepared))
    log = os.open(Path(run) / "train.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)  # what torchrun says; the ranks take stdout over, for their progress lines
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(arguments(processes, run, prepared))
    except SignalException:
        return INTERRUPTED
    except ChildFailedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:4]))
