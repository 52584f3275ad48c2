"""The story of one evaluation, top to bottom: load, generate, score, compare, gate, report.

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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.common.errors import CANNOT_EVALUATE, INCONCLUSIVE, NO_SHIP, SHIP, UserError, run_command
from eval.common.memory import enough_memory
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.config.cautions import cautions
from eval.config.suite_file import DRIFT, Suite, check_trackers, load_suite, resolve_suite
from eval.execution.execute import check_executable
from eval.gates.comparisons import effective_n
from eval.gates.decide import EXIT_CODES, decide
from eval.gates.noise import backend_of, floor_for
from eval.gates.power_table import planned_power, power_lines, refuse_weak_gates
from eval.gates.self_checks import self_checks
from eval.model.answer_cache import FOLDER, AnswerCache, Answers, costs, maker_of
from eval.model.task_rules import check_lengths
from eval.record import provenance_of, training_of, with_answers, write_samples
from eval.report.rendering import render_report
from eval.run.baselines import Baseline, resolve_baseline
from eval.run.candidate import Candidate, candidate_of, self_check
from eval.run.digests import file_sha256, json_sha256
from eval.run.earlier import earlier_candidates, with_cache
from eval.run.environment import capture_environment, headline_versions
from eval.run.files import write_bytes, write_json, write_jsonl
from eval.run.folder import RESULTS, locked, resolve_run, update_run
from eval.run.metrics import EarlierCandidates, Metrics, PowerRow
from eval.run.partial_log import PartialLog
from eval.run.records import BASELINE, CANDIDATE, Generation
from eval.sandbox import Sandbox, open_sandbox
from eval.statistics.sequential import orders_of
from eval.summary import say_table, say_verdict

if TYPE_CHECKING:
    from eval.model.hf import Model
    from eval.model.lm_tasks import LoadedTask

BEST_FIRST = (SHIP, INCONCLUSIVE, NO_SHIP, CANNOT_EVALUATE)


@dataclass
class Bench:
    """What the evaluations of one command share: suite, sandbox, kept answers, and the base that is loaded."""

    suite_path: Path
    suite: Suite
    sandbox: Sandbox | None
    cache: AnswerCache | None
    strict: bool = False
    base: tuple[str, str | None] | None = None
    lm: Any = None


def evaluate(bench: Bench, candidate: Candidate, baseline: Baseline) -> Metrics:
    """Run every stage for one candidate and write all files of the evaluation into its run folder."""
    started = time.monotonic()
    run, suite = candidate.run, bench.suite
    for name in ("executions.jsonl", "observations.jsonl"):
        (run / name).unlink(missing_ok=True)  # of an earlier suite
    write_bytes(run / "suite.yaml", read_bytes(bench.suite_path))
    write_json(run / "environment.json", capture_environment())
    update_run(run, suite=suite.name, stages={"eval": "running"})

    say(
        f"loading {candidate.base_model} and {'its adapter' if candidate.adapter else 'no adapter'}; "
        f"baseline: {baseline.name}"
    )
    # torch and lm-eval, 10 s: the arguments are known to be good
    from eval import ask
    from eval.model import drift, generation_settings, hf, lm_tasks

    model = load(bench, candidate, baseline)
    tasks = lm_tasks.load_tasks(suite, model.lm)
    check_executable(suite, tasks)
    lm_tasks.check_directions(suite, tasks)
    check_lengths(tasks, model.lm)
    prompts = drift.load_prompts(suite, model.lm)
    power = plan_power(bench, tasks + prompts)
    effect = hf.adapter_effect(model, tasks + prompts)
    loaded = time.monotonic()

    identity = model.lm.identity
    backend = backend_of(identity, hf.device_facts(model), headline_versions())
    noise = floor_for(RESULTS / "noise", backend, [task.name for task in tasks]) if identity is not None else None
    orders = orders_of(tasks, candidate.adapter_sha256)
    judge = partial(decide, suite, effect=effect, noise=noise, orders=orders)
    answers = open_answers(bench, candidate, model, tasks + prompts)
    stage = ask.Stage(suite, run, model, answers, bench.sandbox, say, orders)
    try:
        if suite.mode == "fixed":
            asked = ask.ask_all(stage, tasks)
        else:
            asked = ask.ask_until_decided(stage, tasks, judge)
        moved = drift.drift_scores(model, prompts, answers.log, say)
        model.prove_base(thoroughly=True)
    except hf.BaseMoved:
        answers.discard()
        raise
    answers.keep()
    asked = replace(asked, tasks=asked.tasks + prompts, scores=asked.scores + moved)
    generations = answers.finish(ask.places(asked.tasks))
    scores = asked.scores
    write_jsonl(run / "scores.jsonl", scores)
    write_samples(run / "samples.jsonl", asked.tasks)

    effect = with_answers(effect, [answer for answer in generations if answer.task != DRIFT])
    checks = self_checks(suite, generations, scores, effect, noise)
    for check in checks:
        if not check.ok:
            say(f"self-check, {check.name}: {check.said}")
    decision = judge(scores, effect=effect)
    earlier = count_earlier(bench, candidate, model, answers)
    metrics = Metrics(
        run=run.name,
        suite=suite.name,
        suite_sha256=file_sha256(run / "suite.yaml"),
        verdict=decision.verdict,
        reasons=decision.reasons,
        cautions=decision.cautions,
        gates=decision.gates,
        comparisons=decision.comparisons,
        explorations=decision.explorations,
        power_planned=power,
        power_observed=decision.power,
        tasks=ask.summarise(asked),
        self_checks=checks,
        earlier=earlier,
        sequential=asked.sequential,
        noise=noise,
        baseline=baseline.name,
        adapter_effect=effect,
        generation=generation_settings.settings_of(model.lm),
        costs=costs(generations, answers.reused, load_seconds=loaded - started),
        training=training_of(run),
        provenance=provenance_of(candidate, baseline, suite, identity, model.lm.proof.sha256, bench.sandbox)
        | {"device": hf.device_facts(model)},
    )
    write_json(run / "metrics.json", metrics.model_dump(mode="json"))
    render_report(run)
    update_run(run, verdict=metrics.verdict, stages={"eval": "completed"})
    for name in ("generations", "executions", "observations"):
        (run / f"{name}.partial.jsonl").unlink(missing_ok=True)
    shutil.rmtree(run / ask.LOOKS, ignore_errors=True)
    return metrics


def plan_power(bench: Bench, tasks: "list[LoadedTask]") -> list[PowerRow]:
    """Say what each gate can see with its items, before anything is spent on them. UserError with --strict."""
    clusters = {task.name: [f"{task.name}/{sample.cluster}" for sample in task.samples] for task in tasks}
    for pool in bench.suite.pools:
        clusters[pool.name] = [cluster for name in pool.tasks for cluster in clusters[name]]
    rows = planned_power(bench.suite, {name: (len(own), effective_n(own)) for name, own in clusters.items()})
    for line in (*power_lines(bench.suite, rows), *(f"caution: {said}" for said in cautions(bench.suite))):
        say(line)
    if bench.strict:
        refuse_weak_gates(rows)
    return rows


@enough_memory("loading the model", "it needs a GPU or a machine with more memory; configs/train/README.md has sizes")
def load(bench: Bench, candidate: Candidate, baseline: Baseline) -> "Model":
    """Both arms, on the base that is loaded already if it is the same."""
    from eval.model import hf
    from eval.model.adapters_on_base import taken_off

    base = (candidate.base_model, candidate.revision)
    if bench.lm is not None and bench.base == base and not taken_off(bench.lm):
        say("the base is loaded again: not every tensor of it came back when the adapter was taken off")
        bench.base = None
    if bench.base != base:
        bench.base = bench.lm = None  # freed before the next one is loaded
    arguments = candidate.template_arguments
    model = hf.load_model(bench.suite, *base, candidate.adapter, baseline.adapter, bench.lm, arguments)
    bench.base, bench.lm = base, model.lm
    for arm, verified in ((CANDIDATE, candidate), (BASELINE, baseline)):
        if verified.adapter_sha256 != model.made_by(arm)["adapter_sha256"]:
            raise UserError(f"{verified.adapter} changed since it was verified, a moment ago: evaluate again")
    return model


def open_answers(bench: Bench, candidate: Candidate, model: "Model", tasks: "list[LoadedTask]") -> Answers:
    """The answers of this evaluation, keyed by everything that decides one; under another key none is reused."""
    from eval.model import hf

    suite, identity = bench.suite, model.lm.identity
    known = identity is not None
    if not known and bench.cache is not None:
        say(f"no answers of {candidate.base_model} are kept or reused: its revision is not known")
    base, device = identity or [candidate.base_model, candidate.revision], hf.device_facts(model)
    makers = {arm: maker_of(suite, base, device, model.made_by(arm)) for arm in (BASELINE, CANDIDATE)}
    key = json_sha256(
        {
            "makers": makers,
            "prompts": [[sample.id, sample.prompt_sha256] for task in tasks for sample in task.samples],
            # Where gates decide what is asked next, they decide the batches too.
            "drift": file_sha256(ROOT / "eval" / "model" / "drift.py"),
            "plan": suite.backend.batch_size if suite.mode == "fixed" else suite.model_dump(mode="json"),
        }
    )
    log = PartialLog(candidate.run, "generations", Generation, key)
    return Answers(log, partial(hf.generate, model), makers, bench.cache if known else None, say)


def count_earlier(bench: Bench, candidate: Candidate, model: "Model", answers: Answers) -> EarlierCandidates:
    """Other candidates that these items have judged: of the runs beside this one, and of the kept answers."""
    from eval.model import hf

    found = earlier_candidates(candidate.run, bench.suite, candidate.run.parent, candidate.adapter_sha256)
    if answers.cache is None:
        return found
    base, device = model.lm.identity, hf.device_facts(model)
    known = {
        maker_of(bench.suite, base, device, {**model.made_by(CANDIDATE), "adapter_sha256": adapter})
        for adapter in (None, *found.adapters)
    }
    explained = known | set(answers.makers.values())
    return with_cache(found, answers.cache.folder, answers.batches, explained, bench.suite.alpha)


def evaluate_all(
    suite_path: Path, pairs: list[tuple[Candidate, Baseline]], cache: AnswerCache | None, strict: bool = False
) -> list[Metrics | UserError]:
    """Evaluate every candidate in its own folder. Of several, one that cannot be evaluated does not stop the others."""
    suite = load_suite(suite_path)
    check_trackers(suite)
    executing = any(task.execute for task in suite.tasks)
    results: list[Metrics | UserError] = []
    # Opened before any cost: without a sandbox such a suite cannot be judged.
    with open_sandbox() if executing else nullcontext() as sandbox:
        bench = Bench(suite_path, suite, sandbox, cache, strict)
        for candidate, baseline in pairs:
            try:
                with locked(candidate.run):
                    results.append(evaluate(bench, candidate, baseline))
            except UserError as error:
                if len(pairs) == 1:
                    raise
                print(f"error: {candidate.run.name}: {' '.join(str(error).split())}", file=sys.stderr)
                results.append(error)
            else:
                point_latest_at(candidate.run)
    if cache is not None:
        cache.prune()
    return results


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
    parser.add_argument("--run", action="append", help="run name or folder (default: the newest); may be repeated")
    parser.add_argument("--baseline", help="base, blessed or run:RUN instead of the suite's: shown, never published")
    parser.add_argument("--self-check", action="store_true", help="compare the base with itself")
    parser.add_argument("--base-model", default="models/SmolLM2-135M-Instruct", help="with --self-check")
    parser.add_argument("--strict", action="store_true", help="refuse a blocking gate that has too few items")
    parser.add_argument("--cache", type=Path, default=FOLDER, help="folder of kept answers (default: .cache/answers)")
    parser.add_argument("--no-cache", action="store_true", help="generate every answer, keep none for later")
    arguments = parser.parse_args()
    cache = None if arguments.no_cache else AnswerCache(arguments.cache.resolve())
    os.chdir(ROOT)  # task files name their data from the repository root

    suite_path = resolve_suite(arguments.config)
    suite = load_suite(suite_path)
    if arguments.self_check:
        candidates = [self_check(arguments.base_model)]
    else:
        runs = dict.fromkeys(resolve_run(name) for name in arguments.run or [None])
        candidates = [candidate_of(run) for run in runs]
    baselines = [resolve_baseline(arguments.baseline or suite.baseline, candidate) for candidate in candidates]
    results = evaluate_all(suite_path, list(zip(candidates, baselines, strict=True)), cache, arguments.strict)
    for candidate, result in zip(candidates, results, strict=True):
        if isinstance(result, Metrics):
            say_verdict(candidate.run, result)
    if len(candidates) > 1:
        say_table(candidates, results)
    codes = [EXIT_CODES[result.verdict] if isinstance(result, Metrics) else CANNOT_EVALUATE for result in results]
    return max(codes, key=BEST_FIRST.index)


if __name__ == "__main__":
    run_command(main)
