"""Two logs as the scores of two arms: the same items, asked the same, with every metric that a gate is about. Pure.

    paired = pair(suite, a, b)      A is the baseline, B the candidate; UserError, in one line, where they do not fit

What does not fit is never left out in silence: an item in one log only may be one that was lost. Repeats (epochs) of an
item stay repeats: eval/gates/comparisons.py takes their mean as the item's one value, since they are not independent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from eval.common.errors import UserError
from eval.config.suite_file import Suite, Task
from eval.contracts.task import category_of
from eval.logs.rows import Log, Logged, NotANumber, few, metrics_in, samples_sha256
from eval.run.metrics import TaskSummary
from eval.run.records import BASELINE, CANDIDATE, Generation, Item, Score

ARMS = (BASELINE, CANDIDATE)
CLUSTER = "cluster"  # the column that groups plain rows where a suite names none
Key = tuple[str, int]  # id, repeat
Both = tuple[Logged, Logged]  # baseline, candidate


@dataclass
class Paired:
    """Two logs under one suite. `generations`: who was asked what and answered what, as far as the logs say.

    `known`: the logs say what was asked. `ignored`: tasks and metrics that no gate is about and the logs do not share.
    """

    scores: list[Score] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    summaries: list[TaskSummary] = field(default_factory=list)
    known: bool = True
    ignored: list[str] = field(default_factory=list)


def pair(suite: Suite, a: Log, b: Log) -> Paired:
    """Scores of both arms for every task of the suite. UserError where the logs do not hold the same."""
    refuse_other_format(a, b)
    paired = Paired()
    held = a.tasks(), b.tasks()
    for task in suite.tasks:
        for log, tasks in zip((a, b), held, strict=True):
            if task.name not in tasks:
                raise UserError(f"{log.said} has no task {task.name}: it has {few(list(tasks))}")
        _refuse_other_versions(task.name, a, b)
        items = paired_items(task.name, held[0][task.name], held[1][task.name], a, b)
        if task.limit is not None and len({one.id for one, _ in items}) > task.limit:
            raise UserError(f"task {task.name} has `limit: {task.limit}` and the logs hold more items: take it out")
        _add(paired, suite, task, items, (a, b))
    asked = {task.name for task in suite.tasks}
    paired.ignored += [f"task {name}" for name in sorted((held[0].keys() | held[1].keys()) - asked)]
    return paired


def refuse_other_format(a: Log, b: Log) -> None:
    """UserError for logs of two tools: a metric of one is not that of the other, whatever it is called."""
    if a.format != b.format:
        raise UserError(f"{a.said} is of {a.format} and {b.said} of {b.format}: evaluate both with the same tool")


def _refuse_other_versions(task: str, a: Log, b: Log) -> None:
    one, other = a.versions.get(task), b.versions.get(task)
    if one is not None and other is not None and one != other:
        raise UserError(f"task {task} is of version {one} in {a.said} and {other} in {b.said}: evaluate both again")


def paired_items(task: str, ours: list[Logged], theirs: list[Logged], a: Log, b: Log) -> list[Both]:
    """The items of a task in both logs, in the order of A. UserError for items in one only, or asked differently."""
    first, second = ({(item.id, item.repeat): item for item in items} for items in (ours, theirs))
    for log, own, rest in ((a, first, second), (b, second, first)):
        if only := [_named(key) for key in own if key not in rest]:
            said = f"{len(only)} of {len(own)} items of {task} are in {log.said} only: {few(only)}"
            raise UserError(f"{said}: evaluate both on the same items")
    pairs = [(item, second[key]) for key, item in first.items()]
    if other := [one.id for one, two in pairs if one.question and two.question and one.question != two.question]:
        said = f"{len(other)} of {len(pairs)} items of {task} were asked otherwise in {b.said} than in {a.said}"
        raise UserError(f"{said}: {few(other)}: use the same prompts, examples and right answers for both")
    return pairs


def _named(key: Key) -> str:
    return key[0] if key[1] == 0 else f"{key[0]} (repeat {key[1]})"


def _add(paired: Paired, suite: Suite, task: Task, items: list[Both], logs: tuple[Log, Log]) -> None:
    """One task: its items, who answered what, and every score."""
    clusters = {one.id: cluster_of_both(task, one, two) for one, two in items}
    gated = {gate.metric for gate in suite.gates if task.name in suite.members(gate.task)}
    metrics = shared_metrics(task.name, items, gated, logs, paired.ignored.append)
    first = {one.id: one for one, _ in reversed(items)}
    for one, two in items:
        for arm, item in zip(ARMS, (one, two), strict=True):
            paired.generations.append(generation_of(arm, item))
            paired.scores += scores_of(arm, item, (one, two), metrics, clusters[one.id])
    paired.items += [
        Item(
            task=task.name,
            sample=name,
            request=first[name].request,
            gold=first[name].gold,
            cluster=cluster,
            category=category_of(dict(first[name].fields)),
        )
        for name, cluster in clusters.items()
    ]
    paired.known = paired.known and all(one.question and two.question for one, two in items)
    said = [f"version {logs[0].versions[task.name]}"] if task.name in logs[0].versions else []
    digest = samples_sha256(one for one, _ in items)
    paired.summaries.append(
        TaskSummary(
            name=task.name,
            samples=len(clusters),
            metrics=metrics,
            dataset=", ".join([f"logs of {logs[0].format}", *said]),
            dataset_sha256=digest,
            samples_sha256=digest,
            clusters=len(set(clusters.values())),
        )
    )


def cluster_of_both(task: Task, one: Logged, two: Logged) -> str:
    """The group of an item, which both logs have to agree on."""
    own, other = cluster_in(task, one), cluster_in(task, two)
    if own != other:
        raise UserError(f"task {task.name}: item {one.id} is in cluster {own} in A and {other} in B: mend the logs")
    return own


def cluster_in(task: Task, item: Logged) -> str:
    """The group of an item: the field that the suite names, else the column `cluster`, else the item alone."""
    if task.cluster is None:
        return item.fields.get(CLUSTER, item.id)
    if task.cluster not in item.fields:
        raise UserError(
            f"task {task.name}: item {item.id} has no field {task.cluster} to group by: it has "
            f"{few(sorted(item.fields)) or 'none'}"
        )
    return item.fields[task.cluster]


def shared_metrics(
    task: str, items: list[Both], gated: set[str], logs: tuple[Log, Log], ignore: Callable[[str], None]
) -> list[str]:
    """The metrics that both arms have as numbers. UserError when a gate is about one of the others."""
    for log, place in zip(logs, (0, 1), strict=True):
        there = metrics_in(both[place] for both in items)
        if lacking := sorted(gated - set(there)):
            raise UserError(
                f"{log.said} has no metric {few(lacking)} of task {task}: it has {', '.join(there[:20]) or 'none'}"
            )
    found = []
    for metric in metrics_in(item for both in items for item in both):
        problem = next((said for both in items if (said := _problem(metric, both, logs))), "")
        if problem and metric in gated:
            raise UserError(f"metric {metric} of task {task}: {problem}")
        if problem:
            ignore(f"metric {metric} of {task} ({problem})")
        else:
            found.append(metric)
    return found


def _problem(metric: str, both: Both, logs: tuple[Log, Log]) -> str:
    """Why an item cannot be compared on a metric; empty when it can, or has no part in it."""
    for item, log in zip(both, logs, strict=True):
        value = item.values.get(metric)
        if isinstance(value, NotANumber):
            return f"item {item.id} of {log.said} has {value.said} where a number is needed"
    there = [metric in item.values or bool(item.failed) for item in both]
    if there[0] != there[1] and any(metric in item.values for item in both):
        return f"item {both[0].id} has it in {logs[there.index(True)].said} only"
    return ""


def scores_of(arm: str, item: Logged, both: Both, metrics: list[str], cluster: str) -> list[Score]:
    """One score a metric that either arm has for this item; of items that failed, or whose value is none, invalid."""
    scores = []
    for metric in metrics:
        if not any(metric in one.values for one in both) and not all(one.failed for one in both):
            continue  # not asked of this item
        value = item.values.get(metric)
        number = None if isinstance(value, NotANumber) else value
        scores.append(
            Score(
                arm=arm,
                task=item.task,
                sample=item.id,
                repeat=item.repeat,
                metric=metric,
                value=number,
                status="invalid" if number is None else "scored",
                reason="" if number is not None else item.failed[:400] or "no number in the log",
                cluster=cluster,
                category=category_of(dict(item.fields)),
            )
        )
    return scores


def generation_of(arm: str, item: Logged) -> Generation:
    """Who was asked what and what came, as far as the log says."""
    return Generation(
        arm=arm,
        task=item.task,
        sample=item.id,
        repeat=item.repeat,
        request=item.request,
        prompt_sha256=item.question,
        text=item.answer or "",
        tokens=None,
        finish="unknown",
        seconds=0.0,
    )
