"""What the report says in sentences: the verdict, why it may mean nothing, and what to do next. Pure."""

from dataclasses import dataclass

from eval.config.gate_rules import kind_of
from eval.config.parts import SELECTION, Part
from eval.config.suite_file import ReviewPolicy
from eval.run.metrics import AdapterEffect, Metrics
from eval.run.records import BASELINE, CANDIDATE

LONGEST_HEADING = 32  # characters of a log's name over a column


def verdict_sentence(metrics: Metrics, part: Part | None = None) -> str:
    """The verdict in one plain sentence. `part`: the half of the items that was asked."""
    outcomes = [gate.outcome for gate in metrics.gates if gate.tier == "blocking"]
    failed, undecided, n = outcomes.count("fail"), outcomes.count("inconclusive"), len(outcomes)
    gates = f"{n} blocking gate" + ("s" if n != 1 else "")
    if metrics.verdict == "ship":
        passed = f"{'all' if n > 1 else 'its'} {gates} passed"
        if metrics.logs:
            return f"Not for publishing: {passed}, and logs cannot prove which bytes answered."
        if part == SELECTION:
            return f"Not for publishing: {passed}, on the items by which a sweep chooses."
        if is_unproven(metrics):
            return f"Not for publishing: {passed}, and the backend cannot prove which bytes answered."
        return f"This adapter may ship: {passed}."
    if metrics.verdict == "no-ship":
        subject = "The candidate" if metrics.logs else "This adapter"
        return f"{subject} must not ship: {failed} of {gates} failed."
    if undecided:
        return f"Not decided: {undecided} of {gates} could go either way."
    if metrics.logs:
        return "Not decided: the suite does not hold what a ship needs."
    return "Not decided: there is no proof that the adapter changed anything."


def is_unproven(metrics: Metrics) -> bool:
    """Whether an adapter was evaluated by a backend that cannot prove that it answered."""
    return metrics.adapter_effect is not None and not metrics.adapter_effect.proven


def baseline_words(metrics: Metrics) -> str:
    """What the candidate was compared with: `base` names the model itself, `run:` the adapter of a run."""
    if metrics.logs:
        return f"log A, {metrics.logs.baseline.name}"
    if metrics.baseline != "base":
        named = metrics.baseline.replace("blessed, run:", "the blessed adapter of run ")
        return named.replace("run:", "the adapter of run ")
    model = metrics.provenance.get("base_model")
    path = model.get("path") if isinstance(model, dict) else model
    return f"the base model {path}" if path else "the base model"


def origin_words(metrics: Metrics) -> tuple[str, str] | None:
    """What the candidate is where it is no adapter of `make train`, as a heading and a sentence; None where it is."""
    adopted, served, model = (metrics.provenance.get(name) for name in ("adopted", "served", "model"))
    if isinstance(served, dict):
        found = served.get("bytes")
        sizes = found if isinstance(found, dict) else {}
        weights = [f"{sizes[name] / 1e6:,.0f} MB" for name in ("form", "base") if isinstance(sizes.get(name), int)]
        size = f": {weights[0]} of weights, the base has {weights[1]}" if len(weights) == 2 else ""
        if served.get("proven") is False:
            named = f"The candidate is what {served.get('host')} answers as {served.get('name')}"
            believed = f"that it is {served.get('form')} of run {served.get('run')} is believed, not proven"
            return "A served form.", f"{named}; {believed}{size}."
        return "A served form.", f"The candidate is {served.get('form')} of run {served.get('run')}{size}."
    if model:
        effect = metrics.adapter_effect
        differ = f"; {effect.nonzero_updates} of its {effect.tensors} tensors are not the base's" if effect else ""
        return "A whole model.", f"The candidate is {model}, loaded by itself{differ}."
    if not isinstance(adopted, dict):
        return None
    if adopted.get("training") == "as found":
        known = "its recipe and data are as found beside it, and nobody here saw it trained"
    else:
        known = "how it was trained, and on what, is unknown"
    return "Not trained here.", f"The adapter comes from {adopted.get('source')}; {known}."


@dataclass(frozen=True)
class Heading:
    """What stands over an arm's column. `name`: of the log, where logs were compared; else empty."""

    title: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.title}: {self.name}" if self.name else self.title


def headings(metrics: Metrics) -> dict[str, Heading]:
    """The headings of both arms; of logs with their names, so that nobody takes one for the other."""
    if metrics.logs is None:
        return {arm: Heading(arm) for arm in (BASELINE, CANDIDATE)}
    return {
        BASELINE: Heading(f"A, {BASELINE}", _end(metrics.logs.baseline.name)),
        CANDIDATE: Heading(f"B, {CANDIDATE}", _end(metrics.logs.candidate.name)),
    }


def _end(name: str) -> str:
    """The end of a name, where paths differ last."""
    return name if len(name) <= LONGEST_HEADING else f"…{name[1 - LONGEST_HEADING :]}"


def other_reasons(metrics: Metrics) -> tuple[list[str], list[str]]:
    """The verdict's reasons: those that speak against shipping, and those of gates that passed."""
    passed = {f"{gate.id}: pass, {gate.reason}" for gate in metrics.gates}
    against = [reason for reason in metrics.reasons if reason not in passed]
    return against, [reason for reason in metrics.reasons if reason in passed]


def same_logs(effect: AdapterEffect | None) -> str | None:
    """Why a comparison of logs says nothing of a candidate; None when the arms differ anywhere."""
    if effect is None or effect.answers_changed:
        return None
    return f"Both logs hold the same answers and scores for all {effect.samples} items."


def nothing_changed(effect: AdapterEffect | None) -> str | None:
    """Why the comparison says nothing about an adapter; None when the adapter did something."""
    if effect is None:
        return "The base model was compared with itself: no adapter was evaluated."
    if effect.tensors_loaded < effect.tensors or (effect.proven and not effect.tensors):
        return f"Only {effect.tensors_loaded} of {effect.tensors} adapter tensors are in the loaded model."
    if effect.is_denied:
        return "The adapter is loaded and changes no logit: candidate and baseline compute the same."
    if not effect.answers_changed:
        return f"The adapter changed none of {effect.samples} answers."
    return None


def sequential_sentence(metrics: Metrics) -> str | None:
    """How many of the planned items a sequential evaluation needed; None for a fixed one."""
    use = metrics.sequential
    if use is None:
        return None
    used, planned = sum(use.used.values()), sum(use.planned.values())
    ended = "Decided after" if use.stopped == "decided" else "Not decided by the end: used"
    looks = f"{use.looks} look" + ("s" if use.looks != 1 else "")
    return (
        f"{ended} {used:,} of {planned:,} items ({use.share_saved:.0%} saved), in {looks}. Every look was valid: the "
        "intervals hold at any number of looks."
    )


def next_steps(metrics: Metrics, policy: ReviewPolicy, part: Part | None = None) -> list[tuple[str, str | None]]:
    """What to do now: sentences, each with a command or None. `part`: the half of the items that was asked."""
    if metrics.logs:
        return steps_after_logs(metrics)
    if part == SELECTION:
        return [("A sweep chooses by these items, and judges its winner on the others: run its command again.", None)]
    if metrics.verdict == "ship" and is_unproven(metrics):
        return [
            ("Read the items lost, below.", None),
            ("To publish, evaluate under a backend that proves which bytes answer, as `hf` does.", None),
        ]
    if metrics.verdict == "ship":
        signed = ", signed as this suite asks" if policy.require_signature else ""
        return [
            ("Read the items lost, below.", None),
            (f"Then record your decision{signed}:", f"make review RUN={metrics.run}"),
        ]
    override = []
    if policy.allow_override:
        said = (
            "Or publish against the verdict, which this suite allows a person with a reason that report and card show:"
        )
        override = [(said, f'make review RUN={metrics.run} OVERRIDE="reason"')]
    if metrics.verdict == "no-ship":
        return [
            ("Read the items lost, below: they show where it got worse.", None),
            ("Change the data or the recipe, train again, and evaluate the new run:", "make train RECIPE=..."),
            *override,
        ]
    steps: list[tuple[str, str | None]] = []
    if metrics.adapter_effect is None or metrics.adapter_effect.is_denied:
        steps.append(("Make sure that the adapter is the one that was trained and that it is loaded.", None))
    steps += undecided_steps(metrics)
    return [*steps, ("Then evaluate again:", f"make eval RUN={metrics.run}"), *override]


def undecided_steps(metrics: Metrics) -> list[tuple[str, str | None]]:
    """What would settle each blocking gate that is undecided."""
    scored = {(comparison.task, comparison.metric): comparison.n for comparison in metrics.comparisons}
    return [
        (kind_of(gate.rule).next_step(gate, scored.get((gate.task, gate.metric), 0)), None)
        for gate in metrics.gates
        if gate.tier == "blocking" and gate.outcome == "inconclusive"
    ]


def steps_after_logs(metrics: Metrics) -> list[tuple[str, str | None]]:
    """What to do after a verdict over logs, which nothing here can publish."""
    if metrics.verdict == "inconclusive":
        again = "Then evaluate both on more items with the tool that made the logs, and compare the new ones."
        return [*undecided_steps(metrics), (again, None)]
    steps: list[tuple[str, str | None]] = [("Read the items lost, below.", None)]
    if metrics.verdict == "ship":
        steps.append(("To publish an adapter, evaluate it here: publishing asks which bytes answered.", None))
    return steps
