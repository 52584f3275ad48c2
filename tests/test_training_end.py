"""How trainings end: each finds its result, or says why there is none; rows are counted as they are trained on.

Each recipe is trained by a worker of its own, forked from a process that has imported Axolotl; the tests look at what
it left.
"""

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.run.digests import file_sha256, verify_manifest
from eval.run.files import read_json, write_json
from scripts.data.dataset_facts import describe_data
from scripts.training.train import complete, has_ended, is_trained, start_run
from scripts.training.training_end import (
    ALL_STEPS,
    Mark,
    asks_for_best,
    checkpoints,
    how_it_ended,
    name_best_here,
    result_line,
    trainer_state,
    write_mark,
)
from tests import preloaded
from tests.conftest import EMBEDDED, make_model
from tests.patience import PATIENCE

pytestmark = pytest.mark.slow
DEMO = yaml.safe_load(Path("configs/train/smollm2-135m-cpu.yaml").read_text())
COMMANDS = ["ls -lS", "du -sh .", "wc -l a.txt", "date", "whoami", "free -h", "ls -A", "sort b.txt", "uname -r"]
COMMANDS += ["head c.log", "mkdir out", "pwd"]
CHAT = {"type": "chat_template", "field_messages": "messages", "roles_to_train": ["assistant"], "train_on_eos": "turn"}
STEPS = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 2, "logging_steps": 1, "micro_batch_size": 1}
WATCHED = {**STEPS, "val_set_size": 0.25, "eval_steps": 1}
# What each training is about; all learn from the same twelve rows.
ALL_WORDS = ("best", "kept", "early")  # on fewer words the best step is the last
RECIPES: dict[str, dict[str, Any]] = {
    # Steps this large make the model worse and worse, so that the best checkpoint is not the last.
    "best": {**WATCHED, "max_steps": 4, "learning_rate": 0.5, "load_best_model_at_end": True},
    # Only the first of three is better than none, and no other step would be saved; one checkpoint is kept.
    "kept": {**WATCHED, "max_steps": 4, "learning_rate": 0.5, "metric_for_best_model": "loss", "save_steps": 4}
    | {"save_total_limit": 1},
    "early": {**WATCHED, "max_steps": 8, "num_epochs": 2, "learning_rate": 0.5, "early_stopping_patience": 1},
    "short": {**STEPS, "max_steps": 2, "logging_steps": 50, "save_steps": 100},
    "epoch": {**STEPS, "max_steps": 2, "save_strategy": "epoch", "save_steps": None},
    "watchdog": {**STEPS, "max_steps": 6, "loss_watchdog_threshold": 0.01, "loss_watchdog_patience": 1},
    "diverged": {**STEPS, "max_steps": 3, "learning_rate": 1e20},
    "rows": {**STEPS, "max_steps": 2, "val_set_size": 3, "dataset_exact_deduplication": True, "sequence_len": 128},
}


def row(request: str, command: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": request}, {"role": "assistant", "content": command}]}


def datasets(folder: Path, name: str) -> list[dict[str, Any]]:
    """Twelve rows; for `rows` also as half of a packed file, as a quarter of a list, with a double and a long one."""
    rows = [row(f"please run {command} for me", command) for command in COMMANDS]
    plain = folder / "plain.jsonl"
    plain.write_text("".join(json.dumps(one) + "\n" for one in rows))
    if name != "rows":
        return [{**CHAT, "path": str(plain)}]
    packed, pretty = folder / "packed.jsonl.gz", folder / "pretty.json"
    packed.write_bytes(gzip.compress("".join(json.dumps(row(f"now {c}", c)) + "\n" for c in COMMANDS).encode()))
    pretty.write_text(json.dumps([row(f"kindly {command}", command) for command in COMMANDS], indent=1))
    odd = folder / "odd.jsonl"
    long = row("count " * 300, "true")
    odd.write_text("".join(json.dumps(one) + "\n" for one in (*rows, rows[0], long)))
    return [
        {**CHAT, "path": str(packed), "split": "train[:50%]"},
        {**CHAT, "path": str(pretty), "shards": 4},
        {**CHAT, "path": str(odd)},
    ]


@pytest.fixture(scope="module")
def all_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with the embedded model's whole tokenizer, for the trainings of ALL_WORDS."""
    from transformers import AutoTokenizer

    folder, tokenizer = tmp_path_factory.mktemp("models") / "tiny", AutoTokenizer.from_pretrained(EMBEDDED)
    tokenizer.save_pretrained(folder)
    return make_model(folder, tokenizer)


@pytest.fixture(scope="module")
def trained(all_words: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folder by recipe, with what its worker left."""
    folder = tmp_path_factory.mktemp("endings")
    runs = {}
    for name, changes in RECIPES.items():
        recipe = DEMO | {
            "base_model": str(all_words if name in ALL_WORDS else tiny_model),
            "datasets": datasets(folder, name),
            "dataset_num_proc": 0,
            "peft_layers_to_transform": [1],
            "excess_length_strategy": "drop",
            "gradient_accumulation_steps": 1,
            "sample_packing": name == "rows",  # without it twelve rows are twelve steps
            "wandb_mode": "disabled",
            "use_wandb": False,
            **changes,
        }
        recipe = {key: value for key, value in recipe.items() if value is not None}
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        runs[name] = start_run(path, recipe, describe_data(recipe), folder / "results")
    environment = os.environ | {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "AXOLOTL_DATASET_NUM_PROC": "0"}
    for name, run in runs.items():
        # Those with the same words prepare the same rows in the same way: only the first of them does.
        prepared = folder / ("prepared-rows" if name == "rows" else f"prepared-{name in ALL_WORDS}")
        command = [sys.executable, "-m", "scripts.training.train_worker", str(run), str(prepared)]
        done = preloaded.run(command, env=environment, timeout=PATIENCE)
        assert done.returncode == 0, f"{name}: {done.stderr}{(run / 'train.log').read_text()[-2000:]}"
    return runs


def recipe_of(run: Path) -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load((run / "recipe.yaml").read_text())
    return recipe


def finish(run: Path) -> dict[str, Any]:
    complete(run, recipe_of(run))
    done: dict[str, Any] = read_json(run / "train.json")
    assert verify_manifest(run / "adapter", run / "adapter.sha256") == []
    assert done["completed"] and not (run / "training").exists()
    return done


def losses(run: Path) -> dict[int, float]:
    """Loss on the validation rows by step, of the checkpoints' own log."""
    state = trainer_state(checkpoints(run)[-1]) or {}
    return {one["step"]: one["eval_loss"] for one in state["log_history"] if one.get("eval_loss") and one["step"]}


def test_the_best_checkpoint_is_the_result_where_the_recipe_asks_for_it(trained: dict[str, Path]) -> None:
    run = trained["best"]
    measured = losses(run)
    best = min(measured, key=lambda step: measured[step])
    assert best != max(measured), "a run whose last step is its best shows nothing"
    weights = file_sha256(run / "training" / f"checkpoint-{best}" / "adapter_model.safetensors")
    done = finish(run)
    assert file_sha256(run / "adapter" / "adapter_model.safetensors") == weights
    assert (done["steps"], done["result_step"], done["ended"]) == (4, best, ALL_STEPS)
    assert done["best"]["value"] == pytest.approx(measured[best])


def test_the_best_is_saved_whenever_it_is_measured_and_its_log_is_whole(trained: dict[str, Path]) -> None:
    """metric_for_best_model alone, a step that is not due to be saved, and `save_total_limit: 1`."""
    run = trained["kept"]
    done = finish(run)
    assert done["result_step"] < 4 and done["best"]["step"] == done["result_step"]
    assert [step for step, _ in done["curve"]] == [1, 2, 3, 4], "the log of the steps after the best one"
    assert f"the best checkpoint, step {done['result_step']} of 4, eval_loss " in result_line(done)


def test_early_stopping_is_an_end_and_no_interruption(trained: dict[str, Path]) -> None:
    done = finish(trained["early"])
    assert done["ended"].startswith("early stopping: eval_loss got no better for 1")
    assert done["result_step"] < done["steps"] < done["planned_steps"]


@pytest.mark.parametrize("name", ["short", "epoch"])
def test_a_training_ends_whatever_is_logged_or_saved_on_the_way(trained: dict[str, Path], name: str) -> None:
    done = finish(trained[name])
    assert (done["steps"], done["planned_steps"], done["result_step"]) == (2, 2, 2)
    assert done["seconds"] > 0 and done["peak_memory_gb"] > 0 and done["sessions"] == 1
    assert (done["final_loss"] is None) == (name == "short")


@pytest.mark.parametrize(
    ("name", "said"), [("watchdog", "loss_watchdog_threshold"), ("diverged", "NaN or infinity.*lower learning_rate")]
)
def test_what_has_no_usable_result_says_so_and_is_not_continued(trained: dict[str, Path], name: str, said: str) -> None:
    run = trained[name]
    with pytest.raises(UserError, match=said):
        complete(run, recipe_of(run))
    assert has_ended(run) and not is_trained(run) and not (run / "adapter").exists()
    assert checkpoints(run), "what was trained stays"
    assert read_json(run / "run.json")["stages"]["train"] == "failed"


def test_rows_are_counted_as_trained_and_what_was_left_out_is_said(trained: dict[str, Path]) -> None:
    run = trained["rows"]
    assert [entry["rows"] for entry in read_json(run / "data.json")] == [12, 12, 14], "what the files hold"
    done = finish(run)
    assert [entry["rows"] for entry in read_json(run / "data.json")] == [6, 3, 14], "what the recipe takes of them"
    left_out = {"longer than sequence_len, or under two tokens": 1, "duplicates": 1}
    assert (done["examples"], done["validation_examples"], done["dropped"]) == (6 + 3 + 14 - 2 - 3, 3, left_out)


def test_nothing_is_deleted_before_weights_stand_in_the_adapter(tmp_path: Path) -> None:
    """As after a training of all weights: a checkpoint without an adapter in it."""
    run = tmp_path / "run"
    (run / "training" / "checkpoint-2").mkdir(parents=True)
    (run / "training" / "checkpoint-2" / "model.safetensors").write_bytes(b"the only copy")
    write_json(run / "run.json", {"run": "run", "created": "2026-01-01T00:00:00Z", "base_model": "b", "stages": {}})
    write_json(run / "train.json", {"completed": False})
    write_mark(run, Mark(ALL_STEPS, 2, 2, "checkpoint-2"))
    with pytest.raises(UserError, match="checkpoint-2 holds no adapter_model"):
        complete(run, {})
    assert (run / "training" / "checkpoint-2" / "model.safetensors").read_bytes() == b"the only copy"


@pytest.mark.parametrize("best", [True, False])
def test_a_worker_killed_before_its_mark_has_ended_all_the_same(tmp_path: Path, best: bool) -> None:
    for step in (2, 4):
        folder = tmp_path / "training" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        state = {"global_step": step, "max_steps": 4, "best_model_checkpoint": "elsewhere/checkpoint-2"} | {
            "best_metric": 1.5
        }
        write_json(folder / "trainer_state.json", state)
    mark = how_it_ended(tmp_path, {"load_best_model_at_end": best})
    assert mark is not None and mark.result == ("checkpoint-2" if best else "checkpoint-4")
    assert mark.best == ({"metric": "eval_loss", "value": 1.5, "step": 2} if best else None)
    name_best_here(tmp_path)
    state = trainer_state(tmp_path / "training" / "checkpoint-4") or {}
    assert state["best_model_checkpoint"] == str(tmp_path / "training" / "checkpoint-2")
    (tmp_path / "training" / "checkpoint-4" / "trainer_state.json").write_text('{"global_st')
    assert how_it_ended(tmp_path, {}) is None


def test_a_best_checkpoint_that_is_gone_is_no_result(tmp_path: Path) -> None:
    write_state(tmp_path, 4, best_model_checkpoint="x/checkpoint-2", best_metric=1.5)
    mark = how_it_ended(tmp_path, {"early_stopping_patience": 3})
    assert (
        mark is not None and mark.result is None and "the best checkpoint (step 2, eval_loss 1.5) is gone" in mark.why
    )


def test_a_worker_killed_after_early_stopping_does_not_go_on(tmp_path: Path) -> None:
    early = {"args": {"early_stopping_patience": 2}, "attributes": {"early_stopping_patience_counter": 2}}
    write_state(tmp_path, 3, stateful_callbacks={"EarlyStoppingCallback": early})
    mark = how_it_ended(tmp_path, {"early_stopping_patience": 2})
    assert mark is not None and mark.why.startswith("early stopping: eval_loss got no better for 2")
    assert mark.result == "checkpoint-3", "nothing was better than nothing: the last"


def write_state(run: Path, step: int, **more: Any) -> None:
    folder = run / "training" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    write_json(folder / "trainer_state.json", {"global_step": step, "max_steps": 4, **more})


@pytest.mark.parametrize(
    ("recipe", "asks"),
    [
        ({}, False),
        ({"load_best_model_at_end": True}, True),
        ({"load_best_model_at_end": None}, True),
        ({"metric_for_best_model": "eval_loss"}, True),
        ({"metric_for_best_model": "eval_loss", "load_best_model_at_end": False}, False),
        ({"early_stopping_patience": 3, "load_best_model_at_end": False}, True),
    ],
)
def test_the_ways_to_ask_for_the_best_checkpoint(recipe: dict[str, Any], asks: bool) -> None:
    assert asks_for_best(recipe) is asks
