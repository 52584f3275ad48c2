"""A few templates that break altogether: what clusters lost whole may buy, and which layouts are too few to tell."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.gates.decide import decide
from eval.gates.power_table import planned_power
from eval.statistics.clusters import cluster_sums, unseen_bound, unseen_p
from scripts.benchmarks.verdict_attacks import lost_clusters
from tests.gate_rows import EFFECT, Pair, gate_by, scores, suite

MARGIN = gate_by("noninferiority", margin=0.03)
values = st.lists(st.sampled_from([-1.0, -1.0, 0.0, 0.0, 0.5, 1.0]), min_size=2, max_size=60)
sizes_of = st.integers(1, 5)


@pytest.mark.parametrize(
    "sizes", [[25] * 20, [5] * 40, [3] * 100, [1] * 50 + [3] * 30 + [12] * 20], ids=["20x25", "40x5", "100x3", "mixed"]
)
@pytest.mark.parametrize("lost", [0.03, 0.05, 0.1])
def test_a_model_at_the_margin_that_loses_whole_templates_ships_about_as_often_as_any(
    sizes: list[int], lost: float
) -> None:
    """10,000 runs are in `make bench-verdict`; these 500 would show twice the error rate."""
    row = lost_clusters("", sizes, lost, 0.1, 500, np.random.default_rng(7))
    assert row["gate_at_margin"] <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 500)


def test_no_loss_seen_in_g_clusters_leaves_the_share_that_the_rule_of_three_leaves() -> None:
    clusters = cluster_sums([0.0] * 300, [str(number // 3) for number in range(300)])
    assert unseen_bound(clusters, 0.05) == pytest.approx(0.05 ** (1 / 100) - 1)


@settings(max_examples=60, deadline=None)
@given(values, sizes_of)
def test_the_bound_is_where_its_test_is_at_alpha(drawn: list[float], size: int) -> None:
    clusters = cluster_sums(drawn, [str(number // size) for number in range(len(drawn))])
    bound = unseen_bound(clusters, 0.05)
    assume(bound > -1)
    assert unseen_p(clusters, bound, 1) == pytest.approx(0.05, abs=1e-6)
    assert unseen_p(clusters.mirrored(), -bound, -1) == pytest.approx(0.05, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(values, sizes_of)
def test_the_bound_never_lies_above_the_mean(drawn: list[float], size: int) -> None:
    clusters = cluster_sums(drawn, [str(number // size) for number in range(len(drawn))])
    assert -1 - 1e-9 <= unseen_bound(clusters, 0.05) <= clusters.mean + 1e-9


def test_too_few_clusters_are_named_before_a_run_and_in_the_gate() -> None:
    same: list[Pair] = [(1.0, 1.0)] * 500
    judged = suite(MARGIN)
    found = decide(judged, scores(same, per_cluster=25), EFFECT)
    assert found.verdict == "inconclusive" and "too few clusters: worth 20," in found.gates[0].reason
    [planned] = planned_power(judged, {"t": (500, 20)})
    assert planned.warning.startswith("too few clusters") and planned.needed is not None and planned.needed >= 99
    assert "too few" in found.power[0].warning


def test_as_many_clusters_as_the_rule_of_three_asks_for_pass_when_nothing_changed() -> None:
    same: list[Pair] = [(1.0, 1.0)] * 300
    assert decide(suite(MARGIN), scores(same, per_cluster=3), EFFECT).verdict == "ship"
    assert decide(suite(MARGIN), scores(same[:291], per_cluster=3), EFFECT).verdict == "inconclusive"


def test_parts_of_items_lost_with_their_cluster_widen_the_interval_too() -> None:
    """A score between 0 and 1 (F1): 30 clusters lost nothing, and could each have been lost whole."""
    noise = np.random.default_rng(2).uniform(-0.01, 0.01, 120)
    pairs: list[Pair] = [(0.5, float(0.5 + move)) for move in noise]
    assert decide(suite(MARGIN), scores(pairs, per_cluster=4), EFFECT).verdict == "inconclusive"
    assert decide(suite(MARGIN), scores(pairs), EFFECT).verdict == "ship"
