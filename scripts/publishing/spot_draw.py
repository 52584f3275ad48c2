"""Which items are put to the model again when a run is published: drawn at random, those that decide more often. Pure.

    weights = deciding_weights(suite, scores)
    first = draw(weights, evidence_seed(...), 16)          the same for everybody who has the evidence
    second = draw(weights, os.urandom(32).hex(), 16, first)     nobody knows before

The first draw can be repeated by a reader; but who invents evidence may vary an invented answer until it misses. The
second cannot be foreseen; but who publishes may try again until it misses. docs/publishing.md has the chances.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from eval.config.suite_file import Suite
from eval.contracts.drawn import base_and_k
from eval.run.digests import json_sha256
from eval.run.metrics import Metrics
from eval.run.records import BASELINE, CANDIDATE, Generation, Score

Item = tuple[str, str]  # task, sample
WON, DECIDING, INFORMING = 8.0, 2.0, 1.0  # how often an item is drawn, relative to the others


def evidence_seed(metrics: Metrics, adapter: Mapping[str, str], answers: Iterable[Generation],
                  scores: Iterable[Score]) -> str:  # fmt: skip
    """Digest of what decides a verdict: adapter, base, settings, suite, data, answers and scores.

    Left out is what could be varied without changing any of that: seconds, times, machine, reasons, the review.
    """
    return json_sha256(
        {
            "adapter": dict(adapter),
            "base": metrics.provenance.get("base_tensors_sha256"),
            "suite": metrics.suite_sha256,
            "data": sorted([task.name, task.dataset_sha256, task.samples_sha256] for task in metrics.tasks),
            "answers": sorted([row.arm, row.task, row.sample, row.repeat, row.text, row.finish] for row in answers),
            "scores": sorted([row.arm, row.task, row.sample, row.metric, str(row.value)] for row in scores),
        }
    )


def deciding_weights(suite: Suite, scores: Iterable[Score]) -> dict[Item, float]:
    """The weight of every scored item: WON where the candidate is better by a metric of a blocking gate, or one arm has
    no value; DECIDING where a blocking gate asks for its task; INFORMING elsewhere."""
    given: dict[tuple[str, str, str, str], list[float | None]] = defaultdict(list)
    for row in scores:
        given[row.task, row.sample, row.metric, row.arm].append(row.value)
    values = {place: mean(own) for place, own in given.items()}
    found: dict[Item, float] = {(task, sample): INFORMING for task, sample, _, _ in sorted(values)}
    gates = [
        (name, base_and_k(gate.metric)[0], gate.good)
        for gate in suite.gates
        if gate.tier == "blocking"
        for name in suite.members(gate.task)
    ]
    for item in found:
        own = [(metric, good) for task, metric, good in gates if task == item[0]]
        if own:
            found[item] = DECIDING
        for metric, good in own:
            places = [(*item, metric, arm) for arm in (BASELINE, CANDIDATE)]
            before, after = (values.get(place) for place in places)
            if before is None or after is None:
                won = before is not after
            else:
                won = after > before if good == "above" else after < before
            if won:
                found[item] = WON
    return found


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of an item's repeats; None where one has no value."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def draw(weights: Mapping[Item, float], seed: str, count: int, but: Collection[Item] = ()) -> list[Item]:
    """At most `count` items other than `but`, in the order drawn: each next one with a chance in proportion to its
    weight (Efraimidis and Spirakis, Inf. Process. Lett. 97 (2006) 181-185). The same seed gives the same items."""
    left = set(but)
    keys = {item: math.log(uniform(seed, item)) / weight for item, weight in weights.items() if item not in left}
    return sorted(keys, key=lambda item: (-keys[item], item))[:count]


def uniform(seed: str, item: Item) -> float:
    """A number in 0..1, both excluded, that follows from seed and item."""
    number = int(hashlib.sha256("\0".join([seed, *item]).encode()).hexdigest()[:13], 16)
    return (number + 0.5) / 16**13
