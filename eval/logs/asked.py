"""What a suite may ask of logs, and a suite to begin with where there is none. Pure.

refuse_unfit(suite)                         what takes a model or a sandbox cannot come from a log
starter(a, b)                               the text of a suite that names what both logs hold
"""

from collections.abc import Mapping

import yaml

from eval.common.errors import UserError
from eval.config.directions import refuse_wrong_directions
from eval.config.suite_file import Suite
from eval.contracts.domains import reads_logits
from eval.logs.rows import Log, Logged, few, metrics_in

MARGIN = 0.05  # of a starter's gates, to be chosen by whoever knows what a loss costs
RATE = 0.05
HEAD = """\
# A suite to begin with, written from two logs. Its margins are nobody's choice yet: before you look at a result, say
# for each gate what loss would do harm (docs/gates.md), delete the gates that nothing depends on, and name with
# `cluster:` the field of an item that groups dependent ones (a shared article, a template).
# All blocking gates have to pass for a ship; advisory ones inform.
"""


def refuse_unfit(suite: Suite) -> None:
    """UserError for a suite whose answers would have to be made, run or looked at one by one."""
    for task in suite.tasks:
        if task.execute is not None:
            raise UserError(
                f"task {task.name} of suite {suite.name} asks for `execute: {task.execute}`, and logs cannot give it: "
                "nothing is run here; take it out, with the gates that need it"
            )
        if reads_logits(task.name):
            raise UserError(f"task {task.name} of suite {suite.name} needs logits, and logs have none: take it out")
    if suite.mode != "fixed":
        raise UserError(f"suite {suite.name} is {suite.mode}, and logs hold all items at once: use `mode: fixed`")
    if suite.part is not None:
        raise UserError(f"suite {suite.name} has `part: {suite.part}`, and logs hold all items: drop it")
    if suite.baseline != "base":
        raise UserError(f"suite {suite.name} has `baseline: {suite.baseline}`, and of logs A is the baseline: drop it")


def directions_of(a: Log, b: Log) -> dict[tuple[str, str], bool]:
    """Which way each metric is better, as the logs' own tool says. UserError where the two do not agree."""
    for key in a.higher.keys() & b.higher.keys():
        if a.higher[key] != b.higher[key]:
            raise UserError(f"{a.said} and {b.said} differ in whether more {key[1]} of {key[0]} is better")
    return a.higher | b.higher


def check_directions(suite: Suite, a: Log, b: Log) -> None:
    """UserError for a gate that asks for the worse of a metric."""
    refuse_wrong_directions(suite, directions_of(a, b))


def held(a: Log, b: Log) -> dict[str, list[str]]:
    """Tasks that both logs have, with the metrics that both have. UserError when there is none."""
    tasks = a.tasks(), b.tasks()
    found = {task: [m for m in metrics_in(items) if m in set(metrics_in(tasks[1][task]))]
             for task, items in tasks[0].items() if task in tasks[1]}  # fmt: skip
    if not found:
        raise UserError(f"{a.said} has task {few(list(tasks[0]))} and {b.said} {few(list(tasks[1]))}: none in both")
    return found


def without_suite(a: Log, b: Log) -> UserError:
    """The line for a comparison that says not what has to hold: what there is to choose from."""
    count = {task: len({item.id for item in items}) for task, items in a.tasks().items()}
    named = [f"{task} ({count[task]} items: {', '.join(metrics[:8])})" for task, metrics in held(a, b).items()]
    return UserError(
        f"no suite says what must hold: name one with SUITE= (--suite); both logs have {'; '.join(named[:10])}; "
        "STARTER=FILE (--starter) writes one to begin with"
    )


def starter(a: Log, b: Log) -> str:
    """A suite with a gate for each metric that looks like a rate. UserError when there is none."""
    better, tasks, gates, left = directions_of(a, b), [], [], []
    for task, metrics in held(a, b).items():
        items = [item for log in (a, b) for item in log.tasks()[task]]
        found = [gate for metric in metrics if (gate := _gate(task, metric, items, better))]
        left += [f"{task}: {metric}" for metric in metrics if metric not in {gate["metric"] for gate in found}]
        for place, gate in enumerate(found):
            gate["tier"] = "blocking" if place == 0 else "advisory"
        tasks += [{"name": task}] if found else []
        gates += found
    if not gates:
        raise UserError(f"no metric of {a.said} and {b.said} lies in 0..1: write the suite by hand (docs/gates.md)")
    suite = {"name": "logs", "description": f"{b.name} against {a.name}", "alpha": 0.05, "tasks": tasks, "gates": gates}
    without = "".join(f"#   {line}\n" for line in left)
    return (
        HEAD
        + (f"# Without a gate, since their values do not lie in 0..1 (rule max_value):\n{without}" if left else "")
        + yaml.safe_dump(suite, sort_keys=False, allow_unicode=True, width=110)
    )


def _gate(
    task: str, metric: str, items: list[Logged], better: Mapping[tuple[str, str], bool]
) -> dict[str, object] | None:
    """No loss of more than a margin; of what is better when lower, a rate. None for a quantity."""
    values = [value for item in items if (value := item.values.get(metric)) is not None]
    if not values or not all(isinstance(value, float) and 0 <= value <= 1 for value in values):
        return None
    gate: dict[str, object] = {"id": f"{task}-{metric}", "task": task, "metric": metric}
    if better.get((task, metric.partition(",")[0]), True):
        return {**gate, "rule": "noninferiority", "margin": MARGIN}
    return {**gate, "rule": "max_rate", "limit": RATE} if set(values) <= {0.0, 1.0} else None
