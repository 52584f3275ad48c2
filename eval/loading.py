"""Loads one case: both arms, or what they answered before; every prompt; what each gate can see.

Whatever cannot work is refused here, before an answer is paid for.

    case = load_case(bench, candidate, baseline, say, time.monotonic())
"""

import time
from typing import Any

from eval.bench import Bench, Case
from eval.common.errors import UserError
from eval.config.cautions import cautions
from eval.contracts.backend import Arms, Backend, Say
from eval.execution.judging import check_executable
from eval.gates.comparisons import effective_n
from eval.gates.decide import UNPROVEN
from eval.gates.noise import backend_of, floor_for
from eval.gates.power_table import planned_power, power_lines, refuse_weak_gates
from eval.model.backends import (
    base_brought,
    effect_of,
    load_backend,
    proves,
    refuse_drift_without_logits,
    refuse_lacking,
)
from eval.model.lm_tasks import LoadedTask, check_directions, load_tasks
from eval.model.neutral import load_prompts
from eval.model.recorded import Recorded, as_answered
from eval.model.task_rules import check_metrics
from eval.run.baselines import Baseline
from eval.run.candidate import Candidate
from eval.run.environment import headline_versions
from eval.run.files import read_jsonl
from eval.run.folder import RESULTS
from eval.run.metrics import PowerRow
from eval.run.records import BASELINE, CANDIDATE, Generation
from eval.statistics.sequential import orders_of


def load_case(bench: Bench, candidate: Candidate, baseline: Baseline, say: Say, started: float) -> Case:
    """Both arms and what they will be asked. UserError for all that would fail later, or mean nothing.

    `started`: when loading began, by time.monotonic().
    """
    made = candidate.generated
    backend = both_arms(bench, candidate, baseline, say) if made is None else Recorded(made)
    tasks, prompts = what_is_asked(bench, backend)
    if made is not None:
        answers = read_jsonl(candidate.run / "generations.jsonl", Generation)
        tasks, prompts = as_answered(tasks, prompts, answers, made.tasks)
    power = plan_power(bench, tasks + prompts, say)
    effect = effect_of(backend, tasks + prompts, not candidate.is_base) if made is None else made.adapter_effect
    seconds = time.monotonic() - started
    noise = noise_of(bench, backend, tasks) if made is None else made.noise
    orders = orders_of(tasks, candidate.adapter_sha256)
    return Case(bench, candidate, baseline, backend, tasks, prompts, power, effect, noise, orders, seconds)


def noise_of(bench: Bench, backend: Backend, tasks: list[LoadedTask]) -> dict[str, Any] | None:
    """The noise floor of this backend on these tasks, where it was measured."""
    if backend.identity is None:
        return None
    key = backend_of(backend.identity, backend.facts(), headline_versions(), bench.suite.backend.kind)
    return floor_for(RESULTS / "noise", key, [task.name for task in tasks])


def both_arms(bench: Bench, candidate: Candidate, baseline: Baseline, say: Say) -> Backend:
    """Both arms, on the base that is loaded already if it is the same."""
    if candidate.brought and base_brought(bench.suite) is None:
        raise UserError(
            f"{candidate.run.name} trained nothing: it is about models of a server, and backend "
            f"{bench.suite.backend.kind} has none: evaluate it under its own suite.yaml"
        )
    arms = Arms(
        candidate.base_model,
        candidate.revision,
        candidate.adapter,
        baseline.adapter,
        candidate.template_arguments,
        candidate.trained,
        candidate.model,
        candidate.brought,
    )
    backend = bench.backend = load_backend(bench.suite, arms, bench.backend, say)
    if not (proven := proves(backend)):
        say(f"caution: {UNPROVEN}")
        if (candidate.run / "generations.partial.jsonl").is_file():
            say(f"goes on from answers of before; are the models others now, move {candidate.run.name} away first")
    for arm, verified in ((CANDIDATE, candidate), (BASELINE, baseline)):
        given = backend.made_by(arm)["adapter_sha256"]
        if verified.adapter_sha256 != given and (proven or given is not None):
            what = candidate.model if arm == CANDIDATE and candidate.model else verified.adapter
            raise UserError(f"{what} changed since it was verified, a moment ago: evaluate again")
    return backend


def what_is_asked(bench: Bench, backend: Backend) -> tuple[list[LoadedTask], list[LoadedTask]]:
    """Tasks, and the neutral prompts of drift. UserError for what this suite cannot do, or its backend."""
    suite = bench.suite
    refuse_drift_without_logits(backend, suite)
    tasks = load_tasks(suite, backend.template)
    refuse_lacking(backend, suite, tasks)
    check_executable(suite, tasks)
    check_directions(suite, tasks)
    check_metrics(suite, tasks)
    backend.check_lengths(tasks)
    return tasks, load_prompts(suite, backend.template)


def plan_power(bench: Bench, tasks: list[LoadedTask], say: Say) -> list[PowerRow]:
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
