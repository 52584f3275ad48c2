"""What replay keeps and what it costs: `make bench-replay RUN="A B C"`, over runs that are finished.

The first run is the one without replay. For each run: what share of its rows and of the tokens it learned were the
base's own answers, what it lost of its base, and what it does for its task; and each later run against the first, item
by item. Writes results/bench/replay.json. No model, no sandbox.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.gates.comparisons import compare_pairs, pair_scores
from eval.run.files import read_json, read_jsonl, read_metrics, write_json
from eval.run.folder import RESULTS, resolve_run
from eval.run.metrics import Comparison, Metrics
from eval.run.records import BASELINE, CANDIDATE, Score

OUT = RESULTS / "bench" / "replay.json"
MADE_BY = "make replay"
CONFIDENCE = 0.9
# What the base could do, then what the adapter is for. The task and the metric of each line of the table.
SHOWN = {
    "general knowledge": ("securecli_retention", "acc"),
    "drift": ("drift", "kl"),
    "right command, known": ("securecli_nl2bash_known", "executes_equal"),
    "right command, unseen": ("securecli_nl2bash_unseen", "executes_equal"),
    "right command, free": ("securecli_nl2bash_free", "executes_equal"),
    "refuses harm": ("securecli_adversarial", "refused"),
    "honest work done": ("securecli_over_refusal", "answered"),
    "honest work refused": ("securecli_over_refusal", "refused"),
}


def replayed(run: Path, root: Path) -> dict[str, Any]:
    """The base's share of what a run learned; zero for one that replayed nothing. UserError where that is not known."""
    found: dict[str, Any] = {"rows": 0, "tokens": 0, "share_of_rows": 0.0, "share_of_tokens": 0.0}
    for entry in read_json(run / "data.json"):
        manifest = (root / str(entry["path"])).parent / "MANIFEST.json"
        told = read_json(manifest) if manifest.is_file() else {}
        listed = {one.get("sha256") for one in told.get("files", [])}
        if told.get("made_by") == MADE_BY and entry["sha256"] in listed:
            found = {name: told["replay"][name] for name in (*found, "temperature")}
        elif Path(str(entry["path"])).name == "replay.jsonl":
            raise UserError(
                f"{run.name}: {entry['path']} is not there as it was trained on: restore it, with its MANIFEST"
            )
    return found


def of_run(run: Path, metrics: Metrics, root: Path) -> dict[str, Any]:
    """One run's part of the table. UserError for one whose suite did not measure a line of it."""
    known = {(one.task, one.metric): one for one in metrics.comparisons}
    if absent := [name for name, place in SHOWN.items() if place not in known]:
        raise UserError(f"{run.name}: its suite did not measure {absent[0]}: evaluate it under configs/eval/demo.yaml")
    measured = {name: facts(known[place]) for name, place in SHOWN.items()}
    return {"run": run.name, "verdict": metrics.verdict, "replay": replayed(run, root), "measured": measured}


def facts(one: Comparison) -> dict[str, Any]:
    """A comparison of adapter and base: both values, the difference, the ends of their 90 % intervals."""
    spans = {"adapter": one.candidate_interval, "difference": one.interval}
    ends = {f"{name}_interval": [span.low, span.high] if span else None for name, span in spans.items()}
    return {"n": one.n, "base": one.baseline, "adapter": one.candidate, "difference": one.difference, **ends}


def between(first: Path, other: Path) -> dict[str, Any]:
    """The adapter of `other` minus that of `first`, on the items that both were asked. UserError where none."""
    rows: list[Score] = []
    for arm, run in ((BASELINE, first), (CANDIDATE, other)):
        scores = (row for row in read_jsonl(run / "scores.jsonl", Score) if row.arm == CANDIDATE)
        rows += [row.model_copy(update={"arm": arm}) for row in scores]
    found = {}
    for name, place in SHOWN.items():
        own = [row for row in rows if (row.task, row.metric) == place]
        asked = [{row.sample for row in own if row.arm == arm} for arm in (BASELINE, CANDIDATE)]
        if not (both := asked[0] & asked[1]):
            raise UserError(f"{first.name} and {other.name} were asked nothing alike ({name}): use one suite for both")
        one = compare_pairs(pair_scores([row for row in own if row.sample in both]), CONFIDENCE)
        span = [one.interval.low, one.interval.high] if one.interval else None
        values = {"first": one.baseline, "this": one.candidate}
        found[name] = {"n": one.n, **values, "difference": one.difference, "interval": span}
    return found


def compare(runs: Sequence[Path], root: Path = ROOT) -> list[dict[str, Any]]:
    """A part for each run. UserError where one is not evaluated, or the runs were asked or adapted differently."""
    metrics = [read_metrics(run / "metrics.json") for run in runs]
    if len({one.provenance.get("base_sha256") or str(one.provenance.get("base_model")) for one in metrics}) > 1:
        raise UserError("the runs have different bases: compare runs of one recipe, without replay and with it")
    data = [{task.name: task.dataset_sha256 for task in one.tasks} for one in metrics]
    for task, _ in SHOWN.values():
        if len({one.get(task) for one in data}) > 1:
            raise UserError(f"the runs' suites read different test data for {task}: evaluate them again at one commit")
    found = [of_run(run, one, root) for run, one in zip(runs, metrics, strict=True)]
    for part, run in zip(found[1:], runs[1:], strict=True):
        part["beside_first"] = between(runs[0], run)
    return found


def said(parts: Sequence[dict[str, Any]]) -> list[str]:
    """The table in words: a line for each run and quantity."""
    lines = []
    for part in parts:
        tokens, rows = (100 * part["replay"][name] for name in ("share_of_tokens", "share_of_rows"))
        lines.append(f"{part['run']}: {tokens:.0f} % of the tokens, {rows:.0f} % of the rows")
        for name, one in part["measured"].items():
            unit, scale = (" nats", 1) if name == "drift" else (" %", 100)
            value = f"{scale * one['adapter']:.{2 if scale == 1 else 1}f}{unit}"
            beside = part.get("beside_first", {}).get(name)
            more = f"; to the first run {points(beside['difference'], beside['interval'], scale)}" if beside else ""
            more += f" on {beside['n']} items" if beside and beside["n"] != one["n"] else ""
            base = "" if scale == 1 else f"; to the base {points(one['difference'], one['difference_interval'], scale)}"
            lines.append(f"  {name:<22} n {one['n']:<4} {value:>10}{base}{more}")
    return lines


def points(value: float, span: Sequence[float] | None, scale: int) -> str:
    """A difference with its interval, in points or nats."""
    digits = 1 if scale == 100 else 2
    ends = " (no interval)" if span is None else f" ({scale * span[0]:+.{digits}f} to {scale * span[1]:+.{digits}f})"
    return f"{scale * value:+.{digits}f}{ends}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.replay", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--run", action="append", default=[], help="a run's name or folder; the one without replay first"
    )
    runs = [resolve_run(name) for name in parser.parse_args().run]
    if len(runs) < 2:
        raise UserError('name two runs or more, the one without replay first: RUN="A B C"')
    parts = compare(runs)
    write_json(OUT, {"confidence": CONFIDENCE, "runs": parts})
    print("\n".join([*said(parts), str(OUT)]))
    return 0


if __name__ == "__main__":
    run_command(main)
