"""The tasks of a suite through lm-evaluation-harness: samples and prompts in, per-sample metrics out.

Task files are lm-eval's own kind: ours in eval/tasks, or any benchmark it ships. A metric comes from the task's
own `process_results`, so plain `lm_eval run` gives the same numbers. Invalid items (NaN) are recorded as such.
"""

import contextlib
import functools
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eval.common.places import ROOT
from eval.run.environment import silence_libraries

silence_libraries()

from lm_eval import utils as lm_utils  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.task import Task as LmTask  # noqa: E402
from lm_eval.tasks import TaskManager, get_task_dict  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.config.directions import refuse_wrong_directions  # noqa: E402
from eval.config.suite_file import Suite, Task  # noqa: E402
from eval.contracts import task as contract  # noqa: E402
from eval.contracts.backend import ChatTemplate  # noqa: E402
from eval.contracts.domains import data_of, find_task, reads_logits  # noqa: E402
from eval.contracts.guests import guests  # noqa: E402
from eval.model.plain_tasks import PlainTask, plain_task  # noqa: E402
from eval.model.task_rules import check_aggregations, check_requests, tried_metrics  # noqa: E402
from eval.run.digests import files_sha256, json_sha256  # noqa: E402
from eval.run.metrics import TaskSummary  # noqa: E402
from eval.run.records import Generation, Score, finite  # noqa: E402

TASKS_FOLDER = ROOT / "eval" / "tasks"
# lm-eval compiles a task's templates anew for each row, most of the seconds that loading a task takes.
lm_utils.env.from_string = functools.lru_cache(maxsize=256)(lm_utils.env.from_string)


@dataclass(frozen=True)
class Sample(contract.Sample):
    """One item of one task, with the lm-eval requests (prompts) it needs. `repeat`: which of its answers is asked."""

    instances: tuple[Instance, ...]
    repeat: int = 0

    @property
    def kind(self) -> str:
        """What is asked for: `generate_until` (a text), `loglikelihood` (of given texts), `drift`."""
        return str(self.instances[0].request_type)

    @property
    def prompt_sha256(self) -> str:
        return json_sha256([[str(part) for part in instance.args] for instance in self.instances])


@dataclass(frozen=True)
class LoadedTask:
    """A task of the suite with its samples built for one model's chat template.

    `repeats`: answers to each. `sampling`: how they are drawn, empty for greedy ones.
    """

    name: str
    task: LmTask
    samples: tuple[Sample, ...]
    dataset: str
    dataset_sha256: str
    expected: frozenset[str] = frozenset()  # metrics that every item has, as far as is known before any answer
    repeats: int = 1
    sampling: Mapping[str, float] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[Sample, ...]:
        """Every sample as often as it is asked."""
        return tuple(replace(sample, repeat=number) for sample in self.samples for number in range(self.repeats))


def load_tasks(suite: Suite, template: ChatTemplate) -> list[LoadedTask]:
    """Build every sample of every task for this chat template; drift has its own (eval/model/neutral.py).

    UserError for an unknown or empty task.
    """
    wanted = [task for task in suite.tasks if not reads_logits(task.name)]
    folders = [str(TASKS_FOLDER), *(str(guest.task_files) for guest in guests().values())]
    folders = [folder for folder in folders if Path(folder).is_dir()]
    # Indexing everything lm-eval ships takes 12 s: only when a suite asks for something that no domain has.
    manager = TaskManager(include_path=folders, include_defaults=False)
    if any(task.name not in manager.all_tasks and find_task(task.name) is None for task in wanted):
        manager = TaskManager(include_path=folders)
    gated = {
        task.name: [gate.metric for gate in suite.gates if task.name in suite.members(gate.task)] for task in wanted
    }
    return [_load_task(suite, task, manager, template, gated[task.name]) for task in wanted]


def _lm_task(spec: Task, manager: TaskManager) -> LmTask:
    """lm-eval's own object of a task: from a task file, or from a domain's functions."""
    own = find_task(spec.name)
    if spec.hub and own is not None:
        raise UserError(f"task {spec.name} reads rows of its own, none of the Hub: remove its `hub`")
    if spec.name not in manager.all_tasks and isinstance(own, contract.OwnTask):
        return plain_task(own, data_of(spec.name))
    if spec.name not in manager.all_tasks:
        ours = ", ".join(sorted(path.stem for path in TASKS_FOLDER.rglob("*.yaml")))
        raise UserError(f"task {spec.name} is unknown to lm-eval and to eval/tasks (ours: {ours}); is its YAML valid?")
    try:
        found = get_task_dict([_asked(spec, manager)], manager)
    except Exception as error:  # lm-eval raises what the data loader raises
        raise UserError(f"task {spec.name} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    task = found.get(spec.name)
    if not found:
        raise UserError(f"task {spec.name} has no samples: lm-eval found none in its data; check the file it names")
    if not isinstance(task, LmTask):
        raise UserError(f"{spec.name} is a group: list its tasks one by one, so that each has its own gate")
    if spec.hub and task.config.dataset_path != spec.hub.dataset:
        raise UserError(f"task {spec.name} reads {task.config.dataset_path}, not {spec.hub.dataset}: mend its `hub`")
    return task


def _asked(spec: Task, manager: TaskManager) -> str | dict[str, Any]:
    """A task by its name, or with the commit of its dataset that the suite names."""
    if spec.hub is None:
        return spec.name
    own = manager._get_config(spec.name).get("dataset_kwargs") or {}
    return {"task": spec.name, "dataset_kwargs": {**own, "revision": spec.hub.revision}}


def _load_task(suite: Suite, spec: Task, manager: TaskManager, template: ChatTemplate, gated: list[str]) -> LoadedTask:
    task = _lm_task(spec, manager)
    if spec.max_new_tokens is not None:
        if task.OUTPUT_TYPE != "generate_until":
            raise UserError(f"task {spec.name} generates nothing: remove its max_new_tokens")
        _set_generation(task, max_gen_toks=spec.max_new_tokens)
    if spec.sampling:
        if task.OUTPUT_TYPE != "generate_until":
            raise UserError(f"task {spec.name} generates nothing that could be drawn: remove its temperature")
        _set_generation(task, do_sample=True, **spec.sampling)
    with io.StringIO() as quiet, contextlib.redirect_stderr(quiet):  # its own progress bar
        task.build_all_requests(
            limit=spec.limit,
            apply_chat_template=spec.chat,
            chat_template=template.apply_chat_template if spec.chat else None,
            tokenizer_name=template.tokenizer_name,
        )
    by_doc: dict[int, list[Instance]] = {}
    for instance in task.instances:
        by_doc.setdefault(instance.doc_id, []).append(instance)
    if not by_doc:
        raise UserError(f"task {spec.name} has no samples: check its data file")
    check_requests(spec.name, task, by_doc)
    check_aggregations(spec.name, task, gated)
    samples = []
    for doc_id, instances in by_doc.items():
        doc = task.row_of(instances[0].doc) if isinstance(task, PlainTask) else dict(instances[0].doc)
        if spec.cluster is not None and spec.cluster not in doc:
            raise UserError(f"task {spec.name}: samples have no field {spec.cluster} to cluster by")
        sample_id = str(doc.get("id", doc_id))
        samples.append(
            Sample(
                task=spec.name,
                id=sample_id,
                request=task.own.request(doc) if isinstance(task, PlainTask) else str(task.doc_to_text(doc)),
                gold=_gold(task, doc),
                cluster=contract.cluster_of(spec.cluster, doc, sample_id),
                category=contract.category_of(doc),
                doc=doc,
                instances=tuple(instances),
            )
        )
    duplicates = len(samples) - len({sample.id for sample in samples})
    if duplicates:
        raise UserError(f"task {spec.name}: {duplicates} samples share an id with another")
    samples = [sample for sample in samples if suite.asks(sample.cluster)]
    if not samples:
        raise UserError(f"task {spec.name}: none of its clusters is in the {suite.part} half: it takes more of them")
    dataset, digest = _dataset(task)

    def tried(number: int, answer: str) -> dict[str, Any]:
        requests = samples[number].instances
        generates = requests[0].request_type == "generate_until"
        return _values(task, samples[number], [answer] if generates else [(-1.0, False)] * len(requests))

    expected = tried_metrics(spec.name, [sample.gold for sample in samples], tried)
    return LoadedTask(
        spec.name, task, tuple(samples), dataset, digest, frozenset(expected), spec.repeats, spec.sampling
    )


def _set_generation(task: LmTask, **settings: Any) -> None:
    task.config.generation_kwargs = {**(task.config.generation_kwargs or {}), **settings}


def check_directions(suite: Suite, tasks: list[LoadedTask]) -> None:
    """UserError for a gate that asks for the worse of a metric, by what lm-eval's task says is better."""
    better = {
        (task.name, metric): bool(higher)
        for task in tasks
        for metric, higher in task.task.higher_is_better().items()
        if isinstance(higher, bool)
    }
    refuse_wrong_directions(suite, better)


def _gold(task: LmTask, doc: dict[str, Any]) -> str:
    target = task.doc_to_target(doc)
    if isinstance(target, int) and task.config.doc_to_choice is not None:
        return str(task.doc_to_choice(doc)[target])
    return str(target)


def _dataset(task: LmTask) -> tuple[str, str]:
    """Name and digest of a task's data: of the local files' bytes, else of the rows."""
    if isinstance(task, PlainTask):
        data = data_of(task.own.name)
        digest = files_sha256([data]) if data else json_sha256([str(row) for row in task.rows])
        return task.own.data or task.own.name, digest
    files = (task.config.dataset_kwargs or {}).get("data_files")
    paths = sorted(str(path) for path in (files.values() if isinstance(files, dict) else [files] if files else []))
    if paths and all(Path(path).is_file() for path in paths):
        return ", ".join(paths), files_sha256(map(Path, paths))
    return str(task.config.dataset_path), json_sha256([str(doc) for doc in task.eval_docs])


def score(tasks: list[LoadedTask], generations: list[Generation]) -> list[Score]:
    """Every metric of every generation, through the task's own lm-eval scoring; one line a metric."""
    answers = {answer.place: answer for answer in generations}
    arms = sorted({answer.arm for answer in generations})
    scores = []
    for task in tasks:
        found = {
            (arm, sample.id, sample.repeat): _numbers(task, sample, answers[arm, task.name, sample.id, sample.repeat])
            for arm in arms
            for sample in task.asked
        }
        # Both arms have every metric for every item, so that no answer can hide from one by having no score.
        metrics = list(dict.fromkeys([*(name for own in found.values() for name in own), *sorted(task.expected)]))
        if not metrics:
            raise UserError(f"task {task.name} has no per-sample metric: its scorer gave no item a number")
        for arm in arms:
            for sample in task.asked:
                own, answer = found[arm, sample.id, sample.repeat], answers[arm, task.name, sample.id, sample.repeat]
                scores += [_scored(answer, sample, metric, own) for metric in metrics]
    return scores


def _scored(answer: Generation, sample: Sample, metric: str, values: dict[str, float]) -> Score:
    if metric not in values:
        return Score.of(answer, metric, None, "the scorer left this metric out for this answer", sample)
    number = finite(values[metric])
    return Score.of(
        answer, metric, number, "the scorer had no answer: is the gold valid?" if number is None else "", sample
    )


def _numbers(task: LoadedTask, sample: Sample, answer: Generation) -> dict[str, float]:
    """The metrics of one answer that are numbers; corpus metrics (BLEU, perplexity) carry tuples, not to be paired."""
    kind = sample.instances[0].request_type
    responses = [answer.text] if kind == "generate_until" else [tuple(pair) for pair in json.loads(answer.text)]
    values = _values(task.task, sample, responses)
    return {metric: float(value) for metric, value in values.items() if isinstance(value, bool | int | float)}


def _values(task: LmTask, sample: Sample, responses: list[Any]) -> dict[str, Any]:
    """What a task's own filters and scorer make of the responses to one sample."""
    for instance, response in zip(sample.instances, responses, strict=True):
        instance.resps, instance.filtered_resps = [response], {}
    task._instances = list(sample.instances)
    task.apply_filters()
    values = {}
    for name in sample.instances[0].filtered_resps:
        filtered = [instance.filtered_resps[name] for instance in sample.instances]
        for metric, value in (task.process_results(sample.doc, filtered) or {}).items():
            values[metric if name == "none" else f"{metric},{name}"] = value
    return values


def summarise(task: LoadedTask, metrics: list[str]) -> TaskSummary:
    """The task as it ran, with digests of its data and of the exact prompts."""
    return TaskSummary(
        name=task.name,
        samples=len(task.samples),
        metrics=metrics,
        dataset=task.dataset,
        dataset_sha256=task.dataset_sha256,
        samples_sha256=json_sha256([[sample.id, sample.prompt_sha256, sample.gold] for sample in task.samples]),
        clusters=len({sample.cluster for sample in task.samples}),
        repeats=task.repeats,
        sampling=dict(task.sampling),
    )
