"""Training through the real Axolotl on a tiny model: deterministic, resumable, complete or not at all."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from eval.common.errors import UserError
from eval.run.digests import verify_manifest
from eval.run.folder import locked
from scripts.data.dataset_facts import describe_data
from scripts.training import launch
from scripts.training.devices import Devices
from scripts.training.launch import launch_worker
from scripts.training.train import complete, is_trained, matching_runs, start_run, train
from scripts.training.training_end import checkpoints, how_it_ended, remove_torn_checkpoints
from tests import preloaded
from tests.patience import PATIENCE, wait_until
from tests.test_run_lock import held

pytestmark = pytest.mark.slow
STEPS, FIRST, SECOND = 10, "checkpoint-3", "checkpoint-6"
ROWS = 60  # of each dataset: more than the steps use up
DEMO = yaml.safe_load(Path("configs/train/smollm2-135m-cpu.yaml").read_text())


@pytest.fixture(scope="module")
def recipe_path(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's recipe on the tiny model and the first rows of its data, for a few steps with frequent checkpoints."""
    folder = tmp_path_factory.mktemp("recipes")
    datasets = []
    for number, dataset in enumerate(DEMO["datasets"]):
        rows = Path(dataset["path"]).read_text().splitlines(keepends=True)[:ROWS]
        (folder / f"{number}.jsonl").write_text("".join(rows))
        datasets.append(dataset | {"path": str(folder / f"{number}.jsonl")})
    changes = {
        "base_model": str(tiny_model),
        "datasets": datasets,
        "dataset_num_proc": 0,
        "peft_layers_to_transform": [1],
        "max_steps": STEPS,
        "save_steps": 3,
        "logging_steps": 1,
        "wandb_mode": "disabled",
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(DEMO | changes))
    return path


def new(recipe_path: Path, results: Path) -> tuple[Path, dict[str, Any]]:
    recipe = yaml.safe_load(recipe_path.read_text())
    return start_run(recipe_path, recipe, describe_data(recipe), results), recipe


@pytest.fixture(scope="module")
def reference(recipe_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    run, recipe = new(recipe_path, tmp_path_factory.mktemp("results"))
    launch_worker(run, recipe, Devices())
    complete(run, recipe)
    return run


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forked from a process that has imported Axolotl; the reference run's alone is started by Python."""
    monkeypatch.setattr(launch, "subprocess", preloaded)


def test_a_finished_run_has_everything(reference: Path) -> None:
    done = json.loads((reference / "train.json").read_text())
    assert (done["completed"], done["steps"], done["planned_steps"]) == (True, STEPS, STEPS)
    assert [step for step, _ in done["curve"]] == list(range(1, STEPS + 1))
    assert verify_manifest(reference / "adapter", reference / "adapter.sha256") == []
    assert (reference / "adapter" / "tokenizer.json").is_file()
    assert yaml.safe_load((reference / "resolved.yaml").read_text())["lora_r"] == DEMO["lora_r"]
    assert json.loads((reference / "run.json").read_text())["stages"]["train"] == "completed"


def interrupt(run: Path, after: str, number: signal.Signals, reached: Path) -> int:
    """Train in a process of its own, in which the worker waits after a checkpoint for the signal that is sent then."""
    code = (
        "import sys, types, yaml; from pathlib import Path; from scripts.training import launch; "
        "from eval.common.errors import run_command; from tests.preloaded import Child; "
        "from scripts.training.devices import Devices; "
        "run, *held = Path(sys.argv[1]), '-m', 'tests.held_worker', *sys.argv[2:]; "
        "start = lambda command, **more: Child([sys.executable, *held, *command[3:]], **more); "
        "launch.subprocess = types.SimpleNamespace(Popen=start); "
        "run_command(lambda: launch.launch_worker(run, yaml.safe_load((run / 'recipe.yaml').read_text()), Devices()))"
    )
    command = [sys.executable, "-c", code, str(run), after, str(reached)]
    process = preloaded.Popen(command, start_new_session=True)
    wait_until(reached.exists, process)
    if number == signal.SIGKILL:
        # As a power cut would: the worker has a session of its own, so both are killed by hand.
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
    process.send_signal(number)
    return process.wait(timeout=PATIENCE)


def test_a_run_that_was_killed_and_terminated_ends_with_the_same_bytes(
    recipe_path: Path, reference: Path, tmp_path: Path, forked: None
) -> None:
    """Three processes do the work of one: the same recipe and seed give one adapter, interrupted or not."""
    run, recipe = new(recipe_path, tmp_path)
    interrupt(run, FIRST, signal.SIGKILL, tmp_path / "first")
    assert not is_trained(run)
    assert interrupt(run, SECOND, signal.SIGTERM, tmp_path / "second") == 2
    assert not is_trained(run)
    assert matching_runs(recipe_path, describe_data(recipe), tmp_path) == [run]
    assert how_it_ended(run, recipe) is None
    launch_worker(run, recipe, Devices())
    complete(run, recipe)
    done = json.loads((run / "train.json").read_text())
    assert done["steps"] == STEPS
    assert done["curve"] == json.loads((reference / "train.json").read_text())["curve"], "no step added or lost"
    assert (run / "adapter.sha256").read_text() == (reference / "adapter.sha256").read_text()


def test_a_torn_checkpoint_is_removed_and_the_run_is_not_complete(recipe_path: Path, tmp_path: Path) -> None:
    run, recipe = new(recipe_path, tmp_path)
    whole, torn = run / "training" / "checkpoint-2", run / "training" / "checkpoint-4"
    for folder, text in ((whole, '{"global_step": 2, "max_steps": 8}'), (torn, '{"global_st')):
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(text)
    remove_torn_checkpoints(run)
    assert whole.is_dir() and not torn.exists()
    with pytest.raises(UserError, match="did not say why"):
        complete(run, recipe)
    assert not is_trained(run)


def test_a_second_training_of_the_same_recipe_and_data_waits_for_nobody(tmp_path: Path) -> None:
    """One line, exit code 2, and the run that is being trained is as it was."""
    path = Path("configs/train/smollm2-135m-cpu.yaml")
    run, _ = new(path, tmp_path / "results")
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    with held(run, tmp_path / "ready"), pytest.raises(UserError, match=f"{run.name} is in use by another command"):
        train(path, tmp_path / "results")
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    assert [folder.name for folder in (tmp_path / "results").iterdir()] == [run.name]


def test_a_worker_whose_command_was_killed_saves_and_keeps_others_out_until_then(
    recipe_path: Path, tmp_path: Path
) -> None:
    run, recipe = new(recipe_path, tmp_path)
    reached = tmp_path / "reached"
    code = (
        "import sys; from tests.preloaded import Child; lock, *command = sys.argv[1:]; "
        "worker = Child(command, pass_fds=[int(lock)], start_new_session=True); "
        "print(worker.pid, flush=True); worker.wait()"
    )
    held_at = [sys.executable, "-m", "tests.held_worker", FIRST, str(reached), str(run), str(tmp_path / "prepared")]
    with locked(run) as lock:
        command = [sys.executable, "-c", code, str(lock), *held_at]
        process = preloaded.Popen(command, stdout=preloaded.PIPE, pass_fds=[lock])
    assert process.stdout is not None
    worker = psutil.Process(int(process.stdout.readline()))
    wait_until(reached.exists, process)
    with pytest.raises(UserError, match="in use by another command"), locked(run):
        pass
    process.kill()
    process.wait(PATIENCE)
    worker.wait(PATIENCE)
    with locked(run):
        assert checkpoints(run)[-1].name > FIRST and how_it_ended(run, recipe) is None


def test_a_failing_training_says_what_axolotl_said(recipe_path: Path, tmp_path: Path, forked: None) -> None:
    run, recipe = new(recipe_path, tmp_path)
    broken = recipe | {"base_model": str(tmp_path / "nowhere")}
    (run / "recipe.yaml").write_text(yaml.safe_dump(broken))
    with pytest.raises(UserError, match=r"Axolotl ended with code 1: .*Error"):
        launch_worker(run, broken, Devices())
    assert json.loads((run / "run.json").read_text())["stages"]["train"] == "failed"


def test_another_dataset_is_another_run(recipe_path: Path, tmp_path: Path) -> None:
    run, recipe = new(recipe_path, tmp_path)
    data = describe_data(recipe)
    assert matching_runs(recipe_path, data, tmp_path) == [run]
    assert matching_runs(recipe_path, [data[0] | {"sha256": "0" * 64}], tmp_path) == []
