"""How the numbers of a run's records are written, the same in every report, figure and terminal. Pure.

Gates are worded by their kind (eval/contracts/gate.py), single numbers by eval/common/number_text.py.
"""

from eval.common.number_text import signed_with_interval
from eval.config.gate_rules import kind_of
from eval.contracts.gate import Gate
from eval.run.metrics import Comparison, GateResult, PowerRow, SliceResult, is_rate

GateRow = tuple[GateResult, Comparison | None]
SYMBOLS = {"pass": "✓", "fail": "✕", "inconclusive": "?"}


def difference_text(measured: Comparison | SliceResult | None, own_unit: bool = False) -> str:
    """`+41.2 pts [34.0, 48.1]`: the difference and its interval."""
    if measured is None or measured.difference is None:
        return "–"
    ends = (measured.interval.low, measured.interval.high) if measured.interval else None
    return signed_with_interval(measured.difference, ends, is_rate(measured) and not own_unit)


def visible_text(row: PowerRow | None, kind: type[Gate] | None) -> str:
    """What a gate can see, with its unit; a dash when it is unknown."""
    return "–" if row is None or kind is None else kind.seen_text(row)


def estimate_text(gate: GateResult, comparison: Comparison | None) -> str:
    """What a gate is about, with its interval: a paired difference, the candidate's own rate or mean, broken items."""
    return kind_of(gate.rule).estimate_text(gate, comparison)


def threshold_text(gate: GateResult, comparison: Comparison | None) -> str:
    """What the whole interval has to be: `> −5.0 pts`, `< 5.0 %`, `< 0.31`; of named items, `none broken`."""
    return kind_of(gate.rule).threshold_text(gate, comparison)


def paired_counts(comparison: Comparison) -> dict[str, int]:
    """Items by paired outcome. A metric that is not 0/1 has no right and wrong: its ties are `unchanged`."""
    ties = comparison.n - comparison.wins - comparison.losses
    if comparison.mcnemar_p is None or comparison.baseline is None:
        return {"unchanged": ties, "won": comparison.wins, "lost": comparison.losses}
    both_right = round(comparison.n * comparison.baseline) - comparison.losses
    won, lost = comparison.wins, comparison.losses
    return {"both right": both_right, "won": won, "lost": lost, "both wrong": ties - both_right}
