"""Results in the Hub's own form, `.eval_results/*.yaml`, which model pages and the leaderboards of datasets show.

    hub_results(evidence)       name -> text of each file; nothing for a suite that names no benchmark of the Hub

The form is for datasets that are registered as benchmarks on the Hub, and asked whole. Which task is one of those says
the committed suite (`hub:` of a task: dataset, commit, task and metric); the evaluation has read the rows of exactly
that commit. A task with rows of its own has no entry here: model-index, in the card, has every result. Nor has a half
of a suite, which asks half of the rows, or a variant: its suite compares it with its parent, which has the entries.

Not protected against: a dataset that is not registered, or has no task of this name. The Hub then shows no leaderboard.
"""

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from eval.common.errors import Refused
from eval.config.task_entry import HubBenchmark
from eval.contracts.drawn import base_and_k
from eval.run.baselines import BASE
from eval.run.metrics import Comparison, Metrics, TaskSummary
from scripts.publishing.card import Evidence

FOLDER = ".eval_results"


def hub_results(evidence: Evidence) -> dict[str, str]:
    """One file a dataset. Refused for a task that was asked other rows than its suite says, or not all of them."""
    if evidence.suite.part or evidence.variant:
        return {}
    entries: dict[str, list[EvalResultEntry]] = {}
    for task in evidence.suite.tasks:
        if task.hub is not None:
            found = entry(task.name, task.hub, evidence.metrics)
            entries.setdefault(f"{FOLDER}/{task.hub.dataset.replace('/', '--')}.yaml", []).append(found)
    return {
        name: yaml.safe_dump(eval_result_entries_to_yaml(found), sort_keys=False, allow_unicode=True)
        for name, found in entries.items()
    }


def entry(task: str, hub: HubBenchmark, metrics: Metrics) -> EvalResultEntry:
    """The result of one task, in the metric's own unit. Refused as of `hub_results`."""
    asked = next((one for one in metrics.tasks if one.name == task), None)
    row = next((one for one in metrics.comparisons if (one.task, one.metric) == (task, hub.metric)), None)
    if asked is None or asked.dataset != hub.dataset:
        raise Refused(f"suite.yaml: task {task} was not asked of {hub.dataset}: remove its `hub`")
    if row is None or row.candidate is None:
        raise Refused(f"suite.yaml: task {task} has no result for {hub.metric}: name a metric that it has in `hub`")
    if row.invalid or row.n != asked.samples:
        raise Refused(
            f"metrics.json: {row.n} of the {asked.samples} items of {task} are scored: a result of the Hub is of all"
        )
    return EvalResultEntry(
        dataset_id=hub.dataset,
        task_id=hub.task,
        dataset_revision=hub.revision,
        value=row.candidate,
        notes=notes(asked, row, metrics),
    )


def notes(asked: TaskSummary, row: Comparison, metrics: Metrics) -> str:
    """What the number alone does not say."""
    said = f"adapter on its base; {row.metric}, {row.n} items; suite {metrics.suite} {metrics.suite_sha256[:16]}"
    if asked.sampling:
        drawn = f"{asked.repeats} drawn answers to an item"
        k = base_and_k(row.metric)[1]
        said += f"; the mean of {drawn}" if k == 1 else f"; the chance that one of {k} scores 1, from {drawn}"
    if row.candidate_interval:
        found = row.candidate_interval
        said += f"; {100 * found.confidence:g} % interval {found.low:.4g} to {found.high:.4g}"
    other = "without the adapter" if metrics.baseline == BASE else f"with the adapter of {metrics.baseline}"
    return said + (f"; {other} {row.baseline:.4g}" if row.baseline is not None else "")
