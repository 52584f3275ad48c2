"""System metrics: real processes measured, bounded files, sessions appended, GPUs only where there are some."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.training.system_metrics import MAX_ROWS, Gpus, Sampler, join, measure, read_samples, summarise
from tests.patience import slowness, wait_until

BUSY = "block = bytearray(300 << 20); print('ready', flush=True)\nwhile True: pass"


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code])


def row(session: int, length: float, value: float) -> dict[str, Any]:
    return {"session": session, "length": length, "mean": {"cpu_percent": value}, "peak": {"cpu_percent": value}}


def test_a_busy_process_is_seen_with_its_memory(tmp_path: Path) -> None:
    path = tmp_path / "system.jsonl"
    busy = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
    assert busy.stdout and busy.stdout.readline() == b"ready\n"
    process = psutil.Process(busy.pid)

    def spent() -> float:
        return measure(process)[0]

    def wait_for_rows(more: int) -> None:
        enough = len(read_samples(path)) + more
        wait_until(lambda: len(read_samples(path)) >= enough, busy)

    try:
        before = spent()
        with Sampler(busy.pid, path, 0.05):
            wait_for_rows(1)
            early = spent()
            wait_until(lambda: spent() > early + 0.3, busy)
            late = spent()
            wait_for_rows(2)  # the one that was being taken, and one after it
        after = spent()
    finally:
        busy.kill()
        busy.wait()
    rows = read_samples(path)
    whole, found = join(rows), summarise(rows)
    assert found is not None
    used = whole["mean"]["cpu_percent"] / 100 * whole["length"]
    assert late - early - 0.001 <= used <= after - before + 0.001, "CPU seconds, however long they took"
    assert 0.28 < found["peak"]["memory_gb"] < 0.5
    assert found["columns"][:3] == ["seconds", "cpu_percent", "memory_gb"]
    assert found["mean"]["memory_gb"] <= found["peak"]["memory_gb"]


def test_children_count(tmp_path: Path) -> None:
    parent = start("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(30)'])")
    try:
        process = psutil.Process(parent.pid)
        wait_until(lambda: bool(process.children()), parent)
        own = process.memory_info().rss
        assert measure(process)[1] > own
    finally:
        for child in psutil.Process(parent.pid).children():
            child.kill()
        parent.wait()


def test_the_file_stays_small_and_keeps_the_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.training.system_metrics.MAX_ROWS", 8)
    monkeypatch.setattr("scripts.training.system_metrics.measure", iter_memory := Readings())
    path = tmp_path / "system.jsonl"
    with Sampler(psutil.Process().pid, path, 0.001):
        wait_until(lambda: iter_memory.calls >= 400)
    rows = read_samples(path)
    assert len(rows) <= 8 + 4 * 8, "rows grow with the logarithm of the samples"
    assert max(row["peak"]["memory_gb"] for row in rows) == pytest.approx(7 / 2**30)
    found = summarise(rows)
    assert found is not None and len(found["rows"]) <= 8


class Readings:
    """What `measure` would read: 1 byte resident, and 7 in the 37th sample alone."""

    calls = 0

    def __call__(self, _: psutil.Process) -> tuple[float, int]:
        self.calls += 1
        return self.calls / 1000, 7 if self.calls == 37 else 1


def test_means_are_weighted_by_time_and_peaks_are_kept() -> None:
    joined = join([row(1, 1.0, 100.0), row(1, 3.0, 20.0)])
    assert (joined["mean"]["cpu_percent"], joined["peak"]["cpu_percent"], joined["length"]) == (40.0, 100.0, 4.0)


def test_a_resumed_training_appends_without_the_pause() -> None:
    found = summarise([row(1, 2.0, 10.0), row(1, 2.0, 10.0), row(2, 2.0, 40.0)])
    assert found is not None
    assert (found["sessions"], found["seconds"]) == (2, 6.0)
    assert [point[0] for point in found["rows"]] == [2.0, 4.0, 6.0]
    assert found["mean"]["cpu_percent"] == 20.0


def test_a_long_curve_is_shortened_and_means_the_same() -> None:
    found = summarise([row(1, 2.0, float(number)) for number in range(1000)])
    assert found is not None and len(found["rows"]) == MAX_ROWS
    assert found["rows"][-1][0] == 2000.0
    assert sum(point[1] for point in found["rows"]) / MAX_ROWS == pytest.approx(found["mean"]["cpu_percent"])


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "system.jsonl"
    path.write_text(json.dumps(row(1, 2.0, 10.0)) + '\n{"session": 1, "leng')
    assert len(read_samples(path)) == 1


def test_no_samples_is_no_summary(tmp_path: Path) -> None:
    assert summarise(read_samples(tmp_path / "absent.jsonl")) is None


def test_a_process_that_is_gone_or_a_folder_that_is_missing_fails_nothing(tmp_path: Path) -> None:
    ended = start("pass")
    ended.wait()
    for pid, path in ((ended.pid, tmp_path / "a.jsonl"), (psutil.Process().pid, tmp_path / "absent" / "b.jsonl")):
        with Sampler(pid, path, 0.01) as sampler:
            wait_until(lambda: not sampler.thread.is_alive())
        assert not sampler.thread.is_alive() and not path.exists()


def test_a_sample_costs_less_than_a_hundredth_of_the_interval() -> None:
    """CPU seconds of the sampling thread, not wall time: the machine may be busy."""
    process, gpus, spent = psutil.Process(), Gpus(), []

    def work() -> None:
        for _ in range(20):
            measure(process), psutil.cpu_percent(), psutil.virtual_memory(), gpus.read()
        spent.append(time.thread_time() / 20)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert spent[0] < 0.01 * 2.0 * slowness()


@pytest.mark.gpu
def test_nvml_reads_utilisation_and_memory() -> None:
    values = Gpus().read()
    assert 0 <= values["gpu0_percent"] <= 100 and values["gpu0_memory_gb"] > 0
