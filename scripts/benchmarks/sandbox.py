"""What a sandboxed run costs and whether anything leaks, as `make bench-sandbox` measures it.

    python -m scripts.benchmarks.sandbox [--runs 10000] [--backend namespaces]

Prints a table and writes results/bench/sandbox.json. "Bare" is the same `bash -c` through the same supervisor, without
any confinement, and it runs only commands written here. "Copy" is laying out the fixture, reading it back and clearing
it. The leak check counts processes, mounts, files and users before and after, and the workers' memory on the way.
"""

import argparse
import resource
import statistics
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from eval.common.errors import run_command
from eval.run.environment import machine
from eval.run.files import write_json
from eval.sandbox.as_root import state_folder
from eval.sandbox.execution import Limits
from eval.sandbox.fixtures import load_fixture
from eval.sandbox.opening import BACKENDS, open_sandbox
from eval.sandbox.pool import Sandbox

OUTPUT = Path("results/bench/sandbox.json")
COMMAND = "true"
# Twelve ordinary commands; with repetitions they make the 300 candidates.
CANDIDATES = [
    "ls -l", "find . -name '*.py'", "grep -rn TODO .", "wc -l README.md", "sort data/ports.txt | uniq -c", "du -sh .",
    "tar -czf out.tar.gz src", "sed -n '1,3p' README.md", "git log --oneline", "awk -F, '{print $2}' data/ships.csv",
    "cp -r docs copy", "rm -f build/build.log",
]  # fmt: skip


def bare(repeats: int) -> tuple[float, float]:
    """Median wall seconds and mean CPU seconds of a plain `bash -c true` started by Python."""
    seconds = []
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(repeats):
        begin = time.perf_counter()
        subprocess.run(["/bin/bash", "-c", COMMAND], capture_output=True, stdin=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - begin)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return statistics.median(seconds), cpu / repeats


def one_run(sandbox: Sandbox, repeats: int) -> dict[str, float]:
    """Milliseconds of a run (medians): in all, the command's own part, and the rest (copy, comparison, clearing).

    CPU milliseconds (means) count the worker and everything it started; they hold on a busy machine as well.
    """
    fixture = load_fixture("project", sandbox)
    sandbox.run_many([(COMMAND, fixture)] * 20)  # every worker has read the fixture
    total, inside = [], []
    used = cpu_seconds(sandbox)
    for _ in range(repeats):
        begin = time.perf_counter()
        execution = sandbox.run(COMMAND, fixture)
        total.append(time.perf_counter() - begin)
        inside.append(execution.seconds)
    cpu = (cpu_seconds(sandbox) - used) / repeats
    bare_wall, bare_cpu = bare(repeats)
    median_total, median_inside = statistics.median(total), statistics.median(inside)
    return {
        "runs": repeats,
        "bare_ms": 1e3 * bare_wall,
        "command_ms": 1e3 * median_inside,
        "copy_ms": 1e3 * (median_total - median_inside),
        "total_ms": 1e3 * median_total,
        "command_over_bare": median_inside / bare_wall,
        "bare_cpu_ms": 1e3 * bare_cpu,
        "total_cpu_ms": 1e3 * cpu,
    }


def cpu_seconds(sandbox: Sandbox) -> float:
    """CPU time of the workers and of every process they waited for."""
    times = [psutil.Process(worker).cpu_times() for worker in sandbox.processes() if worker]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def candidates(sandbox: Sandbox, count: int = 300) -> dict[str, float]:
    """Seconds for `count` ordinary commands on all workers."""
    fixture = load_fixture("project", sandbox)
    tasks = [(CANDIDATES[i % len(CANDIDATES)], fixture) for i in range(count)]
    begin = time.perf_counter()
    results = sandbox.run_many(tasks)
    seconds = time.perf_counter() - begin
    return {"runs": count, "seconds": seconds, "broken": sum(isinstance(result, Exception) for result in results)}


def leaks(sandbox: Sandbox, runs: int) -> dict[str, Any]:
    """What `runs` runs leave behind, and the workers' resident memory after a tenth of them and at the end."""
    fixture = load_fixture("home", sandbox)
    before = left_behind(sandbox)
    memory = []
    for _ in range(10):
        sandbox.run_many([("echo x > x; (sleep 60 &); ls", fixture)] * (runs // 10), Limits(wall_seconds=5))
        memory.append(resident_mb(sandbox))
        print(f"  {len(memory) * (runs // 10)} runs, workers' memory {memory[-1]:.1f} MB", flush=True)
    return {"runs": runs, "before": before, "after": left_behind(sandbox), "memory_mb": memory}


def resident_mb(sandbox: Sandbox) -> float:
    """Resident memory of all workers."""
    return sum(psutil.Process(worker).memory_info().rss for worker in sandbox.processes() if worker) / 1e6


def left_behind(sandbox: Sandbox) -> dict[str, int]:
    """Processes of the sandbox's users, mounts of this machine, their files in /run, descriptors of the workers."""
    users = set(sandbox.users())
    processes = 0
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            processes += process.uids().real in users
    descriptors = sum(psutil.Process(worker).num_fds() for worker in sandbox.processes() if worker)
    files = sum(1 for user in users for _ in (state_folder() / str(user)).rglob("*"))
    mounts = len(Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines())
    accounts = len(Path("/etc/passwd").read_text(encoding="utf-8").splitlines())
    return {"processes": processes, "mounts": mounts, "files": files, "accounts": accounts, "descriptors": descriptors}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.sandbox", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=10_000, help="runs of the leak check (default: 10000)")
    parser.add_argument("--repeats", type=int, default=200, help="repetitions behind each median (default: 200)")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="default: both")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "backends": {}}
    for name in arguments.backend or BACKENDS:
        print(f"{name}:")
        with open_sandbox(name) as sandbox:
            found: dict[str, Any] = {"identity": sandbox.identity, "workers": len(sandbox.processes())}
            found["one_run"] = one_run(sandbox, arguments.repeats)
            found["candidates"] = candidates(sandbox)
            found["leaks"] = leaks(sandbox, arguments.runs)
        results["backends"][name] = found
        print("  " + ", ".join(f"{key} {value:.2f}" for key, value in found["one_run"].items()))
        print(f"  {found['candidates']['runs']} candidates: {found['candidates']['seconds']:.1f} s")
        print(f"  before {found['leaks']['before']}, after {found['leaks']['after']}")
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    write_json(OUTPUT, results)
    print(f"written to {OUTPUT}")


if __name__ == "__main__":
    run_command(main)
