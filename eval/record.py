"""What an evaluation leaves beside its scores: samples.jsonl and the parts of metrics.json."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.bench import Case, Outcome
from eval.config.suite_file import Suite
from eval.consent import used_plugins
from eval.contracts.domains import reads_logits
from eval.contracts.guests import guests
from eval.model.answer_cache import Answers, costs, maker_of
from eval.run.baselines import BLESSED, RUN
from eval.run.digests import file_sha256, json_sha256
from eval.run.earlier import earlier_candidates, joined, with_cache
from eval.run.environment import headline_versions, machine, uncommitted_inputs
from eval.run.facts import Environment
from eval.run.files import read_facts, write_jsonl
from eval.run.folder import read_data, read_run, read_training
from eval.run.generated import JUDGED_ON, Compared, Generated, left_files
from eval.run.metrics import AdapterEffect, EarlierCandidates, Metrics
from eval.run.records import BASELINE, CANDIDATE, Generation, Item

if TYPE_CHECKING:
    from eval.ask import Finished
    from eval.model.lm_tasks import LoadedTask


def metrics_of(case: Case, finished: "Finished", outcome: Outcome) -> Metrics:
    """metrics.json of an evaluation, whole."""
    run, decision = case.candidate.run, outcome.decision
    made = generated_of(case, finished.answers, finished.generations) if finished.answers else case.candidate.generated
    assert made is not None  # answers are made here, or were recorded
    return Metrics(
        run=run.name,
        suite=case.suite.name,
        suite_sha256=file_sha256(run / "suite.yaml"),
        verdict=decision.verdict,
        reasons=decision.reasons,
        cautions=decision.cautions,
        gates=decision.gates,
        comparisons=decision.comparisons,
        explorations=decision.explorations,
        power_planned=case.power,
        power_observed=decision.power,
        tasks=finished.summaries,
        self_checks=outcome.checks,
        earlier=made.earlier if finished.answers else joined(made.earlier, beside(case), case.suite.alpha),
        sequential=finished.asked.sequential,
        noise=case.noise,
        baseline=case.baseline.name,
        adapter_effect=outcome.effect,
        generation=made.generation,
        costs=made.costs,
        training=training_of(run),
        provenance=made.provenance | judged_by(case),
    )


def generated_of(case: Case, answers: Answers, generations: list[Generation]) -> Generated:
    """What only the model and its machine could say. The run's files are there, whole."""
    from eval.model.lm_tasks import summarise  # lm-eval, 2 s, which is there where anything was asked

    candidate, backend = case.candidate, case.backend
    return Generated(
        run=candidate.run.name,
        compared=Compared(
            base_model=candidate.base_model,
            revision=candidate.revision,
            adapter_sha256=candidate.adapter_sha256,
            model=candidate.model,
            brought=candidate.brought,
            is_base=candidate.is_base,
            baseline=case.baseline.name,
            baseline_sha256=case.baseline.adapter_sha256,
        ),
        files=left_files(candidate.run),
        tasks=[summarise(task, []) for task in case.tasks + case.prompts],
        adapter_effect=case.effect,
        noise=case.noise,
        earlier=count_earlier(case, answers),
        generation=backend.settings(),
        device=backend.facts(),
        costs=costs(generations, answers.reused, load_seconds=case.seconds),
        provenance=provenance_of(case),
    )


def judged_by(case: Case) -> dict[str, Any]:
    """The judging machine's part of the provenance: its sandbox, and what it is where answers came from elsewhere."""
    sandbox = {"sandbox": case.bench.sandbox.identity if case.bench.sandbox else None}
    if case.candidate.generated is None:
        return sandbox
    here = read_facts(case.candidate.run / JUDGED_ON, Environment)
    return {**sandbox, "judged": {name: here[name] for name in ("git", "machine")}}


def beside(case: Case) -> EarlierCandidates:
    """Other candidates that the runs beside this one know of."""
    run = case.candidate.run
    return earlier_candidates(run, case.suite, run.parent, case.candidate.adapter_sha256)


def count_earlier(case: Case, answers: Answers) -> EarlierCandidates:
    """Other candidates that these items have judged: of the runs beside this one, and of the kept answers."""
    backend, found = case.backend, beside(case)
    if answers.cache is None:
        return found
    base, device = backend.identity, backend.facts()
    known = {
        maker_of(case.suite, base, device, {**backend.made_by(CANDIDATE), "adapter_sha256": adapter})
        for adapter in (None, *found.adapters)
    }
    explained = known | set(answers.makers.values())
    return with_cache(found, answers.cache.folder, answers.batches, explained, case.suite.alpha)


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
    """The proof of effect, with how many samples the two arms answered differently; drift has no answers."""
    if effect is None:
        return None
    texts: dict[tuple[str, str, int], set[str]] = {}
    answers = list(generations)
    logits = {task for task in {row.task for row in answers} if reads_logits(task)}
    for answer in (row for row in answers if row.task not in logits):
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


def provenance_of(case: Case) -> dict[str, Any]:
    """Commit, versions, hardware, seeds and digests: everything that a result came from.

    Of base and adapter: what their files are (`base_sha256`, null when the revision is not known) and what was loaded
    from them (`base_tensors_sha256`, null where the backend proves nothing).
    """
    candidate, baseline, suite = case.candidate, case.baseline, case.suite
    run, identity = candidate.run, case.backend.identity
    state = read_run(run)
    environment = read_facts(run / "environment.json", Environment)
    recipe = run / "recipe.yaml"
    return {
        "created": state["created"],
        "recipe": state.get("recipe"),
        "recipe_sha256": file_sha256(recipe) if recipe.is_file() else None,
        "base_model": {"path": candidate.base_model, "revision": candidate.revision},
        "base_sha256": None if identity is None else json_sha256(identity),
        "base_tensors_sha256": case.backend.made_by(BASELINE)["base_tensors_sha256"],
        "adapter_sha256": candidate.adapter_sha256,
        "baseline": {"name": baseline.name, "asked": suite.baseline, "adapter_sha256": baseline.adapter_sha256},
        "data": read_data(run),
        **{name: state[name] for name in ("adopted", "model", "served") if state.get(name)},
        "git": environment["git"],
        "git_training": state.get("git"),
        "not_committed": uncommitted_inputs(),
        **({"domains": [guests()[name].record() for name in suite.domains]} if suite.domains else {}),
        "machine": machine(),
        "packages": headline_versions(),
        "seeds": {"training": state.get("seed"), "evaluation": suite.seed},
        "backend": suite.backend.model_dump(),
        "sandbox": None,
        "device": case.backend.facts(),
        **({"plugins": [plugin.record() for plugin in used]} if (used := used_plugins(suite)) else {}),
    }
