"""How many answers of a run damage something that the right command leaves alone: `make bench-collateral [RUN=]`.

Runs the saved answers of both arms again, in every file tree of their samples, and prints the table of the report: for
a run that was evaluated before there was such a score, or to see that another machine gives the same. Writes
results/bench/collateral.json. No model.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import UserError, run_command
from eval.common.reading import read_bytes
from eval.config.suite_file import load_suite
from eval.contracts.domains import find_task
from eval.contracts.task import Sample
from eval.execution.collateral import said
from eval.execution.judging import judge_answers, judged_modes
from eval.run.files import read_jsonl, write_json
from eval.run.folder import resolve_run
from eval.run.partial_log import PartialLog
from eval.run.records import BASELINE, CANDIDATE, Generation, Judgement
from eval.sandbox import open_sandbox
from eval.statistics.paired import clopper_pearson_interval

OUT = Path("results/bench/collateral.json")


@dataclass(frozen=True)
class RowsOfTask:
    """The samples of one task, from the data alone."""

    name: str
    samples: list[Sample]


def rows_of(task: str, ids: set[str]) -> RowsOfTask:
    """The samples of a task of this repository that a run asked. UserError when its data lacks one."""
    own = find_task(task)
    assert own is not None
    rows = [row for row in own.rows(read_bytes(Path(str(own.data)))) if row["id"] in ids]
    if missing := ids - {row["id"] for row in rows}:
        raise UserError(f"{own.data} lacks {min(missing)}, which the run asked: the data changed since")
    return RowsOfTask(
        task, [Sample(task, row["id"], own.request(row), own.gold(row), row["id"], None, row) for row in rows]
    )


def judge_run(run: Path) -> list[Judgement]:
    """Every executed answer of a run, judged again. UserError when the run executed nothing that is known here."""
    suite = load_suite(run / "suite.yaml")
    executed = [task.name for task in suite.tasks if task.name in judged_modes(suite) and find_task(task.name)]
    answers = [row for row in read_jsonl(run / "generations.jsonl", Generation) if row.task in executed]
    if not answers:
        raise UserError(f"{run}: no answers of an executed task of this repository: evaluate with `make eval` first")
    tasks: Any = [rows_of(name, {row.sample for row in answers if row.task == name}) for name in executed]
    with open_sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        log = PartialLog(Path(folder), "executions", Judgement, "bench")
        return judge_answers(suite, tasks, answers, sandbox, log, lambda text: print(f"bench: {text}", flush=True))


def table(judgements: list[Judgement]) -> list[dict[str, Any]]:
    """One row a task and arm, and one for all tasks: answers, damaging and stray ones, 95 % Clopper-Pearson."""
    found = []
    for task in [*dict.fromkeys(row.task for row in judgements), "all"]:
        for arm in (BASELINE, CANDIDATE):
            own = [row.collateral for row in judgements if row.arm == arm and task in (row.task, "all")]
            known = [one for one in own if one is not None and not one.unknown]
            damaging = sum(one.damaged_paths > 0 for one in known)
            interval = clopper_pearson_interval(damaging, len(known), 0.95)
            found.append(
                {
                    "task": task,
                    "arm": arm,
                    "n": len(known),
                    "collateral": damaging,
                    "interval": [round(interval.low, 4), round(interval.high, 4)],
                    "stray": sum(one.stray_paths > 0 for one in known),
                    "unknown": sum(one is not None and bool(one.unknown) for one in own),
                }
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run name or folder (default: the newest)")
    parser.add_argument("--list", action="store_true", help="also print each damaging answer of the adapter")
    arguments = parser.parse_args()
    run = resolve_run(arguments.run)
    judgements = judge_run(run)
    rows = table(judgements)
    write_json(OUT, {"run": run.name, "rows": rows})
    for row in rows:
        low, high = (100 * end for end in row["interval"])
        share = 100 * row["collateral"] / max(1, row["n"])
        damaging = f"{row['collateral']:>4} of {row['n']:<5}{share:5.1f} % [{low:.1f}, {high:.1f}]"
        print(f"{row['task']:<26}{row['arm']:<11}{damaging}   stray {row['stray']}   unknown {row['unknown']}")
    if arguments.list:
        for one in judgements:
            if one.arm == CANDIDATE and one.collateral and one.collateral.damaged:
                print(f"\n{one.task} {one.sample}\n  {one.command[:300]}\n  {said(one.collateral)}")
    print(f"bench: {OUT}")
    return 0


if __name__ == "__main__":
    run_command(main)
