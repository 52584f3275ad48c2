"""Items asked and scored: all of them at once, or chunk by chunk until every blocking gate is decided (eval/looks.py).

Two halves, of which one may run without the other: `make_answers` needs the model, `judge_answers` needs the sandbox.
Every step follows from the suite, the data and the answers, so that a killed evaluation continues to the same end. Both
arms answer the same items; batches are planned inside a chunk.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from eval.bench import LOOKS, Case
from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.config.suite_file import Suite
from eval.contracts.backend import Backend, BaseMoved, Say
from eval.execution.execute import Executed, execute_answers, summaries
from eval.looks import look_until_decided, undecided_tasks
from eval.model.answer_cache import BUG, Answers, maker_of
from eval.model.answer_cache import places as places_of
from eval.model.backends import MEASURING, code_of, proves
from eval.model.lm_tasks import LoadedTask, Sample, score
from eval.model.lm_tasks import summarise as summarise_task
from eval.model.neutral import drift_scores, measure_prompts
from eval.run.digests import file_sha256, json_sha256
from eval.run.files import read_jsonl, write_jsonl
from eval.run.metrics import SequentialUse, TaskSummary
from eval.run.partial_log import PartialLog
from eval.run.records import BASELINE, CANDIDATE, Generation, Judgement, Observation, Place, Score
from eval.sandbox import Sandbox

WORKERS = {"backend": {"workers"}}  # how many answer decides nothing
ANSWERS = "generations.jsonl"


@dataclass(frozen=True)
class Asked:
    """What was asked, and everything that is known of the answers."""

    tasks: list[LoadedTask]
    scores: list[Score]
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    sequential: SequentialUse | None = None


@dataclass(frozen=True)
class Finished:
    """Everything asked and scored. `answers`: how they were made; None where that was elsewhere, or before."""

    asked: Asked
    generations: list[Generation]
    summaries: list[TaskSummary]
    answers: Answers | None


def ask_both_arms(case: Case, say: Say) -> Finished:
    """Both arms answer every item and every answer is scored; those that were made before are scored alone."""
    if case.candidate.generated is not None:
        return judge_answers(case, read_jsonl(case.candidate.run / ANSWERS, Generation), say)
    if case.suite.mode == "fixed":
        answers = make_answers(case, say)
        return replace(judge_answers(case, answers.in_order(places(case.tasks + case.prompts)), say), answers=answers)
    answers = open_answers(case, say, case.suite.model_dump(mode="json", exclude=WORKERS))
    with base_proven(case, answers, say):
        asked = ask_until_decided(case, answers, say)
    return finish(case, asked, answers.finish(places(asked.tasks + case.prompts)), answers)


def make_answers(case: Case, say: Say) -> Answers:
    """All that takes the model, in generations.jsonl: both arms' answers to every item, and every divergence."""
    answers = open_answers(case, say, case.suite.backend.batch_size)
    with base_proven(case, answers, say):
        answers.answer(planned(case.backend, case.tasks, case.suite.backend.batch_size))
    answers.finish(places(case.tasks + case.prompts))
    return answers


def judge_answers(case: Case, generations: list[Generation], say: Say) -> Finished:
    """All that takes no model: every answer is scored, and run where the suite asks for it.

    Of a sequential suite this is one look at all items: its intervals hold at any number of looks.
    """
    names = {task.name for task in case.tasks}
    answers = [row for row in generations if row.task in names]
    asked = judged(case.suite, case.tasks, answers, case.bench.sandbox, case.candidate.run, say)
    if case.suite.mode == "sequential":
        asked = replace(asked, sequential=one_look(case, asked.scores))
    return finish(case, asked, generations, None)


def finish(case: Case, asked: Asked, generations: list[Generation], answers: Answers | None) -> Finished:
    """What was asked, with the neutral prompts beside it."""
    measured = {row.place: row for row in generations}
    moved = drift_scores(case.prompts, measured)
    asked = replace(asked, tasks=asked.tasks + case.prompts, scores=asked.scores + moved)
    return Finished(asked, generations, summarise(asked), answers)


@contextmanager
def base_proven(case: Case, answers: Answers, say: Say) -> Iterator[None]:
    """Nothing that is answered inside counts unless the base is the base in the end, as far as it is proven.

    Divergences are measured before that proof.
    """
    try:
        yield
        measure_prompts(case.backend, case.prompts, answers.log, say)
        case.backend.prove_base(thoroughly=True)
    except BaseMoved:
        answers.discard()
        raise
    answers.keep()


def open_answers(case: Case, say: Say, plan: Any) -> Answers:
    """The answers of this evaluation, keyed by everything that decides one; under another key none is reused.

    `plan`: what the batches follow from, beside the items. Where gates decide what is asked next, they decide those.
    """
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
                [sample.id, sample.repeat, sample.prompt_sha256]
                for task in case.tasks + case.prompts
                for sample in task.asked
            ],
            "drift": [file_sha256(ROOT / "eval" / "model" / name) for name in MEASURING],
            "plan": plan,
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


def places(tasks: Iterable[LoadedTask]) -> list[Place]:
    """Where every answer belongs, baseline first."""
    return [place for arm in (BASELINE, CANDIDATE) for task in tasks for place in places_of(arm, task.asked)]


def summarise(asked: Asked) -> list[TaskSummary]:
    """Every task as it ran: with the items that were asked."""
    metrics: dict[str, set[str]] = defaultdict(set)
    for row in asked.scores:
        metrics[row.task].add(row.metric)
    return [
        summarise_task(task, sorted(metrics[task.name])).model_copy(update=asked.summaries.get(task.name, {}))
        for task in asked.tasks
    ]


def planned(backend: Backend, tasks: list[LoadedTask], batch_size: int) -> list[list[Sample]]:
    """Every item once, as often as it is to be answered, in the backend's own batches."""
    asking = [replace(task, samples=task.asked) for task in tasks]
    batches = backend.plan(asking, batch_size)
    asked = Counter((sample.task, sample.id, sample.repeat) for batch in batches for sample in batch)
    if asked != Counter((task.name, sample.id, sample.repeat) for task in asking for sample in task.samples):
        raise UserError(f"the backend's plan does not hold every item once: {BUG}")
    return batches


def judged(
    suite: Suite, tasks: list[LoadedTask], answers: list[Generation], sandbox: Sandbox | None, folder: Path, say: Say
) -> Asked:
    """Scores of all answers to the tasks, and what running them showed."""
    executed = Executed()
    scores = score(tasks, answers)
    if sandbox is not None:
        executed = execute_answers(suite, tasks, answers, sandbox, folder, say)
    return Asked(tasks, scores + executed.scores, executed.summaries)


def one_look(case: Case, scores: list[Score]) -> SequentialUse:
    """How much a sequential suite used where every answer was made before the first look."""
    everything = {task.name: len(task.samples) for task in case.tasks}
    undecided = undecided_tasks(case.suite, scores, partial(case.judge, effect=case.effect))
    return SequentialUse(
        looks=1, used=everything, planned=everything, stopped="out of items" if undecided else "decided"
    )


def ask_until_decided(case: Case, answers: Answers, say: Say) -> Asked:
    """Ask chunk by chunk until no blocking gate is left open, or the items of the open ones are used up."""
    suite, run = case.suite, case.candidate.run
    chunks: list[Asked] = []

    def ask(chosen: list[LoadedTask]) -> list[Score]:
        folder = run / LOOKS / f"{len(chunks) + 1:03}"
        folder.mkdir(parents=True, exist_ok=True)
        answers.answer(planned(case.backend, chosen, suite.backend.batch_size))
        generations = answers.in_order(places(chosen))
        chunks.append(judged(suite, chosen, generations, case.bench.sandbox, folder, say))
        return chunks[-1].scores

    judge = partial(case.judge, effect=case.effect)
    stopped = look_until_decided(suite, case.tasks, case.orders, judge, ask, say)
    return gather(run, case.tasks, chunks, stopped)


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


def _collect(run: Path, folders: list[Path], name: str, kind: type[Any], order: dict[Place, int]) -> Any:
    files = [folder / f"{name}.jsonl" for folder in folders]
    rows = [row for file in files if file.is_file() for row in read_jsonl(file, kind)]
    rows.sort(key=lambda row: order[row.place])
    if rows:
        write_jsonl(run / f"{name}.jsonl", rows)
    return rows
