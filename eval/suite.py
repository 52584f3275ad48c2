"""The story of one evaluation, top to bottom: load, generate, score, compare, gate, report.

    python eval/run_eval_suite.py [--config SUITE] [--run RUN]       evaluate a run's adapter against its base
    python eval/run_eval_suite.py --self-check --base-model FOLDER   the base against itself: must never ship

Exit codes: 0 ship, 1 no-ship, 2 could not evaluate, 3 inconclusive. Killed at any point, the same command
continues: finished batches are kept and the result is the same.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from eval.config import ROOT, Suite, load_suite, resolve_suite
from eval.environment import capture_environment, git_state, headline_versions, machine
from eval.errors import UserError, run_command
from eval.gates import EXIT_CODES, Decision, decide
from eval.generation_log import PARTIAL, GenerationLog
from eval.provenance import file_sha256, json_sha256, verify_manifest
from eval.records import (
    BASELINE,
    CANDIDATE,
    AdapterEffect,
    Generation,
    Item,
    Metrics,
    read_json,
    write_json,
    write_jsonl,
)
from eval.report import render_report
from eval.run_folder import RESULTS, new_run, read_run, resolve_run, update_run

if TYPE_CHECKING:
    from eval.lm_tasks import LoadedTask

ARMS = (BASELINE, CANDIDATE)


@dataclass(frozen=True)
class Candidate:
    """What is compared: a base model and the adapter on top of it (None: the base against itself)."""

    run: Path
    base_model: str
    revision: str | None
    adapter: Path | None

    @property
    def adapter_sha256(self) -> str | None:
        return file_sha256(self.run / "adapter.sha256") if self.adapter else None


def evaluate(suite_path: Path, candidate: Candidate) -> Metrics:
    """Run every stage for one candidate and write all files of the evaluation into its run folder."""
    started = time.monotonic()
    suite = load_suite(suite_path)
    run = candidate.run
    (run / "suite.yaml").write_bytes(suite_path.read_bytes())
    write_json(run / "environment.json", capture_environment())
    update_run(run, suite=suite.name, stages={"eval": "running"})

    say(f"loading {candidate.base_model} and {'its adapter' if candidate.adapter else 'no adapter'}")
    from eval import harness, lm_tasks  # torch and lm-eval, 10 s: only now that the arguments are known to be good

    model = harness.load_model(suite, candidate.base_model, candidate.revision, candidate.adapter)
    tasks = lm_tasks.load_tasks(suite, model.lm)
    effect = harness.adapter_effect(model, tasks)
    loaded = time.monotonic()

    log = GenerationLog(run, generation_key(suite, candidate, tasks))
    batches = harness.plan_batches(tasks, model.lm, suite.backend.batch_size)
    for arm in ARMS:
        for number, batch in enumerate(batches, start=1):
            if all((arm, sample.task, sample.id) in log.answers for sample in batch):
                continue
            generations = harness.generate(model, arm, batch)
            log.add(generations)
            pace = generations[0].seconds
            say(f"{arm}: batch {number}/{len(batches)}, {len(batch)} samples at {pace:.2f} s each")
    order = [(arm, task.name, sample.id) for arm in ARMS for task in tasks for sample in task.samples]
    generations = log.finish(order)

    say("scoring, comparing, gating")
    scores = lm_tasks.score(tasks, generations)
    write_jsonl(run / "scores.jsonl", scores)
    write_samples(run / "samples.jsonl", tasks)
    if effect is not None:
        effect = effect.model_copy(update=count_changed(generations))
    metric_names = {task.name: sorted({row.metric for row in scores if row.task == task.name}) for task in tasks}
    metrics = build_metrics(
        candidate,
        suite,
        decide(suite, scores, effect),
        effect,
        tasks=[lm_tasks.summarise(task, metric_names[task.name]) for task in tasks],
        costs=costs(generations, load_seconds=loaded - started),
    )
    write_json(run / "metrics.json", metrics.model_dump(mode="json"))
    render_report(run)
    update_run(run, verdict=metrics.verdict, stages={"eval": "completed"})
    (run / PARTIAL).unlink()
    return metrics


def generation_key(suite: Suite, candidate: Candidate, tasks: "list[LoadedTask]") -> str:
    """Digest of everything that decides an answer; answers under another key are not reused."""
    base = Path(candidate.base_model) / "MANIFEST.sha256"
    return json_sha256(
        {
            "base": file_sha256(base) if base.is_file() else [candidate.base_model, candidate.revision],
            "adapter": candidate.adapter_sha256,
            "backend": suite.backend.model_dump(),
            "seed": suite.seed,
            "prompts": [[sample.id, sample.prompt_sha256] for task in tasks for sample in task.samples],
            "versions": headline_versions(),
        }
    )


def count_changed(generations: list[Generation]) -> dict[str, int]:
    """How many samples the two arms answered differently."""
    texts: dict[tuple[str, str, int], set[str]] = {}
    for answer in generations:
        texts.setdefault((answer.task, answer.sample, answer.repeat), set()).add(answer.text)
    return {"answers_changed": sum(len(both) > 1 for both in texts.values()), "samples": len(texts)}


def costs(generations: list[Generation], load_seconds: float) -> dict[str, float]:
    """Seconds and tokens of the generations, by arm."""
    spent: dict[str, float] = {"seconds_load": round(load_seconds, 1), "items": len(generations) / len(ARMS)}
    for arm in ARMS:
        own = [answer for answer in generations if answer.arm == arm]
        spent[f"seconds_generate_{arm}"] = round(sum(answer.seconds for answer in own), 1)
        spent[f"tokens_{arm}"] = sum(answer.tokens or 0 for answer in own)
    return spent


def write_samples(path: Path, tasks: "list[LoadedTask]") -> None:
    """samples.jsonl: request and gold of every sample, for readers of the report."""
    rows = [
        Item(task=task.name, sample=sample.id, request=sample.request, gold=sample.gold, cluster=sample.cluster)
        for task in tasks
        for sample in task.samples
    ]
    write_jsonl(path, rows)


def build_metrics(
    candidate: Candidate,
    suite: Suite,
    decision: Decision,
    effect: AdapterEffect | None,
    tasks: list[Any],
    costs: dict[str, float],
) -> Metrics:
    """Everything of metrics.json."""
    run = candidate.run
    state = read_run(run)
    environment = read_json(run / "environment.json")
    training = read_json(run / "train.json") if (run / "train.json").is_file() else None
    recipe = run / "recipe.yaml"
    return Metrics(
        run=run.name,
        suite=suite.name,
        suite_sha256=file_sha256(run / "suite.yaml"),
        verdict=decision.verdict,
        reasons=decision.reasons,
        gates=decision.gates,
        comparisons=decision.comparisons,
        tasks=tasks,
        adapter_effect=effect,
        costs=costs,
        training=training,
        provenance={
            "created": state["created"],
            "recipe": state.get("recipe"),
            "recipe_sha256": file_sha256(recipe) if recipe.is_file() else None,
            "base_model": {"path": candidate.base_model, "revision": candidate.revision},
            "adapter_sha256": candidate.adapter_sha256,
            "data": read_json(run / "data.json") if (run / "data.json").is_file() else [],
            "git": environment["git"],
            "git_training": state["git"],
            "machine": machine(),
            "packages": headline_versions(),
            "seeds": {"training": state.get("seed"), "evaluation": suite.seed},
            "backend": suite.backend.model_dump(),
        },
    )


def candidate_of(run: Path) -> Candidate:
    """The finished adapter of a run. UserError when training is incomplete or the adapter was changed."""
    state = read_run(run)
    recipe_file = run / "recipe.yaml"
    if not recipe_file.is_file():
        raise UserError(f"{run.name} has no recipe.yaml: it was not made by `make train`")
    if not (run / "train.json").is_file() or not read_json(run / "train.json").get("completed"):
        raise UserError(
            f"{run.name} is not fully trained: run `make train RECIPE={state.get('recipe')}` to continue it"
        )
    problems = verify_manifest(run / "adapter", run / "adapter.sha256")
    if problems:
        raise UserError(f"{run.name}/adapter is not what was trained: {problems[0]}")
    recipe = yaml.safe_load(recipe_file.read_text(encoding="utf-8"))
    return Candidate(run, recipe["base_model"], recipe.get("revision_of_model"), run / "adapter")


def self_check(base_model: str) -> Candidate:
    """A new run that compares a base with itself, through the same code."""
    run = new_run("self-check", git_state(), {"recipe": None, "base_model": base_model, "stages": {}})
    return Candidate(run, base_model, None, None)


def point_latest_at(run: Path) -> None:
    """results/latest -> the run just written (replaced in one step)."""
    if run.parent != RESULTS:
        return
    link = RESULTS / ".latest.partial"
    link.unlink(missing_ok=True)
    link.symlink_to(run.name)
    link.replace(RESULTS / "latest")


def say(message: str) -> None:
    print(f"eval: {message}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="eval/run_eval_suite.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", help="suite name or file (default: configs/eval/nl2bash.yaml)")
    parser.add_argument("--run", help="run name or folder (default: the newest)")
    parser.add_argument("--self-check", action="store_true", help="compare the base with itself")
    parser.add_argument("--base-model", default="models/SmolLM2-135M-Instruct", help="with --self-check")
    arguments = parser.parse_args()
    os.chdir(ROOT)  # task files name their data from the repository root

    suite_path = resolve_suite(arguments.config)
    load_suite(suite_path)
    candidate = self_check(arguments.base_model) if arguments.self_check else candidate_of(resolve_run(arguments.run))
    metrics = evaluate(suite_path, candidate)
    point_latest_at(candidate.run)
    print(f"\nverdict: {metrics.verdict}")
    for reason in metrics.reasons:
        print(f"  {reason}")
    shown = candidate.run.relative_to(ROOT) if candidate.run.is_relative_to(ROOT) else candidate.run
    print(f"report: {shown}/report.html and report.md", file=sys.stdout)
    return EXIT_CODES[metrics.verdict]


if __name__ == "__main__":
    run_command(main)
