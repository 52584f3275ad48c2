"""Planning: formulas against enumeration of what gates do."""

import math
from pathlib import Path

import pytest
import scipy.stats

from eval.statistics.paired import clopper_pearson_interval
from eval.statistics.power import detectable_distance, items_for_certainty, items_for_rate, items_needed, passing_rate
from scripts.benchmarks.verdict_cells import outcomes, statistics


def passes(n: int, psi: float, delta: float, threshold: float) -> float:
    """Exact chance that a gate on paired 0/1 items passes."""
    wins, losses, chance = outcomes(n, psi, delta)
    return float(chance[statistics(wins, losses, n, threshold) > scipy.stats.norm.ppf(0.95)].sum())


def test_items_needed_matches_the_reference() -> None:
    assert items_needed(0.0, 0.10, -0.03, 0.05) in (687, 688)


@pytest.mark.parametrize(
    ("delta", "psi", "threshold"), [(0.0, 0.1, -0.03), (0.0, 0.2, -0.05), (0.1, 0.2, 0.05), (0.02, 0.3, -0.05)]
)
def test_that_many_items_pass_with_the_power_asked_for(delta: float, psi: float, threshold: float) -> None:
    n = items_needed(delta, psi, threshold, 0.05, power=0.8)
    assert passes(n, psi, delta, threshold) == pytest.approx(0.8, abs=0.03)


def test_items_needed_looks_both_ways() -> None:
    assert items_needed(-0.06, 0.2, -0.03, 0.05) == items_needed(0.06, 0.2, 0.03, 0.05)


def test_items_needed_at_the_threshold_is_an_error() -> None:
    with pytest.raises(ValueError):
        items_needed(-0.03, 0.1, -0.03, 0.05)


def test_a_distance_that_is_detectable_needs_the_items_there_are() -> None:
    distance = detectable_distance(500, 0.1, 0.05, 0.8)
    assert items_needed(0.0, 0.1, -distance, 0.05, 0.8) in (500, 501)
    assert passes(500, 0.1, 0.0, -distance) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("good", ["below", "above"])
@pytest.mark.parametrize(("limit", "n"), [(0.05, 59), (0.01, 299), (0.1, 29)])
def test_items_for_certainty_is_the_least_that_passes(limit: float, n: int, good: str) -> None:
    held = limit if good == "below" else 1 - limit
    assert items_for_certainty(held, 0.9, good) == n
    bound = clopper_pearson_interval(0, n, 0.9).high, clopper_pearson_interval(0, n - 1, 0.9).high
    assert bound[0] < limit <= bound[1]


@pytest.mark.parametrize(("n", "limit", "power"), [(300, 0.05, 0.8), (59, 0.05, 0.9), (1000, 0.1, 0.95)])
def test_passing_rate_passes_with_that_power_by_enumeration(n: int, limit: float, power: float) -> None:
    rate = passing_rate(n, limit, 0.9, power, "below")
    assert rate is not None
    passing = [k for k in range(n + 1) if clopper_pearson_interval(k, n, 0.9).high < limit]
    assert scipy.stats.binom.pmf(passing, n, rate).sum() == pytest.approx(power)
    mirrored = passing_rate(n, 1 - limit, 0.9, power, "above")
    assert mirrored == pytest.approx(1 - rate)


def test_no_rate_passes_with_too_few_items() -> None:
    assert passing_rate(58, 0.05, 0.9, 0.8, "below") is None


def test_items_for_rate_is_where_the_bound_crosses_the_limit() -> None:
    needed = items_for_rate(0.0, 0.05, 0.9)
    assert needed == 59  # the rule of three at one-sided 95 %: 1 - 0.05 ** (1 / 59) < 0.05
    assert clopper_pearson_interval(0, needed - 1, 0.9).high > 0.05 > clopper_pearson_interval(0, needed, 0.9).high
    assert items_for_rate(0.05, 0.05, 0.9) is None


@pytest.mark.parametrize(("rate", "limit"), [(0.02, 0.05), (0.08, 0.05), (0.5, 0.4)])
def test_items_for_rate_settles_a_rate_on_either_side(rate: float, limit: float) -> None:
    needed = items_for_rate(rate, limit, 0.9)
    assert needed is not None
    bounds = clopper_pearson_interval(round(rate * needed), needed, 0.9)
    assert bounds.high < limit or bounds.low > limit
    # Of the order of the normal approximation: (1.645 / distance)^2 p (1 - p).
    assert 0.3 < needed / ((1.645 / (rate - limit)) ** 2 * rate * (1 - rate)) < 4


def test_detectable_distance_is_the_formula_by_hand() -> None:
    assert detectable_distance(688, 0.1, 0.05, 0.8) == pytest.approx((1.644854 + 0.841621) * math.sqrt(0.1 / 688))


def test_the_tables_of_docs_gates_are_what_the_functions_say() -> None:
    text = Path("docs/gates.md").read_text(encoding="utf-8")
    for psi in (0.05, 0.1, 0.2, 0.3):
        needed = [f"{items_needed(0.0, psi, -margin, 0.05):,}" for margin in (0.02, 0.03, 0.05, 0.1)]
        seen = [f"{100 * detectable_distance(n, psi, 0.05, 0.8):.1f}" for n in (100, 300, 500, 1000)]
        for cells in (needed, seen):
            assert f"| {100 * psi:g} % | {' | '.join(cells)} |" in text
