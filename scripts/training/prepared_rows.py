"""How many rows of each dataset Axolotl really trains on, and why it left out the others.

    rows = RowCount(prepared).watch()        before Axolotl prepares anything, in the process that trains
    rows.finish(trainer)                     -> {"taken": [12], "dropped": {...}, "trained": 9, "validated": 3}

Axolotl says such numbers in its log only, and nothing at all when it finds its prepared data on the disk. They are kept
beside that data; prepared data without them (of a run that was killed meanwhile) is prepared again.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.common.reading import read_text

LENGTH = "longer than sequence_len, or under two tokens"
NOTHING = "without a token to train on"
TWICE = "duplicates"
UNREADABLE = "not of the dataset's type"


def forget_uncounted(prepared: Path) -> None:
    """Prepared data without its counts is prepared again; to be called before any process prepares."""
    if prepared.is_dir() and not (prepared / "rows.json").is_file():
        shutil.rmtree(prepared)


class RowCount:
    """Counts kept while Axolotl prepares its data; `prepared` is the folder it prepares into."""

    def __init__(self, prepared: Path) -> None:
        self.file = prepared / "rows.json"
        self.split = "train"
        self.taken: dict[str, list[int]] = {"train": [], "test": []}
        self.dropped: dict[str, int] = {}

    def watch(self) -> "RowCount":
        """Look at every step of Axolotl's preparation, from now on and in this process."""
        from axolotl.utils.data import sft

        load, wrap = sft._load_raw_datasets, sft.get_dataset_wrapper

        def load_and_note(cfg: Any, configs: Any, tokenizer: Any, split: str, *more: Any) -> Any:
            self.split = split
            return load(cfg, configs, tokenizer, split, *more)

        def wrap_and_note(*args: Any, **given: Any) -> Any:
            self.taken[self.split].append(len(given["dataset"]))
            result = wrap(*args, **given)
            self.note(UNREADABLE, len(given["dataset"]), len(result[0]))
            return result

        sft._load_raw_datasets = load_and_note
        sft.get_dataset_wrapper = wrap_and_note
        for name, reason in (
            ("handle_long_seq_in_dataset", LENGTH),
            ("process_datasets_for_packing", NOTHING),
            ("deduplicate_and_log_datasets", TWICE),
        ):
            setattr(sft, name, self.counted(getattr(sft, name), reason))
        return self

    def counted(self, step: Callable[..., Any], reason: str) -> Callable[..., Any]:
        """A step of the preparation that notes how many training rows went in and came out."""
        from datasets import Dataset

        def counting(*args: Any, **given: Any) -> Any:
            result = step(*args, **given)
            before = next(one for one in (*args, *given.values()) if isinstance(one, Dataset))
            after = result[0] if isinstance(result, tuple) else result
            self.note(reason, len(before), len(after))
            return result

        return counting

    def note(self, reason: str, before: int, after: int) -> None:
        if self.split == "train" and after < before:
            self.dropped[reason] = self.dropped.get(reason, 0) + before - after

    def finish(self, trainer: Any) -> dict[str, Any]:
        """All counts, once the data is prepared; those of an earlier preparation where its result was reused."""
        from axolotl.utils.distributed import barrier

        counts: dict[str, Any] = {"taken": self.taken["train"], "validation": self.taken["test"]}
        counts["dropped"] = self.dropped
        if self.taken["train"] and self.file.parent.is_dir():
            self.file.write_text(json.dumps(counts))
        barrier()  # of several processes one has prepared, any of them
        if not self.taken["train"] and self.file.is_file():
            counts = json.loads(read_text(self.file))
        sizes = {"trained": trainer.train_dataset, "validated": trainer.eval_dataset}
        return counts | {name: len(data) if hasattr(data, "__len__") else 0 for name, data in sizes.items()}
