"""Items asked, scored and looked at: all of them at once, or chunk by chunk until every blocking gate is decided.

A sequential evaluation takes the clusters of each task in a random order that data and adapter fix. After about one
batch a look: the gates are decided on everything scored so far (anytime-valid, eval/statistics/sequential.py).
A task whose blocking gates are all decided is asked nothing more; tasks that only inform go along with the others.

Every step follows from the suite, the data and the answers, so that a killed evaluation continues to the same end. Both
arms answer the same items; batches are planned inside a chunk.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from eval.bench import LOOKS, Case
from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.config.suite_file import Suite
from eval.contracts.backend import Backend, BaseMoved, Say
from eval.contracts.domains import modes_giving
from eval.execution.execute import Executed, execute_answers, summaries
from eval.gates.decide import Decision
from eval.model.answer_cache import BUG, Answers, maker_of
from eval.model.backends import MEASURING, code_of, proves
from eval.model.lm_tasks import LoadedTask, Sample, score
from eval.model.lm_tasks import summarise as summarise_task
from eval.model.neutral import drift_scores
from eval.run.digests import file_sha256, json_sha256
from eval.run.files import read_jsonl, write_jsonl
from eval.run.metrics import SequentialUse, TaskSummary
from eval.run.partial_log import PartialLog
from eval.run.records import BASELINE, CANDIDATE, Generation, Judgement, Observation, Score
from eval.sandbox import Sandbox
from eval.statistics.sequential import random_place

WORKERS = {"backend": {"workers"}}  # how many answer decides nothing
Waiting = dict[str, list[list[Sample]]]  # by task: clusters that were not asked yet


@dataclass(frozen=True)
class Stage:
    """What asking needs, the same for every item."""

    suite: Suite
    run: Path
    backend: Backend
    answers: Answers
    sandbox: Sandbox | None
    say: Say
    orders: Mapping[str, str] = field(default_factory=dict)  # by task, for a sequential evaluation


@dataclass(frozen=True)
class Asked:
    """What was asked, and everything that is known of the answers."""

    tasks: list[LoadedTask]
    scores: list[Score]
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    sequential: SequentialUse | None = None


@dataclass(frozen=True)
class Finished:
    """Everything asked, the base proven to be the base after it, and the answers on the disk."""

    asked: Asked
    answers: Answers
    generations: list[Generation]
    summaries: list[TaskSummary]


def ask_both_arms(case: Case, say: Say) -> Finished:
    """Both arms answer every item; nothing counts unless the base is the base in the end, as far as it is proven."""
    answers = open_answers(case, say)
    stage = Stage(case.suite, case.candidate.run, case.backend, answers, case.bench.sandbox, say, case.orders)
    try:
        if case.suite.mode == "fixed":
            asked = ask_all(stage, case.tasks)
        else:
            asked = ask_until_decided(stage, case.tasks, partial(case.judge, effect=case.effect))
        moved = drift_scores(case.backend, case.prompts, answers.log, say)
        case.backend.prove_base(thoroughly=True)
    except BaseMoved:
        answers.discard()
        raise
    answers.keep()
    asked = replace(asked, tasks=asked.tasks + case.prompts, scores=asked.scores + moved)
    return Finished(asked, answers, answers.finish(places(asked.tasks)), summarise(asked))


def open_answers(case: Case, say: Say) -> Answers:
    """The answers of this evaluation, keyed by everything that decides one; under another key none is reused."""
    suite, candidate, backend, cache = case.suite, case.candidate, case.backend, case.bench.cache
    if unknown := why_not_kept(backend, suite):
        if cache is not None:
            say(f"no answers of {candidate.base_model} are kept or reused: {unknown}")
        cache = None
    claimed = {BASELINE: case.baseline.adapter_sha256, CANDIDATE: candidate.adapter_sha256}
    base, device = backend.identity or [candidate.base_model, candidate.revision], backend.facts()
    # What the backend proves of its adapters is what was claimed of them; what it cannot prove is claimed all the same.
    makers = {
        arm: maker_of(suite, base, device, backend.made_by(arm) | {"adapter_sha256": digest})
        for arm, digest in claimed.items()
    }
    key = json_sha256(
        {
            "makers": makers,
            "prompts": [
                [sample.id, sample.prompt_sha256] for task in case.tasks + case.prompts for sample in task.samples
            ],
            # Where gates decide what is asked next, they decide the batches too.
            "drift": [file_sha256(ROOT / "eval" / "model" / name) for name in MEASURING],
            "plan": suite.backend.batch_size
            if suite.mode == "fixed"
            else suite.model_dump(mode="json", exclude=WORKERS),
        }
    )
    log = PartialLog(candidate.run, "generations", Generation, key)
    return Answers(log, backend.answer_many, makers, cache, say)


def why_not_kept(backend: Backend, suite: Suite) -> str:
    """Why answers of a backend are no use to a later evaluation; empty when they are."""
    if not proves(backend):
        return f"backend {backend.name} cannot prove which bytes answered"
    if backend.identity is None:
        return "its revision is not known"
    return "" if code_of(suite.backend.kind) else f"the code of backend {backend.name} has no digest"


def places(tasks: Iterable[LoadedTask]) -> list[tuple[str, str, str]]:
    """(arm, task, sample) of every answer, baseline first."""
    return [(arm, task.name, sample.id) for arm in (BASELINE, CANDIDATE) for task in tasks for sample in task.samples]


def summarise(asked: Asked) -> list[TaskSummary]:
    """Every task as it ran: with the items that were asked."""
    metrics: dict[str, set[str]] = defaultdict(set)
    for row in asked.scores:
        metrics[row.task].add(row.metric)
    return [
        summarise_task(task, sorted(metrics[task.name])).model_copy(update=asked.summaries.get(task.name, {}))
        for task in asked.tasks
    ]


def ask_all(stage: Stage, tasks: list[LoadedTask]) -> Asked:
    """Ask every item at once: the fixed evaluation."""
    return _ask(stage, tasks, stage.run)


def _ask(stage: Stage, tasks: list[LoadedTask], folder: Path) -> Asked:
    batches = stage.backend.plan(tasks, stage.suite.backend.batch_size)
    planned = Counter((sample.task, sample.id) for batch in batches for sample in batch)
    if planned != Counter((task.name, sample.id) for task in tasks for sample in task.samples):
        raise UserError(f"the backend's plan does not hold every item once: {BUG}")
    stage.answers.answer(batches)
    generations: list[Generation] = [stage.answers.of(place) for place in places(tasks)]
    scores = score(tasks, generations)
    executed = Executed()
    if stage.sandbox is not None:
        executed = execute_answers(stage.suite, tasks, generations, stage.sandbox, folder, stage.say)
    return Asked(tasks, scores + executed.scores, executed.summaries)


def ask_until_decided(stage: Stage, tasks: list[LoadedTask], judge: Callable[[list[Score]], Decision]) -> Asked:
    """Ask chunk by chunk until `judge` leaves no blocking gate open, or the items of the open ones are used up."""
    chunks: list[Asked] = []

    def ask(chosen: list[LoadedTask]) -> list[Score]:
        folder = stage.run / LOOKS / f"{len(chunks) + 1:03}"
        folder.mkdir(parents=True, exist_ok=True)
        chunks.append(_ask(stage, chosen, folder))
        return chunks[-1].scores

    stopped = look_until_decided(stage.suite, tasks, stage.orders, judge, ask, stage.say)
    return gather(stage.run, tasks, chunks, stopped)


def look_until_decided(
    suite: Suite,
    tasks: list[LoadedTask],
    orders: Mapping[str, str],
    judge: Callable[[list[Score]], Decision],
    ask: Callable[[list[LoadedTask]], list[Score]],
    say: Say,
) -> Literal["decided", "out of items"]:
    """Give `ask` chunk after chunk, and the scores it returns to `judge`, until nothing is left to decide or to ask.

    `orders`: by task, the digest that fixes the order of its items (`orders_of` of eval/statistics/sequential.py).
    """
    blocking = {name for gate in suite.gates if gate.tier == "blocking" for name in suite.members(gate.task)}
    open_tasks = {task.name for task in tasks}
    waiting: Waiting = {task.name: in_random_order(task.samples, orders[task.name]) for task in tasks}
    scores: list[Score] = []
    looks = used = 0
    while any(waiting[name] for name in open_tasks & blocking):
        chosen = next_chunk({name: waiting[name] for name in waiting if name in open_tasks}, suite.backend.batch_size)
        scores += ask([replace(task, samples=chosen[task.name]) for task in tasks if chosen.get(task.name)])
        undecided = undecided_tasks(suite, scores, judge)
        looks, used = looks + 1, used + sum(map(len, chosen.values()))
        say(f"look {looks}: {used} items, undecided: {', '.join(sorted(undecided)) or 'nothing'}")
        if not undecided:
            return "decided"
        open_tasks = {task.name for task in tasks if task.name in undecided or task.name not in blocking}
    return "out of items"


def in_random_order(samples: Iterable[Sample], order: str) -> list[list[Sample]]:
    """Samples by cluster, clusters in the random order of the digest: that in which gates take them."""
    clusters: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        clusters[sample.cluster].append(sample)
    ordered = sorted(clusters, key=lambda cluster: random_place(order, cluster))
    return [sorted(clusters[cluster], key=lambda sample: sample.id) for cluster in ordered]


def next_chunk(waiting: Waiting, size: int) -> dict[str, tuple[Sample, ...]]:
    """Take about `size` samples out of `waiting`, of each task in proportion to what is left of it, whole clusters."""
    left = {name: sum(map(len, clusters)) for name, clusters in waiting.items()}
    total = sum(left.values())
    chosen: dict[str, tuple[Sample, ...]] = {}
    for name, clusters in waiting.items():
        taken: list[Sample] = []
        while clusters and len(taken) * total < size * left[name]:
            taken += clusters.pop(0)
        chosen[name] = tuple(taken)
    return chosen


def undecided_tasks(suite: Suite, scores: list[Score], judge: Callable[[list[Score]], Decision]) -> set[str]:
    """Tasks with a blocking gate that is still open."""
    seen = {(row.task, row.metric) for row in scores}
    gates = [gate for gate in suite.gates if gate.tier == "blocking"]
    # Execution says nothing about some samples: a chunk of those alone has no such metric, which is no mistake yet.
    unheard = any(
        modes_giving(name, gate.metric) and (name, gate.metric) not in seen
        for gate in gates
        for name in suite.members(gate.task)
    )
    if unheard:
        undecided = {gate.task for gate in gates}
    else:
        decided = judge(scores).gates
        undecided = {gate.task for gate in decided if gate.tier == "blocking" and gate.outcome == "inconclusive"}
    return {name for task in undecided for name in suite.members(task)}


def gather(
    run: Path, tasks: list[LoadedTask], chunks: list[Asked], stopped: Literal["decided", "out of items"]
) -> Asked:
    """The chunks as one: what was asked of every task, and executions.jsonl and observations.jsonl of all of it."""
    asked = {(task.name, sample.id) for chunk in chunks for task in chunk.tasks for sample in task.samples}
    used = [replace(task, samples=tuple(s for s in task.samples if (task.name, s.id) in asked)) for task in tasks]
    order = {place: number for number, place in enumerate(places(used))}
    folders = [run / LOOKS / f"{number + 1:03}" for number in range(len(chunks))]
    judgements = _collect(run, folders, "executions", Judgement, order)
    observations = _collect(run, folders, "observations", Observation, order)
    return Asked(
        used,
        [row for chunk in chunks for row in chunk.scores],
        summaries([task.name for task in used], judgements, observations),
        SequentialUse(
            looks=len(chunks),
            used={task.name: len(task.samples) for task in used},
            planned={task.name: len(task.samples) for task in tasks},
            stopped=stopped,
        ),
    )


def _collect(run: Path, folders: list[Path], name: str, kind: type[Any], order: dict[tuple[str, str, str], int]) -> Any:
    files = [folder / f"{name}.jsonl" for folder in folders]
    rows = [row for file in files if file.is_file() for row in read_jsonl(file, kind)]
    rows.sort(key=lambda row: order[row.arm, row.task, row.sample])
    if rows:
        write_jsonl(run / f"{name}.jsonl", rows)
    return rows
