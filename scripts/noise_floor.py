"""Measure the noise floor of this backend: the base model against itself, five times, with other batch sizes.

    python -m scripts.noise_floor [--suite SUITE] [--limit 64] [--base-model FOLDER]   -> results/noise/<backend>.json

Evaluations of the same base on the same kind of device, dtype and library versions then show the record, and gates
whose margin it reaches do not decide (eval/gates/noise.py says what it means and does not). Nothing is executed.
Killed at any point, the same command continues: finished batches are kept in .cache/answers.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.config.suite_file import Suite, load_suite, resolve_suite
from eval.contracts.backend import Arms
from eval.gates.noise import Pass, TaskNoise, backend_of, lies_inside, measure, write_floor
from eval.model.answer_cache import FOLDER, AnswerCache, DamagedEntry, maker_of
from eval.model.backends import SERVERS, load_backend, refuse_lacking
from eval.run.environment import headline_versions
from eval.run.folder import RESULTS
from eval.run.records import BASELINE, Generation, Record

if TYPE_CHECKING:
    from eval.model.lm_tasks import Sample

EIGHTHS = (8, 6, 4, 3, 2)  # of the suite's batch size: one pass each


def measure_backend(
    suite: Suite, base_model: str, revision: str | None, folder: Path, cache: AnswerCache
) -> tuple[Path, list[TaskNoise]]:
    """Answer the suite's samples under each batch size and write the record. Returns its path and what was measured."""
    from eval.model import lm_tasks  # torch and lm-eval, 10 s

    model = load_backend(suite, Arms(base_model, revision))
    base = model.identity
    if base is None:
        raise UserError(
            f"the revision of {base_model} is not known: give --revision, a commit, so that a record can fit"
            if model.name not in SERVERS
            else f"backend {model.name} cannot say which base it is, so that no record could fit: measure under hf"
        )
    tasks = lm_tasks.load_tasks(suite, model.template)
    refuse_lacking(model, suite, tasks)
    items = sum(len(task.samples) for task in tasks)
    backend = backend_of(base, model.facts(), headline_versions(), suite.backend.kind)
    maker = maker_of(suite, base, model.facts(), model.made_by(BASELINE))
    passes = []
    for size in batch_sizes(min(suite.backend.batch_size, items)):
        started = time.monotonic()
        generations = []
        for batch in model.plan(tasks, size):
            generations += answers_to(batch, maker, cache, partial(model.answer, BASELINE))
        passes.append(Pass(size, generations, lm_tasks.score(tasks, generations)))
        spent = time.monotonic() - started
        print(f"noise-floor: {items} items in batches of {size}: {spent:.0f} s", flush=True)
    measured = measure(passes, {task.name: lm_tasks.summarise(task, []).samples_sha256 for task in tasks})
    return write_floor(folder, backend, measured), measured


def answers_to(
    batch: "list[Sample]", maker: str, cache: AnswerCache, generate: "Callable[[list[Sample]], list[Generation]]"
) -> list[Generation]:
    """The answers to one batch: those that a killed measurement has kept, else generated and kept."""
    with contextlib.suppress(DamagedEntry):
        if kept := cache.read(maker, batch, BASELINE):
            return kept
    made = generate(batch)
    cache.write(maker, batch, made)
    return made


def batch_sizes(largest: int) -> list[int]:
    """Different sizes down from the suite's own, at most five."""
    return sorted({max(1, largest * part // 8) for part in EIGHTHS}, reverse=True)


def limited(suite: Suite, limit: int) -> Suite:
    """The suite with at most `limit` items a task, without tasks whose answers are drawn: chance is in the interval of
    their gates, and moves more than rounding. UserError where all are."""
    tasks = [task.model_copy(update={"limit": min(limit, task.limit or limit)}) for task in suite.tasks]
    greedy = [task for task in tasks if not task.sampling]
    if not greedy:
        raise UserError(f"suite {suite.name} draws all of its answers: a noise floor is of greedy ones")
    return suite.model_copy(update={"tasks": greedy})


def show(suite: Suite, measured: Sequence[TaskNoise]) -> None:
    """What was found, by task, and the gates whose margin lies inside it."""
    spreads = {(own.task, row.metric): row for own in measured for row in own.metrics}
    for own in measured:
        print(f"{own.task}: {100 * own.answers_differ:.1f} % of {own.n} answers differ between batch sizes")
        for gate in (gate for gate in suite.gates if gate.task == own.task):
            row = spreads.get((gate.task, gate.metric))
            if row is None:
                print(f"  {gate.metric}: from running answers, not measured apart")
                continue
            inside = gate.paired and lies_inside(gate.threshold, row.spread)
            warning = f"; the threshold of {gate.id}, {gate.threshold:+g}, lies inside" if inside else ""
            print(f"  {gate.metric}: {100 * row.flipped:.1f} % of items flip, spread {row.spread:.4f}{warning}")


class Measured(Record):
    """How much the base differs from itself, by task."""

    tasks: list[TaskNoise]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.noise_floor", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--suite", help="suite name or file (default: configs/eval/nl2bash.yaml)")
    parser.add_argument("--limit", type=int, default=64, help="items a task (default: 64)")
    parser.add_argument("--base-model", default="models/SmolLM2-135M-Instruct")
    parser.add_argument("--revision", help="commit of a base model on the Hub")
    arguments = parser.parse_args(argv)
    if arguments.limit < 2:
        raise UserError(f"--limit {arguments.limit}: two items or more")
    os.chdir(ROOT)  # task files name their data from the repository root
    suite = limited(load_suite(resolve_suite(arguments.suite)), arguments.limit)
    path, measured = measure_backend(
        suite, arguments.base_model, arguments.revision, RESULTS / "noise", AnswerCache(FOLDER)
    )
    show(suite, measured)
    print(f"recorded in {path.relative_to(ROOT)}: commit it, and evaluations on this backend will show it")
    return Answer(0, Measured(tasks=measured), files=[path])


if __name__ == "__main__":
    run_command(main)
