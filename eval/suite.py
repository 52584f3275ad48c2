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
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.candidate import Candidate, candidate_of, self_check
from eval.config import ROOT, Suite, load_suite, resolve_suite
from eval.environment import capture_environment, headline_versions, machine
from eval.errors import run_command
from eval.executing import Executed, check_executable, execute_answers
from eval.files import read_json, write_json, write_jsonl
from eval.gates import EXIT_CODES, Decision, decide
from eval.partial_log import PartialLog
from eval.provenance import file_sha256, json_sha256
from eval.records import BASELINE, CANDIDATE, AdapterEffect, Generation, Item, Metrics
from eval.report import render_report
from eval.run_folder import RESULTS, read_run, resolve_run, update_run
from eval.sandbox import Sandbox, open_sandbox

if TYPE_CHECKING:
    from eval.harness import Model
    from eval.lm_tasks import LoadedTask

ARMS = (BASELINE, CANDIDATE)


def evaluate(suite_path: Path, candidate: Candidate) -> Metrics:
    """Run every stage for one candidate and write all files of the evaluation into its run folder."""
    suite = load_suite(suite_path)
    executing = any(task.execute for task in suite.tasks)
    # Opened before any cost: without a sandbox such a suite cannot be judged.
    with open_sandbox() if executing else nullcontext() as sandbox:
        return evaluate_in(sandbox, suite_path, suite, candidate)


def evaluate_in(sandbox: Sandbox | None, suite_path: Path, suite: Suite, candidate: Candidate) -> Metrics:
    """`evaluate`, with the sandbox in which answers run; None for a suite that runs none."""
    started = time.monotonic()
    run = candidate.run
    for name in ("executions.jsonl", "observations.jsonl"):
        (run / name).unlink(missing_ok=True)  # of an earlier suite
    (run / "suite.yaml").write_bytes(suite_path.read_bytes())
    write_json(run / "environment.json", capture_environment())
    update_run(run, suite=suite.name, stages={"eval": "running"})

    say(f"loading {candidate.base_model} and {'its adapter' if candidate.adapter else 'no adapter'}")
    from eval import harness, lm_tasks  # torch and lm-eval, 10 s: only now that the arguments are known to be good

    model = harness.load_model(suite, candidate.base_model, candidate.revision, candidate.adapter)
    tasks = lm_tasks.load_tasks(suite, model.lm)
    check_executable(suite, tasks)
    effect = harness.adapter_effect(model, tasks)
    loaded = time.monotonic()

    key = generation_key(suite, candidate, tasks)
    answers = PartialLog(run, "generations", Generation, key)
    generate_answers(suite, tasks, model, answers)
    generations = answers.finish(
        [(arm, task.name, sample.id) for arm in ARMS for task in tasks for sample in task.samples]
    )

    say("scoring")
    scores = lm_tasks.score(tasks, generations)
    executed = Executed()
    if sandbox is not None:
        executed = execute_answers(suite, tasks, generations, sandbox, run, say)
        scores += executed.scores
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
        sandbox=sandbox.identity if sandbox else None,
        tasks=[
            lm_tasks.summarise(task, metric_names[task.name]).model_copy(update=executed.summaries.get(task.name, {}))
            for task in tasks
        ],
        costs=costs(generations, load_seconds=loaded - started),
    )
    write_json(run / "metrics.json", metrics.model_dump(mode="json"))
    render_report(run)
    update_run(run, verdict=metrics.verdict, stages={"eval": "completed"})
    for name in ("generations", "executions", "observations"):
        (run / f"{name}.partial.jsonl").unlink(missing_ok=True)
    return metrics


def generate_answers(suite: Suite, tasks: "list[LoadedTask]", model: "Model", log: PartialLog[Generation]) -> None:
    """Let both arms answer every sample; batches that are whole in `log` are not made again."""
    from eval import harness

    batches = harness.plan_batches(tasks, model.lm, suite.backend.batch_size)
    for arm in ARMS:
        for number, batch in enumerate(batches, start=1):
            if all((arm, sample.task, sample.id) in log.rows for sample in batch):
                continue
            generations = harness.generate(model, arm, batch)
            log.add(generations)
            pace = generations[0].seconds
            say(f"{arm}: batch {number}/{len(batches)}, {len(batch)} samples at {pace:.2f} s each")


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
        Item(
            task=task.name,
            sample=sample.id,
            request=sample.request,
            gold=sample.gold,
            cluster=sample.cluster,
            category=sample.category,
        )
        for task in tasks
        for sample in task.samples
    ]
    write_jsonl(path, rows)


def build_metrics(
    candidate: Candidate,
    suite: Suite,
    decision: Decision,
    effect: AdapterEffect | None,
    sandbox: str | None,
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
            "sandbox": sandbox,
        },
    )


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
