"""Clusters and quantities against scipy, statsmodels, enumeration and simulation."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.statistics.clusters import Clusters, cluster_interval, cluster_sums, mean_interval, mean_p, sign_flip_p
from eval.statistics.paired import (
    clustered_p,
    design_effect,
    difference_interval,
    difference_p,
    level_interval,
    wilson_interval,
    wins_losses,
)
from scripts.benchmarks.verdict_cells import dependent

skewed = st.lists(st.floats(-1, 1, width=16), min_size=5, max_size=60).filter(lambda values: len(set(values)) > 2)


def names(count: int, size: int = 1) -> list[str]:
    return [str(number // size) for number in range(count)]


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_sign_flip_p_matches_scipys_enumeration(seed: int, size: int) -> None:
    values = np.random.default_rng(seed).normal(0.3, 1, 10 * size)
    sums = values.reshape(10, size).sum(axis=1)
    expected = scipy.stats.permutation_test(
        (sums,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    found = sign_flip_p(list(values), names(10 * size, size))
    assert found == pytest.approx(expected.pvalue, abs=1e-9)


def test_sign_flip_p_by_hand() -> None:
    # 1 + 2 + 4 = 7: only all plus and all minus of the eight patterns are as far from 0.
    assert sign_flip_p([1.0, 2.0, 4.0], names(3)) == 0.25


def test_sampled_sign_flips_agree_with_all_of_them() -> None:
    values = list(np.random.default_rng(1).normal(0.4, 1, 16))
    exact, sampled = sign_flip_p(values, names(16)), sign_flip_p([*values, 1e-9], names(17))
    assert exact is not None and sampled is not None
    assert abs(exact - sampled) < 4 * math.sqrt(exact * (1 - exact) / 9_999)


def test_sign_flip_p_of_no_difference_is_unknown_and_of_a_cancelling_cluster_is_one() -> None:
    assert sign_flip_p([0.0, 0.0], names(2)) is None
    assert sign_flip_p([1.0, -1.0], ["a", "a"]) == 1.0


def test_sign_flip_p_is_never_zero_and_the_same_each_time() -> None:
    values = [1.0] * 40
    assert sign_flip_p(values, names(40)) == sign_flip_p(values, names(40)) == 1 / 10_000


@settings(max_examples=30, deadline=None)
@given(skewed, st.integers(1, 4), st.sampled_from([0.8, 0.9]))
def test_the_p_value_of_a_mean_at_an_end_of_its_interval_is_alpha(values: list[float], size: int, level: float) -> None:
    clusters = cluster_sums(values, names(len(values), size))
    interval = mean_interval(clusters, level)
    assume(interval is not None)
    assert interval is not None
    step = 1e-6 * (interval.high - interval.low)
    alpha = (1 - level) / 2
    assert mean_p(clusters, interval.low - step, 1) <= alpha + 1e-9
    assert mean_p(clusters, interval.high + step, -1) <= alpha + 1e-9
    assert mean_p(clusters, interval.low + step, 1) >= alpha - 1e-6
    assert mean_p(clusters, interval.high - step, -1) >= alpha - 1e-6


def test_without_skewness_the_mean_has_its_t_interval() -> None:
    values = [float(value) for value in range(-30, 31)]
    found, t = mean_interval(cluster_sums(values, names(61)), 0.9), cluster_interval(values, names(61), 0.9)
    assert found is not None and t is not None
    assert (found.low, found.high) == pytest.approx((t.low, t.high), rel=1e-6)


def test_skewness_moves_both_ends_towards_the_long_tail() -> None:
    values = list(np.random.default_rng(0).lognormal(size=100))
    found, t = mean_interval(cluster_sums(values, names(100)), 0.9), cluster_interval(values, names(100), 0.9)
    assert found is not None and t is not None
    assert found.low > t.low and found.high > t.high


def test_the_upper_bound_of_skewed_values_misses_less_often_than_ts() -> None:
    """Lognormal values, 40 of them: the t bound misses the mean 14 % of the time instead of 5 %, ours 9 %."""
    rng, missed, missed_t = np.random.default_rng(2), 0, 0
    for row in rng.lognormal(size=(1_500, 40)):
        clusters = cluster_sums(list(row), names(40))
        missed += mean_p(clusters, math.exp(0.5), -1) < 0.05
        missed_t += (clusters.mean - math.exp(0.5)) / clusters.error < -scipy.stats.t.ppf(0.95, 39)
    assert missed < 0.11 * 1_500 < missed_t


def test_few_clusters_give_a_wider_interval_than_t_or_none() -> None:
    values = list(np.random.default_rng(4).normal(size=40))
    few, t = mean_interval(cluster_sums(values, names(40, 5)), 0.9), cluster_interval(values, names(40, 5), 0.9)
    assert few is not None and t is not None
    assert few.low <= t.low + 0.02 and few.high >= t.high - 0.02
    assert mean_interval(cluster_sums(values, names(40, 10)), 0.9) is None  # 2^-4 > 5 %: no pattern can reject


def test_equal_differences_leave_the_error_unknown() -> None:
    assert mean_interval(cluster_sums([0.1] * 30, names(30)), 0.9) is None
    assert mean_p(cluster_sums([0.1] * 30, names(30)), 0.0, 1) == 1.0


def test_the_order_of_items_does_not_move_a_sum() -> None:
    values = list(np.random.default_rng(3).normal(size=50))
    pairs = list(zip(values, names(50, 4), strict=True))
    one = cluster_sums(*zip(*pairs, strict=True))
    other = cluster_sums(*zip(*reversed(pairs), strict=True))
    assert one.sums.tolist() == other.sums.tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 0.0, 1.0]), min_size=4, max_size=80), st.integers(1, 5))
def test_difference_p_is_alpha_at_the_ends_of_the_interval(values: list[float], size: int) -> None:
    groups = names(len(values), size)
    interval = difference_interval(values, groups, 0.9, binary=True)
    assert interval is not None
    for end, side in ((interval.low, 1), (interval.high, -1)):
        if abs(end) < 0.99:
            assert difference_p(values, groups, end, side, binary=True) == pytest.approx(0.05, abs=1e-3)


def test_design_effect_is_one_for_independent_items_and_the_size_for_copies() -> None:
    drawn = np.random.default_rng(6).choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=2_000)
    alone = design_effect(cluster_sums(list(drawn), names(2_000, 5)), *wins_losses(list(drawn)))
    copies = list(np.repeat(drawn[:400], 5))
    agreeing = design_effect(cluster_sums(copies, names(2_000, 5)), *wins_losses(copies))
    assert alone == pytest.approx(1.0, abs=0.25) and agreeing == pytest.approx(5.0, abs=0.1)


def test_design_effect_without_evidence_is_the_worst_case() -> None:
    assert design_effect(cluster_sums([0.0] * 60, names(60, 6)), 0, 0) == 6.0


def test_nothing_changed_in_few_clusters_shows_little() -> None:
    """Sixty equal items in ten clusters are worth ten: no margin of 5 points can be shown on them."""
    together = difference_interval([0.0] * 60, names(60, 6), 0.9, binary=True)
    assert together is not None and together.low < -0.05 and together.high > 0.05


@pytest.mark.parametrize("psi", [0.05, 0.2])
def test_false_pass_on_dependent_items_stays_near_alpha(psi: float) -> None:
    """100 clusters of 3 at the margin, ICC 0.8, 1,500 runs; taken as independent they pass 15 to 16 % of the time."""
    size = np.array([3.0] * 100)
    sums, wins, losses = dependent([3] * 100, psi, -0.03, 0.8, 1_500, np.random.default_rng(8))
    passed = [
        clustered_p(Clusters(row, size), int(won), int(lost), -0.03, 1) < 0.05
        for row, won, lost in zip(sums, wins, losses, strict=True)
    ]
    assert np.mean(passed) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1_500)


def test_cluster_interval_matches_statsmodels() -> None:
    from statsmodels.regression.linear_model import OLS  # a second of each process that collects

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


@pytest.mark.parametrize("size", [1, 3])
def test_level_interval_is_wilsons_for_rates_and_the_means_for_quantities(size: int) -> None:
    right, groups = [1.0] * 12 + [0.0] * 24, names(36, size)
    level = level_interval(right, groups, 0.9, binary=True)
    assert level is not None and level == wilson_interval(12, 36, 0.9)
    lengths = [float(value % 7) for value in range(36)]
    assert level_interval(lengths, groups, 0.9, binary=False) == mean_interval(cluster_sums(lengths, groups), 0.9)
