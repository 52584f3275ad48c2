"""Anytime-valid intervals: exact properties by enumeration, and the process behind the interval."""

import itertools
import math
import time
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.statistics.sequential import (
    SHARES,
    START,
    anytime_difference,
    anytime_interval,
    crossing,
    joint_wealth,
    one_look_interval,
)
from scripts.benchmarks.verdict_cells import crossing_times, dependent
from tests.patience import slowness

ternary = st.lists(st.sampled_from([-1.0, 0.0, 0.0, 1.0]), min_size=1, max_size=120)


def names(count: int, size: int = 1) -> list[str]:
    return [str(number // size) for number in range(count)]


def wealth_of(wins: np.ndarray, losses: np.ndarray, ties: np.ndarray, mean: float) -> np.ndarray:
    """Joint wealth after these counts, written out anew: the sum over shares of products of single bets."""
    total = np.zeros(np.shape(wins))
    for share, start in zip(SHARES, START, strict=True):
        factors = [1 + share * ((value + 1) / (mean + 1) - 1) for value in (1, -1, 0)]
        total += start * factors[0] ** wins * factors[1] ** losses * factors[2] ** ties
    return total


@pytest.mark.parametrize(("psi", "margin"), [(0.1, 0.03), (0.2, 0.03), (0.05, 0.05)])
def test_expected_wealth_at_the_threshold_is_one(psi: float, margin: float) -> None:
    """A fair game: summed over every outcome of six items, wealth times probability is 1."""
    chance = {1: (psi - margin) / 2, -1: (psi + margin) / 2, 0: 1 - psi}
    expected = 0.0
    for values in itertools.product((1, -1, 0), repeat=6):
        counts = [np.array(values.count(value)) for value in (1, -1, 0)]
        expected += math.prod(chance[value] for value in values) * float(wealth_of(*counts, -margin))
    assert expected == pytest.approx(1.0)


@pytest.mark.parametrize("psi", [0.05, 0.1, 0.2])
def test_false_pass_ever_is_at_most_alpha_by_enumeration(psi: float) -> None:
    """Exact chance that a model 3 points worse ever passes, with a look after each of 200 items."""
    n, margin, alpha = 200, 0.03, 0.05
    win, loss = (psi - margin) / 2, (psi + margin) / 2
    wins, losses = np.meshgrid(np.arange(60), np.arange(60), indexing="ij")
    alive, crossed = np.zeros((60, 60)), 0.0
    alive[0, 0] = 1.0
    for items in range(1, n + 1):
        after = alive * (1 - win - loss)
        after[1:] += alive[:-1] * win
        after[:, 1:] += alive[:, :-1] * loss
        ties = np.maximum(items - wins - losses, 0)
        over = wealth_of(wins, losses, ties, -margin) >= 1 / alpha
        crossed += float(after[over].sum())
        alive = np.where(over, 0.0, after)
    assert alive.sum() + crossed == pytest.approx(1.0, abs=1e-3)  # no mass left the table
    assert 0.002 < crossed <= alpha


@settings(max_examples=25, deadline=None)
@given(ternary, st.integers(1, 4), st.sampled_from([-0.5, -0.05, -0.03, 0.0, 0.02]))
def test_the_interval_is_the_process_of_the_exact_threshold(values: list[float], size: int, threshold: float) -> None:
    groups = names(len(values), size)
    interval = anytime_difference(values, groups, 0.9, True)
    assert interval is not None
    sums = np.array([sum(values[i : i + size]) for i in range(0, len(values), size)])
    sizes = np.array([len(values[i : i + size]) for i in range(0, len(values), size)], float)
    ruled_out = crossing(sums, sizes, -1.0, 0.05)
    assume(abs(interval.low - threshold) > 1e-6)
    assert ruled_out(threshold) == (interval.low > threshold)


@settings(max_examples=25, deadline=None)
@given(ternary, st.integers(1, 4))
def test_more_items_only_narrow_the_interval(values: list[float], size: int) -> None:
    groups = names(len(values), size)
    half = len(values) // (2 * size) * size
    assume(half)
    early, late = (anytime_difference(values[:n], groups[:n], 0.9, True) for n in (half, len(values)))
    assert early is not None and late is not None
    assume(late.low < late.high)
    assert late.low >= early.low - 1e-6 and late.high <= early.high + 1e-6


@settings(max_examples=25, deadline=None)
@given(ternary)
def test_swapping_the_arms_mirrors_the_interval(values: list[float]) -> None:
    one = anytime_difference(values, names(len(values)), 0.9, True)
    other = anytime_difference([-value for value in values], names(len(values)), 0.9, True)
    assert one is not None and other is not None
    assert one.low == pytest.approx(-other.high, abs=1e-6)


def test_the_benchmark_follows_the_same_process() -> None:
    rng = np.random.default_rng(5)
    kinds = rng.choice(3, p=[0.04, 0.88, 0.08], size=(20, 150))
    times = crossing_times(kinds, (np.array([-1.0, 0.0, 1.0]) + 0.03) / 0.97, 0.05)
    assert len(set(times)) > 3
    for run, at in zip(kinds - 1.0, times, strict=True):
        seen = [crossing(run[:n], np.ones(n), -1.0, 0.05)(-0.03) for n in (max(at - 1, 1), at or 150)]
        assert seen == [False, bool(at)]


def test_joint_wealth_is_the_sum_and_starts_at_one() -> None:
    assert joint_wealth(np.log(np.array([[1.0], [3.0]]))) == pytest.approx(math.log(4.0))
    assert joint_wealth(np.log(START)[:, None]) == pytest.approx(0.0)


def test_dependent_items_of_unequal_clusters_rarely_pass_at_the_margin() -> None:
    """10,000 runs are in `make bench-verdict`; these 600 would show an error rate that is twice what it should be."""
    sizes = np.array([1] * 60 + [4] * 30 + [10] * 6)
    sums, _, _ = dependent(list(sizes), 0.2, -0.03, 0.5, 600, np.random.default_rng(3))
    rng, passed = np.random.default_rng(4), 0
    for row in sums:
        order = rng.permutation(len(sizes))
        passed += crossing(row[order], sizes[order].astype(float), -1.0, 0.05)(-0.03)
    assert passed / 600 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 600)


def test_dependent_items_count_once() -> None:
    values = [0.0, 0.0, 1.0, 1.0] * 30
    alone = anytime_difference(values, names(120), 0.9, True)
    together = anytime_difference(values, names(120, 4), 0.9, True)
    assert alone is not None and together is not None
    assert together.low < alone.low


def test_a_rate_of_none_seen_needs_about_ninety_items_for_five_percent() -> None:
    assert anytime_interval([0.0] * 90, names(90), 0.05, 0.0, 1.0).high < 0.05
    assert anytime_interval([0.0] * 70, names(70), 0.05, 0.0, 1.0).high > 0.05


def test_values_out_of_bounds_have_no_interval() -> None:
    assert anytime_difference([0.5, 1.5], ["a", "b"], 0.9, False) is None
    with pytest.raises(ValueError):
        anytime_interval([2.0], ["a"], 0.05, 0.0, 1.0)


def test_a_look_at_two_thousand_items_is_fast() -> None:
    rng = np.random.default_rng(0)
    values = list(rng.uniform(-0.9, 0.9, 2_000))
    begun = time.process_time()
    anytime_difference(values, names(2_000), 0.9, False)
    assert time.process_time() - begun < 1.0 * slowness()


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20)), min_size=1, max_size=60), st.randoms())
def test_one_look_sees_no_order_and_is_no_narrower_than_many(items: list[tuple[float, int]], random: Random) -> None:
    def bounds(rows: list[tuple[float, int]]) -> tuple[float, float]:
        found = one_look_interval([value for value, _ in rows], [str(name) for _, name in rows], 0.05, 0.0, 1.0)
        return found.low, found.high

    shuffled = random.sample(items, len(items))
    assert bounds(items) == pytest.approx(bounds(shuffled), abs=1e-6)
    alone = [(value, number) for number, (value, _) in enumerate(items)]
    many = anytime_interval([value for value, _ in alone], names(len(alone)), 0.05, 0.0, 1.0)
    assume(many.low < many.high)
    low, high = bounds(alone)
    assert low <= many.low + 1e-6 and high >= many.high - 1e-6


def test_one_look_expects_no_gain_of_items_that_differ() -> None:
    """Summed over every outcome of eight items of different rates, wealth at their mean times probability is 1 or less,
    and so is rarely 20: the chance that their mean is excluded."""
    rates = [0.05, 0.05, 0.1, 0.1, 0.6, 0.7, 0.9, 0.9]
    mean, excluded = sum(rates) / len(rates), 0.0
    for values in itertools.product((0.0, 1.0), repeat=8):
        chance = math.prod(rate if value else 1 - rate for rate, value in zip(rates, values, strict=True))
        found = one_look_interval(values, names(8), 0.05, 0.0, 1.0)
        excluded += chance * (not found.low <= mean <= found.high)
    assert excluded <= 0.1
