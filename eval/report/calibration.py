"""Calibration of multiple-choice answers: does a model that is 80 % sure answer 80 % rightly? Pure.

The confidence of an item is the softmax of the choices' log-likelihoods, at the choice the model takes; it is right
when the metric `acc` says so. ECE: the mean over bins of |accuracy - confidence|, weighted by items (Guo et al. 2017,
arXiv:1706.04599; ten bins of equal width). It is biased upwards for small n and says nothing about generated text.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from eval.run.metrics import Interval
from eval.run.records import Generation, Score
from eval.statistics.paired import wilson_interval

BINS = 10
RIGHT = "acc"


@dataclass(frozen=True)
class Bin:
    """Items whose confidence lies in low..high: how sure, and how often right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    interval: Interval  # Wilson's, of the accuracy


@dataclass(frozen=True)
class Calibration:
    """One arm on one task."""

    task: str
    arm: str
    n: int
    ece: float
    accuracy: float
    confidence: float
    bins: tuple[Bin, ...]


def calibrations(generations: Iterable[Generation], scores: Iterable[Score], level: float = 0.9) -> list[Calibration]:
    """For each task whose answers are log-likelihoods, and each arm. Empty when no such task ran."""
    sure = {}
    for answer in generations:
        confidence = choice_confidence(answer.text)
        if confidence is not None:
            sure[answer.arm, answer.task, answer.sample, answer.repeat] = confidence
    if not sure:
        return []
    rows: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for score in scores:
        if score.metric == RIGHT and score.value is not None:
            key = (score.arm, score.task, score.sample, score.repeat)
            if key in sure:
                rows[score.task, score.arm].append((sure[key], score.value))
    return [calibration(task, arm, rows[task, arm], level) for task, arm in sorted(rows)]


def choice_confidence(text: str) -> float | None:
    """The probability of the likeliest choice, from the JSON of raw responses; None for any other answer."""
    if not text.startswith("[["):
        return None
    try:
        responses = json.loads(text)
        likelihoods = [float(pair[0]) for pair in responses if isinstance(pair[1], bool)]
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):  # a model may write `[[[[[` without end
        return None
    if len(likelihoods) != len(responses) or len(likelihoods) < 2 or not all(map(math.isfinite, likelihoods)):
        return None
    best = max(likelihoods)
    return 1 / math.fsum(math.exp(value - best) for value in likelihoods)


def calibration(task: str, arm: str, rows: list[tuple[float, float]], level: float) -> Calibration:
    """Bins and ECE of (confidence, right) rows; at least one row."""
    binned: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for confidence, right in rows:
        binned[min(int(confidence * BINS), BINS - 1)].append((confidence, right))
    bins = []
    for place, members in sorted(binned.items()):
        n, right = len(members), math.fsum(value for _, value in members)
        bins.append(
            Bin(
                place / BINS,
                (place + 1) / BINS,
                n,
                math.fsum(confidence for confidence, _ in members) / n,
                right / n,
                wilson_interval(round(right), n, level),
            )
        )
    n = len(rows)
    return Calibration(
        task,
        arm,
        n,
        math.fsum(entry.n * abs(entry.accuracy - entry.confidence) for entry in bins) / n,
        math.fsum(right for _, right in rows) / n,
        math.fsum(confidence for confidence, _ in rows) / n,
        tuple(bins),
    )
