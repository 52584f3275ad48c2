"""A paired gate on every category of its samples instead of their mean. Pure.

All must pass, each at alpha (intersection-union, no correction). One is called failing when its test of "at least as
good as the threshold" is rejected under Holm, so that a family without a bad category is called failing with
probability at most alpha.
"""

import math

from eval.common.errors import UserError
from eval.contracts.gate import Found, Gate, Terms
from eval.gates.comparisons import Pairs, compare_slice
from eval.run.metrics import Outcome
from eval.statistics.paired import difference_p, holm


def decide_by_category(gate: Gate, pairs: Pairs, terms: Terms) -> Found:
    """The gate's outcome, with every category as a slice, the worst first. UserError for samples without categories."""
    parts = pairs.by_category()
    if not parts:
        raise UserError(f"gate {gate.id}: the samples of {gate.task} have no category to slice by")
    p = [difference_p(part.differences, part.clusters, gate.threshold, -1, part.binary) for part in parts.values()]
    rows = []
    for (name, part), own, corrected in zip(parts.items(), p, holm(p), strict=True):
        row = compare_slice(name, part, terms.confidence, own, corrected)
        outcome: Outcome = "inconclusive"
        if corrected <= terms.alpha:
            outcome = "fail"
        elif row.interval is not None and row.interval.low > gate.threshold:
            outcome = "pass"
        rows.append(row.model_copy(update={"outcome": outcome}))
    ordered = sorted(rows, key=lambda row: row.interval.low if row.interval else -math.inf)
    worst = ordered[0]
    failed = [row.slice for row in ordered if row.outcome == "fail"]
    open_ = [row.slice for row in ordered if row.outcome == "inconclusive"]
    if failed:
        found: tuple[Outcome, str] = "fail", f"{len(failed)} of {len(rows)} categories fail: {', '.join(failed)}"
    elif open_:
        found = "inconclusive", f"{len(open_)} of {len(rows)} categories are undecided, first {open_[0]}"
    else:
        found = "pass", f"all {len(rows)} categories pass, the worst is {worst.slice}"
    return Found(*found, worst.difference, worst.interval, None, tuple(ordered))
