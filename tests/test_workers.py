"""Several processes that answer: the answers of one, and whatever happens to one of them is one line."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Pipe
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings, load_suite
from eval.contracts.backend import BaseMoved
from eval.model import workers
from eval.model.answer_cache import maker_of
from eval.model.workers import Worker, Workers
from eval.run.files import read_jsonl
from eval.run.records import BASELINE, Generation
from tests import preloaded
from tests.hf_model import load_hf
from tests.test_suite import BATCH, LIMIT, evaluate, evaluation, make_run, make_suite

pytestmark = pytest.mark.slow
BACKEND = {"dtype": "float32", "batch_size": BATCH}
# The evaluation, which kills itself once its worker has answered something.
KILLED = """
import os, signal
from eval.common.errors import run_command
from eval.model import hf, workers
from eval.suite import main
from tests import preloaded
hf.THREADS, workers.subprocess, hear = 2, preloaded, workers.Worker.hear
def die(worker, seconds=None):
    said = hear(worker, seconds)
    if seconds is None:
        print("worker", worker.process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return said
workers.Worker.hear = die
run_command(main)
"""


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Workers are forked, and as many threads as this are shared out: one for each process."""
    from eval.model import hf

    monkeypatch.setattr(workers, "subprocess", preloaded)
    return lambda count: monkeypatch.setattr(hf, "THREADS", count)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What other processes were told to do."""
    given: list[str] = []
    tell = Worker.tell
    monkeypatch.setattr(Worker, "tell", lambda worker, *order: (given.append(order[0]), tell(worker, *order))[1])
    yield given


@pytest.fixture(scope="module")
def alone(tiny_model: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of an evaluation by one process with one thread."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        from eval.model import hf

        patch.setattr(hf, "THREADS", 1)
        run = make_run(folder / "run", tiny_model, tiny_adapter)
        assert evaluate(patch, "--config", make_suite(folder / "suite.yaml"), "--run", run) in (0, 1, 3)
    return run


def two(folder: Path) -> Path:
    return make_suite(folder / "suite.yaml", backend=BACKEND | {"workers": 2})


def answered(run: Path) -> list[Generation]:
    """generations.jsonl without the one thing that differs between two times of making it."""
    rows = read_jsonl(run / "generations.jsonl", Generation)
    return [row.model_copy(update={"seconds": 0.0}) for row in rows]


def same(run: Path, alone: Path) -> bool:
    scores = [(folder / "scores.jsonl").read_bytes() for folder in (run, alone)]
    return answered(run) == answered(alone) and scores[0] == scores[1] and len(answered(run)) == 2 * LIMIT


def test_two_give_the_answers_and_scores_of_one_to_the_byte(
    alone: Path, tiny_model: Path, tiny_adapter: Path, tmp_path: Path, threads: Callable[[int], None],
    orders: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    threads(2)
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    assert evaluate(monkeypatch, "--config", two(tmp_path), "--run", run) in (0, 1, 3)
    assert same(run, alone)
    assert orders.count("load") == orders.count("prove") == 1 and orders.count("answer") >= 2
    said = capsys.readouterr().out
    assert "2 workers answer" in said and all(
        f"batch {n}/{LIMIT // BATCH}" in said for n in range(1, 1 + LIMIT // BATCH)
    )


def test_a_worker_that_is_killed_is_one_line_and_the_same_command_continues(
    alone: Path, tiny_model: Path, tiny_adapter: Path, tmp_path: Path, threads: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    threads(2)
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    command = ("--config", two(tmp_path), "--run", run)
    tell = Worker.tell

    def killed(worker: Worker, *order: Any) -> None:
        tell(worker, *order)
        if order[0] == "answer":
            worker.process.kill()

    monkeypatch.setattr(Worker, "tell", killed)
    assert evaluate(monkeypatch, *command) == 2
    said = capsys.readouterr().err
    assert (
        said.startswith("error: worker 2 of 2 ended by signal 9: finished batches are kept") and said.count("\n") == 1
    )
    kept = len((run / "generations.partial.jsonl").read_text().splitlines()) - 1
    assert BATCH <= kept < 2 * LIMIT
    monkeypatch.setattr(Worker, "tell", tell)
    assert evaluate(monkeypatch, *command) in (0, 1, 3)
    assert same(run, alone)


def test_a_worker_whose_base_has_other_bytes_is_refused_before_it_is_asked(
    tiny_model: Path, tmp_path: Path, threads: Callable[[int], None], orders: list[str]
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from eval.model.lm_tasks import load_tasks

    threads(2)
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_model.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    suite = load_suite(two(tmp_path))
    model = load_hf(suite, base)
    weights = load_file(base / "model.safetensors")
    weights = {name: tensor + torch.ones_like(tensor) * 1e-3 for name, tensor in weights.items()}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    batches = model.plan(load_tasks(suite, model.template), BATCH)
    with pytest.raises(UserError, match=r"worker 2 of 2 has not loaded what this process has \(base\)"):
        list(model.answer_many(BASELINE, batches))
    assert orders == ["load"] and not model.workers.crew


def test_workers_end_with_their_parent(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    killed = preloaded.run([sys.executable, "-c", KILLED, *map(str, evaluation(run, two(tmp_path))[2:])])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (worker,) = [int(line.split()[1]) for line in killed.stdout.splitlines() if line.startswith("worker ")]
    end = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < end, "a worker that nobody listens to"
        time.sleep(0.02)


def test_what_a_worker_says_goes_wrong_is_one_line_with_its_name() -> None:
    here, there = Pipe()
    worker = Worker("worker 2 of 2", None, here)
    there.send((False, (True, "tensors moved")))
    with pytest.raises(BaseMoved, match=r"^worker 2 of 2: tensors moved"):
        worker.hear()
    there.send((False, (False, "out of memory")))
    with pytest.raises(UserError, match=r"^worker 2 of 2: out of memory"):
        worker.hear()
    with pytest.raises(UserError, match=r"said nothing for 0 s: finished batches are kept"):
        worker.hear(0.01)
    done: Any = SimpleQueue()
    with pytest.raises(UserError, match="answered nothing for 0 s"):
        list(workers.finished(done, 0.01))


def test_what_others_finished_comes_before_a_failure() -> None:
    done: Any = SimpleQueue()
    for said in ((0, []), UserError("one of them"), (2, [])):
        done.put(said)
    found = []
    with pytest.raises(UserError, match="one of them"):
        for index, _ in workers.finished(done, 1):
            found.append(index)
    assert found == [0, 2]


def test_who_answers_decides_no_answer_and_old_suites_are_recorded_as_before(tmp_path: Path) -> None:
    one, several = (load_suite(make_suite(tmp_path / f"{n}.yaml", backend=BACKEND | own)) for n, own in enumerate(
        ({}, {"workers": 2})
    ))  # fmt: skip
    made_by = {"adapter_sha256": None}
    assert maker_of(one, "base", {}, made_by) == maker_of(several, "base", {}, made_by)
    assert "workers" not in one.backend.model_dump() and several.backend.model_dump()["workers"] == 2
    for wrong in (0, 65, "many", True):
        with pytest.raises(UserError, match="workers"):
            load_suite(make_suite(tmp_path / "wrong.yaml", backend={"workers": wrong}))


@pytest.mark.parametrize(
    ("visible", "asked", "found"),
    [
        (None, "auto", (4, ["0", "1", "2", "3"])),
        ("2,3", "auto", (2, ["2", "3"])),
        ("GPU-a, GPU-b,GPU-c", 2, (2, ["GPU-a", "GPU-b", "GPU-c"])),
        ("1", "auto", None),
        ("2,3", 1, None),
    ],
)
def test_each_worker_has_a_visible_gpu(
    visible: str | None, asked: Any, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch says of the GPUs is made up here: how many see this variable, and no variable four."""
    from eval.model import hf

    count = 4 if visible is None else len(visible.split(","))
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: count)
    monkeypatch.setattr(hf, "torch", SimpleNamespace(cuda=cuda, set_num_threads=lambda _: None))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    several = hf.workers_for(BackendSettings(workers=asked), None, lambda _: None)
    assert (several and (several.count, several.gpus)) == found
    with pytest.raises(UserError, match=f"workers: 9, and {count} visible GPUs"):
        hf.workers_for(BackendSettings(workers=9), None, lambda _: None)


def test_those_that_failed_or_were_left_are_not_asked_again(threads: Callable[[int], None], tmp_path: Path) -> None:
    """Somebody who leaves in the middle leaves orders under way: their answers must not be taken for others'."""
    several = Workers(2, 1)
    several.crew.append(Worker("worker 2 of 2", SimpleNamespace(kill=lambda: None, wait=lambda: 0), Pipe()[0]))
    several.busy = True
    several.count, several.work = 1, SimpleNamespace()  # type: ignore[assignment]
    assert list(several.answer("baseline", [[], []], lambda batch: [], {})) == [(0, []), (1, [])]
    assert not several.crew and not several.busy
