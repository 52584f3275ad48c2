"""Out of memory is one line with exit code 2 that names the number to lower; any other failure stays what it is."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.common.errors import UserError
from eval.common.memory import enough_memory, is_out_of_memory, says_out_of_memory, smaller_step
from eval.model.hf import RecordingHF
from eval.run.files import read_jsonl
from eval.run.records import Generation
from scripts.training import launch
from tests.run_builder import assert_one_line
from tests.test_suite import evaluate, make_run, make_suite

TOO_MUCH = 1 << 60  # bytes


def failure(call: Any) -> BaseException:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("there was enough memory")


REAL = {
    "torch on a CPU": lambda: torch.empty(TOO_MUCH, dtype=torch.uint8),
    "Python": lambda: bytearray(TOO_MUCH),
}


@pytest.mark.parametrize("kind", REAL)
def test_what_libraries_raise_is_recognised(kind: str) -> None:
    with (
        pytest.raises(UserError, match=r"out of memory while trying: lower it \(.+\)$"),
        enough_memory("trying", "lower it"),
    ):
        REAL[kind]()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 15.77 GiB"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you ..."
        ),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_each_way_to_say_it_counts(error: Exception) -> None:
    assert is_out_of_memory(error)
    wrapped = UserError("cannot load the model")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("size mismatch"), ValueError("out of memory"), OSError(errno.ENOSPC, "No space left"), KeyError(1)],
)
def test_other_failures_stay_what_they_are(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), enough_memory("trying", "lower it"):
        raise error


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_one_item_is_one_line_with_exit_code_2(
    tiny_model: Path,
    tiny_adapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    generate, asked = RecordingHF._model_generate, []

    def hungry(self: RecordingHF, context: Any, *rest: Any, **settings: Any) -> Any:
        torch.empty(TOO_MUCH if context.shape[0] > most else 1, dtype=torch.uint8)
        asked.append(context.shape[0])
        return generate(self, context, *rest, **settings)

    monkeypatch.setattr(RecordingHF, "_model_generate", hungry)
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    suite, most = make_suite(tmp_path / "four.yaml"), 0
    assert evaluate(monkeypatch, "--config", suite, "--run", run, "--no-cache") == 2
    assert_one_line(capfd.readouterr().err, "out of memory", "answers 1 items at once", "load: 4bit")
    assert not (run / "metrics.json").exists() and not asked
    most = 2
    assert evaluate(monkeypatch, "--config", suite, "--run", run, "--no-cache") in (0, 1, 3)
    assert capfd.readouterr().out.count("memory does not suffice for 4 items at once: 2 from now on") == 1
    answers = read_jsonl(run / "generations.jsonl", Generation)
    assert max(asked) == 2 and len({(row.arm, row.task, row.sample) for row in answers}) == len(answers)


@pytest.mark.slow
def test_a_model_that_does_not_fit_is_one_line_and_exit_code_2(
    tiny_model: Path,
    tiny_adapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(RecordingHF, "__init__", lambda *_, **__: torch.empty(TOO_MUCH, dtype=torch.uint8))
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    assert evaluate(monkeypatch, "--config", make_suite(tmp_path / "suite.yaml"), "--run", run) == 2
    assert_one_line(capfd.readouterr().err, "out of memory while loading the model", "configs/train/README.md")


def test_training_names_the_keys_of_the_recipe_with_their_values() -> None:
    large = {"micro_batch_size": 4, "gradient_accumulation_steps": 2, "sequence_len": 512}
    said = smaller_step(large)
    assert (
        "micro_batch_size to 2" in said
        and "gradient_accumulation_steps to 4" in said
        and "sequence_len (it is 512)" in said
    )
    small = smaller_step(large | {"micro_batch_size": 1})
    assert small.startswith("lower sequence_len") and "micro_batch_size" not in small


def test_the_log_of_a_training_that_ran_out_of_memory_is_recognised(tmp_path: Path) -> None:
    code = f"import torch; torch.empty({TOO_MUCH}, dtype=torch.uint8)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    (tmp_path / "train.log").write_text(f"step 1\n{done.stderr}")
    assert says_out_of_memory(launch.last_error(tmp_path / "train.log"))
    (tmp_path / "train.log").write_text("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n")
    assert says_out_of_memory(launch.last_error(tmp_path / "train.log"))
    (tmp_path / "train.log").write_text("ValueError: no such file\n")
    assert not says_out_of_memory(launch.last_error(tmp_path / "train.log"))
