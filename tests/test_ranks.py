"""Training on several devices: torchrun starts two real processes on this CPU; GPUs are chosen by name."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from eval.common.errors import UserError
from eval.run.files import write_json
from eval.run.folder import read_run
from scripts.data.dataset_facts import describe_data
from scripts.training import launch, ranks
from scripts.training.dataset_entries import START
from scripts.training.devices import Devices, chosen_devices, same_number
from scripts.training.train import complete, start_run
from scripts.training.training_end import checkpoints, how_it_ended
from tests import preloaded
from tests.patience import PATIENCE, wait_until
from tests.test_training_end import DEMO, STEPS, datasets

CPU, GPU = {"bf16": False, "fp16": False, "tf32": False}, {"bf16": True, "micro_batch_size": 4}
TWO = Devices((), 2)


@pytest.mark.parametrize(
    ("visible", "asked", "used"),
    [
        ("0", None, ("0",)),
        ("2,3", None, ("2", "3")),
        ("GPU-5f1a, GPU-77", 1, ("GPU-5f1a",)),
        ("0,1,2,3", 2, ("0", "1")),
        ("0,-1,2", None, ("0",)),
        ("", None, ()),
        ("", 2, ()),
    ],
)
def test_all_visible_gpus_are_used_or_as_many_as_asked_for(visible: str, asked: int | None, used: Any) -> None:
    devices = chosen_devices(GPU, {"CUDA_VISIBLE_DEVICES": visible}, asked)
    assert (devices.gpus, devices.processes) == (used, max(1, len(used)))


@pytest.mark.slow
def test_without_the_variable_torch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert chosen_devices(GPU, {}).visible == "0,1,2"


@pytest.mark.parametrize("asked", [3, 0, -1])
def test_gpus_that_are_not_there_cannot_be_asked_for(asked: int) -> None:
    with pytest.raises(
        UserError, match=rf"GPUS={asked}: 2 GPU\(s\) are visible by CUDA_VISIBLE_DEVICES=0,1; set 1 to 2"
    ):
        chosen_devices(GPU, {"CUDA_VISIBLE_DEVICES": "0,1"}, asked)
    with pytest.raises(UserError, match="meant for a CPU"):
        chosen_devices(CPU, {}, 2)


def test_the_effective_batch_is_said() -> None:
    assert "effective batch 4 x 1 x 2 = 8 rows a step, not 4; GPUS=1 keeps 4" in Devices(("0", "1"), 2).said(GPU)
    assert Devices(("1",)).said(GPU) == "on GPU 1"


def test_another_number_of_processes_does_not_continue_a_run() -> None:
    with pytest.raises(UserError, match=r"begun with 4 process.*set GPUS=4"):
        same_number("run", 4, 2)


@pytest.mark.slow
def test_torchrun_takes_the_command_as_axolotls_own_launcher_would_give_it() -> None:
    """Not run on several GPUs: what is shown is what torchrun makes of the arguments."""
    from torch.distributed.run import config_from_args, parse_args

    given = parse_args(ranks.arguments(4, "RUN", "PREPARED"))
    config, _, rest = config_from_args(given)
    assert (config.nproc_per_node, config.min_nodes, config.max_nodes, config.max_restarts) == (4, 1, 1, 0)
    assert config.shutdown_timeout == ranks.GRACE_SECONDS and config.rdzv_endpoint == "127.0.0.1:0"
    assert rest[-4:] == ["-m", "scripts.training.train_worker", "RUN", "PREPARED"]


def test_one_device_starts_one_process_that_sees_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    (tmp_path / "recipe.yaml").touch()
    environment = launch.environment_of(tmp_path, {"base_model": "a/b"}, Devices(("3",)))
    assert environment["CUDA_VISIBLE_DEVICES"] == "3" and "WORLD_SIZE" not in environment
    assert launch.command(tmp_path, Devices(("3",)))[2] == "scripts.training.train_worker"
    assert launch.command(tmp_path, Devices(("3", "5"), 2))[2:4] == ["scripts.training.ranks", "2"]


@pytest.mark.parametrize(
    ("rows", "processes"), [([3000, 400], "0"), ([4_000, 1_000], "7"), ([400, None], "7"), ([], "0")]
)
def test_processes_for_rows_are_started_where_there_are_many(
    rows: list[int | None], processes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many rows a dataset on the Hub has is not known; a starting adapter has none."""
    monkeypatch.delenv("AXOLOTL_DATASET_NUM_PROC", raising=False)
    monkeypatch.setattr(launch, "cores", lambda: 7)
    data = [{"path": "x", "role": "training", "rows": number} for number in rows]
    write_json(tmp_path / "data.json", [*data, {"path": "y", "role": START, "rows": None}])
    environment = launch.environment_of(tmp_path, {"base_model": "a/b"}, Devices())
    assert environment["AXOLOTL_DATASET_NUM_PROC"] == processes


@pytest.fixture(scope="module")
def recipe_path(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    recipe = DEMO | {
        "base_model": str(tiny_model),
        "datasets": datasets(folder, "plain"),
        "dataset_num_proc": 0,
        "peft_layers_to_transform": [1],
        "gradient_accumulation_steps": 1,
        "sample_packing": False,
        "wandb_mode": "disabled",
        "use_wandb": False,
        **STEPS,
        "num_epochs": 1,
    }
    path = folder / "ranks.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.mark.slow
def test_two_processes_train_one_adapter_are_stopped_together_and_go_on(recipe_path: Path, tmp_path: Path) -> None:
    """SIGTERM after the second step: both save at the same one, a second group does the rest, one of them writes."""
    recipe = yaml.safe_load(recipe_path.read_text())
    run = start_run(recipe_path, recipe, describe_data(recipe), tmp_path, TWO)
    code = (
        "import sys, types, yaml; from pathlib import Path; from scripts.training import launch; "
        "from eval.common.errors import run_command; from scripts.training.devices import Devices; "
        "run = Path(sys.argv[1]); recipe = yaml.safe_load((run / 'recipe.yaml').read_text()); "
        "from tests.preloaded import Child; start = lambda command, **more: "
        "Child([sys.executable, '-m', 'tests.forked_ranks', *command[3:]], **more); "
        "launch.subprocess = types.SimpleNamespace(Popen=start); "
        "run_command(lambda: launch.launch_worker(run, recipe, Devices((), 2)))"
    )
    command, reached = [sys.executable, "-c", code, str(run)], tmp_path / "reached"
    environment = os.environ | {"HELD_AT": f"checkpoint-2 {reached}"}
    process = preloaded.Popen(command, env=environment, start_new_session=True)
    wait_until(reached.exists, process)
    with pytest.raises(UserError, match="are still saving"), ranks.no_ranks(run):
        pass
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 2, (run / "train.log").read_text()[-3000:]
    stopped_at = int(checkpoints(run)[-1].name.split("-")[1])
    assert 2 <= stopped_at < 6 and how_it_ended(run, recipe) is None
    assert read_run(run)["stages"]["train"] == "interrupted"
    process = preloaded.Popen(command)
    assert process.wait(PATIENCE) == 0, (run / "train.log").read_text()[-3000:]
    complete(run, recipe)
    done = json.loads((run / "train.json").read_text())
    assert (done["steps"], done["planned_steps"], done["sessions"]) == (6, 6, 2), "12 rows, 2 processes"
    assert [step for step, _ in done["curve"]] == list(range(1, 7))
    resolved = yaml.safe_load((run / "resolved.yaml").read_text())
    assert resolved["world_size"] == 2 and resolved["ddp"] is True and resolved["batch_size"] == 2
    assert not [child for child in psutil.Process(os.getpid()).children(recursive=True) if "ranks" in child.name()]
