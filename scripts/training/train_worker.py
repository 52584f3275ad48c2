"""The process that runs Axolotl for scripts/training/train.py; not meant to be started by hand.

    python -m scripts.training.train_worker RUN_FOLDER PREPARED_DATA_FOLDER

Everything Axolotl prints goes to RUN_FOLDER/train.log; progress lines go to the terminal. It seeds before
the model loads, because Axolotl's `seed` leaves the LoRA initialisation to chance, and it answers SIGTERM
and Ctrl-C by saving a checkpoint at the end of the step. How training ended is in RUN_FOLDER/training/ended.json.
Exit codes: 0 ended, 130 interrupted. Of several processes (scripts/training/ranks.py) all run this, and one writes.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from eval.common.errors import CANNOT_EVALUATE
from eval.run.folder import read_recipe
from scripts.training.prepared_rows import RowCount, forget_uncounted
from scripts.training.ranks import hold, in_group, leads
from scripts.training.training_end import asks_for_best, checkpoints
from scripts.training.training_watch import Watch

INTERRUPTED = 130
PR_SET_PDEATHSIG = 1


def main(run: Path, prepared: Path) -> int:
    end_with_parent()
    terminal = os.fdopen(os.dup(1), "w")
    log = os.open(run / "train.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)

    # Heavy imports only now, so that what they print goes to the log.
    import torch
    import transformers.trainer
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config import load_cfg
    from axolotl.cli.train import do_train
    from transformers import TrainerCallback, set_seed

    from eval.common.hub_client import use_bounded_client

    use_bounded_client()

    # On a CPU with bfloat16 units this computes matrix products of float32 in them, and changes nothing elsewhere.
    torch.set_float32_matmul_precision("medium")
    training = run / "training"
    training.mkdir(exist_ok=True)
    if in_group():
        held = hold(run)  # noqa: F841  until this process ends
    else:
        forget_uncounted(prepared)
    watch = Watch(run, terminal, RowCount(prepared).watch(), asks_for_best(read_recipe(run)))
    watch.install()

    class Packing(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
            pack_for_epoch(train_dataloader, int(state.epoch or 0))

    transformers.trainer.DEFAULT_CALLBACKS.append(Packing)

    last = checkpoints(run)[-1:]
    cfg = load_cfg(
        str(run / "recipe.yaml"),
        output_dir=str(training),
        dataset_prepared_path=str(prepared),
        auto_resume_from_checkpoints=False,
        **({"resume_from_checkpoint": str(last[0])} if last else {}),
    )
    if in_group() and not torch.cuda.is_available():
        cfg.device_map = {"": "cpu"}  # Axolotl names device `rank`, and there is none
    if leads():
        write_resolved(run / "resolved.yaml", cfg)
    set_seed(cfg.seed)
    do_train(cfg, TrainerCliArgs())
    return INTERRUPTED if watch.stop_requested and not watch.ended else 0


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the command that started this process dies: nobody else would stop it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def pack_for_epoch(loader: Any, epoch: int) -> None:
    """Let Axolotl's packing sampler pack anew for this epoch, into as many batches as were planned.

    The order below it is a function of (seed, epoch), but packed batches are cached, and Accelerate's skipping of
    finished batches does not tell the packing sampler the epoch: resumed, a run would use the packing that was made
    to count the batches, repeat some examples and never show others. Those counts are a sample too: another order may
    pack into fewer batches, and training would end before its last planned step, each time it is continued.
    """
    from axolotl.utils.samplers.multipack import MultipackBatchSampler

    sampler = loader.batch_sampler
    while sampler is not None and not isinstance(sampler, MultipackBatchSampler):
        sampler = getattr(sampler, "batch_sampler", None)
    if sampler is not None:
        sampler.set_epoch(epoch)
        sampler.generate_batches = partial(planned_batches, sampler)


def planned_batches(sampler: Any, set_stats: bool = False) -> list[list[list[int]]]:
    """The sampler's batches (lists of bins, lists of examples), the fullest bins halved until none is missing."""
    batches = type(sampler).generate_batches(sampler, set_stats)
    bins = [one for batch in batches for one in batch]
    while len(bins) < (sampler._len_across_ranks or 0) * sampler.batch_size:
        fullest: list[int] = max(bins, key=len, default=[])
        half = len(fullest) // 2
        if half == 0:
            break
        place = bins.index(fullest)
        bins[place : place + 1] = [fullest[:half], fullest[half:]]
    sampler._batches = [bins[k : k + sampler.batch_size] for k in range(0, len(bins), sampler.batch_size)]
    return sampler._batches


def write_resolved(path: Path, cfg: Any) -> None:
    """What Axolotl made of the recipe: defaults filled in, keys it derived added."""
    import yaml

    plain = json.loads(json.dumps(cfg.to_dict(), default=str))
    text = yaml.safe_dump(plain, sort_keys=True)
    path.write_text(text.replace(f"{Path.cwd()}/", ""))  # evidence names no folder of the machine


def explained(run: Path, prepared: Path) -> int:
    """`main`; where the Hub is the reason for a failure, the log ends with one line that says so, and the code is 2."""
    try:
        return main(run, prepared)
    except Exception as error:
        from eval.common.hub_access import hub_problem

        problem = hub_problem(error, str(read_recipe(run)["base_model"]))
        if problem is None:
            raise
        traceback.print_exc()
        print(f"error: {problem}", file=sys.stderr, flush=True)
        return CANNOT_EVALUATE


if __name__ == "__main__":
    sys.exit(explained(Path(sys.argv[1]), Path(sys.argv[2])))
