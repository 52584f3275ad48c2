"""How the numbers of a run are written, the same in every report, figure and terminal. Pure.

A metric that lies in 0..1 is written in percent and its differences in percentage points; any other in its own unit.
"""

from eval.run.metrics import Comparison, GateResult, Interval, PowerRow, SliceResult, is_rate

GateRow = tuple[GateResult, Comparison | None]
SYMBOLS = {"pass": "✓", "fail": "✕", "inconclusive": "?"}


def with_about(gate: GateResult) -> GateResult:
    """The gate, saying that it is about a rate: files of an earlier version do not say it, and their rule does."""
    return gate.model_copy(update={"about": "rate"}) if gate.rule in ("max_rate", "min_rate") else gate


def counts_harm(gate: GateResult) -> bool:
    """Whether the gate's metric counts what should not happen, so that a candidate that scores less has won.

    Of named items the good side is "below" too: there it is breaks that are counted, not the metric.
    """
    return gate.good == "below" and gate.about != "items"


def level_text(value: float | None, rate: bool) -> str:
    """A metric of one arm: `61.2 %`, or the number itself when it is no rate."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if rate else f"{value:.4g}".replace("-", "−")


def signed_text(value: float, rate: bool, sign: str = "+") -> str:
    """A difference without its unit; `sign` is "+" to mark gains too, "-" to mark losses only."""
    text = f"{100 * value:{sign}z.1f}" if rate else f"{value:{sign}z.3g}"
    return text.replace("-", "−")


def difference_text(measured: Comparison | SliceResult | None, own_unit: bool = False) -> str:
    """`+41.2 pts [34.0, 48.1]`: the difference and its interval."""
    if measured is None or measured.difference is None:
        return "–"
    return _signed_with_interval(measured.difference, measured.interval, is_rate(measured) and not own_unit)


def visible_text(row: PowerRow | None) -> str:
    """What a gate can see: a distance in points, or a rate; a dash when it is unknown or nothing differed."""
    if row is None or row.detectable is None or row.discordance == 0:
        return "–"
    return f"{100 * row.detectable:.1f} pts" if row.discordance is not None else f"{100 * row.detectable:.1f} %"


def estimate_text(gate: GateResult, comparison: Comparison | None) -> str:
    """What a gate is about, with its interval: a paired difference, the candidate's own rate or mean, broken items.

    Of a sliced gate it is the worst slice.
    """
    if gate.estimate is None:
        return "–" if gate.about != "difference" else difference_text(comparison)
    if gate.about == "items":
        return f"{gate.estimate:.0f} broken"
    if gate.about == "difference":
        return _signed_with_interval(gate.estimate, gate.interval, is_rate(comparison))
    rate = gate.about == "rate"
    if gate.interval is None:
        return f"{level_text(gate.estimate, rate)} [unknown]"
    low, high = ((f"{100 * end:.1f}" if rate else level_text(end, False)) for end in ends(gate.interval))
    return f"{level_text(gate.estimate, rate)} [{low}, {high}]"


def threshold_text(gate: GateResult, comparison: Comparison | None) -> str:
    """What the whole interval has to be: `> −5.0 pts`, `< 5.0 %`, `< 0.31`; of named items, `none broken`."""
    if gate.about == "items":
        return "none broken"
    side = ">" if gate.good == "above" else "<"
    if gate.about == "difference":
        rate = is_rate(comparison)
        return f"{side} {signed_text(gate.threshold, rate)}{' pts' if rate else ''}"
    return f"{side} {level_text(gate.threshold, gate.about == 'rate')}"


def p_text(p: float | None) -> str:
    """`0.031`, `<0.001`, or a dash."""
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def paired_counts(comparison: Comparison) -> dict[str, int]:
    """Items by paired outcome. A metric that is not 0/1 has no right and wrong: its ties are `unchanged`."""
    ties = comparison.n - comparison.wins - comparison.losses
    if comparison.mcnemar_p is None or comparison.baseline is None:
        return {"unchanged": ties, "won": comparison.wins, "lost": comparison.losses}
    both_right = round(comparison.n * comparison.baseline) - comparison.losses
    won, lost = comparison.wins, comparison.losses
    return {"both right": both_right, "won": won, "lost": lost, "both wrong": ties - both_right}


def _signed_with_interval(value: float, interval: Interval | None, rate: bool) -> str:
    text = signed_text(value, rate) + (" pts" if rate else "")
    if interval is None:
        return f"{text} [unknown]"
    low, high = (signed_text(end, rate, "-") for end in ends(interval))
    return f"{text} [{low}, {high}]"
