"""Statistics against independent references: statsmodels, scipy, published figures, enumeration."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from eval.statistics.paired import (
    benjamini_hochberg,
    clopper_pearson_interval,
    difference_interval,
    holm,
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
    from statsmodels.stats.contingency_tables import mcnemar  # a second of each process that collects

    expected = mcnemar([[50, wins], [losses, 50]], exact=True).pvalue
    assert mcnemar_exact(wins, losses) == pytest.approx(min(1.0, float(expected)))


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (20, 20), (7, 50), (499, 1000)])
def test_wilson_matches_statsmodels(successes: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, n, alpha=0.1, method="wilson")
    interval = wilson_interval(successes, n, 0.90)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_clustering_never_narrows_a_binary_interval() -> None:
    differences = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0]
    alone = difference_interval(differences, list("abcdefgh"), 0.9, binary=True)
    together = difference_interval(differences, list("aaabbbcc"), 0.9, binary=True)
    assert alone is not None and together is not None
    assert together.low <= alone.low and together.high >= alone.high


def test_nothing_changed_still_has_a_width() -> None:
    interval = difference_interval([0.0] * 50, ["a"] * 25 + ["b"] * 25, 0.9, binary=True)
    assert interval is not None and interval.low < 0 < interval.high


def test_impossible_counts_are_an_error() -> None:
    with pytest.raises(ValueError):
        tango_interval(5, 6, 10, 0.95)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (1, 20), (7, 90), (300, 300), (12, 13)])
def test_clopper_pearson_matches_statsmodels(successes: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, n, alpha=0.1, method="beta")
    interval = clopper_pearson_interval(successes, n, 0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_nothing_seen_in_twenty_is_at_most_fourteen_percent() -> None:
    assert round(clopper_pearson_interval(0, 20, 0.9).high, 2) == 0.14


@pytest.mark.parametrize("seed", range(5))
def test_corrections_match_statsmodels(seed: int) -> None:
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(seed)
    p = [*(rng.random(2 * seed) ** 2), 0.04, 0.01, 0.01, 0.0, 1.0]  # with ties
    assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    assert benjamini_hochberg(p) == pytest.approx(list(multipletests(p, method="fdr_bh")[1]))


def test_benjamini_hochberg_matches_the_papers_example() -> None:
    # Benjamini and Hochberg 1995, section 4: 15 p-values, at q = .05 the four smallest are rejected.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert sum(value <= 0.05 for value in benjamini_hochberg(p)) == 4
    assert sum(value <= 0.05 for value in holm(p)) == 3
