"""Are the items of a run those of its data? Raises Refused.

    known = asked_rows(suite, metrics, items, folder)

For a task of this repository: its data as committed (committed.py), at HEAD or at the evaluated commit, has the
recorded digest, and samples.jsonl holds the rows that the suite takes of it, in their order. An older commit must have
HEAD's rows by number and id, so that a test set cannot be cut: only wordings may differ, and the card says that.
For another task only the digest is compared, and only where its data is a file of this repository.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.common.errors import Refused
from eval.common.places import ROOT
from eval.config import suite_file
from eval.config.suite_file import Suite
from eval.contracts.domains import find_task, guest_of
from eval.contracts.task import Row, Task, category_of, cluster_of
from eval.run.digests import json_sha256
from eval.run.metrics import Metrics, TaskSummary
from eval.run.records import Item
from eval.statistics.sequential import orders_of, random_place
from scripts.publishing.committed import committed_bytes, repository_of

AGAIN = "`make eval` again"
NAME = re.compile(r"\w[\w./-]{0,200}")  # a path from the repository root
Known = dict[tuple[str, str], Row]  # (task, sample) -> its row of the data, for the tasks of this repository


def asked_rows(suite: Suite, metrics: Metrics, recorded: list[Item], folder: Path) -> Known:
    """The rows of the data that were asked. Refused unless samples.jsonl is what the suite takes of them."""
    known: Known = {}
    specs = {task.name: task for task in suite.tasks}
    commit = str(mapping(metrics.provenance.get("git")).get("commit"))
    orders = orders_of(metrics.tasks, metrics.provenance.get("adapter_sha256"))
    if stray := next((item for item in recorded if not suite.asks(item.cluster)), None):
        raise Refused(
            f"{folder / 'samples.jsonl'}: {stray.sample} of {stray.task} is not in the {suite.part} half, which the "
            f"suite is about: {AGAIN}"
        )
    for task in metrics.tasks:
        own = find_task(task.name)
        found = dataset_rows(task, own, commit, folder)
        if own is None:
            continue
        rows = expected_items(specs[task.name], own, found)
        asked = {item.sample: (item, row) for item, row in rows if suite.asks(item.cluster)}
        items = [item for item in recorded if item.task == task.name]
        planned = list(asked) if suite.mode == "fixed" else in_random_order(orders[task.name], asked, len(items))
        if [item.sample for item in items] != planned:
            raise Refused(
                f"{folder / 'samples.jsonl'}: {task.name}: {len(items)} items that are not the {len(planned)} "
                f"which the suite takes from its data: {AGAIN}"
            )
        for item in items:
            if item != asked[item.sample][0]:
                raise Refused(f"{folder / 'samples.jsonl'}: {item.sample} is not what the data says: {AGAIN}")
            known[task.name, item.sample] = asked[item.sample][1]
    return known


def expected_items(spec: suite_file.Task, own: Task, found: list[Row]) -> Iterator[tuple[Item, Row]]:
    """What the suite takes of a task's rows, in their order."""
    for number, row in enumerate(found[: spec.limit]):
        sample = str(row.get("id", number))
        yield Item(
            task=spec.name,
            sample=sample,
            request=own.request(row),
            gold=own.gold(row),
            cluster=cluster_of(spec.cluster, row, sample),
            category=category_of(row),
        ), row  # fmt: skip


def in_random_order(order: str, asked: dict[str, tuple[Item, Row]], number: int) -> list[str]:
    """The first samples that a sequential evaluation asks, in the order of the data."""
    ordered = sorted(asked, key=lambda sample: (random_place(order, asked[sample][0].cluster), sample))
    taken = set(ordered[:number])
    return [sample for sample in asked if sample in taken]


def dataset_rows(task: TaskSummary, own: Task | None, commit: str, folder: Path) -> list[Row]:
    """Rows of a task's data, once its digest is that of the files here, on disk or at the evaluated commit.

    None are known of a task of somebody else. What such a task read is checked where it is a file of this repository.
    """
    if own and own.data is None:
        found = own.rows(b"")
        if json_sha256([str(row) for row in found]) != task.dataset_sha256:
            raise Refused(f"{folder / 'metrics.json'}: {task.name} was measured on other rows than its package has")
        return found
    if own and task.dataset != own.data:
        raise Refused(f"{folder / 'metrics.json'}: {task.name} is about {own.data} and was measured elsewhere: {AGAIN}")
    names = task.dataset.split(", ")
    versions = list(_versions(task.name, names, commit))
    for contents in versions:
        if json_sha256([hashlib.sha256(content).hexdigest() for content in contents]) == task.dataset_sha256:
            found = own.rows(contents[0]) if own else []
            here = committed_bytes(None, *_place(task.name, names[0]))
            if own and (here is None or ids(found) != ids(own.rows(here))):
                raise Refused(f"{folder / 'metrics.json'}: {task.name} was asked other rows than HEAD has: {AGAIN}")
            return found
    if own or versions or any(_place(task.name, name)[0].is_file() for name in names if NAME.fullmatch(name)):
        raise Refused(
            f"{folder / 'metrics.json'}: the data of {task.name} has other bytes than were measured, or is not "
            f"committed: {AGAIN}"
        )
    return []


def ids(rows: list[Row]) -> list[str]:
    """Which rows a test set has, in their order."""
    return [str(row.get("id", number)) for number, row in enumerate(rows)]


def _place(task: str, name: str) -> tuple[Path, Path]:
    """Where a task's file lies, and the repository that it belongs to: ours, or that around a guest's folder."""
    guest = guest_of(task)
    return (ROOT / name, ROOT) if guest is None else (guest.folder / name, repository_of(guest.folder))


def _versions(task: str, names: list[str], commit: str) -> Iterator[list[bytes]]:
    """The files as HEAD has them, and as the commit had; nothing where one of them is not committed. The commit is one
    of this repository: of a guest's data only HEAD counts."""
    if not all(NAME.fullmatch(name) for name in names):
        return
    for at in (None, commit) if guest_of(task) is None else (None,):
        found = [committed_bytes(at, *_place(task, name)) for name in names]
        contents = [content for content in found if content is not None]
        if len(contents) == len(names):
            yield contents


def data_notes(metrics: Metrics) -> list[str]:
    """What the card has to say of test data that HEAD has in other words."""
    return [
        f"The test data of {task.name} is as of the evaluated commit; HEAD words it differently."
        for task in metrics.tasks
        if (own := find_task(task.name)) and own.data and _reworded(own.data, task)
    ]


def _reworded(name: str, task: TaskSummary) -> bool:
    content = committed_bytes(None, *_place(task.name, name))
    return content is None or json_sha256([hashlib.sha256(content).hexdigest()]) != task.dataset_sha256


def mapping(value: Any) -> dict[str, Any]:
    """A part of the provenance, which may be anything; empty where it is no mapping."""
    return value if isinstance(value, dict) else {}
