"""How long the data pipeline takes, and how much memory, as rows become more: `make bench-data NL2BASH=FOLDER`.

    python -m scripts.benchmarks.data --nl2bash FOLDER [--rows 12607,50000,100000]      results/bench/data.json

NL2Bash is 12,607 pairs; more are made of it by moving the letters of each request along the alphabet, so that each
copy has as many near-duplicates inside as NL2Bash, and none in another. Each size is a process of its own that starts
with nothing kept. Seconds are of the processor, user and system together: on a machine that others use too, they say
what a wall clock does not.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.common.strict_yaml import parse_yaml
from eval.run.files import write_json

OUT = ROOT / "results" / "bench" / "data.json"
SIZES = "12607,50000,100000"
MOST_SECONDS, MOST_MB = 60.0, 1000.0  # of NL2Bash's own pairs, on two cores


def larger(folder: Path, rows: int, to: Path) -> None:
    """`rows` pairs of NL2Bash in `to`, those of a second, third ... copy asked in other letters."""
    asked, commands = (read_text(folder / name).rstrip("\n").split("\n") for name in ("all.nl", "all.cm"))
    times = -(-rows // len(asked))
    said = [moved(text, n) for n in range(times) for text in asked]
    (to / "all.nl").write_text("\n".join(said[:rows]) + "\n")
    (to / "all.cm").write_text("\n".join((commands * times)[:rows]) + "\n")


def moved(text: str, by: int) -> str:
    """The text with each small letter exchanged for the one `by` places on."""
    return text.translate({97 + place: 97 + (place + by) % 26 for place in range(26)})


def measured(folder: Path, rows: int) -> dict[str, Any]:
    """One size. UserError when the pipeline fails."""
    with TemporaryDirectory() as name:
        place = Path(name)
        larger(folder, rows, place)
        config = parse_yaml((ROOT / "configs/data/nl2bash.yaml").read_bytes().decode())
        config |= {"name": f"bench-{rows}", "split": {"share": 0.05}}  # no test: whose commands are run, in minutes
        (place / "bench.yaml").write_text(json.dumps(config))
        command = [sys.executable, "-m", __spec__.name, "--child", str(place)]
        print(f"bench-data: {rows:,} rows", file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        for kept in (ROOT / ".cache/data").glob(f"bench-{rows}-*"):
            shutil.rmtree(kept)
        if done.returncode:
            raise UserError(f"bench-data: {rows} rows: {done.stderr.strip().splitlines()[-1:]}")
        return {"rows": rows, **json.loads(done.stdout.splitlines()[-1])}


def child(place: Path) -> dict[str, Any]:
    """In the measured process: run the pipeline, say what it took."""
    from scripts.data.pipeline import run

    started = time.monotonic()
    dataset = run(place / "bench.yaml", place, place / "out")
    wall = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "kept": len(dataset.train) + len(dataset.validation),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "wall_seconds": round(wall, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.data", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--nl2bash", type=Path, help="folder with NL2Bash's all.nl and all.cm")
    parser.add_argument("--rows", default=SIZES, help="sizes, with commas between")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child:
        print(json.dumps(child(given.child)))
        return 0
    if given.nl2bash is None:
        print("bench-data: skipped: NL2BASH= has to name a folder with all.nl and all.cm")
        return 0
    try:
        sizes = [int(size) for size in given.rows.split(",")]
    except ValueError:
        raise UserError(f"--rows {given.rows}: give numbers with commas between, such as {SIZES}") from None
    found: list[dict[str, Any]] = []
    for size in sizes:
        one = measured(given.nl2bash, size)
        found.append(one | {"seconds_per_1000_rows": round(1000 * one["processor_seconds"] / size, 2)})
        print("  ".join(f"{name} {value:,}" for name, value in found[-1].items()), flush=True)
        write_json(OUT, {"sizes": found, "limits": {"seconds": MOST_SECONDS, "mb": MOST_MB}})
    print(f"-> {OUT.relative_to(ROOT)}")
    within = found[0]["processor_seconds"] <= MOST_SECONDS and found[0]["peak_mb"] <= MOST_MB
    return 0 if within else 1


if __name__ == "__main__":
    run_command(main)
