"""The checkpoints that a training kept, as runs: adopted, since nothing was recorded of a training that ended there.

    for step, run in checkpoint_runs(member_run, recipe): ...

Each says which step of which run it is, and has that run's recipe and, where all its data has one, the data's licence.
"""

from collections.abc import Iterator
from pathlib import Path

from eval.adapters.adopt import LICENCE, adopt
from eval.adapters.found import step_of
from eval.run.folder import RESULTS, read_data

KEPT = "checkpoints"


def checkpoint_runs(run: Path, recipe: Path, results: Path = RESULTS) -> Iterator[tuple[int, Path]]:
    """Step and run of each checkpoint that `run` kept, oldest first; the same ones when asked again."""
    licence = one_licence(run)
    for folder in sorted((run / KEPT).glob("checkpoint-*"), key=step_of):
        step = step_of(folder)
        source = f"step {step} of {run.name}"
        yield step, adopt(str(folder), recipe=recipe, licence=licence, results=results, source=source)


def one_licence(run: Path) -> str | None:
    """The licence of everything that the run was trained on; None where there are several, or one is not known."""
    licences = {row.get("licence") for row in read_data(run)}
    only = licences.pop() if len(licences) == 1 else None
    return only if isinstance(only, str) and LICENCE.fullmatch(only) else None
