"""What the machine does while it trains: CPU and memory of the training processes, GPUs through NVML.

    with Sampler(pid, Path("system.jsonl")):        a thread of the parent; rows are appended as they are measured
        ...
    summarise(read_samples(path))                   what goes into train.json as `system`

    cpu_percent             of the process and its descendants; 100 is one core busy
    memory_gb               resident, GiB; pages that processes share count in each
    machine_cpu_percent     of all cores of the machine
    machine_memory_gb       in use by anyone, GiB
    gpu0_percent, gpu0_memory_gb, gpu0_power_w   one set a GPU; of the whole device, whoever uses it

A sample every `interval` seconds; some are joined into one row that holds their mean and their peak. After MAX_ROWS
rows twice as many are joined, so that a week of training stays a small file and no sampled peak is lost. A resumed
training appends a session of its own. Numbers only: no names, arguments or environment of any process.

Not seen: peaks shorter than the interval, and processes that leave the training's process tree.
"""

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from eval.common.reading import read_bytes

INTERVAL_SECONDS = 2.0
MAX_ROWS = 100  # of the curve in train.json, and of one session's file before rows become longer
GIB = 2**30
Values = dict[str, float]


class Gpus:
    """The GPUs that NVML sees; none where the library or the driver is missing."""

    def __init__(self) -> None:
        self.handles: list[Any] = []
        try:
            import pynvml

            pynvml.nvmlInit()
            self.nvml = pynvml
            self.handles = [pynvml.nvmlDeviceGetHandleByIndex(place) for place in range(pynvml.nvmlDeviceGetCount())]
        except Exception:  # no package, no driver, no permission: a machine without GPUs, for us
            self.handles = []

    def read(self) -> Values:
        """Utilisation, memory and power of each; what a device does not offer is left out."""
        values: Values = {}
        for place, handle in enumerate(self.handles):
            with suppress(self.nvml.NVMLError):
                values[f"gpu{place}_percent"] = float(self.nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            with suppress(self.nvml.NVMLError):
                values[f"gpu{place}_memory_gb"] = self.nvml.nvmlDeviceGetMemoryInfo(handle).used / GIB
            with suppress(self.nvml.NVMLError):
                values[f"gpu{place}_power_w"] = self.nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        return values

    def close(self) -> None:
        if self.handles:
            with suppress(self.nvml.NVMLError):
                self.nvml.nvmlShutdown()


class Sampler:
    """Samples one process tree and the machine until it is left. Never raises: a run does not fail for it."""

    def __init__(self, pid: int, path: Path, interval: float = INTERVAL_SECONDS) -> None:
        self.pid, self.path, self.interval = pid, path, interval
        self.session = time.time_ns()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._sample, name="system metrics", daemon=True)

    def __enter__(self) -> "Sampler":
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.ended.set()
        self.thread.join(timeout=5)

    def _sample(self) -> None:
        with suppress(psutil.Error, OSError):  # the process is gone, or the disk is full
            self._sample_until_ended(psutil.Process(self.pid), Gpus())

    def _sample_until_ended(self, process: psutil.Process, gpus: Gpus) -> None:
        started, joined, rows = time.monotonic(), 1, 0
        last, (used, _) = started, measure(process)
        bucket: list[tuple[float, Values]] = []
        psutil.cpu_percent()
        try:
            while not self.ended.wait(self.interval):
                now, (spent, resident) = time.monotonic(), measure(process)
                values = {
                    # A child that ends takes its seconds along until its parent has waited for it.
                    "cpu_percent": max(0.0, 100 * (spent - used) / (now - last)),
                    "memory_gb": resident / GIB,
                    "machine_cpu_percent": psutil.cpu_percent(),
                    "machine_memory_gb": psutil.virtual_memory().used / GIB,
                    **gpus.read(),
                }
                bucket.append((now - last, values))
                last, used = now, spent
                if len(bucket) == joined:
                    self._append(now - started, bucket)
                    bucket, rows = [], rows + 1
                    if rows == MAX_ROWS:
                        joined, rows = 2 * joined, MAX_ROWS // 2
        finally:
            if bucket:
                self._append(last - started, bucket)
            gpus.close()

    def _append(self, seconds: float, bucket: list[tuple[float, Values]]) -> None:
        row = {"session": self.session, "seconds": seconds, **join([_row(length, values) for length, values in bucket])}
        with self.path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def measure(process: psutil.Process) -> tuple[float, int]:
    """CPU seconds (those of children it has waited for too) and resident bytes of a process and its descendants."""
    seconds, resident = 0.0, 0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            seconds += sum(member.cpu_times()[:4])
            resident += member.memory_info().rss
    return seconds, resident


def _row(length: float, values: Values) -> dict[str, Any]:
    return {"length": length, "mean": values, "peak": values}


def join(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One row for several: their length in seconds, their means weighted by length, their highest peaks."""
    names = list(dict.fromkeys(name for row in rows for name in row["mean"]))
    mean, peak = {}, {}
    for name in names:
        known = [row for row in rows if name in row["mean"]]
        length = sum(row["length"] for row in known)
        mean[name] = sum(row["mean"][name] * row["length"] for row in known) / length
        peak[name] = max(row["peak"][name] for row in known)
    return {"length": sum(row["length"] for row in rows), "mean": mean, "peak": peak}


def read_samples(path: Path) -> list[dict[str, Any]]:
    """Rows of a sample file, in order; a line that a kill cut off is left out. Empty when there is no file."""
    rows = []
    for line in read_bytes(path).splitlines() if path.is_file() else []:
        with suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Mean and peak of every quantity, and a curve of at most MAX_ROWS rows; None without samples.

    `seconds` of the curve is training time, sessions one after the other without the pauses between them; each row
    holds the means of the time since the row before.
    """
    if not rows:
        return None
    whole = join(rows)
    merged = [join(rows[start:end]) for start, end in _parts(len(rows))]
    columns = list(whole["mean"])
    curve, seconds = [], 0.0
    for row in merged:
        seconds += row["length"]
        values = (row["mean"].get(name) for name in columns)
        curve.append([round(seconds, 1), *(None if value is None else round(value, 2) for value in values)])
    return {
        "interval_seconds": INTERVAL_SECONDS,
        "seconds": round(whole["length"], 1),
        "sessions": len({row["session"] for row in rows}),
        "mean": _rounded(whole["mean"]),
        "peak": _rounded(whole["peak"]),
        "columns": ["seconds", *columns],
        "rows": curve,
    }


def _parts(count: int) -> list[tuple[int, int]]:
    """At most MAX_ROWS even parts of `count` rows."""
    parts = min(count, MAX_ROWS)
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def _rounded(values: Mapping[str, float]) -> Values:
    return {name: round(value, 2) for name, value in values.items()}
