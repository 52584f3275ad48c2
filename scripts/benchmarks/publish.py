"""What publishing a large adapter costs: seconds a step and peak memory, measured against a Hub on this machine.

    python -m scripts.benchmarks.publish [--mb 500]        -> results/bench/publish.json

Each step runs in a process of its own, so that its peak is its own: VmHWM of the process less what it was after the
imports. The Hub is a third process. Files lie in the page cache, which is not counted: nothing maps them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.run.environment import machine
from eval.run.files import write_json

BENCH = ROOT / "results" / "bench" / "publish.json"
STEPS = ("digests", "weights", "secrets", "upload")
REPO = "someone/large"
WORKER = """
import json, resource, sys, time
from pathlib import Path
from eval.run.digests import folder_digests
from scripts.publishing.hub_errors import connect
from scripts.publishing.hub_upload import Target, look, upload
from eval.adapters.safetensors_file import check_weights
from eval.run.secret_patterns import scan_file
from scripts.benchmarks.publish import peak_mb
step, folder = sys.argv[1], Path(sys.argv[2])
weights = folder / "adapter_model.safetensors"
def run():
    if step == "digests": folder_digests(folder)
    if step == "weights": check_weights(weights)
    if step == "secrets": scan_file(weights)
    if step == "upload":
        api, target = connect(), Target("someone/large", "v1.0.0")
        upload(api, folder, folder_digests(folder), target, look(api, target), lambda *_: None)
before, start = peak_mb(), time.perf_counter()
run()
seconds = round(time.perf_counter() - start, 1)
print(json.dumps({"seconds": seconds, "import_mb": before, "peak_mb": peak_mb() - before}))
"""


def peak_mb() -> int:
    """Peak resident memory of this process so far, in MB (VmHWM; unlike ru_maxrss it does not remember a parent)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024


def make_publication(folder: Path, megabytes: int) -> None:
    """A folder to publish, with a safetensors file of that size, of random finite numbers, written in pieces."""
    import numpy as np

    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# large\n")
    (folder / "adapter_config.json").write_text("{}\n")
    rows = megabytes * 1_000_000 // 4 // 4096
    size = rows * 4096 * 4
    header = json.dumps({"w": {"dtype": "F32", "shape": [rows, 4096], "data_offsets": [0, size]}}).encode()
    random = np.random.default_rng(0)
    with (folder / "adapter_model.safetensors").open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, rows, 256):
            stream.write(random.standard_normal((min(256, rows - start), 4096), dtype=np.float32).tobytes())


def start_hub(folder: Path) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """A loopback Hub in a process of its own, and the variables that point there."""
    command = [sys.executable, "-m", "scripts.loopback_hub.server", "--folder", str(folder)]
    hub = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert hub.stdout
    return hub, dict(pair.split("=", 1) for pair in hub.stdout.readline().split())


def measure(megabytes: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-publish-") as scratch:
        folder = Path(scratch) / "publication"
        make_publication(folder, megabytes)
        hub, variables = start_hub(Path(scratch) / "hub")
        try:
            for step in STEPS:
                command = [sys.executable, "-c", WORKER, step, str(folder)]
                environment = {**os.environ, **variables, "TMPDIR": scratch}
                done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise UserError(f"{step} failed: {done.stderr.strip().splitlines()[-1]}")
                results[step] = json.loads(done.stdout.splitlines()[-1])
                print(f"{step:<8} {results[step]['seconds']:>7.1f} s   {results[step]['peak_mb']:>5} MB", flush=True)
        finally:
            hub.terminate()
            hub.wait()
    return results


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.publish", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--mb", type=int, default=500, help="size of the adapter, in MB")
    arguments = parser.parse_args(argv)
    print("step     seconds   peak memory beyond import")
    steps = measure(arguments.mb)
    measured = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "adapter_mb": arguments.mb, "steps": steps}
    BENCH.parent.mkdir(parents=True, exist_ok=True)
    write_json(BENCH, measured | {"machine": machine()})
    print(f"{BENCH.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    run_command(main)
