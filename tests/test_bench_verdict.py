"""The verdict benchmark: its exact rows, and that the committed table is the committed numbers."""

import pytest

from eval.run.files import read_json
from scripts.benchmarks.verdict import RESULTS, markdown
from scripts.benchmarks.verdict_cells import five_gates, np, paired, rate


@pytest.mark.parametrize("psi", [0.05, 0.1, 0.2])
def test_the_gate_holds_its_error_rate_and_the_point_rule_does_not(psi: float) -> None:
    row = paired(200, psi)
    assert row["pass_at_margin"] <= 0.055
    assert row["strict_point_rule_at_margin"] > 0.4
    assert all(0.94 <= row[f"coverage_{case}"] <= 0.97 for case in ("at_margin", "no_change", "gain_5"))


def test_an_exact_bound_never_passes_more_often_than_alpha() -> None:
    assert all(rate(n, limit)["pass_at_limit"] <= 0.05 for n in (60, 100, 300) for limit in (0.05, 0.1))


def test_five_gates_ship_no_more_often_than_one() -> None:
    row = five_gates(200, 0.1, at_margin=1, shared=0.8, runs=1_000, rng=np.random.default_rng(0))
    assert row["ship"] <= 0.05 + 2 * row["se"]


def test_the_committed_table_is_rendered_from_the_committed_numbers() -> None:
    assert markdown(read_json(RESULTS / "verdict.json")) == (RESULTS / "verdict.md").read_text(encoding="utf-8")
