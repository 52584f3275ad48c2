"""The power table: what it warns of, before a run and after it."""

import pytest

from eval.common.errors import UserError
from eval.gates.power_table import observed_power, planned_power, power_lines, refuse_weak_gates
from eval.run.metrics import Comparison
from tests.gate_rows import gate_by, suite

NONINFERIOR = gate_by("noninferiority", margin=0.03)
RARE = gate_by("max_rate", "r", limit=0.05)
GAIN = gate_by("superiority", "s", min_gain=0.05)


def test_a_margin_that_the_items_cannot_see_names_the_items_that_can() -> None:
    [row] = planned_power(suite(NONINFERIOR, expected_discordance=0.1), {"t": (100, 100)})
    assert row.needed == 687 and "687 items would do" in row.warning
    with pytest.raises(UserError, match=r"gate g: .*687"):
        refuse_weak_gates([row])


def test_enough_items_raise_no_warning() -> None:
    [row] = planned_power(suite(NONINFERIOR, expected_discordance=0.1), {"t": (700, 700)})
    assert row.needed is None and not row.warning and row.detectable == pytest.approx(0.0297, abs=1e-4)
    refuse_weak_gates([row])


def test_planning_counts_items_of_a_cluster_as_one() -> None:
    [row] = planned_power(suite(NONINFERIOR, expected_discordance=0.1), {"t": (700, 350)})
    assert row.warning


def test_a_rate_that_even_none_seen_cannot_show() -> None:
    [few, enough] = [planned_power(suite(RARE), {"t": (n, n)})[0] for n in (50, 59)]
    assert few.needed == 59 and "even with none seen" in few.warning
    assert enough.detectable == pytest.approx(1 - 0.8 ** (1 / 59))


def test_an_advisory_gate_is_never_refused() -> None:
    rows = planned_power(suite(GAIN, NONINFERIOR | {"tier": "advisory"}), {"t": (20, 20)})
    assert rows[1].warning
    refuse_weak_gates(rows)


def test_after_a_run_the_discordance_is_the_observed_one() -> None:
    seen = Comparison(
        task="t", metric="m", n=200, clusters=200, effective_n=200, invalid=0, baseline=0.5, candidate=0.5,
        baseline_interval=None, candidate_interval=None, difference=0.0, interval=None, wins=2, losses=2, mcnemar_p=1.0,
    )  # fmt: skip
    [row] = observed_power(suite(NONINFERIOR), {("t", "m"): seen})
    assert row.discordance == pytest.approx(0.02) and not row.warning


def test_the_table_in_words() -> None:
    both = suite(NONINFERIOR, RARE, GAIN, expected_discordance=0.1)
    lines = power_lines(both, planned_power(both, {"t": (100, 50)}))
    assert lines[0].startswith("g (blocking): 100 items worth 50, at 80% power: detects a drop of")
    assert lines[1].startswith("  too few clusters: ")
    assert "up to a true rate" in lines[2] or "too few" in lines[3]
    assert "true gain" in lines[-1]
