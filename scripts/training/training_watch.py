"""What looks on while Axolotl trains: progress on the terminal, a stop after a signal, and the mark at the end.

watch = Watch(run, terminal, rows)
watch.install()          before Axolotl starts; its callbacks then come first and last in every trainer
"""

import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any, TextIO

from scripts.training.prepared_rows import RowCount
from scripts.training.ranks import agreed, leads
from scripts.training.shown_row import write_row
from scripts.training.training_end import (
    WATCHDOG,
    Mark,
    measure,
    reached,
    result_of,
    trainer_state,
    waited,
    write_mark,
)

STOP_AFTER = "REHEARSAL_STOP_AFTER"  # variable: a step after which scripts/training/rehearse.py wants an interruption


class Watch:
    """One training in this process."""

    def __init__(self, run: Path, terminal: TextIO, rows: RowCount, best_wanted: bool = False) -> None:
        self.run, self.terminal, self.rows, self.best_wanted = run, terminal, rows, best_wanted
        self.started, self.session = time.monotonic(), time.time_ns()
        self.stop_requested = self.ended = False
        self.watchdog = False
        self.stop_after = int(os.environ.get(STOP_AFTER, "0"))  # as a signal at that step would
        self.counts: dict[str, Any] = {}

    def request_stop(self, *_: Any) -> None:
        self.stop_requested = True

    def install(self) -> None:
        """Let every trainer of this process be watched."""
        import axolotl.train
        from transformers import TrainerCallback

        watch, execute = self, axolotl.train.execute_training

        class Ending(TrainerCallback):
            """The last callback: nobody after it changes its mind about stopping."""

            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                # Axolotl has installed a SIGINT handler that exits 0 with a half-trained adapter.
                signal.signal(signal.SIGTERM, watch.request_stop)
                signal.signal(signal.SIGINT, watch.request_stop)

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step == watch.stop_after:
                    watch.stop_requested = True
                watch.stop_requested = agreed(watch.stop_requested, args.device)  # all stop at the same step
                if watch.stop_requested:
                    control.should_training_stop = True
                self.on_evaluate(args, state, control)

            def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
                if watch.best_wanted and is_better(args, state, metrics or {}):
                    control.should_save = True  # where save_steps is a multiple of eval_steps, it would be lost
                if control.should_training_stop:
                    control.should_save = True  # whatever stops a training, the step it stopped at is kept

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs:
                    watch.record(state.global_step)
                    watch.say(f"step {state.global_step}/{state.max_steps}, loss {float(logs['loss']):.3f}")

            def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                watch.record(state.global_step)
                if control.should_training_stop:
                    watch.mark(args, state)

        def execute_watched(cfg: Any, trainer: Any, resume: Any) -> None:
            watch.counts = watch.rows.finish(trainer)
            if leads():
                write_row(watch.run, trainer.train_dataset, trainer.processing_class)
            watch.say(rows_line(watch.counts))
            watch.watchdog = bool(cfg.loss_watchdog_threshold)
            go_on_waiting(trainer, resume)
            trainer.add_callback(Ending())
            execute(cfg, trainer, resume)

        axolotl.train.execute_training = execute_watched

    def mark(self, args: Any, state: Any) -> None:
        """Say how it ended; nothing is said of a training that a signal stopped, which goes on another day."""
        facts = vars(state) | {"stateful_callbacks": state.stateful_callbacks}
        metric = measure(args.metric_for_best_model)
        why, rows = reached(facts, metric), self.counts
        if why is None and self.stop_requested:
            return
        if leads():
            failed = f"{WATCHDOG}: the loss stayed above it" if self.watchdog else "a callback stopped it"
            mark = result_of(self.run, why, facts, metric, self.best_wanted, rows) if why else None
            write_mark(self.run, mark or Mark(failed, state.global_step, state.max_steps, None, None, rows))
        self.ended = True

    def record(self, step: int) -> None:
        """A line of sessions.jsonl: how far, how long, how much memory."""
        if not leads():
            return
        row = {"session": self.session, "step": step, "seconds": round(time.monotonic() - self.started, 1)}
        with (self.run / "training" / "sessions.jsonl").open("a") as stream:
            stream.write(json.dumps({**row, "peak_memory_gb": peak_memory_gb()}) + "\n")

    def say(self, what: str) -> None:
        if leads():
            print(f"train: {what}, {time.monotonic() - self.started:.0f} s", file=self.terminal, flush=True)


def go_on_waiting(trainer: Any, resume: Any) -> None:
    """Let early stopping go on counting where it was interrupted: transformers would begin at nought again."""
    state = trainer_state(Path(str(resume))) if resume else None
    for callback in trainer.callback_handler.callbacks:
        if state and type(callback).__name__ == "EarlyStoppingCallback":
            callback.early_stopping_patience_counter = waited(state)[0]


def is_better(args: Any, state: Any, metrics: dict[str, Any]) -> bool:
    """Whether an evaluation is the best so far, by the trainer's own rule; it decides after this is asked."""
    value = metrics.get(measure(args.metric_for_best_model))
    if value is None or state.best_metric is None:
        return value is not None
    return bool(value > state.best_metric if args.greater_is_better else value < state.best_metric)


def rows_line(counts: dict[str, Any]) -> str:
    """`9 rows to train on, 3 to validate; 2 left out (duplicates)`."""
    line = f"{counts['trained']:,} rows to train on"
    if counts["validated"]:
        line += f", {counts['validated']:,} to validate"
    return line + "".join(f"; {number:,} left out ({why})" for why, number in counts.get("dropped", {}).items())


def peak_memory_gb() -> float:
    """Peak of this process: GPU memory where there is one, else resident memory."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
