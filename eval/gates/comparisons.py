"""Candidate against baseline on one metric, item by item. Pure: scores in, a Comparison out."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from eval.common.errors import UserError
from eval.contracts.drawn import at_least_one
from eval.run.metrics import Comparison, Exploration, Interval, SliceResult
from eval.run.records import BASELINE, CANDIDATE, Score
from eval.statistics.clusters import sign_flip_p
from eval.statistics.paired import (
    benjamini_hochberg,
    difference_interval,
    difference_p,
    level_interval,
    mcnemar_exact,
    wins_losses,
)
from eval.statistics.sequential import one_look_interval

IntervalOf = Callable[[Sequence[float], Sequence[str], float, bool], Interval | None]


Repeats = tuple[float | None, ...]  # of one item in one arm; None is invalid
LEAST, MOST = 0.0, 1.0  # what a score can be where nothing else is said


@dataclass(frozen=True)
class Unscored:
    """An item that at least one arm has no value for, with what is known of it."""

    sample: str
    baseline: Repeats
    candidate: Repeats
    cluster: str
    category: str | None


@dataclass(frozen=True)
class Pairs:
    """The items of one metric scored in both arms; parallel lists in the order of the scores.

    Of an item with repeats the value is the estimate of `k` (eval/contracts/drawn.py), their mean for k = 1. `shares`:
    such values of a 0/1 metric, which may be 0 or 1 and are no 0/1 metric themselves.
    """

    task: str
    metric: str
    samples: list[str]
    baseline: list[float]
    candidate: list[float]
    clusters: list[str]
    categories: list[str | None]
    unscored: tuple[Unscored, ...] = ()
    order: str = ""  # digest that fixes the order in which a sequential evaluation asks (eval/statistics/sequential.py)
    k: int = 1
    shares: bool = False

    @property
    def invalid(self) -> int:
        return len(self.unscored)

    @property
    def differences(self) -> list[float]:
        return [after - before for before, after in zip(self.baseline, self.candidate, strict=True)]

    @property
    def binary(self) -> bool:
        return not self.shares and all(value in (0.0, 1.0) for value in (*self.baseline, *self.candidate))

    @property
    def known(self) -> list[float]:
        """Every value there is, those of items that do not count among them."""
        rest = [value for item in self.unscored for value in (*item.baseline, *item.candidate) if value is not None]
        return [*self.baseline, *self.candidate, *rest]

    def arranged(self, places: Sequence[int]) -> "Pairs":
        """The items at these places, in their order."""
        return replace(
            self,
            samples=[self.samples[place] for place in places],
            baseline=[self.baseline[place] for place in places],
            candidate=[self.candidate[place] for place in places],
            clusters=[self.clusters[place] for place in places],
            categories=[self.categories[place] for place in places],
        )

    def at_worst(self, good: str) -> "Pairs":
        """With every unscored item as bad for the candidate as it can be: what is known counts, what is not is the
        worst of the candidate and the best of the baseline. `good`: the side that is better, above or below.

        For metrics in LEAST..MOST.
        """
        worst, best = (LEAST, MOST) if good == "above" else (MOST, LEAST)
        return replace(
            self,
            samples=self.samples + [item.sample for item in self.unscored],
            baseline=self.baseline + [_filled(item.baseline, best, self.k) for item in self.unscored],
            candidate=self.candidate + [_filled(item.candidate, worst, self.k) for item in self.unscored],
            clusters=self.clusters + [item.cluster for item in self.unscored],
            categories=self.categories + [item.category for item in self.unscored],
            unscored=(),
        )

    def by_category(self) -> dict[str, "Pairs"]:
        """The items of each category, in the order of its name; those without one are left out. None is invalid."""
        places: dict[str, list[int]] = defaultdict(list)
        for place, category in enumerate(self.categories):
            if category:
                places[category].append(place)
        return {category: replace(self.arranged(places[category]), unscored=()) for category in sorted(places)}


def pool_pairs(name: str, parts: Sequence[Pairs], order: str = "") -> Pairs:
    """The items of several tasks, at least one, as those of one task `name`, whose categories are the tasks."""
    unscored = [
        replace(item, sample=f"{part.task}/{item.sample}", cluster=f"{part.task}/{item.cluster}", category=part.task)
        for part in parts
        for item in part.unscored
    ]
    return Pairs(
        name,
        parts[0].metric,
        [f"{part.task}/{sample}" for part in parts for sample in part.samples],
        [value for part in parts for value in part.baseline],
        [value for part in parts for value in part.candidate],
        [f"{part.task}/{cluster}" for part in parts for cluster in part.clusters],
        [part.task for part in parts for _ in part.samples],
        tuple(sorted(unscored, key=lambda item: item.sample)),
        order,
        parts[0].k,
        any(part.shares for part in parts) and all(part.shares or {*part.known} <= {0.0, 1.0} for part in parts),
    )


def pair_scores(scores: Iterable[Score], order: str = "", k: int = 1) -> Pairs:
    """Pair the scores of one metric by item, for the chance that one of `k` answers scores 1. An item counts when every
    repeat of both arms was scored.

    Raises UserError when an item is in one arm only, twice in one arm, in two clusters, or has fewer than k repeats.
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

    values: dict[str, tuple[list[float | None], list[float | None]]] = defaultdict(lambda: ([], []))
    group_of: dict[str, tuple[str, str | None]] = {}
    for key, before in arms[BASELINE].items():
        after = arms[CANDIDATE][key]
        for score in (before, after):
            group = (score.cluster, score.category)
            if group_of.setdefault(score.sample, group) != group:
                raise UserError(f"scores of {task}/{metric}: {score.sample} is in two clusters or two categories")
        for score, kept in zip((before, after), values[before.sample], strict=True):
            kept.append(score.value)

    known = {value for arms_of in values.values() for own in arms_of for value in own if value is not None}
    repeats = [len(own) for own, _ in values.values()]
    if k > 1 and (min(repeats, default=k) < k or not known <= {0.0, 1.0}):
        raise UserError(f"scores of {task}/{metric}: {metric}@{k} takes {k} answers to an item, each scored 0 or 1")
    invalid = {sample for sample, arms_of in values.items() if any(None in own for own in arms_of)}
    samples = [sample for sample in values if sample not in invalid]
    return Pairs(
        task,
        metric if k == 1 else f"{metric}@{k}",
        samples,
        [_filled(values[sample][0], 0.0, k) for sample in samples],
        [_filled(values[sample][1], 0.0, k) for sample in samples],
        [group_of[sample][0] for sample in samples],
        [group_of[sample][1] for sample in samples],
        tuple(
            Unscored(sample, tuple(values[sample][0]), tuple(values[sample][1]), *group_of[sample])
            for sample in sorted(invalid)
        ),
        order,
        k,
        known <= {0.0, 1.0} and k < max(repeats, default=1),  # of n repeats, `one of n` is 0 or 1
    )


def _filled(values: Sequence[float | None], missing: float, k: int) -> float:
    """The value of an item, with repeats that have none as `missing`."""
    return at_least_one([missing if value is None else value for value in values], k)


def compare_pairs(pairs: Pairs, confidence: float, interval_of: IntervalOf = difference_interval) -> Comparison:
    """The comparison of paired items; `interval_of` is another where looks are many (eval/statistics/sequential.py)."""
    n, binary, differences = len(pairs.samples), pairs.binary, pairs.differences
    wins, losses = wins_losses(differences)

    def level(values: list[float]) -> Interval | None:
        if not n:
            return None
        found = level_interval(values, pairs.clusters, confidence, binary)
        if found is None and pairs.shares:
            return one_look_interval(values, pairs.clusters, (1 - confidence) / 2, low=0.0, high=1.0)
        return found

    interval = interval_of(differences, pairs.clusters, confidence, binary) if n else None
    if interval is None and n and pairs.shares:  # all differences are equal: t knows no error
        interval = one_look_interval(differences, pairs.clusters, (1 - confidence) / 2, low=-1.0, high=1.0)

    return Comparison(
        task=pairs.task,
        metric=pairs.metric,
        n=n,
        clusters=len(set(pairs.clusters)),
        effective_n=effective_n(pairs.clusters),
        invalid=pairs.invalid,
        baseline=math.fsum(pairs.baseline) / n if n else None,
        candidate=math.fsum(pairs.candidate) / n if n else None,
        binary=binary,
        baseline_interval=level(pairs.baseline),
        candidate_interval=level(pairs.candidate),
        difference=math.fsum(differences) / n if n else None,
        interval=interval,
        wins=wins,
        losses=losses,
        mcnemar_p=mcnemar_exact(wins, losses) if n and binary else None,
        sign_flip_p=sign_flip_p(differences, pairs.clusters) if n and not binary else None,
    )


def effective_n(clusters: Sequence[str]) -> int:
    """n^2 / sum of squared cluster sizes: what n items are worth if those of a cluster always agree (Kish 1965)."""
    squares = sum(size * size for size in Counter(clusters).values())
    return len(clusters) ** 2 // squares if squares else 0


def compare_slice(name: str, pairs: Pairs, confidence: float, p: float, adjusted_p: float) -> SliceResult:
    """One category as a comparison of its own, with the p-values that its family gave it; nothing decided yet."""
    whole = compare_pairs(pairs, confidence)
    return SliceResult(
        slice=name,
        n=whole.n,
        baseline=whole.baseline,
        candidate=whole.candidate,
        difference=whole.difference,
        interval=whole.interval,
        wins=whole.wins,
        losses=whole.losses,
        p=p,
        adjusted_p=adjusted_p,
        outcome=None,
    )


def explore(pairs: Pairs, confidence: float) -> Exploration | None:
    """All categories of one metric with two-sided p-values, Benjamini-Hochberg. None with fewer than two categories."""
    parts = pairs.by_category()
    if len(parts) < 2:
        return None
    p = [
        min(1.0, 2 * min(difference_p(part.differences, part.clusters, 0.0, side, part.binary) for side in (1, -1)))
        for part in parts.values()
    ]
    rows = [
        compare_slice(name, part, confidence, own, adjusted)
        for (name, part), own, adjusted in zip(parts.items(), p, benjamini_hochberg(p), strict=True)
    ]
    return Exploration(task=pairs.task, metric=pairs.metric, slices=sorted(rows, key=lambda row: row.p or 0.0))
