"""What a verdict over logs leaves: a run folder like that of any evaluation, for reports, `make runs` and archives."""

import datetime
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.config.suite_file import Suite
from eval.gates.decide import Decision
from eval.logs.pairing import Paired
from eval.logs.rows import Log
from eval.report.rendering import render_report
from eval.run.digests import file_sha256
from eval.run.environment import git_state
from eval.run.files import read_json, write_bytes, write_json, write_jsonl
from eval.run.folder import LOGS, locked, new_run, update_run
from eval.run.metrics import UNSEEN, AdapterEffect, ComparedLogs, LogFacts, Metrics, SelfCheck
from eval.run.records import BASELINE, printable


def effect_in(paired: Paired) -> AdapterEffect:
    """That nothing is proven, and how many items the two arms answered, or scored, differently."""
    whole: dict[tuple[str, str], list[set[tuple[Any, ...]]]] = {}
    for answer in paired.generations:
        sides = whole.setdefault((answer.task, answer.sample), [set(), set()])
        sides[answer.arm != BASELINE].add((answer.repeat, answer.text))
    for score in paired.scores:
        sides = whole[score.task, score.sample]
        sides[score.arm != BASELINE].add((score.repeat, score.metric, score.value))
    changed = sum(sides[0] != sides[1] for sides in whole.values())
    return UNSEEN.model_copy(update={"answers_changed": changed, "samples": len(whole)})


def folder_for(out: Path | None, results: Path, suite: Suite) -> Path:
    """A new run folder, or `out`: a new or empty folder, or that of an earlier verdict over logs."""
    fields = {"base_model": LOGS, "suite": suite.name, "stages": {LOGS: "running"}}
    git = git_state()
    if out is None:
        return new_run(LOGS, git, fields, results)
    if out.exists() and not out.is_dir():
        raise UserError(f"OUT={out} is a file: name a folder")
    if out.is_dir() and any(out.iterdir()) and not _is_ours(out):
        raise UserError(f"OUT={out} holds something else: name a new or empty folder, or that of an earlier verdict")
    out.mkdir(parents=True, exist_ok=True)
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    name = printable(out.resolve().name)
    write_json(out / "run.json", {"schema_version": 1, "run": name, "created": created, "git": git, **fields})
    return out.resolve()


def _is_ours(folder: Path) -> bool:
    if not (folder / "run.json").is_file():
        return False
    state = read_json(folder / "run.json")
    return isinstance(state, dict) and LOGS in (state.get("stages") or ())


def record(
    run: Path, suite: Suite, suite_text: bytes, logs: tuple[Log, Log], paired: Paired, found: Decision,
    effect: AdapterEffect, checks: list[SelfCheck],
) -> Metrics:  # fmt: skip
    """Write every file of the run, and its report."""
    with locked(run):
        write_bytes(run / "suite.yaml", suite_text)
        write_jsonl(run / "scores.jsonl", paired.scores)
        (run / "generations.jsonl").unlink(missing_ok=True)
        (run / "samples.jsonl").unlink(missing_ok=True)
        if any(answer.text or answer.request for answer in paired.generations):
            write_jsonl(run / "generations.jsonl", paired.generations)
            write_jsonl(run / "samples.jsonl", paired.items)
        metrics = metrics_of(run, suite, logs, paired, found, effect, checks)
        write_json(run / "metrics.json", metrics.model_dump(mode="json"))
        render_report(run)
        update_run(run, verdict=metrics.verdict, stages={LOGS: "completed"})
    return metrics


def metrics_of(
    run: Path, suite: Suite, logs: tuple[Log, Log], paired: Paired, found: Decision, effect: AdapterEffect,
    checks: list[SelfCheck],
) -> Metrics:  # fmt: skip
    """metrics.json: the verdict, and which bytes it came from. No path of this machine but the ends that tell apart."""
    a, b = logs
    state = read_json(run / "run.json")
    return Metrics(
        run=printable(run.name),
        suite=suite.name,
        suite_sha256=file_sha256(run / "suite.yaml"),
        verdict=found.verdict,
        reasons=found.reasons,
        cautions=found.cautions,
        gates=found.gates,
        comparisons=found.comparisons,
        explorations=found.explorations,
        power_observed=found.power,
        tasks=paired.summaries,
        self_checks=checks,
        baseline=f"log {a.name}",
        adapter_effect=effect,
        logs=ComparedLogs(
            format=a.format,
            baseline=LogFacts(name=a.name, files=a.files),
            candidate=LogFacts(name=b.name, files=b.files),
        ),
        costs={"items": float(sum(task.samples for task in paired.summaries))},
        training=None,
        provenance={"created": state["created"], "git": state["git"], "backend": {"kind": LOGS}},
    )
