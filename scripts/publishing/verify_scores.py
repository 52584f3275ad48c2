"""Are the scores of a run complete, and do they give the verdict that metrics.json claims? Raises Refused.

    check_items(suite, metrics, scores, folder)      nothing that was asked is missing, and every file says the same
    check_decision(suite, metrics, scores, folder)   decided again, under the same suite, baseline and noise

Not protected against: answers, executions and observations that were invented together with their scores.
"""

import itertools
import math
from pathlib import Path
from typing import Any

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.config.suite_file import Suite
from eval.contracts.domains import reads_logits
from eval.contracts.numerics import TYPES
from eval.contracts.task import NOT_FOR_EXECUTION
from eval.execution.collateral import METRICS as COLLATERAL
from eval.execution.judging import METRIC as EXECUTES_EQUAL
from eval.gates.decide import decide
from eval.gates.noise import backend_of, floor_for, parse_floor
from eval.gates.self_checks import self_checks
from eval.record import baseline_of_suite, with_answers
from eval.run.base_files import base_identity
from eval.run.baselines import BASE, BLESSED, RUN, read_blessings
from eval.run.digests import file_sha256, json_sha256
from eval.run.files import read_json
from eval.run.folder import RESULTS, read_run
from eval.run.metrics import Metrics
from eval.run.records import BASELINE, CANDIDATE, Score
from eval.statistics.sequential import orders_of
from scripts.publishing.run_rows import Rows, read_rows
from scripts.publishing.verify_data import AGAIN, mapping
from scripts.publishing.verify_items import check_rows


def check_decision(suite: Suite, metrics: Metrics, scores: list[Score], folder: Path) -> None:
    """Refused unless the run was compared with what its suite asks for, and its scores give its verdict."""
    check_baseline(suite, metrics, folder)
    check_verdict(suite, metrics, scores, folder)


def check_verdict(suite: Suite, metrics: Metrics, scores: list[Score], folder: Path) -> None:
    """Refused unless the scores, decided again, give verdict, reasons, gates and comparisons of metrics.json."""
    check_noise(suite, metrics, folder)
    orders = orders_of(metrics.tasks, mapping(metrics.provenance).get("adapter_sha256"))
    again = decide(suite, scores, metrics.adapter_effect, metrics.noise, orders)
    derived = {
        "verdict": again.verdict,
        "reasons": again.reasons,
        "cautions": again.cautions,
        "gates": [gate.model_dump() for gate in again.gates],
        "comparisons": [comparison.model_dump() for comparison in again.comparisons],
        "explorations": [found.model_dump() for found in again.explorations],
        "power_observed": [row.model_dump() for row in again.power],
    }
    recorded = metrics.model_dump(include=set(derived))
    if changed := [name for name in derived if not agree(recorded[name], derived[name])]:
        raise Refused(
            f"{folder / 'metrics.json'}: {changed[0]} is not what scores.jsonl gives: one was edited, or the gates "
            "changed since; `make eval` again"
        )


def check_baseline(suite: Suite, metrics: Metrics, folder: Path) -> None:
    """Refused unless the run was compared with what its suite asks for, and that is what it was.

    A blessed run is in results/blessed.json, for the recipe of this run and with the adapter that was measured; the
    adapter of a run that is still there is the one that was measured.
    """
    file = folder / "metrics.json"
    if not baseline_of_suite(suite, metrics):
        raise Refused(
            f"{file}: compared with {metrics.baseline}, and the suite asks for {suite.baseline}: "
            "`make eval` without BASELINE="
        )
    measured = mapping(metrics.provenance.get("baseline"))
    digest = measured.get("adapter_sha256")
    if measured.get("name") != metrics.baseline or (digest is None) != (metrics.baseline == BASE):
        raise Refused(f"{file}: provenance.baseline is not {metrics.baseline} with its adapter: {AGAIN}")
    if metrics.baseline == BASE:
        return
    run = metrics.baseline.removeprefix(f"{BLESSED}, ").removeprefix(RUN)
    if digest == metrics.provenance.get("adapter_sha256"):
        raise Refused(f"{file}: baseline {run} is the adapter itself: name an earlier run in the suite")
    if suite.baseline == BLESSED:
        history = read_blessings(RESULTS).recipes.get(str(read_run(folder).get("recipe")), [])
        if (run, digest) not in [(entry.run, entry.adapter_sha256) for entry in history]:
            raise Refused(f"{file}: baseline {run} was never blessed with the adapter that was measured: {AGAIN}")
    manifest = RESULTS / run / "adapter.sha256"
    if manifest.is_file() and file_sha256(manifest) != digest:
        raise Refused(f"{manifest} is not the adapter of baseline {run} that was measured: {AGAIN}")


def check_noise(suite: Suite, metrics: Metrics, folder: Path) -> None:
    """Refused unless metrics.json takes in the noise floor that results/noise holds for its backend.

    One that is kept elsewhere is believed: no noise can make a ship.
    """
    found = recorded_noise(suite, metrics, folder)
    if found is not None and metrics.noise != found:
        raise Refused(
            f"{folder / 'metrics.json'}: noise is not what results/noise holds for this backend, or was measured "
            f"since: {AGAIN}, which takes it in"
        )


def recorded_noise(suite: Suite, metrics: Metrics, folder: Path) -> dict[str, Any] | None:
    """What the evaluation finds in results/noise today, on the backend that metrics.json names.

    The device is known by whether there is a GPU; the type of numbers by the suite, else any type fits.
    """
    provenance, base = metrics.provenance, ""
    facts = {"device": "cuda" if mapping(provenance.get("machine")).get("gpu") else "cpu"}
    versions = mapping(provenance.get("packages"))
    kept = [parse_floor(read_json(path), str(path)).backend for path in sorted((RESULTS / "noise").glob("*.json"))]
    for dtype in (suite.backend.dtype,) if suite.backend.dtype != "auto" else TYPES:
        backend = backend_of(None, {**facts, "dtype": dtype}, versions, suite.backend.kind)
        # The digest of a base takes reading all of it: only where everything else fits.
        if all({**one, "base_sha256": backend["base_sha256"]} != backend for one in kept):
            continue
        base = base or base_sha256(provenance, folder)
        tasks = [task.name for task in suite.tasks if not reads_logits(task.name)]
        found = floor_for(RESULTS / "noise", {**backend, "base_sha256": base}, tasks)
        if found is not None:
            return found
    return None


def base_sha256(provenance: dict[str, Any], folder: Path) -> str:
    """Digest of the base as the evaluation has it, from the base itself where it is here. Refused when it is another.

    Empty where nothing is known of it: no record is about such a base.
    """
    recorded, base = provenance.get("base_sha256"), mapping(provenance.get("base_model"))
    path = str(base.get("path"))
    identity = base_identity(str(ROOT / path) if (ROOT / path).is_dir() else path, base.get("revision"), None)
    found = None if identity is None else json_sha256(identity)
    if recorded and found and recorded != found:
        raise Refused(f"{folder / 'metrics.json'}: {path} has other bytes than were measured: {AGAIN}")
    return str(found or recorded or "")


def check_items(suite: Suite, metrics: Metrics, scores: list[Score], folder: Path) -> None:
    """Refused unless every sample that was asked is answered, has every metric in both arms, and no file says another
    thing than the others.

    Which samples were asked is known from TaskSummary.samples_sha256, the digest of ids, prompts and golds, and for
    the tasks of this repository from their data.
    """
    tasks = {task.name: task for task in metrics.tasks}
    if missing := [task.name for task in suite.tasks if task.name not in tasks]:
        raise Refused(f"task {missing[0]} of the suite is not in metrics.json")
    rows = read_rows(suite, scores, folder)
    prompts = {place: answer.prompt_sha256 for place, answer in rows.by_place.items()}
    for arm, task in itertools.product((BASELINE, CANDIDATE), metrics.tasks):
        items = rows.of(task.name)
        for repeat in range(task.repeats):
            asked = [[item.sample, prompts.get((arm, item.task, item.sample, repeat)), item.gold] for item in items]
            if json_sha256(asked) != task.samples_sha256:
                raise Refused(f"{arm} of {task.name}: generations.jsonl and samples.jsonl are not what was asked")
    check_rows(suite, metrics, rows)
    check_complete(metrics, rows)
    check_own_checks(suite, metrics, rows)


def check_complete(metrics: Metrics, rows: Rows) -> None:
    """Refused unless every answer has every metric of its task, where execution can judge it."""
    metrics_of = {task.name: task.metrics for task in metrics.tasks}
    unjudged = {(row.task, row.sample) for row in rows.judgements if row.rule == NOT_FOR_EXECUTION}
    unharmed = {(row.task, row.sample) for row in rows.judgements if row.collateral is None}
    without = {EXECUTES_EQUAL: unjudged, **dict.fromkeys(COLLATERAL, unharmed)}
    expected = {
        (*place, metric)
        for place in rows.by_place
        for metric in metrics_of.get(place[1], ())
        if place[1:3] not in without.get(metric, ())
    }
    present = {(line.arm, line.task, line.sample, line.repeat, line.metric) for line in rows.scores}
    if differing := sorted(expected ^ present):
        arm, name, sample, _, metric = differing[0]
        raise Refused(f"{arm} of {name}: {sample} lacks an answer or its {metric}: `make eval` again")


def check_own_checks(suite: Suite, metrics: Metrics, rows: Rows) -> None:
    """Refused unless the self-checks and the counts of changed answers, made again, are those of metrics.json."""
    file = rows.folder / "metrics.json"
    effect = with_answers(metrics.adapter_effect, rows.generations)
    if effect != metrics.adapter_effect:
        raise Refused(f"{file}: adapter_effect counts other answers than generations.jsonl: {AGAIN}")
    try:
        checks = self_checks(suite, rows.generations, rows.scores, effect, metrics.noise)
    except UserError as error:
        raise Refused(f"{file}: a self-check fails: {error}") from None
    recorded = {check.name: check for check in metrics.self_checks}
    for check in checks:
        if recorded.pop(check.name, None) != check:
            raise Refused(f"{file}: self-check {check.name!r} is not what the run's files give: {AGAIN}")
    if recorded:
        raise Refused(f"{file}: self-check {min(recorded)!r} is not one of the evaluation's: {AGAIN}")


def agree(one: Any, other: Any) -> bool:
    """Equal JSON values; floats to 9 digits, as another machine's mathematics may differ in the last one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(agree, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)
