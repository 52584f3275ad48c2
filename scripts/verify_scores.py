"""Are the scores of a run complete, and do they give the verdict that metrics.json claims? Raises Refused.

    check_items(suite, metrics, scores, folder)      nothing that was asked is missing, in either arm
    check_decision(suite, metrics, scores, folder)   decided again, under the same suite

Not protected against: scores that were invented together with their answers, before metrics.json was written.
"""

import itertools
import math
from pathlib import Path
from typing import Any

from eval.config import Suite
from eval.errors import Refused
from eval.evidence import baseline_of_suite
from eval.files import read_jsonl
from eval.gates import decide
from eval.judgements import JUDGED_VALUES, NOT_FOR_EXECUTION
from eval.judgements import METRIC as EXECUTES_EQUAL
from eval.provenance import json_sha256
from eval.records import BASELINE, CANDIDATE, Generation, Item, Judgement, Score
from eval.results import Metrics


def check_decision(suite: Suite, metrics: Metrics, scores: list[Score], folder: Path) -> None:
    """Refused unless the scores, decided again, give verdict, reasons, gates and comparisons of metrics.json."""
    if not baseline_of_suite(suite, metrics):
        raise Refused(
            f"{folder / 'metrics.json'}: compared with {metrics.baseline}, and the suite asks for {suite.baseline}: "
            "`make eval` without BASELINE="
        )
    again = decide(suite, scores, metrics.adapter_effect, metrics.noise)
    derived = {
        "verdict": again.verdict,
        "reasons": again.reasons,
        "gates": [gate.model_dump() for gate in again.gates],
        "comparisons": [comparison.model_dump() for comparison in again.comparisons],
    }
    recorded = metrics.model_dump(include=set(derived))
    if changed := [name for name in derived if not agree(recorded[name], derived[name])]:
        raise Refused(
            f"{folder / 'metrics.json'}: {changed[0]} is not what scores.jsonl gives: one was edited, or the gates "
            "changed since; `make eval` again"
        )


def check_items(suite: Suite, metrics: Metrics, scores: list[Score], folder: Path) -> None:
    """Refused unless every sample that was asked is answered, and has every metric, in both arms.

    Which samples were asked is known from TaskSummary.samples_sha256, the digest of ids, prompts and golds.
    """
    tasks = {task.name: task for task in metrics.tasks}
    if missing := [task.name for task in suite.tasks if task.name not in tasks]:
        raise Refused(f"task {missing[0]} of the suite is not in metrics.json")
    prompts: dict[tuple[str, str, str, int], str] = {
        (line.arm, line.task, line.sample, line.repeat): line.prompt_sha256
        for line in read_jsonl(folder / "generations.jsonl", Generation)
    }
    items = read_jsonl(folder / "samples.jsonl", Item)
    repeats = {key[3] for key in prompts}
    for arm, repeat, task in itertools.product((BASELINE, CANDIDATE), repeats, metrics.tasks):
        asked = [
            [item.sample, prompts.get((arm, item.task, item.sample, repeat)), item.gold]
            for item in items
            if item.task == task.name
        ]
        if json_sha256(asked) != task.samples_sha256:
            raise Refused(f"{arm} of {task.name}: generations.jsonl and samples.jsonl are not what was asked")
    unjudged = check_executions(folder, scores)
    expected = {
        (*key, metric)
        for key in prompts
        if key[1] in tasks
        for metric in tasks[key[1]].metrics
        if metric != EXECUTES_EQUAL or key[1:3] not in unjudged
    }
    present = {(line.arm, line.task, line.sample, line.repeat, line.metric) for line in scores}
    if differing := sorted(expected ^ present):
        arm, name, sample, _, metric = differing[0]
        raise Refused(f"{arm} of {name}: {sample} lacks an answer or its {metric}: `make eval` again")


def check_executions(folder: Path, scores: list[Score]) -> set[tuple[str, str]]:
    """(task, sample) of those that execution cannot judge, once executions.jsonl agrees with itself and the scores.

    Refused when a sample was judged in one arm only, or a score is not what the judge said.
    """
    file = folder / "executions.jsonl"
    rows = read_jsonl(file, Judgement) if file.is_file() else []
    unjudged: dict[str, set[tuple[str, str]]] = {BASELINE: set(), CANDIDATE: set()}
    for row in rows:
        if row.rule == NOT_FOR_EXECUTION:
            unjudged.setdefault(row.arm, set()).add((row.task, row.sample))
    if unjudged[BASELINE] != unjudged[CANDIDATE]:
        raise Refused(f"{file}: the arms leave out different samples: `make eval` again")
    said = {(row.arm, row.task, row.sample, row.repeat): JUDGED_VALUES.get(row.verdict) for row in rows}
    for line in scores:
        key = (line.arm, line.task, line.sample, line.repeat)
        if line.metric == EXECUTES_EQUAL and (key not in said or said[key] != line.value):
            raise Refused(f"{folder / 'scores.jsonl'}: {line.arm} of {line.sample} is not what executions.jsonl says")
    return unjudged[BASELINE]


def agree(one: Any, other: Any) -> bool:
    """Equal JSON values; floats to 9 digits, as another machine's mathematics may differ in the last one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(agree, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)
