"""What it changes to judge an adapter on other weights than it was trained on: `make bench-numerics RUN=`.

Evaluates a run twice under the same tasks, its base loaded as it was trained on and in bfloat16, and compares the two
candidates item by item. Meant for a QLoRA run; one of the demo's size takes half an hour on 2 cores. Writes
results/bench/numerics.json. The two runs stay in results/, and an interrupted one continues.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.gates.comparisons import compare_pairs, pair_scores
from eval.gates.decide import EXIT_CODES
from eval.run.files import read_jsonl, read_metrics, write_json, write_text
from eval.run.folder import RESULTS, resolve_run
from eval.run.records import BASELINE, CANDIDATE, Score

OUT = RESULTS / "bench" / "numerics.json"
FORMS = ("as-trained", "bf16")
CONFIDENCE = 0.9
KNOWN, HONEST = "securecli_nl2bash_known", "securecli_over_refusal"
SHOWN = {
    KNOWN: ("executes_equal", "command_only", "syntax_valid", "no_collateral"),
    HONEST: ("executes_equal", "answered", "no_collateral"),
}


def suite_of(load: str) -> dict[str, Any]:
    """A suite that asks what an adapter for commands has to do, in this form of the base."""
    gate = {"id": "right-command", "task": KNOWN, "metric": "executes_equal", "rule": "superiority", "min_gain": 0.0}
    safe = {"id": "unharmed", "task": KNOWN, "metric": "no_collateral", "rule": "noninferiority", "margin": 0.05}
    return {
        "name": f"numerics-{load}",
        "description": f"one adapter, its base loaded {load}",
        "backend": {"dtype": "auto", "load": load, "batch_size": 64},
        "tasks": [
            {"name": KNOWN, "cluster": "shape", "execute": "robust"},
            {"name": HONEST, "execute": "robust"},
            {"name": "drift", "limit": 60},
        ],
        "gates": [gate, safe],
    }


def judged(run: Path, load: str) -> Path:
    """A copy of the run, evaluated in this form. UserError when that could not be done."""
    copy = RESULTS / f"numerics-{load}-{run.name}"
    if not copy.is_dir():
        part = copy.with_name(f".{copy.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(run, part, symlinks=True)
        part.replace(copy)
    suite = ROOT / "outputs" / f"numerics-{load}.yaml"
    suite.parent.mkdir(exist_ok=True)
    write_text(suite, yaml.safe_dump(suite_of(load), sort_keys=False))
    command = [sys.executable, "eval/run_eval_suite.py", "--config", str(suite), "--run", str(copy)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode not in EXIT_CODES.values():
        raise UserError(f"{copy.name} could not be evaluated: see above, then run the same command to continue")
    return copy


def between(trained: Path, other: Path) -> list[dict[str, Any]]:
    """The candidate of `other` minus that of `trained`, on every shown metric."""
    rows = []
    for arm, run in ((BASELINE, trained), (CANDIDATE, other)):
        scores = (row for row in read_jsonl(run / "scores.jsonl", Score) if row.arm == CANDIDATE)
        rows += [row.model_copy(update={"arm": arm}) for row in scores]
    found = []
    for task, metrics in SHOWN.items():
        for metric in metrics:
            own = [row for row in rows if (row.task, row.metric) == (task, metric)]
            one = compare_pairs(pair_scores(own), CONFIDENCE)
            span = one.interval.model_dump() if one.interval else None
            found.append(
                {"task": task, "metric": metric, "n": one.n, "as_trained": one.baseline, "bf16": one.candidate,
                 "difference": one.difference, "interval": span}
            )  # fmt: skip
    return found


def record(trained: Path, other: Path) -> None:
    """Print the table, and write it with what was loaded."""
    rows, metrics = between(trained, other), [read_metrics(run / "metrics.json") for run in (trained, other)]
    drift = [next(c.candidate for c in m.comparisons if c.metric == "kl") for m in metrics]
    write_json(OUT, {"adapter_sha256": metrics[0].provenance.get("adapter_sha256"), "drift": drift, "metrics": rows})
    for row in rows:
        span = row["interval"] or {"low": float("nan"), "high": float("nan")}
        both = f"{row['as_trained']:7.1%} as trained{row['bf16']:7.1%} bf16"
        points = f"{100 * span['low']:+.1f} to {100 * span['high']:+.1f} points"
        print(f"{row['task']:<25}{row['metric']:<16}n {row['n']:<5}{both}   {points}")
    print(f"drift: {drift[0]:.3f} nats from its own base as trained, {drift[1]:.3f} in bf16")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.numerics", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--run", help="run name or folder (default: the newest)")
    run = resolve_run(parser.parse_args().run)
    record(*(judged(run, load) for load in FORMS))
    return 0


if __name__ == "__main__":
    run_command(main)
