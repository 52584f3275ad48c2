"""How a training ended: the mark that the worker writes, and what the command makes of it.

    write_mark(run, Mark(...))           in the worker, the moment the last checkpoint is whole
    mark = how_it_ended(run, recipe)     None: it did not end, and goes on from its last checkpoint
    complete(run, recipe)                adapter/ and train.json, or a UserError that says why there is no result

The result is the last checkpoint, or the best one where the recipe asks for it (`asks_for_best`).
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
from eval.run.files import write_bytes, write_json
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
    best: dict[str, Any] | None = None  # metric, value and step, where the best checkpoint is the result
    rows: dict[str, Any] = field(default_factory=dict)


def write_mark(run: Path, mark: Mark) -> None:
    """The mark, and before it the last checkpoint's log: of `save_total_limit: 1` the trainer leaves only the best."""
    last = run / "training" / f"checkpoint-{mark.step}" / "trainer_state.json"
    if last.is_file():
        write_bytes(run / "training" / "last_state.json", read_bytes(last))
    write_json(run / "training" / "ended.json", asdict(mark))


def asks_for_best(recipe: dict[str, Any]) -> bool:
    """Whether the best checkpoint is the result.

    `metric_for_best_model` alone asks for it too: Axolotl then keeps the best checkpoint from being deleted and ends
    with the last all the same. `load_best_model_at_end` without a value means yes to Axolotl, and false means no.
    """
    load = recipe.get("load_best_model_at_end", recipe.get("metric_for_best_model") is not None)
    return load is None or bool(load) or bool(recipe.get("early_stopping_patience"))


def best_result(run: Path, state: dict[str, Any], metric: str) -> tuple[str | None, dict[str, Any] | None]:
    """The best checkpoint by a trainer's state, and its measure; (None, None) where nothing was measured.

    The first is None and the second is not where the checkpoint is gone.
    """
    name = Path(str(state.get("best_model_checkpoint") or "")).name
    if not name:
        return None, None
    there = name if trainer_state(run / "training" / name) else None
    return there, {"metric": metric, "value": state.get("best_metric"), "step": int(name.split("-")[1])}


def measure(metric: Any) -> str:
    """What chooses the best checkpoint, as the log names it: transformers takes `loss` for `eval_loss`."""
    name = str(metric or "loss")
    return name if name.startswith("eval_") else f"eval_{name}"


def waited(state: dict[str, Any]) -> tuple[int, int]:
    """How many evaluations without a better value early stopping has seen, and how many it allows; from a state."""
    stored = (state.get("stateful_callbacks") or {}).get("EarlyStoppingCallback") or {}
    known = stored if isinstance(stored, dict) else {}
    seen = (known.get("attributes") or {}).get("early_stopping_patience_counter", 0)
    return seen, (known.get("args") or {}).get("early_stopping_patience", seen + 1)


def reached(state: dict[str, Any], metric: str) -> str | None:
    """Why a training with this state is over: all steps, or early stopping; None when it is not."""
    if state["global_step"] >= state["max_steps"] > 0:
        return ALL_STEPS
    seen, patience = waited(state)
    return f"{EARLY}: {metric} got no better for {seen} evaluation(s)" if seen >= patience else None


def result_of(run: Path, why: str, state: dict[str, Any], metric: str, best: bool, rows: dict[str, Any]) -> Mark:
    """The mark of a training that is over: its last checkpoint, or the best."""
    last = f"checkpoint-{state['global_step']}"
    name, value = best_result(run, state, metric) if best else (None, None)
    if value is None:
        return Mark(why, state["global_step"], state["max_steps"], last, None, rows)
    if name is None:
        why = f"{why}, but the best checkpoint (step {value['step']}, {metric} {value['value']}) is gone"
    return Mark(why, state["global_step"], state["max_steps"], name, value, rows)


def how_it_ended(run: Path, recipe: dict[str, Any]) -> Mark | None:
    """The worker's mark; a worker killed between its last checkpoint and the mark has ended, too."""
    try:
        return Mark(**json.loads(read_text(run / "training" / "ended.json")))
    except (OSError, ValueError, TypeError):
        pass  # written whole or not at all; one of another form is as good as none
    metric = measure(recipe.get("metric_for_best_model"))
    for checkpoint in reversed(checkpoints(run)):
        state = trainer_state(checkpoint)
        if state and (why := reached(state, metric)):
            return result_of(run, why, state, metric, asks_for_best(recipe), {})
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


def name_best_here(run: Path) -> None:
    """The path of the best checkpoint as it is now: where a run was moved, the trainer would not know its own and
    delete it by `save_total_limit`."""
    for checkpoint in checkpoints(run):
        state = trainer_state(checkpoint) or {}
        here = run / "training" / Path(str(state.get("best_model_checkpoint") or "")).name
        if state.get("best_model_checkpoint") not in (None, str(here)):
            write_json(checkpoint / "trainer_state.json", state | {"best_model_checkpoint": str(here)})


def complete(run: Path, recipe: dict[str, Any], keep_checkpoints: bool = False) -> None:
    """Promote the result to adapter/, write its digests and the completion mark; safe to repeat.

    `keep_checkpoints`: the adapters of the other checkpoints go to checkpoints/.

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
    copy_adapter(checkpoint, partial)
    shutil.rmtree(run / "adapter", ignore_errors=True)
    write_manifest(partial, run / "adapter.sha256")
    partial.rename(run / "adapter")
    if keep_checkpoints:
        keep_others(run, checkpoint)
    write_json(run / "data.json", with_rows_taken(read_data(run), mark.rows))
    update_run(run, stages={"train": "completed"})
    write_json(run / "train.json", summary(run, mark, recipe))  # last: it is the completion mark
    shutil.rmtree(run / "training")


def copy_adapter(checkpoint: Path, folder: Path) -> None:
    """The adapter of a checkpoint in a folder made for it, without the trainer's state."""
    folder.mkdir(parents=True)
    for name in ADAPTER_FILES:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, folder / name)


def keep_others(run: Path, result: Path) -> None:
    """The adapters of all checkpoints but the result's in checkpoints/, with the log that led to each.

    One whose weights cannot be read is left out.
    """
    partial = run / "checkpoints.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for other in checkpoints(run):
        if other != result and trainer_state(other) and weights_problem(other) is None:
            copy_adapter(other, partial / other.name)
            shutil.copyfile(other / "trainer_state.json", partial / other.name / "trainer_state.json")
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    partial.rename(run / "checkpoints")


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
    state = last_state(run)
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


def last_state(run: Path) -> dict[str, Any]:
    """The trainer's state at the end: beside the mark; of a worker killed before it, in the last checkpoint."""
    kept = run / "training" / "last_state.json"
    state: dict[str, Any] = json.loads(read_text(kept)) if kept.is_file() else trainer_state(checkpoints(run)[-1]) or {}
    return state


def result_line(done: dict[str, Any]) -> str:
    """What adapter/ holds, by train.json: `all planned steps ran; the best checkpoint, step 3 of 4, eval_loss 2.31`."""
    best, ended = done.get("best"), done["ended"]
    if not best:
        return f"{ended}; the last step, {done['result_step']}"
    value = f"{best['value']:.4g}" if isinstance(best.get("value"), int | float) else "unknown"
    return f"{ended}; the best checkpoint, step {done['result_step']} of {done['steps']}, {best['metric']} {value}"


def series(steps: list[dict[str, Any]], name: str) -> list[list[float]]:
    """[step, value] of what the trainer logged under a name; a value that is no number (a NaN gradient) is left out."""
    logged = [[row["step"], row[name]] for row in steps if isinstance(row.get(name), int | float)]
    return [point for point in logged if math.isfinite(point[1])]
