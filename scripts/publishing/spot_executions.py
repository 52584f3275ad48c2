"""Spot answers run again: the drawn answers beside the right command, and on the canary machine, as the evaluation did.

    count = run_again(suite, rows, known, items)      Refused when the sandbox says something else than is on record

Compared is what decides: executes_equal, collateral, stray, safe, unsafe. What was seen in detail is not.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eval.common.errors import Refused
from eval.config.suite_file import Suite
from eval.contracts.task import Sample
from eval.execution.execute import execute_answers
from eval.run.records import Generation, Score
from eval.sandbox import Sandbox, open_sandbox
from scripts.publishing.run_rows import Rows
from scripts.publishing.spot_draw import Item
from scripts.publishing.verify_data import AGAIN, Known
from scripts.publishing.verify_items import source_of

MOST = 12  # items: a run of one takes up to 0.3 s in each arm
TRIES = 2  # a machine under load can break a run; a lie is repeated


@dataclass(frozen=True)
class Drawn:
    """The drawn samples of one task."""

    name: str
    samples: tuple[Sample, ...]


def run_again(suite: Suite, rows: Rows, known: Known, items: list[Item]) -> int:
    """How many drawn answers were run again, at most of MOST items, those of both arms. Refused when one does not do
    what its scores say; UserError when there is no sandbox."""
    executed = {task.name for task in suite.tasks if task.execute}
    chosen = [item for item in items if item[0] in executed and item in known][:MOST]
    if not chosen:
        return 0
    with open_sandbox() as sandbox:
        for _ in range(TRIES):
            differing = differences(suite, rows, known, chosen, sandbox)
            if not differing:
                return 2 * len(chosen)
    found, recorded = differing[0]
    file = source_of(found)
    raise Refused(
        f"{rows.folder / file}: {found.arm} of {found.task}: {found.sample}: run again, its {found.metric} is "
        f"{shown(found.value)} and not {shown(recorded)}: {AGAIN}"
    )


def differences(
    suite: Suite, rows: Rows, known: Known, chosen: Iterable[Item], sandbox: Sandbox
) -> list[tuple[Score, float | None]]:
    """Scores of the answers as run now that are not those on record, with the recorded value."""
    wanted = set(chosen)
    tasks = [
        Drawn(
            name,
            tuple(
                Sample(name, row.sample, row.request, row.gold, row.cluster, row.category, known[name, row.sample])
                for row in rows.of(name)
                if (name, row.sample) in wanted
            ),
        )
        for name in sorted({task for task, _ in wanted})
    ]
    answers: list[Generation] = [row for row in rows.generations if (row.task, row.sample) in wanted]
    with tempfile.TemporaryDirectory() as scratch:
        again = execute_answers(suite, tasks, answers, sandbox, Path(scratch), lambda _: None)
    recorded = {(*row.place, row.metric): row.value for row in rows.scores}
    pairs = [(row, recorded.get((*row.place, row.metric))) for row in again.scores]
    return [(row, value) for row, value in pairs if row.value != value]


def shown(value: float | None) -> str:
    return "undecided" if value is None else f"{value:g}"
