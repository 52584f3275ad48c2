"""How a training ended: the mark that the worker writes, and what the command makes of it.

    write_mark(run, Mark(...))           in the worker, the moment the last checkpoint is whole
    mark = how_it_ended(run, recipe)     None: it did not end, and goes on from its last checkpoint

Only the worker sees why a training stops (all steps done, early stopping, the watchdog, a signal) and which checkpoint
is the result, so it says both, in `training/ended.json`. Whatever is not marked is unfinished.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eval.files import write_json
from eval.reading import read_text

ALL_STEPS = "all planned steps ran"
EARLY = "early stopping"
WATCHDOG = "loss_watchdog_threshold"


@dataclass(frozen=True)
class Mark:
    """Why training ended after `step` of `planned_steps` steps, and the checkpoint that is its result."""

    why: str
    step: int
    planned_steps: int
    result: str | None  # name of a checkpoint; None: there is nothing to keep
    best: dict[str, Any] | None = None  # metric and value, where the best checkpoint is the result
    rows: dict[str, Any] = field(default_factory=dict)


def write_mark(run: Path, mark: Mark) -> None:
    write_json(run / "training" / "ended.json", asdict(mark))


def how_it_ended(run: Path, recipe: dict[str, Any]) -> Mark | None:
    """The worker's mark; a worker killed between its last checkpoint and the mark has ended, too."""
    try:
        return Mark(**json.loads(read_text(run / "training" / "ended.json")))
    except (OSError, ValueError, TypeError):
        pass  # written whole or not at all; one of another form is as good as none
    for checkpoint in reversed(checkpoints(run)):
        state = trainer_state(checkpoint)
        if state and state["global_step"] >= state["max_steps"] > 0:
            best = Path(str(state.get("best_model_checkpoint") or "")).name
            asked = recipe.get("load_best_model_at_end") or recipe.get("early_stopping_patience")
            result = best if asked and best in {path.name for path in checkpoints(run)} else checkpoint.name
            return Mark(ALL_STEPS, state["global_step"], state["max_steps"], result)
    return None


def trainer_state(checkpoint: Path) -> dict[str, Any] | None:
    """trainer_state.json of a checkpoint, which the trainer writes last; None when it is not whole."""
    try:
        state = json.loads(read_text(checkpoint / "trainer_state.json"))
    except (FileNotFoundError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first."""
    return sorted((run / "training").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def remove_torn_checkpoints(run: Path) -> None:
    """A kill may leave a half-written checkpoint, which the trainer would load and crash on."""
    for checkpoint in checkpoints(run):
        if trainer_state(checkpoint) is None:
            shutil.rmtree(checkpoint)
