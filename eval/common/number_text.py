"""How numbers are written, the same in every report, figure, reason and terminal. Pure.

A rate is written in percent and its differences in percentage points; any other number in its own unit.
"""


def level_text(value: float | None, rate: bool) -> str:
    """A metric of one arm: `61.2 %`, or the number itself when it is no rate."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if rate else f"{value:.4g}".replace("-", "−")


def signed_text(value: float, rate: bool, sign: str = "+") -> str:
    """A difference without its unit; `sign` is "+" to mark gains too, "-" to mark losses only."""
    text = f"{100 * value:{sign}z.1f}" if rate else f"{value:{sign}z.3g}"
    return text.replace("-", "−")


def level_with_interval(value: float, interval: tuple[float, float] | None, rate: bool) -> str:
    """`0.6 % [0.0, 2.9]`."""
    if interval is None:
        return f"{level_text(value, rate)} [unknown]"
    low, high = (f"{100 * end:.1f}" if rate else level_text(end, False) for end in interval)
    return f"{level_text(value, rate)} [{low}, {high}]"


def signed_with_interval(value: float, interval: tuple[float, float] | None, rate: bool) -> str:
    """`+41.2 pts [34.0, 48.1]`."""
    text = signed_text(value, rate) + (" pts" if rate else "")
    if interval is None:
        return f"{text} [unknown]"
    low, high = (signed_text(end, rate, "-") for end in interval)
    return f"{text} [{low}, {high}]"


def p_text(p: float | None) -> str:
    """`0.031`, `<0.001`, or a dash."""
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
