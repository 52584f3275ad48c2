"""What an evaluation leaves beside its scores: samples.jsonl and the parts of metrics.json."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.config.suite_file import Suite
from eval.contracts.guests import guests
from eval.run.baselines import BLESSED, RUN, Baseline
from eval.run.candidate import Candidate
from eval.run.digests import file_sha256, json_sha256
from eval.run.environment import headline_versions, machine, uncommitted_inputs
from eval.run.facts import Environment
from eval.run.files import read_facts, write_jsonl
from eval.run.folder import read_data, read_run, read_training
from eval.run.metrics import AdapterEffect, Metrics
from eval.run.records import Generation, Item

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask
    from eval.sandbox import Sandbox


def write_samples(path: Path, tasks: "Iterable[LoadedTask]") -> None:
    """samples.jsonl: request and gold of every sample that was asked, for readers of the report."""
    rows = [
        Item(
            task=task.name,
            sample=sample.id,
            request=sample.request,
            gold=sample.gold,
            cluster=sample.cluster,
            category=sample.category,
        )
        for task in tasks
        for sample in task.samples
    ]
    write_jsonl(path, rows)


def with_answers(effect: AdapterEffect | None, generations: Iterable[Generation]) -> AdapterEffect | None:
    """The proof of effect, with how many samples the two arms answered differently."""
    if effect is None:
        return None
    texts: dict[tuple[str, str, int], set[str]] = {}
    for answer in generations:
        texts.setdefault((answer.task, answer.sample, answer.repeat), set()).add(answer.text)
    changed = sum(len(both) > 1 for both in texts.values())
    return effect.model_copy(update={"answers_changed": changed, "samples": len(texts)})


def training_of(run: Path) -> dict[str, Any] | None:
    """train.json; None for a run that trained nothing."""
    return read_training(run) if (run / "train.json").is_file() else None


def baseline_of_suite(suite: Suite, metrics: Metrics) -> bool:
    """Whether the evaluation compared with what its suite asks for, and not with another run by command line."""
    if suite.baseline == BLESSED:
        return metrics.baseline.startswith(f"{BLESSED}, {RUN}")
    if suite.baseline.startswith(RUN):
        return metrics.baseline == RUN + Path(suite.baseline.removeprefix(RUN)).name
    return metrics.baseline == suite.baseline


def provenance_of(
    candidate: Candidate,
    baseline: Baseline,
    suite: Suite,
    base_identity: Any,
    base_tensors_sha256: str,
    sandbox: "Sandbox | None",
) -> dict[str, Any]:
    """Commit, versions, hardware, seeds and digests: everything that a result came from.

    `base_identity`: what the base's files are (eval/model/answer_cache.py), None when its revision is not known;
    `base_tensors_sha256`: what was loaded from them (eval/model/base_proof.py).
    """
    run = candidate.run
    state = read_run(run)
    environment = read_facts(run / "environment.json", Environment)
    recipe = run / "recipe.yaml"
    return {
        "created": state["created"],
        "recipe": state.get("recipe"),
        "recipe_sha256": file_sha256(recipe) if recipe.is_file() else None,
        "base_model": {"path": candidate.base_model, "revision": candidate.revision},
        "base_sha256": None if base_identity is None else json_sha256(base_identity),
        "base_tensors_sha256": base_tensors_sha256,
        "adapter_sha256": candidate.adapter_sha256,
        "baseline": {"name": baseline.name, "asked": suite.baseline, "adapter_sha256": baseline.adapter_sha256},
        "data": read_data(run),
        "git": environment["git"],
        "git_training": state.get("git"),
        "not_committed": uncommitted_inputs(),
        **({"domains": [guests()[name].record() for name in suite.domains]} if suite.domains else {}),
        "machine": machine(),
        "packages": headline_versions(),
        "seeds": {"training": state.get("seed"), "evaluation": suite.seed},
        "backend": suite.backend.model_dump(),
        "sandbox": sandbox.identity if sandbox else None,
    }
