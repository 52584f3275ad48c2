"""Gates: from scores to comparisons, outcomes and one verdict. Pure; no model, no torch.

    python -m eval.gates --suite FILE --scores FILE     -> comparisons, gates and verdict as JSON
    python -m eval.gates --run DIR [--suite FILE]       -> decide a run again, in words

Each gate is a one-sided test at the suite's alpha (eval/gates/outcomes.py). All blocking gates must pass, so no
correction is needed: a model that violates any one of them ships with probability at most alpha
(intersection-union test, Berger 1982).
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import INCONCLUSIVE, NO_SHIP, SHIP, UserError
from eval.config.cautions import cautions, missing_safety
from eval.config.suite_file import Suite, load_suite, resolve_suite
from eval.contracts.drawn import base_and_k
from eval.gates.comparisons import Pairs, explore, pair_scores, pool_pairs
from eval.gates.noise import parse_floor
from eval.gates.outcomes import compare_in, in_order, judge_gate
from eval.gates.power_table import observed_power
from eval.run.decided import Decided
from eval.run.files import read_jsonl, read_metrics
from eval.run.folder import resolve_run
from eval.run.metrics import AdapterEffect, Comparison, Exploration, GateResult, PowerRow, Verdict
from eval.run.records import Score
from eval.statistics.sequential import orders_of

EXIT_CODES: Mapping[Verdict, int] = {"ship": SHIP, "no-ship": NO_SHIP, "inconclusive": INCONCLUSIVE}
UNCHECKED_EFFECT = AdapterEffect(
    tensors=1,
    tensors_loaded=1,
    nonzero_updates=1,
    probe_prompts=0,
    max_logit_change=1,
    answers_changed=1,
    samples=1,
)
UNPROVEN = "it is not proven which bytes answered: a verdict is shown, and never published"


@dataclass(frozen=True)
class Decision:
    verdict: Verdict
    reasons: list[str]
    gates: list[GateResult]
    comparisons: list[Comparison]
    explorations: list[Exploration]
    power: list[PowerRow]
    cautions: list[str]


def decide(
    suite: Suite,
    scores: Iterable[Score],
    effect: AdapterEffect | None,
    noise: Mapping[str, Any] | None = None,
    orders: Mapping[str, str] | None = None,
) -> Decision:
    """The verdict of a suite on its scores. `orders`: by task, what fixed the order of a sequential evaluation
    (eval/statistics/sequential.py); without it the order is that of no data and no adapter. The rest as of `decide_on`.

    Raises UserError when the two arms do not hold the same items, or a gate names an unknown metric.
    """
    return decide_on(suite, pairs_of(suite, scores, orders), effect, noise)


def decide_on(
    suite: Suite,
    pairs: Mapping[tuple[str, str], Pairs],
    effect: AdapterEffect | None,
    noise: Mapping[str, Any] | None = None,
) -> Decision:
    """The verdict on items that are paired already (`pairs_of`). UserError when a gate names an unknown metric.

    `effect` is the proof that the adapter did something; None when the candidate is the base itself. `noise` is
    Metrics.noise: a threshold inside the noise of the backend decides nothing.
    """
    comparisons = {key: compare_in(suite, paired) for key, paired in pairs.items()}

    for gate in suite.gates:
        known = sorted(metric for task, metric in comparisons if task == gate.task)
        if known and gate.metric not in known:
            raise UserError(f"gate {gate.id}: task {gate.task} has no metric {gate.metric}, only {', '.join(known)}")
    floor = parse_floor(noise, "metrics.json") if noise else None
    gates = [
        judge_gate(
            gate,
            pairs.get((gate.task, gate.metric)),
            comparisons.get((gate.task, gate.metric)),
            suite,
            floor.spread(gate.task, gate.metric) if floor else None,
        )
        for gate in suite.gates
    ]
    verdict, reasons = verdict_of(gates, effect, missing_safety(suite))
    explored = {(gate.task, gate.metric) for gate in suite.gates if gate.tier == "blocking"}
    explorations = [explore(paired, suite.confidence) for key, paired in pairs.items() if key in explored]
    return Decision(
        verdict,
        reasons,
        gates,
        list(comparisons.values()),
        [found for found in explorations if found is not None],
        observed_power(suite, comparisons),
        cautions(suite) + ([UNPROVEN] if effect is not None and not effect.proven else []),
    )


def pairs_of(
    suite: Suite, scores: Iterable[Score], orders: Mapping[str, str] | None = None
) -> dict[tuple[str, str], Pairs]:
    """By (task or pool, metric): the items of both arms, in the suite's order. UserError when these differ."""
    by_metric: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for score in scores:
        by_metric[score.task, score.metric].append(score)
    order_of = orders or {}
    paired = {key: pair_scores(rows, order_of.get(key[0], "")) for key, rows in by_metric.items()}
    for gate in suite.gates:
        members = suite.members(gate.task)
        base, k = base_and_k(gate.metric)
        # lm-eval has a `pass@10` of its own.
        if k == 1 or any((member, gate.metric) in by_metric for member in members):
            base, k = gate.metric, 1
        parts = [key for member in members if (key := (member, base)) in by_metric]
        own = [paired[key] if k == 1 else pair_scores(by_metric[key], order_of.get(key[0], ""), k) for key in parts]
        if own:
            alone = members == [gate.task]
            order = order_of.get(gate.task, "")
            paired[gate.task, gate.metric] = own[0] if alone else pool_pairs(gate.task, own, order)
    return {key: in_order(suite, pairs) for key, pairs in paired.items()}


def verdict_of(gates: list[GateResult], effect: AdapterEffect | None, missing: str = "") -> tuple[Verdict, list[str]]:
    """Any blocking gate failed: no-ship. Else any undecided, or no proof of an effect: inconclusive. Else ship.

    `missing`: what the suite would have to hold before anything may ship; empty when it does.
    """
    blocking = [gate for gate in gates if gate.tier == "blocking"]
    said = [f"{gate.id}: {gate.outcome}, {gate.reason}" for gate in blocking]
    if effect is None:
        proof = ["nothing changed: the candidate is the base model itself"]
    elif effect.is_denied:
        proof = [
            f"nothing changed: {effect.tensors_loaded} of {effect.tensors} adapter tensors are in the model and the "
            f"logits moved by {effect.max_logit_change:g}"
        ]
    else:
        proof = []
    proof += [missing] if missing else []
    if any(gate.outcome == "fail" for gate in blocking):
        return "no-ship", proof + said
    if proof or not blocking or any(gate.outcome == "inconclusive" for gate in blocking):
        return "inconclusive", proof + (said or ["the suite has no blocking gate"])
    return "ship", said


def add_arguments(parser: argparse.ArgumentParser) -> "argparse._MutuallyExclusiveGroup":
    """What says which saved scores to decide by; returns the group of sources, of which one is needed."""
    parser.add_argument("--suite", help="suite name or file; with --run, default is the suite the run was judged by")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scores", type=Path, help="a scores.jsonl")
    source.add_argument("--run", nargs="?", const="", help="run name or folder (without a value: the newest)")
    return source


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.gates", description=(__doc__ or "").split("\n")[0])
    add_arguments(parser)
    return decide_again(parser.parse_args())


def decide_again(arguments: argparse.Namespace) -> int:
    """Decide by the saved scores that the arguments name, and print it; returns the exit code."""
    if arguments.scores:
        # Scores alone carry no proof of the adapter's effect; the answer is about the gates only.
        suite = load_suite(resolve_suite(arguments.suite))
        decision = decide(suite, read_jsonl(arguments.scores, Score), UNCHECKED_EFFECT)
        answer = {
            "verdict": decision.verdict,
            "reasons": decision.reasons,
            "comparisons": [comparison.model_dump() for comparison in decision.comparisons],
            "gates": [gate.model_dump() for gate in decision.gates],
            "explorations": [found.model_dump() for found in decision.explorations],
            "power": [row.model_dump() for row in decision.power],
            "cautions": decision.cautions,
        }
        print(json.dumps(answer, indent=2))
        return answer_of(decision, None, suite)

    run = resolve_run(arguments.run or None)
    metrics = read_metrics(run / "metrics.json")
    suite = load_suite(resolve_suite(arguments.suite) if arguments.suite else run / "suite.yaml")
    measured = load_suite(run / "suite.yaml") if (run / "suite.yaml").is_file() else suite
    if suite.mode != measured.mode:
        raise UserError(
            f"{run.name} was evaluated in mode {measured.mode}; suite {suite.name} is {suite.mode}: evaluate again"
        )
    scores = read_jsonl(run / "scores.jsonl", Score)
    refuse_other_half(suite, measured, scores, run)
    orders = orders_of(metrics.tasks, metrics.provenance.get("adapter_sha256"))
    decision = decide(suite, scores, metrics.adapter_effect, metrics.noise, orders)
    for gate in decision.gates:
        print(f"{gate.outcome:<13}{gate.tier:<10}{gate.id}: {gate.reason}")
    for caution in decision.cautions:
        print(f"caution: {caution}")
    print(f"verdict: {decision.verdict} ({run.name}, suite {suite.name})")
    if not arguments.suite and decision.verdict != metrics.verdict:
        print(f"metrics.json says {metrics.verdict}: it or scores.jsonl was changed after the evaluation")
    return answer_of(decision, run.name, suite)


def refuse_other_half(suite: Suite, measured: Suite, scores: Iterable[Score], run: Path) -> None:
    """UserError for a suite about other items than those that were asked, or a score of the half it is not about."""
    asked, wanted = (f"its {one.part} half" if one.part else "all items" for one in (measured, suite))
    if asked != wanted:
        raise UserError(f"{run.name} was asked {asked}; suite {suite.name} is about {wanted}: evaluate again")
    if stray := next((score for score in scores if not suite.asks(score.cluster)), None):
        raise UserError(
            f"{run / 'scores.jsonl'}: {stray.sample} of {stray.task} is not in the {suite.part} half: evaluate again"
        )


def answer_of(decision: Decision, run: str | None, suite: Suite) -> Answer:
    said = decision.reasons, decision.cautions, decision.gates
    result = Decided.by(run, suite.name, decision.verdict, *said)
    return Answer(EXIT_CODES[decision.verdict], result, verdict=decision.verdict)
