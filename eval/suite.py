"""The story of one evaluation, top to bottom: prepare, load, ask, decide, record, render.

    python eval/run_eval_suite.py [--config SUITE] [--run RUN]...    evaluate runs' adapters, each against its baseline
    python eval/run_eval_suite.py --self-check --base-model FOLDER   the base against itself: must never ship
    python eval/run_eval_suite.py --generate ...                     what needs the model, and no sandbox
    python eval/run_eval_suite.py --judge [--run RUN]...             the rest, on any machine: no model, no GPU

Exit codes: 0 ship, 1 no-ship, 2 could not evaluate, 3 inconclusive; of several runs the worst. Killed at any point,
the same command continues: finished batches are kept and the result is the same.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from eval.arguments import Pairs, compared, parse_arguments
from eval.bench import LOOKS, Bench, Case, Outcome
from eval.common.answer import Answer
from eval.common.errors import CANNOT_EVALUATE, UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.consent import consented_suite
from eval.contracts.guests import folders_of
from eval.gates.self_checks import self_checks
from eval.model.answer_cache import AnswerCache
from eval.record import generated_of, metrics_of, with_answers, write_samples
from eval.report.rendering import render_report
from eval.run.baselines import Baseline
from eval.run.candidate import Candidate
from eval.run.decided import Answered
from eval.run.environment import capture_environment
from eval.run.files import write_bytes, write_json, write_jsonl
from eval.run.folder import locked, point_latest_at, update_run
from eval.run.generated import JUDGED_ON, write_generated
from eval.run.metrics import Metrics
from eval.sandbox import open_sandbox
from eval.summary import say_results

if TYPE_CHECKING:
    from eval.ask import Finished

Result = TypeVar("Result")


def evaluate(bench: Bench, candidate: Candidate, baseline: Baseline) -> Metrics:
    """Run every step for one candidate and write all files of the evaluation into its run folder."""
    prepare(bench, candidate, baseline)
    case = load(bench, candidate, baseline)
    finished = ask(case)
    outcome = decide(case, finished)
    metrics = record(case, finished, outcome)
    render(candidate.run, metrics)
    return metrics


def generate(bench: Bench, candidate: Candidate, baseline: Baseline) -> None:
    """The first steps of `evaluate`, and no more: every answer, from which `evaluate` goes on elsewhere."""
    prepare(bench, candidate, baseline)
    case = load(bench, candidate, baseline)
    make(case)


def prepare(bench: Bench, candidate: Candidate, baseline: Baseline) -> None:
    """The run's folder says what is evaluated, by which suite and where, and holds nothing of an earlier suite."""
    run = candidate.run
    for name in ("executions.jsonl", "observations.jsonl", JUDGED_ON):
        (run / name).unlink(missing_ok=True)
    update_run(run, suite=bench.suite.name, stages={"eval": "running"}, **folders_of(bench.suite.domains))
    if candidate.generated is not None:
        write_json(run / JUDGED_ON, capture_environment())
        return say(f"judging what {candidate.base_model} and {candidate.said} answered; baseline: {baseline.name}")
    write_bytes(run / "suite.yaml", read_bytes(bench.suite_path))
    write_json(run / "environment.json", capture_environment())
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


def make(case: Case) -> None:
    """Both arms answer everything that is not decided by running it: generations, samples.jsonl and generated.json."""
    from eval import ask as asking

    run, tasks = case.candidate.run, case.tasks + case.prompts
    answers = asking.make_answers(case, say)
    write_samples(run / "samples.jsonl", tasks)
    write_generated(run, generated_of(case, answers, answers.in_order(asking.places(tasks))))
    update_run(run, stages={"eval": "generated"})
    (run / "generations.partial.jsonl").unlink(missing_ok=True)


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
    suite_path: Path, pairs: Pairs, cache: AnswerCache | None, strict: bool = False
) -> list[Metrics | UserError]:
    """Evaluate every candidate in its own folder. Of several, one that cannot be evaluated does not stop the others."""
    suite = consented_suite(suite_path)
    executing = any(task.execute for task in suite.tasks)
    # Opened before any cost: without a sandbox such a suite cannot be judged.
    with open_sandbox() if executing else nullcontext() as sandbox:
        bench = Bench(suite_path, suite, sandbox, cache, strict)
        results = [of_one(evaluate, bench, *pair, alone=len(pairs) == 1) for pair in pairs]
    for (candidate, _), result in zip(pairs, results, strict=True):
        if isinstance(result, Metrics):
            point_latest_at(candidate.run)
    if cache is not None:
        cache.prune()
    return results


def generate_all(suite_path: Path, pairs: Pairs, cache: AnswerCache | None, strict: bool) -> int:
    """The answers of every candidate, each in its own folder; returns the exit code."""
    bench = Bench(suite_path, consented_suite(suite_path), None, cache, strict)
    results = [of_one(generate, bench, *pair, alone=len(pairs) == 1) for pair in pairs]
    for (candidate, _), result in zip(pairs, results, strict=True):
        if result is None:
            say(f"{candidate.run.name} is answered; where the sandbox is, `make judge RUN={candidate.run.name}`")
    done = [candidate.run for (candidate, _), result in zip(pairs, results, strict=True) if result is None]
    error = next((" ".join(str(result).split()) for result in results if result is not None), None)
    made = Answered(runs=[run.name for run in done])
    return Answer(CANNOT_EVALUATE if error else 0, made, files=[run / "generations.jsonl" for run in done], error=error)


def of_one(
    step: Callable[[Bench, Candidate, Baseline], Result],
    bench: Bench, candidate: Candidate, baseline: Baseline, alone: bool,
) -> Result | UserError:  # fmt: skip
    """What a step gives for one candidate, or, where it is not `alone`, why it cannot be done."""
    try:
        with locked(candidate.run):
            return step(bench, candidate, baseline)
    except UserError as error:
        if alone:
            raise
        print(f"error: {candidate.run.name}: {' '.join(str(error).split())}", file=sys.stderr)
        return error


def say(message: str) -> None:
    print(f"eval: {message}", flush=True)


def main() -> int:
    arguments = parse_arguments((__doc__ or "").split("\n")[0])
    cache = None if arguments.no_cache else AnswerCache(arguments.cache.resolve())
    os.chdir(ROOT)  # task files name their data from the repository root
    path, pairs = compared(arguments)
    if arguments.generate:
        return generate_all(path, pairs, cache, arguments.strict)
    results = evaluate_all(path, pairs, cache, arguments.strict)
    return say_results([candidate for candidate, _ in pairs], results)


if __name__ == "__main__":
    run_command(main, "eval")
