"""The second half of a rehearsal: the suite with two items a task, gates, report, review, and the way to the Hub.

Each function does one step on the run, and returns what there is to say about it. UserError: the step failed.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from eval.adapters.adapter_config import check_config
from eval.adapters.adapter_tensors import check_tensors
from eval.adapters.safetensors_file import check_weights
from eval.common.errors import Refused, UserError
from eval.common.reading import read_bytes
from eval.config.suite_file import load_suite
from eval.gates.decide import decide
from eval.report.rendering import edited_report, render_report
from eval.run.files import read_json, read_jsonl, read_metrics
from eval.run.folder import read_recipe
from eval.run.records import Generation, Score
from eval.run.secret_patterns import refuse_secrets
from eval.sandbox import open_sandbox
from eval.statistics.sequential import orders_of
from scripts.publishing import verify_run
from scripts.publishing.adapter_files import CONFIG, WEIGHTS, check_adapter
from scripts.publishing.approval import make_review, write_review
from scripts.publishing.verify_base import check_tokenizer_files
from scripts.publishing.verify_claims import check_costs
from scripts.publishing.verify_made_by import check_made_by
from scripts.publishing.verify_scores import check_decision, check_items

ITEMS, TOKENS, BATCH = 2, 16, 16
REVIEWER = "rehearsal"
COMMENT = "a rehearsal on random weights: nobody has read this report"


def small_suite(suite: Path, sandboxed: bool) -> dict[str, Any]:
    """The suite with ITEMS items a task and short answers; without a sandbox, without what needs one."""
    small: dict[str, Any] = yaml.safe_load(read_bytes(suite))
    small["mode"] = "fixed"
    small["backend"] = {**(small.get("backend") or {}), "dtype": "float32", "load": "as-trained", "batch_size": BATCH}
    small.pop("trackers", None)
    for task in small["tasks"]:
        task["limit"] = ITEMS
        if task.get("max_new_tokens"):
            task["max_new_tokens"] = TOKENS
        if not sandboxed:
            task.pop("execute", None)
    return small


def write_suite(suite: Path, folder: Path, sandboxed: bool) -> Path:
    """The small suite as a file; of its gates, without a sandbox, those that text alone can decide."""
    small, path = small_suite(suite, sandboxed), folder / "suite.yaml"
    gates = small.get("gates") or []
    if not sandboxed:
        small["gates"] = []
        for gate in gates:
            path.write_text(yaml.safe_dump(small | {"gates": [gate]}, sort_keys=False))
            try:
                load_suite(path)
            except UserError:
                continue
            small["gates"].append(gate)
    path.write_text(yaml.safe_dump(small, sort_keys=False))
    load_suite(path)
    return path


@cache
def has_sandbox() -> bool:
    """Whether it opens here, with its probes."""
    try:
        with open_sandbox():
            return True
    except UserError:
        return False


def evaluated(run: Path, suite: Path, folder: Path) -> str:
    from eval.run.baselines import resolve_baseline
    from eval.run.candidate import candidate_of
    from eval.suite import evaluate_all

    sandboxed = has_sandbox()
    small = write_suite(suite, folder, sandboxed)
    candidate = candidate_of(run)
    (result,) = evaluate_all(small, [(candidate, resolve_baseline("base", candidate))], cache=None)
    if isinstance(result, UserError):
        raise result
    answers = len(read_jsonl(run / "generations.jsonl", Generation))
    ran = "run in the sandbox" if sandboxed else "not run: there is no sandbox here (`make sandbox-root`)"
    return f"{answers} answers of {len(result.tasks)} tasks by both arms, {ran}; verdict {result.verdict}"


def decided_again(run: Path) -> str:
    """The verdict from the saved scores is the one that was written."""
    metrics, suite = read_metrics(run / "metrics.json"), load_suite(run / "suite.yaml")
    orders = orders_of(metrics.tasks, metrics.provenance.get("adapter_sha256"))
    scores = read_jsonl(run / "scores.jsonl", Score)
    decision = decide(suite, scores, metrics.adapter_effect, metrics.noise, orders)
    if decision.verdict != metrics.verdict:
        raise UserError(f"metrics.json says {metrics.verdict}, its scores {decision.verdict}")
    return f"{len(decision.gates)} gates from {len(scores)} scores, again {decision.verdict}"


def reported_again(run: Path) -> str:
    """Rendered from the files alone, the report is the same to the byte."""
    if different := edited_report(run):
        raise UserError(f"{different} is not what the run's files give")
    render_report(run)
    if different := edited_report(run):
        raise UserError(f"{different} changes from one rendering to the next")
    return (
        f"report.md, report.html and {len(list((run / 'figures').glob('*.svg')))} figures, the same when rendered again"
    )


def reviewed(run: Path) -> str:
    """Approval of what is no ship is refused, as it should be; then a rejection stands in for it."""
    verdict = read_metrics(run / "metrics.json").verdict
    try:
        write_review(run, make_review(run, "approve", REVIEWER, COMMENT))
    except Refused as error:
        write_review(run, make_review(run, "reject", REVIEWER, COMMENT))
        return (
            f"approving {verdict} is refused ({str(error).split(':')[0]}); rejected instead, in the name of {REVIEWER}"
        )
    return f"approved, in the name of {REVIEWER}, which counts for this rehearsal alone"


def walked_to_the_hub(run: Path, recipe: dict[str, Any]) -> str:
    """Publishing refuses a rehearsal first of all; what it would check after that is checked here, one by one."""
    try:
        verify_run.verify(run)
    except Refused as error:
        refusal = str(error)
    else:
        raise UserError("publishing did not refuse a rehearsal: do not use this version")
    if "rehearsal" not in refusal:
        raise UserError(f"publishing refused it for another reason than being a rehearsal: {refusal}")
    for name, check in checks(run, recipe).items():
        try:
            check()
        except Refused as error:
            raise UserError(f"publishing would refuse {name}: {error}") from error
    passed = ", ".join(checks(run, recipe))
    return f"refused, as every rehearsal; passed: {passed}; not asked: review, commit, licences, Hub"


def checks(run: Path, recipe: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """What scripts/publishing/verify_run.py asks of a run's own files, by name, in its order."""
    metrics, suite = read_metrics(run / "metrics.json"), load_suite(run / "suite.yaml")
    scores = read_jsonl(run / "scores.jsonl", Score)
    config, weights = run / "adapter" / CONFIG, run / "adapter" / WEIGHTS
    return {
        "adapter files": lambda: check_adapter(run),
        "weights": lambda: check_weights(weights),
        "effect": lambda: verify_run.refuse_unproven(run, suite, metrics),
        "adapter_config.json": lambda: check_config(config, read_json(config), recipe),
        "tensors": lambda: check_tensors(weights, read_json(config)),
        "tokenizer": lambda: check_tokenizer_files(run, read_recipe(run), check_adapter(run)),
        "verdict": lambda: check_decision(suite, metrics, scores, run),
        "items": lambda: check_items(suite, metrics, scores, run),
        "answers' makers": lambda: check_made_by(metrics, run),
        "costs": lambda: check_costs(run, metrics, read_jsonl(run / "generations.jsonl", Generation)),
        "secrets": lambda: refuse_secrets([run / "recipe.yaml", run / "data.json", run / "report.md"], run),
    }
