"""Statistics against independent references: statsmodels, scipy, published figures, enumeration."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from eval.clusters import cluster_interval
from eval.power import items_for_rate, items_needed
from eval.stats import (
    clopper_pearson_interval,
    difference_interval,
    mcnemar_exact,
    tango_interval,
    tango_statistic,
    wilson_interval,
)

counts = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60)).filter(lambda t: sum(t) > 0)


@pytest.mark.parametrize(
    ("wins", "losses", "n", "low", "high"),
    [(40, 20, 160, 0.0309, 0.2181), (0, 0, 59, -0.0611, 0.0611)],
)
def test_tango_interval_matches_published_values(wins: int, losses: int, n: int, low: float, high: float) -> None:
    interval = tango_interval(wins, losses, n, 0.95)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_tango_statistic_at_zero_is_mcnemars_z() -> None:
    # For delta0 = 0 the score statistic is (b - c) / sqrt(b + c).
    assert tango_statistic(30, 12, 100, 0.0) == pytest.approx(18 / math.sqrt(42))


@given(counts)
def test_tango_interval_is_the_set_not_rejected(drawn: tuple[int, int, int]) -> None:
    wins, losses, same = drawn
    n = wins + losses + same
    interval = tango_interval(wins, losses, n, 0.90)
    z = scipy.stats.norm.ppf(0.95)
    for end in (interval.low, interval.high):
        if abs(end) < 1 - 1e-6:
            assert abs(tango_statistic(wins, losses, n, end)) == pytest.approx(z, abs=1e-4)


@given(counts)
def test_swapping_the_arms_mirrors_the_interval(drawn: tuple[int, int, int]) -> None:
    wins, losses, same = drawn
    n = wins + losses + same
    one, other = tango_interval(wins, losses, n, 0.95), tango_interval(losses, wins, n, 0.95)
    assert one.low == pytest.approx(-other.high, abs=1e-9)


@given(counts)
def test_one_more_win_never_lowers_the_interval(drawn: tuple[int, int, int]) -> None:
    wins, losses, same = drawn
    n = wins + losses + same + 1
    before, after = tango_interval(wins, losses, n, 0.95), tango_interval(wins + 1, losses, n, 0.95)
    assert after.low >= before.low - 1e-9


def test_tango_false_pass_rate_at_the_margin_by_enumeration() -> None:
    """Sum over every outcome of n = 40 items at exactly the margin: a pass has probability near alpha."""
    n, margin, discordance, alpha = 40, 0.1, 0.3, 0.05
    p_win, p_loss = (discordance - margin) / 2, (discordance + margin) / 2
    false_pass = 0.0
    for wins, losses in itertools.product(range(n + 1), repeat=2):
        if wins + losses > n:
            continue
        if tango_statistic(wins, losses, n, -margin) > scipy.stats.norm.ppf(1 - alpha):
            ways = math.comb(n, wins) * math.comb(n - wins, losses)
            false_pass += ways * p_win**wins * p_loss**losses * (1 - discordance) ** (n - wins - losses)
    assert 0.03 < false_pass < 0.06


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (5, 5), (3, 10), (30, 12), (0, 7)])
def test_mcnemar_matches_statsmodels(wins: int, losses: int) -> None:
    expected = mcnemar([[50, wins], [losses, 50]], exact=True).pvalue
    assert mcnemar_exact(wins, losses) == pytest.approx(min(1.0, float(expected)))


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (20, 20), (7, 50), (499, 1000)])
def test_wilson_matches_statsmodels(successes: int, n: int) -> None:
    low, high = proportion_confint(successes, n, alpha=0.1, method="wilson")
    interval = wilson_interval(successes, n, 0.90)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_cluster_interval_matches_statsmodels() -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(40), 3)
    values = rng.normal(0.2, 1, 120) + np.repeat(rng.normal(0, 1, 40), 3)
    fit = OLS(values, np.ones(120)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}, use_t=True
    )
    interval = cluster_interval(list(values), [str(group) for group in groups], 0.95)
    assert interval is not None
    # statsmodels' SE without its correction, times sqrt(G / (G - 1)); t with G - 1 degrees of freedom.
    half = scipy.stats.t.ppf(0.975, 39) * fit.bse[0] * math.sqrt(40 / 39)
    assert interval.high - interval.low == pytest.approx(2 * half)


def test_unclustered_t_interval_matches_scipy() -> None:
    values = [0.1, 0.4, -0.2, 0.7, 0.3]
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    interval = cluster_interval(values, list("abcde"), 0.95)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_clustering_never_narrows_a_binary_interval() -> None:
    differences = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0]
    alone = difference_interval(differences, list("abcdefgh"), 0.9, binary=True)
    together = difference_interval(differences, list("aaabbbcc"), 0.9, binary=True)
    assert alone is not None and together is not None
    assert together.low <= alone.low and together.high >= alone.high


def test_nothing_changed_still_has_a_width() -> None:
    interval = difference_interval([0.0] * 50, ["a"] * 25 + ["b"] * 25, 0.9, binary=True)
    assert interval is not None and interval.low < 0 < interval.high


def test_items_needed_matches_the_reference() -> None:
    assert items_needed(0.0, 0.10, -0.03, 0.05) in (687, 688)


def test_items_needed_at_the_threshold_is_an_error() -> None:
    with pytest.raises(ValueError):
        items_needed(-0.03, 0.1, -0.03, 0.05)


def test_impossible_counts_are_an_error() -> None:
    with pytest.raises(ValueError):
        tango_interval(5, 6, 10, 0.95)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (1, 20), (7, 90), (300, 300), (12, 13)])
def test_clopper_pearson_matches_statsmodels(successes: int, n: int) -> None:
    low, high = proportion_confint(successes, n, alpha=0.1, method="beta")
    interval = clopper_pearson_interval(successes, n, 0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_nothing_seen_in_twenty_is_at_most_fourteen_percent() -> None:
    assert round(clopper_pearson_interval(0, 20, 0.9).high, 2) == 0.14


def test_items_for_rate_is_where_the_bound_crosses_the_limit() -> None:
    needed = items_for_rate(0.0, 0.05, 0.9)
    assert needed == 59  # the rule of three at one-sided 95 %: 1 - 0.05 ** (1 / 59) < 0.05
    assert clopper_pearson_interval(0, needed - 1, 0.9).high > 0.05 > clopper_pearson_interval(0, needed, 0.9).high
    assert items_for_rate(0.05, 0.05, 0.9) is None
