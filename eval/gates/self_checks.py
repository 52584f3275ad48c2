"""What every evaluation checks about itself before anyone believes its verdict. Pure: rows in, SelfChecks out.

    checks = self_checks(suite, generations, scores, effect, noise=None)

Two of the checks end the evaluation with one line, since nothing it measured would mean anything: arms that are not
comparable, and a suite that does not treat the baseline as equal to itself. The others are recorded in metrics.json
and said when they are not ok.

Not protected against: scores that are wrong in the same way in both arms. That is what the tests of each scorer and
`make damage-check` are for.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from eval.common.errors import UserError
from eval.config.gate_rules import kind_of
from eval.config.suite_file import Suite
from eval.contracts.drawn import base_and_k
from eval.gates.decide import decide
from eval.gates.noise import lies_inside, parse_floor
from eval.run.metrics import AdapterEffect, SelfCheck
from eval.run.records import BASELINE, CANDIDATE, Generation, Score

Values = dict[str, set[float]]  # arm -> the distinct values it scored


def self_checks(
    suite: Suite,
    generations: Iterable[Generation],
    scores: Iterable[Score],
    effect: AdapterEffect | None,
    noise: dict[str, Any] | None = None,
) -> list[SelfCheck]:
    """Every check, in the order of the module. `noise` is Metrics.noise.

    Raises UserError when the arms are not comparable, or when the suite fails the baseline against itself.
    """
    rows = list(scores)
    asked = {(name, gate.metric) for gate in suite.gates for name in suite.members(gate.task)}
    gated = asked | {(name, base_and_k(metric)[0]) for name, metric in asked}
    own = [row for row in rows if (row.task, row.metric) in gated]
    comparable = comparable_arms(generations, rows)
    equal = baseline_against_itself(suite, own)
    if not equal.ok:
        raise UserError(f"bug of the suite, so that no verdict of it can be trusted: {equal.said}; report it")
    return [equal, comparable, extremes(suite, own), adapter_took_effect(effect), margins_above_noise(suite, noise)]


def baseline_against_itself(suite: Suite, scores: Iterable[Score]) -> SelfCheck:
    """The baseline's scores as both arms, through the same `decide`: no ship, and no gate that sees a loss.

    Gates on the candidate's own rate or level may fail: the baseline may be too bad for them.
    """
    twice = [copy for row in scores if row.arm == BASELINE for copy in (row, row.model_copy(update={"arm": CANDIDATE}))]
    decision = decide(suite, twice, None)
    lost = [gate.id for gate in decision.gates if gate.outcome == "fail" and kind_of(gate.rule).only_a_loss_fails]
    name = "baseline against itself"
    if decision.verdict == "ship":
        return SelfCheck(name=name, ok=False, said="the baseline compared with itself got ship")
    if lost:
        said = f"the baseline compared with itself fails {', '.join(lost)}, which only a loss may"
        return SelfCheck(name=name, ok=False, said=said)
    return SelfCheck(name=name, ok=True, said=f"verdict {decision.verdict}, no gate sees a loss")


def comparable_arms(generations: Iterable[Generation], scores: Iterable[Score]) -> SelfCheck:
    """Same items, prompts, repeats and metrics in both arms. UserError at the first difference.

    That one backend computed both needs no check: one process answers for both arms on one loaded base, and a kept
    answer is used only where its key, with device, dtype and library versions in it, is that of the answer to be made.
    """
    answers = list(generations)
    prompts = _prompts_by_arm(answers)
    one, other = prompts[BASELINE], prompts[CANDIDATE]
    if unpaired := sorted(one.keys() ^ other.keys()):
        task, sample, repeat = unpaired[0]
        arm = BASELINE if unpaired[0] in one else CANDIDATE
        raise _not_comparable(
            f"{len(unpaired)} answers are in one arm only, first {task}/{sample}, repeat {repeat}, in {arm}"
        )
    if changed := sorted(key for key in one if one[key] != other[key]):
        raise _not_comparable(f"{len(changed)} items had other prompts, first {changed[0][0]}/{changed[0][1]}")
    _same_makers(answers)
    measured: dict[str, set[tuple[str, str, int, str]]] = {BASELINE: set(), CANDIDATE: set()}
    for row in scores:
        if row.key not in prompts.get(row.arm, {}):
            raise _not_comparable(f"a score of {row.task}/{row.sample} in {row.arm} belongs to no answer")
        measured[row.arm].add((*row.key, row.metric))
    if unpaired_metrics := sorted(measured[BASELINE] ^ measured[CANDIDATE]):
        task, sample, _, metric = unpaired_metrics[0]
        raise _not_comparable(f"{len(unpaired_metrics)} scores are in one arm only, first {metric} of {task}/{sample}")
    metrics = len({(row[0], row[3]) for row in measured[BASELINE]})
    said = f"{len(one)} answers an arm with equal prompts and {metrics} metrics with equal items"
    return SelfCheck(name="comparable arms", ok=True, said=said)


def _prompts_by_arm(generations: Iterable[Generation]) -> dict[str, dict[tuple[str, str, int], str]]:
    """Prompt digest by item, for each arm. UserError for an arm that is neither, and for an item answered twice."""
    prompts: dict[str, dict[tuple[str, str, int], str]] = {BASELINE: {}, CANDIDATE: {}}
    for row in generations:
        if row.arm not in prompts:
            raise _not_comparable(f"there is an arm {row.arm}")
        key = (row.task, row.sample, row.repeat)
        if key in prompts[row.arm]:
            raise _not_comparable(f"{row.arm} answers {row.task}/{row.sample}, repeat {row.repeat}, twice")
        prompts[row.arm][key] = row.prompt_sha256
    return prompts


def _same_makers(generations: Iterable[Generation]) -> None:
    """UserError unless one base answered for both arms under the same settings, and one adapter (or none) in each."""
    shared = {(row.base_tensors_sha256, row.settings_sha256) for row in generations}
    by_arm = {(row.arm, row.adapter_sha256) for row in generations}
    if len(shared) > 1 or len(by_arm) > 2:
        raise _not_comparable("their answers say that more than one base, adapter or kind of settings made them")


def _not_comparable(what: str) -> UserError:
    return UserError(f"the arms are not comparable: {what}: evaluate both again with `make eval`")


def extremes(suite: Suite, scores: Iterable[Score]) -> SelfCheck:
    """Metrics of which every item is 0 (floor) or 1 (ceiling) in both arms: a change there cannot be seen.

    Not ok only where a gate is about the change; that nothing bad was seen is what a gate on a rate hopes for.
    """
    values: dict[tuple[str, str], Values] = defaultdict(lambda: defaultdict(set))
    for row in scores:
        if row.value is not None:
            values[row.task, row.metric][row.arm].add(row.value)
    found, ok = [], True
    for gate in suite.gates:
        of_members = [values.get((name, gate.metric), {}) for name in suite.members(gate.task)]
        distinct = {value for arms in of_members for found in arms.values() for value in found}
        if any(len(arms) < 2 for arms in of_members) or distinct not in ({0.0}, {1.0}):
            continue
        where = "floor (all 0)" if distinct == {0.0} else "ceiling (all 1)"
        seen = "no loss" if distinct == {0.0} else "no gain"
        found.append(f"{gate.id}: both arms are at the {where}" + (f", {seen} can show" if gate.paired else ""))
        ok = ok and not gate.paired
    return SelfCheck(name="floor and ceiling", ok=ok, said="; ".join(found) or "no gated metric is at an end in both")


def adapter_took_effect(effect: AdapterEffect | None) -> SelfCheck:
    """The proof that the adapter is in the model and acts, in words."""
    if effect is None:
        return SelfCheck(name="adapter effect", ok=False, said="no adapter: the candidate is the base model itself")
    if not effect.proven and not effect.tensors:
        said = f"it is not proven which bytes answered; {effect.answers_changed} of {effect.samples} answers differ"
        return SelfCheck(name="adapter effect", ok=False, said=said)
    said = (
        f"{effect.tensors_loaded} of {effect.tensors} tensors are in the model, {effect.nonzero_updates} updates are "
        f"not zero, logits move by up to {effect.max_logit_change:.3g}, "
        f"{effect.answers_changed} of {effect.samples} answers differ"
    )
    return SelfCheck(name="adapter effect", ok=effect.took_effect, said=said)


def margins_above_noise(suite: Suite, noise: dict[str, Any] | None) -> SelfCheck:
    """Whether each margin and smallest gain is larger than what other batches do to a mean; unknown is said, and ok."""
    name = "noise floor"
    if noise is None:
        return SelfCheck(name=name, ok=True, said="unknown: not measured on this backend, see `make noise-floor`")
    floor = parse_floor(noise, "noise floor")
    gates = [gate for gate in suite.gates if gate.paired]
    spreads = {gate.id: floor.spread(gate.task, gate.metric) for gate in gates}
    inside = [
        f"the threshold of {gate.id}, {gate.threshold:+g}, lies inside the spread of {spreads[gate.id]:.3g}"
        for gate in gates
        if lies_inside(gate.threshold, spreads[gate.id])
    ]
    unknown = [gate for gate, spread in spreads.items() if spread is None]
    said = "; ".join(inside) or f"{len(gates) - len(unknown)} thresholds lie outside"
    return SelfCheck(name=name, ok=not inside, said=said + (f"; unknown for {', '.join(unknown)}" if unknown else ""))
