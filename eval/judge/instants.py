"""Instants in an output, by what they mean: every common way to write a date or a time, read as seconds.

The clock of the sandbox stands still and the times of files are given, so an instant is a fact like any other: two
commands that show another instant show something else, however alike the words are. Only how it is written, and how
exactly, is presentation. An instant becomes one word that holds its start and its length in seconds.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from eval.sandbox.trees import NOW

WEEKDAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s*[AP]M)?"
ZONE = r"(?:\s*(?:UTC|GMT|Z\b|[+-]\d{2}:?\d{2}))"
# ISO (T, blank, + or ~ between), ls -l, date, date -R, seconds since 1970, a clock alone.
INSTANT = re.compile(
    rf"\b(?P<iso>\d{{4}}-\d{{2}}-\d{{2}})(?:[T +~-]{{1,2}}(?P<iso_clock>{CLOCK})(?P<iso_zone>{ZONE})?)?"
    rf"|(?:\b{WEEKDAY}\s+)?\b(?P<month>{MONTH})\s+(?P<day>\d{{1,2}})\s+"
    rf"(?:(?P<clock>{CLOCK})(?P<zone>{ZONE})?(?:\s+(?P<late_year>\d{{4}})\b)?|(?P<year>\d{{4}})\b)"
    rf"|(?:\b{WEEKDAY}\s+)?\b(?P<day2>\d{{1,2}})\s+(?P<month2>{MONTH})\s+(?P<year2>\d{{4}})"
    rf"(?:\s+(?P<clock2>{CLOCK})(?P<zone2>{ZONE})?)?"
    rf"|\b(?P<epoch>1[5-9]\d{{8}})(?:\.\d+)?\b"
    rf"|\b(?P<time>\d{{1,2}}:\d{{2}}:\d{{2}})(?:\.\d+)?{ZONE}?"
)
WORD = re.compile(r"<(time|clock):(\d+)\+(\d+)>")
DAY, MINUTE = 86400, 60


@lru_cache(maxsize=8)  # of what is being compared: many rules ask, and 6,000 lines take a tenth of a second
def with_instants(text: str) -> str:
    """The text with each instant as one word of its meaning: `<time:START+LENGTH>`, seconds since 1970."""
    return INSTANT.sub(lambda match: meaning(match) or match.group(), text)


def meaning(match: re.Match[str]) -> str | None:
    """The word for one match of INSTANT; None when its numbers are no date (month 13)."""
    part = match.groupdict()
    if part["epoch"]:
        return f"<time:{part['epoch']}+1>"
    if part["time"]:
        seconds, _ = clock_seconds(part["time"])
        return f"<clock:{seconds}+1>"
    try:
        if part["iso"]:
            day = datetime.strptime(part["iso"], "%Y-%m-%d").replace(tzinfo=UTC)
            clock, zone = part["iso_clock"], part["iso_zone"]
        else:
            number = MONTHS.index((part["month"] or part["month2"])[:3].lower()) + 1
            year = part["year"] or part["year2"] or part["late_year"]
            date = int(part["day"] or part["day2"])
            day = datetime(int(year), number, date, tzinfo=UTC) if year else latest(number, date)
            clock, zone = part["clock"] or part["clock2"], part["zone"] or part["zone2"]
    except ValueError:
        return None
    seconds, length = clock_seconds(clock) if clock else (0, DAY)
    start = day + timedelta(seconds=seconds) - offset(zone)
    return f"<time:{max(0, int(start.timestamp()))}+{length}>"


def latest(month: int, day: int) -> datetime:
    """The last day of that name that is not in the future: ls leaves out the year of recent files."""
    now = datetime.fromtimestamp(NOW, UTC)
    found = datetime(now.year, month, day, tzinfo=UTC)
    return found if found <= now else datetime(now.year - 1, month, day, tzinfo=UTC)


def clock_seconds(clock: str) -> tuple[int, int]:
    """Seconds since midnight, and how many seconds the words leave open: 60 without seconds, else 1."""
    digits = [int(part) for part in re.findall(r"\d+", clock)[:3]]
    hours = digits[0] % 12 + 12 * ("PM" in clock) if clock.endswith("M") else digits[0]
    return hours * 3600 + digits[1] * 60 + (digits[2] if len(digits) > 2 else 0), 1 if len(digits) > 2 else MINUTE


def offset(zone: str | None) -> timedelta:
    """What a zone is ahead of UTC, in which the sandbox lives."""
    match = re.search(r"([+-])(\d{2}):?(\d{2})", zone or "")
    if match is None:
        return timedelta()
    ahead = timedelta(hours=int(match.group(2)), minutes=int(match.group(3)))
    return timezone(ahead if match.group(1) == "+" else -ahead).utcoffset(None)


def same_instant(one: str, two: str) -> bool:
    """Both words are instants, and one moment fits both: `12:00` and `12:00:30` do."""
    first, second = WORD.fullmatch(one), WORD.fullmatch(two)
    if first is None or second is None or first.group(1) != second.group(1):
        return False
    (a, long_a), (b, long_b) = ((int(match.group(2)), int(match.group(3))) for match in (first, second))
    return max(a, b) < min(a + long_a, b + long_b)


def without_value(word: str) -> str:
    """The word for sorting: instants all alike, so that how exactly one is written moves no line."""
    return WORD.sub(r"<\1>", word)
