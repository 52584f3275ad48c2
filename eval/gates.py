"""Gates: from scores to comparisons, outcomes and one verdict. Pure; no model, no torch.

    python -m eval.gates --suite FILE --scores FILE     -> comparisons, gates and verdict as JSON
    python -m eval.gates --run DIR [--suite FILE]       -> decide a run again, in words

A gate passes when the whole confidence interval of what it is about (the paired difference, or for max_rate the
candidate's own rate) lies on the good side of its threshold, fails when all of it lies on the bad side, and is
inconclusive otherwise. Each gate is a one-sided test at the suite's alpha. All blocking gates must pass, so no
correction is needed: a model that violates any one of them ships with probability at most alpha
(intersection-union test, Berger 1982).
"""

import argparse
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eval.config import Gate, Suite, load_suite, resolve_suite
from eval.errors import INCONCLUSIVE, NO_SHIP, SHIP, UserError, run_command
from eval.files import read_jsonl, read_metrics
from eval.records import BASELINE, CANDIDATE, AdapterEffect, Comparison, GateResult, Interval, Outcome, Score, Verdict
from eval.run_folder import resolve_run
from eval.stats import (
    clopper_pearson_interval,
    difference_interval,
    items_for_rate,
    items_needed,
    mcnemar_exact,
    wilson_interval,
)

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


@dataclass(frozen=True)
class Decision:
    verdict: Verdict
    reasons: list[str]
    gates: list[GateResult]
    comparisons: list[Comparison]


def decide(suite: Suite, scores: list[Score], effect: AdapterEffect | None) -> Decision:
    """The verdict of a suite on its scores.

    `effect` is the proof that the adapter did something; None when the candidate is the base itself.
    Raises UserError when the two arms do not hold the same items, or a gate names an unknown metric.
    """
    by_metric: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for score in scores:
        by_metric[score.task, score.metric].append(score)
    comparisons = {key: compare_paired(rows, suite.confidence) for key, rows in by_metric.items()}

    for gate in suite.gates:
        known = sorted(metric for task, metric in comparisons if task == gate.task)
        if known and gate.metric not in known:
            raise UserError(f"gate {gate.id}: task {gate.task} has no metric {gate.metric}, only {', '.join(known)}")
    gates = [judge_gate(gate, comparisons.get((gate.task, gate.metric)), suite) for gate in suite.gates]
    verdict, reasons = verdict_of(gates, effect)
    return Decision(verdict, reasons, gates, list(comparisons.values()))


def compare_paired(scores: Iterable[Score], confidence: float) -> Comparison:
    """Candidate against baseline on one metric: repeats averaged within an item, items paired by id.

    Raises UserError when an item is in one arm only, twice in one arm, or in two clusters.
    """
    arms: dict[str, dict[tuple[str, int], Score]] = {BASELINE: {}, CANDIDATE: {}}
    task = metric = ""
    for score in scores:
        task, metric = score.task, score.metric
        if score.arm not in arms:
            raise UserError(f"scores of {task}: unknown arm {score.arm}")
        if (score.sample, score.repeat) in arms[score.arm]:
            raise UserError(f"scores of {task}/{metric}: {score.arm} holds {score.sample} twice")
        arms[score.arm][score.sample, score.repeat] = score
    unpaired = sorted(arms[BASELINE].keys() ^ arms[CANDIDATE].keys())
    if unpaired:
        raise UserError(
            f"scores of {task}/{metric}: the arms hold different items ({len(unpaired)} unpaired, first "
            f"{unpaired[0][0]}): evaluate both arms again"
        )

    values: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    cluster_of: dict[str, str] = {}
    invalid: set[str] = set()
    for key, before in arms[BASELINE].items():
        after = arms[CANDIDATE][key]
        if cluster_of.setdefault(before.sample, before.cluster) != before.cluster or after.cluster != before.cluster:
            raise UserError(f"scores of {task}/{metric}: {before.sample} is in two clusters")
        if before.value is None or after.value is None:
            invalid.add(before.sample)
            continue
        values[before.sample][0].append(before.value)
        values[before.sample][1].append(after.value)

    samples = [sample for sample in values if sample not in invalid]
    old = [sum(values[sample][0]) / len(values[sample][0]) for sample in samples]
    new = [sum(values[sample][1]) / len(values[sample][1]) for sample in samples]
    clusters = [cluster_of[sample] for sample in samples]
    n = len(samples)
    binary = all(value in (0.0, 1.0) for value in (*old, *new))
    differences = [after - before for before, after in zip(old, new, strict=True)]
    wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)

    def rate(values: list[float]) -> Interval | None:
        return wilson_interval(int(sum(values)), n, confidence) if n and binary else None

    return Comparison(
        task=task,
        metric=metric,
        n=n,
        clusters=len(set(clusters)),
        effective_n=n * n // sum(size * size for size in Counter(clusters).values()) if n else 0,
        invalid=len(invalid),
        baseline=sum(old) / n if n else None,
        candidate=sum(new) / n if n else None,
        baseline_interval=rate(old),
        candidate_interval=rate(new),
        difference=sum(differences) / n if n else None,
        interval=difference_interval(differences, clusters, confidence, binary) if n else None,
        wins=wins,
        losses=losses,
        mcnemar_p=mcnemar_exact(wins, losses) if n and binary else None,
    )


def judge_gate(gate: Gate, comparison: Comparison | None, suite: Suite) -> GateResult:
    """Outcome of one gate, with the reason in words and, if undecided, the items that would settle it."""
    estimate, interval = held_against_threshold(gate, comparison, suite) if comparison else (None, None)
    outcome, reason, needed = _outcome(gate, comparison, estimate, interval, suite)
    return GateResult(
        id=gate.id,
        task=gate.task,
        metric=gate.metric,
        rule=gate.rule,
        tier=gate.tier,
        estimate=estimate,
        interval=interval,
        threshold=gate.threshold,
        good="below" if gate.rule == "max_rate" else "above",
        outcome=outcome,
        reason=reason,
        items_needed=needed,
    )


def held_against_threshold(gate: Gate, comparison: Comparison, suite: Suite) -> tuple[float | None, Interval | None]:
    """What the gate is about: the paired difference, or the candidate's own rate with its exact interval."""
    if gate.rule != "max_rate":
        return comparison.difference, comparison.interval
    rate = comparison.candidate
    if rate is None or comparison.candidate_interval is None:
        return rate, None  # nothing scored, or no 0/1 metric: a rate has no meaning
    # With clusters: their effective n (Kish 1965, items of a cluster taken to agree), counts rounded away from the
    # estimate at each end. Exact where every item is its own cluster.
    n = comparison.effective_n
    low = clopper_pearson_interval(math.floor(rate * n + 1e-9), n, suite.confidence)
    high = clopper_pearson_interval(math.ceil(rate * n - 1e-9), n, suite.confidence)
    return rate, low.model_copy(update={"high": high.high})


def _outcome(
    gate: Gate, comparison: Comparison | None, estimate: float | None, interval: Interval | None, suite: Suite
) -> tuple[Outcome, str, int | None]:
    if comparison is None:
        return "inconclusive", f"task {gate.task} did not run", None
    total = comparison.n + comparison.invalid
    if comparison.invalid > suite.max_invalid * total:
        share = f"{comparison.invalid} of {total} items are invalid"
        return "inconclusive", f"{share}, more than the {suite.max_invalid:.0%} this suite allows", None
    if gate.rule == "max_rate":
        if estimate is None or interval is None:
            return "inconclusive", f"{gate.metric} is not a 0/1 metric with scored items: it has no rate", None
        return _rate_outcome(gate.limit, estimate, interval, suite)
    if interval is None or estimate is None:
        return "inconclusive", "too few or identical differences: the error of the mean is unknown", None
    threshold = gate.threshold
    span = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} points"
    limit = f"{100 * threshold:+.1f}"
    if interval.low > threshold:
        return "pass", f"all of {span} lies above {limit}", None
    if interval.high < threshold:
        return "fail", f"all of {span} lies below {limit}", None
    if estimate == threshold:
        return "inconclusive", f"{span} is centred on {limit}", None
    discordance = (comparison.wins + comparison.losses) / comparison.n
    needed = items_needed(estimate, discordance, threshold, suite.alpha)
    # The formula is the unclustered one; when it promises less than was measured it is of no use.
    useful = needed if needed > comparison.n else None
    return "inconclusive", f"{span} contains {limit}", useful


def _rate_outcome(limit: float, rate: float, interval: Interval, suite: Suite) -> tuple[Outcome, str, int | None]:
    said = f"{100 * rate:.1f} %, at most {100 * interval.high:.1f} %"
    if interval.high < limit:
        return "pass", f"{said}, which is below {100 * limit:g} %", None
    if interval.low > limit:
        return (
            "fail",
            f"{100 * rate:.1f} %, at least {100 * interval.low:.1f} %, which is above {100 * limit:g} %",
            None,
        )
    return "inconclusive", f"{said}: {100 * limit:g} % is possible", items_for_rate(rate, limit, suite.confidence)


def verdict_of(gates: list[GateResult], effect: AdapterEffect | None) -> tuple[Verdict, list[str]]:
    """Any blocking gate failed: no-ship. Else any undecided, or no proof of an effect: inconclusive. Else ship."""
    blocking = [gate for gate in gates if gate.tier == "blocking"]
    said = [f"{gate.id}: {gate.outcome}, {gate.reason}" for gate in blocking]
    if effect is None:
        proof = ["nothing changed: the candidate is the base model itself"]
    elif not effect.took_effect:
        proof = [
            f"nothing changed: {effect.tensors_loaded} of {effect.tensors} adapter tensors are in the model and the "
            f"logits moved by {effect.max_logit_change:g}"
        ]
    else:
        proof = []
    if any(gate.outcome == "fail" for gate in blocking):
        return "no-ship", proof + said
    if proof or not blocking or any(gate.outcome == "inconclusive" for gate in blocking):
        return "inconclusive", proof + (said or ["the suite has no blocking gate"])
    return "ship", said


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.gates", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--suite", help="suite name or file; with --run, default is the suite the run was judged by")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scores", type=Path, help="a scores.jsonl")
    source.add_argument("--run", nargs="?", const="", help="run name or folder (without a value: the newest)")
    arguments = parser.parse_args()

    if arguments.scores:
        # Scores alone carry no proof of the adapter's effect; the answer is about the gates only.
        suite = load_suite(resolve_suite(arguments.suite))
        decision = decide(suite, read_jsonl(arguments.scores, Score), UNCHECKED_EFFECT)
        answer = {
            "verdict": decision.verdict,
            "reasons": decision.reasons,
            "comparisons": [comparison.model_dump() for comparison in decision.comparisons],
            "gates": [gate.model_dump() for gate in decision.gates],
        }
        print(json.dumps(answer, indent=2))
        return EXIT_CODES[decision.verdict]

    run = resolve_run(arguments.run or None)
    metrics = read_metrics(run / "metrics.json")
    suite = load_suite(resolve_suite(arguments.suite) if arguments.suite else run / "suite.yaml")
    decision = decide(suite, read_jsonl(run / "scores.jsonl", Score), metrics.adapter_effect)
    for gate in decision.gates:
        print(f"{gate.outcome:<13}{gate.tier:<10}{gate.id}: {gate.reason}")
    print(f"verdict: {decision.verdict} ({run.name}, suite {suite.name})")
    if not arguments.suite and decision.verdict != metrics.verdict:
        print(f"metrics.json says {metrics.verdict}: it or scores.jsonl was changed after the evaluation")
    return EXIT_CODES[decision.verdict]


if __name__ == "__main__":
    run_command(main)
