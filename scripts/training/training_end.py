"""How a training ended: the mark that the worker writes, and what the command makes of it.

    write_mark(run, Mark(...))           in the worker, the moment the last checkpoint is whole
    mark = how_it_ended(run, recipe)     None: it did not end, and goes on from its last checkpoint
    complete(run, recipe)                adapter/ and train.json, or a UserError that says why there is no result

Only the worker sees why a training stops (all steps done, early stopping, the watchdog, a signal) and which checkpoint
is the result, so it says both, in `training/ended.json`. Whatever is not marked is unfinished.
"""

import json
import math
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eval.adapters.safetensors_file import check_weights
from eval.common.errors import Refused, UserError
from eval.common.reading import read_bytes, read_text
from eval.run.digests import write_manifest
from eval.run.files import write_json
from eval.run.folder import read_data, update_run
from scripts.data.dataset_facts import with_rows_taken
from scripts.training.system_metrics import read_samples, summarise

ADAPTER_FILES = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
SERIES = ("learning_rate", "grad_norm")  # of the trainer's log, beside the loss
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


def complete(run: Path, recipe: dict[str, Any]) -> None:
    """Promote the result to adapter/, write its digests and the completion mark; safe to repeat.

    Nothing that was trained is deleted before its weights stand in adapter/. UserError when there is no result.
    """
    mark = how_it_ended(run, recipe)
    if mark is None:
        update_run(run, stages={"train": "failed"})
        raise UserError(
            f"{run.name}: training stopped before its planned steps and did not say why: see {run.name}/train.log, "
            "then run the same command again to continue"
        )
    checkpoint = run / "training" / (mark.result or "")
    if problem := mark.why if mark.result is None else weights_problem(checkpoint):
        update_run(run, stages={"train": "failed"})
        write_json(run / "train.json", {"completed": False, "ended": problem})
        raise UserError(
            f"{run.name}: training ended without a usable adapter at step {mark.step} of {mark.planned_steps} "
            f"({problem}): change the recipe; what was trained is in {run.name}/training"
        )
    partial = run / "adapter.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in ADAPTER_FILES:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, partial / name)
    shutil.rmtree(run / "adapter", ignore_errors=True)
    write_manifest(partial, run / "adapter.sha256")
    partial.rename(run / "adapter")
    write_json(run / "data.json", with_rows_taken(read_data(run), mark.rows))
    update_run(run, stages={"train": "completed"})
    write_json(run / "train.json", summary(run, mark, recipe))  # last: it is the completion mark
    shutil.rmtree(run / "training")


def weights_problem(checkpoint: Path) -> str | None:
    """What is wrong with the adapter in a checkpoint: missing, no safetensors, or numbers that are none."""
    for name in ADAPTER_FILES[:2]:
        if not (checkpoint / name).is_file():
            return f"{checkpoint.name} holds no {name}"
    try:
        check_weights(checkpoint / ADAPTER_FILES[0])
    except Refused as error:
        return f"{error}; lower learning_rate".removeprefix(f"{checkpoint}/")
    return None


def summary(run: Path, mark: Mark, recipe: dict[str, Any]) -> dict[str, Any]:
    """train.json: what ran, how it ended, the loss curve as [step, loss] pairs, and what the machine did."""
    last = checkpoints(run)[-1]
    state = trainer_state(last) or {}
    log = run / "training" / "sessions.jsonl"
    sessions = [json.loads(line) for line in read_bytes(log).splitlines()] if log.is_file() else []
    seconds = sum(
        max(row["seconds"] for row in sessions if row["session"] == session)
        for session in {row["session"] for row in sessions}
    )
    steps = [row for row in state.get("log_history", []) if "loss" in row]
    curve = [[row["step"], row["loss"]] for row in steps]
    return {
        "completed": True,
        "ended": mark.why,
        "steps": mark.step,
        "planned_steps": mark.planned_steps,
        "result_step": int(str(mark.result).split("-")[1]),
        "best": mark.best,
        "epochs": recipe.get("num_epochs"),
        "examples": mark.rows.get("trained"),
        "validation_examples": mark.rows.get("validated"),
        "dropped": mark.rows.get("dropped") or {},
        "seconds": round(seconds, 1),
        "sessions": len({row["session"] for row in sessions}),
        "peak_memory_gb": max((row["peak_memory_gb"] for row in sessions), default=None),
        "final_loss": curve[-1][1] if curve else None,
        "curve": curve,
        "series": {name: series(steps, name) for name in SERIES},
        "system": summarise(read_samples(run / "training" / "system.jsonl")),
    }


def series(steps: list[dict[str, Any]], name: str) -> list[list[float]]:
    """[step, value] of what the trainer logged under a name; a value that is no number (a NaN gradient) is left out."""
    logged = [[row["step"], row[name]] for row in steps if isinstance(row.get(name), int | float)]
    return [point for point in logged if math.isfinite(point[1])]
