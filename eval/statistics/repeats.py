"""A figure over several trainings of one recipe: its mean, and an interval that holds the luck of the seed too.

The items are the same in every training, so that their chance error is shared: it is that of one training's interval,
and does not shrink with more trainings. The trainings differ by chance as well; that part is `t * s / sqrt(k)`. The two
are combined as squares of distances to the limits, separately on either side (MOVER: Zou and Donner, Statistics in
Medicine 27 (2008) 1693-1702), which keeps each gate's own kind of interval.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import t as student


class Repeated(NamedTuple):
    """Over k trainings, in the metric's unit. `spread`: standard deviation between trainings. `next_low`, `next_high`:
    where one more training would land on the same items, at the same confidence."""

    mean: float
    low: float
    high: float
    spread: float
    next_low: float
    next_high: float


def repeated_interval(
    estimates: Sequence[float], lows: Sequence[float], highs: Sequence[float], confidence: float
) -> Repeated:
    """The recipe's interval from those of its trainings, parallel and each two-sided at `confidence`.

    ValueError for fewer than two trainings: nothing is known of the spread then.
    """
    count = len(estimates)
    if count < 2:
        raise ValueError("the spread between trainings takes two of them")
    mean = sum(estimates) / count
    spread = math.sqrt(sum((value - mean) ** 2 for value in estimates) / (count - 1))
    quantile = float(student.ppf((1 + confidence) / 2, count - 1))
    luck, another = quantile * spread / math.sqrt(count), quantile * spread * math.sqrt(1 + 1 / count)
    below = sum(value - low for value, low in zip(estimates, lows, strict=True)) / count
    above = sum(high - value for value, high in zip(estimates, highs, strict=True)) / count
    low, high = mean - math.hypot(below, luck), mean + math.hypot(above, luck)
    return Repeated(mean, low, high, spread, mean - another, mean + another)
