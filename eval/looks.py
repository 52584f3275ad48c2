"""A sequential evaluation's looks: which items come next, and is there anything left to decide? Pure, but for asking.

The clusters of each task are taken in a random order that data and adapter fix. After about one batch a look: the gates
are decided on everything scored so far (anytime-valid, eval/statistics/sequential.py). A task whose blocking gates are
all decided is asked nothing more; tasks that only inform go along with the others.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Literal

from eval.config.suite_file import Suite
from eval.contracts.backend import Say
from eval.contracts.domains import modes_giving
from eval.contracts.drawn import base_and_k
from eval.gates.decide import Decision
from eval.model.lm_tasks import LoadedTask, Sample
from eval.run.records import Score
from eval.statistics.sequential import random_place

Waiting = dict[str, list[list[Sample]]]  # by task: clusters that were not asked yet


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
        modes_giving(name, gate.metric) and (name, base_and_k(gate.metric)[0]) not in seen
        for gate in gates
        for name in suite.members(gate.task)
    )
    if unheard:
        undecided = {gate.task for gate in gates}
    else:
        decided = judge(scores).gates
        undecided = {gate.task for gate in decided if gate.tier == "blocking" and gate.outcome == "inconclusive"}
    return {name for task in undecided for name in suite.members(task)}
