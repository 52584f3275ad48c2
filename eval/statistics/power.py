"""How many items a gate needs, and what it can see with those it has. Pure functions on numbers."""

import math
from statistics import NormalDist

from scipy.special import betaincinv

from eval.statistics.paired import clopper_pearson_interval


def items_for_rate(rate: float, limit: float, confidence: float) -> int | None:
    """Items at which a rate observed as `rate` would have its whole exact interval on one side of `limit`.

    None when even 10**6 items would not settle it.
    """
    if rate == limit:
        return None
    low, high = 1, 1
    while not _settled(rate, high, limit, confidence):
        low, high = high, 2 * high
        if high > 10**6:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _settled(rate, middle, limit, confidence) else (middle + 1, high)
    return high


def _settled(rate: float, n: int, limit: float, confidence: float) -> bool:
    bounds = clopper_pearson_interval(round(rate * n), n, confidence)
    return bounds.high < limit or bounds.low > limit


def items_needed(difference: float, discordance: float, threshold: float, alpha: float, power: float = 0.8) -> int:
    """Items for a one-sided test of `difference > threshold` to reach `power`, at the observed discordance.

    n = (z_{1-alpha} + z_power)^2 (psi - delta^2) / (delta - threshold)^2, the normal approximation for paired
    proportions (Connor, Biometrics 43 (1987) 207-211). Used in both directions: the sign of
    `difference - threshold` says which side would be shown. ValueError when they are equal: no n settles that.
    """
    distance = difference - threshold
    if distance == 0:
        raise ValueError("a difference exactly at the threshold is never settled")
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha) + normal.inv_cdf(power)
    return math.ceil(z * z * max(discordance - difference * difference, 1e-9) / (distance * distance))


def detectable_distance(n: int, discordance: float, alpha: float, power: float) -> float:
    """How far a true difference must lie from the threshold to pass with `power`: `items_needed`, solved for it.

    With delta = 0 (an adapter as good as its base): (z_{1-alpha} + z_power) sqrt(psi / n), in the metric's unit.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha) + normal.inv_cdf(power)) * math.sqrt(discordance / n)


def items_for_certainty(limit: float, confidence: float, good: str) -> int:
    """Items at which a rate of exactly 0 (good below) or 1 (good above) passes `limit`."""
    tail = (1 - confidence) / 2
    return math.ceil(math.log(tail) / math.log(1 - limit if good == "below" else limit))


def too_few_clusters(worth: int, margin: float, alpha: float) -> str:
    """Why an adapter that lost nothing cannot pass with clusters worth this many; empty when it can.

    Seeing none of `worth` clusters lost whole must be unlikely where a share of `margin` is.
    """
    needed = items_for_certainty(margin, 1 - 2 * alpha, "below")
    if worth >= needed:
        return ""
    open_share = 1 - alpha ** (1 / worth) if worth else 1.0
    return (
        f"too few clusters: worth {worth}, they leave open that {100 * open_share:.1f} % of all are lost whole though "
        f"none was seen; a margin of {100 * margin:g} points takes {needed} of equal size"
    )


def passing_rate(n: int, limit: float, confidence: float, power: float, good: str) -> float | None:
    """The largest (good below) or smallest true rate that passes with `power`; None when not even 0 or 1 passes."""
    if good == "above":
        mirrored = passing_rate(n, 1 - limit, confidence, power, "below")
        return None if mirrored is None else 1 - mirrored
    most = -1
    while most < n and clopper_pearson_interval(most + 1, n, confidence).high < limit:
        most += 1
    if most < 0:
        return None
    # P(X <= most) = power, solved for the rate: X <= most is Beta(n - most, most + 1) at 1 - rate.
    return 1 - float(betaincinv(n - most, most + 1, power)) if most < n else 1.0
