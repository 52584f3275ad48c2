"""The story of one evaluation, top to bottom: prepare, load, ask, decide, record, render.

    python eval/run_eval_suite.py [--config SUITE] [--run RUN]...    evaluate runs' adapters, each against its baseline
    python eval/run_eval_suite.py --self-check --base-model FOLDER   the base against itself: must never ship

Exit codes: 0 ship, 1 no-ship, 2 could not evaluate, 3 inconclusive; of several runs the worst. Killed at any point,
the same command continues: finished batches are kept and the result is the same.
"""

import argparse
import os
import shutil
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from eval.adapters.adopt import run_named
from eval.bench import LOOKS, Bench, Case, Outcome
from eval.common.answer import Answer
from eval.common.errors import CANNOT_EVALUATE, INCONCLUSIVE, NO_SHIP, SHIP, UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.config.suite_file import Suite, check_trackers, load_suite, resolve_suite
from eval.consent import refuse_other_code
from eval.contracts.guests import folders_of
from eval.gates.decide import EXIT_CODES
from eval.gates.self_checks import self_checks
from eval.model.answer_cache import FOLDER, AnswerCache
from eval.model.backends import base_brought
from eval.record import metrics_of, with_answers, write_samples
from eval.report.rendering import render_report
from eval.run.baselines import Baseline, resolve_baseline
from eval.run.candidate import Candidate, brought, candidate_of, self_check, whole_model
from eval.run.decided import Decided, Evaluated, reports_of
from eval.run.environment import capture_environment
from eval.run.files import write_bytes, write_json, write_jsonl
from eval.run.folder import locked, point_latest_at, update_run
from eval.run.metrics import Metrics
from eval.sandbox import open_sandbox
from eval.summary import say_table, say_verdict

if TYPE_CHECKING:
    from eval.ask import Finished

BEST_FIRST = (SHIP, INCONCLUSIVE, NO_SHIP, CANNOT_EVALUATE)


def evaluate(bench: Bench, candidate: Candidate, baseline: Baseline) -> Metrics:
    """Run every step for one candidate and write all files of the evaluation into its run folder."""
    prepare(bench, candidate, baseline)
    case = load(bench, candidate, baseline)
    finished = ask(case)
    outcome = decide(case, finished)
    metrics = record(case, finished, outcome)
    render(candidate.run, metrics)
    return metrics


def prepare(bench: Bench, candidate: Candidate, baseline: Baseline) -> None:
    """The run's folder says what is evaluated, by which suite and where, and holds nothing of an earlier suite."""
    run = candidate.run
    for name in ("executions.jsonl", "observations.jsonl"):
        (run / name).unlink(missing_ok=True)
    write_bytes(run / "suite.yaml", read_bytes(bench.suite_path))
    write_json(run / "environment.json", capture_environment())
    update_run(run, suite=bench.suite.name, stages={"eval": "running"}, **folders_of(bench.suite.domains))
    say(f"loading {candidate.base_model} and {candidate.said}; baseline: {baseline.name}")


def load(bench: Bench, candidate: Candidate, baseline: Baseline) -> Case:
    """Both arms and every prompt; what cannot work is refused here, before an answer is paid for."""
    started = time.monotonic()
    from eval.loading import load_case  # torch and lm-eval, 10 s: the arguments are known to be good

    return load_case(bench, candidate, baseline, say, started)


def ask(case: Case) -> "Finished":
    """Both arms answer, all at once or until every blocking gate is decided: generations, scores and samples.jsonl."""
    from eval import ask as asking

    finished = asking.ask_both_arms(case, say)
    write_jsonl(case.candidate.run / "scores.jsonl", finished.asked.scores)
    write_samples(case.candidate.run / "samples.jsonl", finished.asked.tasks)
    return finished


def decide(case: Case, finished: "Finished") -> Outcome:
    """The verdict of the suite's gates, once the evaluation has checked itself. UserError where it means nothing."""
    scores, generations = finished.asked.scores, finished.generations
    effect = with_answers(case.effect, generations)
    checks = self_checks(case.suite, generations, scores, effect, case.noise)
    for check in checks:
        if not check.ok:
            say(f"self-check, {check.name}: {check.said}")
    return Outcome(effect, checks, case.judge(scores, effect))


def record(case: Case, finished: "Finished", outcome: Outcome) -> Metrics:
    """metrics.json: the verdict and everything that it came from."""
    metrics = metrics_of(case, finished, outcome)
    write_json(case.candidate.run / "metrics.json", metrics.model_dump(mode="json"))
    return metrics


def render(run: Path, metrics: Metrics) -> None:
    """The report; then the evaluation is complete, and what it could have resumed from is not needed."""
    render_report(run)
    update_run(run, verdict=metrics.verdict, stages={"eval": "completed"})
    for name in ("generations", "executions", "observations"):
        (run / f"{name}.partial.jsonl").unlink(missing_ok=True)
    shutil.rmtree(run / LOOKS, ignore_errors=True)


def evaluate_all(
    suite_path: Path, pairs: list[tuple[Candidate, Baseline]], cache: AnswerCache | None, strict: bool = False
) -> list[Metrics | UserError]:
    """Evaluate every candidate in its own folder. Of several, one that cannot be evaluated does not stop the others."""
    suite = load_suite(suite_path)
    check_trackers(suite)
    refuse_other_code(suite)
    executing = any(task.execute for task in suite.tasks)
    # Opened before any cost: without a sandbox such a suite cannot be judged.
    with open_sandbox() if executing else nullcontext() as sandbox:
        bench = Bench(suite_path, suite, sandbox, cache, strict)
        results = [evaluate_one(bench, *pair, alone=len(pairs) == 1) for pair in pairs]
    if cache is not None:
        cache.prune()
    return results


def evaluate_one(bench: Bench, candidate: Candidate, baseline: Baseline, alone: bool) -> Metrics | UserError:
    """Metrics of one candidate, or, where it is not `alone`, why it cannot be evaluated."""
    try:
        with locked(candidate.run):
            metrics = evaluate(bench, candidate, baseline)
    except UserError as error:
        if alone:
            raise
        print(f"error: {candidate.run.name}: {' '.join(str(error).split())}", file=sys.stderr)
        return error
    point_latest_at(candidate.run)
    return metrics


def say(message: str) -> None:
    print(f"eval: {message}", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="eval/run_eval_suite.py", description=(__doc__ or "").split("\n")[0])
    suite = "suite name or file (default: configs/eval/nl2bash.yaml)"
    parser.add_argument("--config", "--suite", help=suite)
    parser.add_argument("--run", action="append", help="run or adapter's folder (default: the newest run); repeatable")
    parser.add_argument("--baseline", help="base, blessed or run:RUN instead of the suite's: shown, never published")
    parser.add_argument("--self-check", action="store_true", help="compare the base with itself")
    parser.add_argument("--model", help="compare a whole model with --base-model: folder, or org/name@commit")
    parser.add_argument("--base-model", default="models/SmolLM2-135M-Instruct", help="with --self-check and --model")
    parser.add_argument("--strict", action="store_true", help="refuse a blocking gate that has too few items")
    parser.add_argument("--cache", type=Path, default=FOLDER, help="folder of kept answers (default: .cache/answers)")
    parser.add_argument("--no-cache", action="store_true", help="generate every answer, keep none for later")
    return parser.parse_args()


def candidates_of(arguments: argparse.Namespace, suite: Suite) -> list[Candidate]:
    """What is evaluated: the adapters of the runs named, what the backend brings, or the base against itself."""
    refuse_other_code(suite)
    base = None if arguments.run else base_brought(suite)
    if arguments.self_check:
        return [self_check(base or arguments.base_model)]
    if arguments.model:
        return [whole_model(arguments.model, arguments.base_model)]
    if base is not None:
        return [brought(base, suite.backend.model_dump(), suite.name)]
    return [candidate_of(run) for run in dict.fromkeys(run_named(name) for name in arguments.run or [None])]


def main() -> int:
    arguments = parse_arguments()
    cache = None if arguments.no_cache else AnswerCache(arguments.cache.resolve())
    os.chdir(ROOT)  # task files name their data from the repository root
    path = resolve_suite(arguments.config)
    suite = load_suite(path)
    candidates = candidates_of(arguments, suite)
    asked = arguments.baseline or suite.baseline
    baselines = [resolve_baseline(asked, candidate) for candidate in candidates]
    results = evaluate_all(path, list(zip(candidates, baselines, strict=True)), cache, arguments.strict)
    for candidate, result in zip(candidates, results, strict=True):
        if isinstance(result, Metrics):
            say_verdict(candidate.run, result)
    if len(candidates) > 1:
        say_table(candidates, results)
    codes = [EXIT_CODES[result.verdict] if isinstance(result, Metrics) else CANNOT_EVALUATE for result in results]
    return answer_of(max(codes, key=BEST_FIRST.index), candidates, results)


def answer_of(code: int, candidates: list[Candidate], results: list[Metrics | UserError]) -> Answer:
    """What a program is told: every verdict, and the reports; the one verdict when one run was asked for."""
    pairs = list(zip((candidate.run for candidate in candidates), results, strict=True))
    done = [(run, metrics) for run, metrics in pairs if isinstance(metrics, Metrics)]
    failed = {run.name: " ".join(str(error).split()) for run, error in pairs if isinstance(error, UserError)}
    result = Evaluated(runs=[Decided.of(metrics) for _, metrics in done], failed=failed)
    verdict = done[0][1].verdict if len(pairs) == 1 and done else None
    files = [path for run, _ in done for path in reports_of(run)]
    return Answer(code, result, verdict=verdict, files=files, error=next(iter(failed.values()), None))


if __name__ == "__main__":
    run_command(main, "eval")
