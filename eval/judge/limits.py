"""The limits that a gold sets: ages, sizes, counts, depths and reference files, read from its own words.

Copies get files just on either side of each (eval/judge/edges.py). What no copy can reach is named here too: there a
candidate that sets another limit cannot be told from the gold by running the two.
"""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from eval.judge.hints import SIZE_UNITS, command_words
from eval.judge.instants import DAY, MINUTE, WORD, with_instants
from eval.sandbox.trees import NOW

UNITS = {"-mtime": DAY, "-atime": DAY, "-mmin": MINUTE, "-amin": MINUTE}
MAX_SIZE = 4 << 20  # bytes of a file made for a limit: more would make every run on the copy slow
MAX_COUNT, MAX_DEPTH = 40, 6
LISTED = re.compile(r"\b(?:head|tail)\s+(?:-n\s*|-)(\d+)")
AGO = re.compile(r"(?<!\d)(\d+)\s*(min|hour|day|week|month|year)\w*\s+ago|^-(\d+)\s*(min|hour|day|week|month|year)\w*")
SPANS = {"min": MINUTE, "hour": 3600, "day": DAY, "week": 7 * DAY, "month": 30 * DAY, "year": 365 * DAY}
# A layout has one time for modification and access, and no time of change: what asks for those is never told apart.
ACCESSED = re.compile(r"(?<=\s)-(atime|amin|anewer|newera[atm])\b|--time=(atime|access|use)\b|%[xX]")
CHANGED = re.compile(r"(?<=\s)-(?:ctime|cmin|cnewer|newerc[ct])\s+\S+|--time=(?:ctime|status)\b|%[zZwW]")
# The state of the machine: it moves, but slowly, so that two runs may show the same.
MACHINE = re.compile(
    r"/proc/(?:loadavg|uptime|meminfo|stat|vmstat|diskstats|\w+/(?:stat|statm|status|io)|sys/(?:kernel/random|fs)/\w+)"
    r"|(?:^|[|;&(`]\s*)(?:uptime|free|vmstat|iostat|mpstat|top|ps|w|sar)(?![\w.=/-])"
)
SIZE_TEST = re.compile(r"-size\s+['\"]?([+-]?)(\d+)([cwbkMG]?)\b")


@dataclass(frozen=True)
class Limit:
    """One `find` test: `sign` is +, - or empty, `number` counts `unit` seconds or bytes."""

    sign: str
    number: int
    unit: int


@dataclass(frozen=True)
class Limits:
    """What a gold sets: ages, sizes, `-newer` files, moments (seconds since 1970), lines of a list, depth."""

    ages: tuple[Limit, ...] = ()
    sizes: tuple[Limit, ...] = ()
    newer: tuple[str, ...] = ()
    moments: tuple[int, ...] = ()
    listed: int = 0
    depth: int = 0

    @property
    def any(self) -> bool:
        return self != Limits()


def read_limits(gold: str) -> Limits:
    """The limits of one gold, in order of appearance."""
    ages: list[Limit] = []
    sizes: list[Limit] = []
    newer: list[str] = []
    moments: list[int] = []
    depth = 0
    words = command_words(gold)
    for before, word in pairwise(words):
        number = re.fullmatch(r"([+-]?)(\d{1,6})([cwbkMG]?)", word)
        if before in UNITS and number:
            ages.append(Limit(number[1], int(number[2]), UNITS[before]))
        elif before == "-size" and number:
            sizes.append(Limit(number[1], int(number[2]), SIZE_UNITS[number[3]]))
        elif before in ("-maxdepth", "-mindepth") and number:
            depth = max(depth, min(int(number[2]), MAX_DEPTH))
        elif before in ("-newer", "-anewer", "-newermm", "-neweram"):
            newer.append(word)
        elif re.fullmatch(r"-newer[am]t", before) and (moment := moment_of(word)) is not None:
            moments.append(moment)
    listed = [int(match) for match in LISTED.findall(gold)]
    return Limits(
        tuple(dict.fromkeys(ages)), tuple(dict.fromkeys(sizes)), tuple(newer), tuple(moments),
        max((count for count in listed if count <= MAX_COUNT), default=0), depth,
    )  # fmt: skip


def moment_of(text: str) -> int | None:
    """A date as `find -newermt` takes it, or `3 days ago`, in seconds since 1970; None for others."""
    if match := WORD.search(with_instants(text)):
        return int(match[2]) if match[1] == "time" else None
    midnight = int(datetime.fromtimestamp(NOW, UTC).replace(hour=0, minute=0, second=0).timestamp())
    named = {"today": NOW, "now": NOW, "yesterday": NOW - DAY, "today 00:00": midnight}
    if match := AGO.search(text):
        count, span = match[1] or match[3], match[2] or match[4]
        return NOW - int(count) * SPANS[span]
    return named.get(text)


def around_age(limit: Limit) -> list[float]:
    """Ages in seconds on either side of a limit and of the numbers around it, and one that each sign lets through.

    `find` counts whole units: n + 1 begins where the count passes n. Ages lie a quarter into a day, where days counted
    back from now and from midnight (-daystart) agree: nobody who asks for days means the hour.
    """
    n, unit = limit.number, limit.unit
    if unit == DAY:
        counts = [n - 0.75, n + 0.25, n + 1.25]
    else:
        counts = [n - 1.5, n - 0.5, n - 0.2, n + 0.2, n + 0.5, n + 1.2, n + 1.5]
    counts += [2 * n + 0.25, n / 2, 3 * n + 2.25]
    other = n * (MINUTE if unit == DAY else DAY)  # the same number in the other unit
    ages = [count * unit for count in counts] + [other * 0.9, other * 1.1 + MINUTE]
    return [age for age in dict.fromkeys(ages) if 5 <= age < 10 * 365 * DAY]


def passing_age(limit: Limit) -> float:
    n, unit = limit.number, limit.unit
    return max(5.0, {"+": n + 2.25, "-": 0.4 * n, "": n + (0.25 if unit == DAY else -0.5)}[limit.sign] * unit)


def around_size(limit: Limit) -> list[int]:
    """Sizes in bytes on either side of a limit, of its neighbours, and of the same number in other units."""
    n, unit = limit.number, limit.unit
    sizes = [n * unit - 1, n * unit, n * unit + 1]
    if n * unit <= 1 << 20:
        sizes += [(n - 1) * unit, (n - 1) * unit + 1, (n + 1) * unit, (n + 1) * unit + 1, 2 * n * unit, n * unit // 2]
        sizes += [n - 1, n, n + 1, *(n * other + more for other in (512, 1024) for more in (0, 1))]
    return [size for size in dict.fromkeys(sizes) if 0 <= size <= MAX_SIZE]


def passing_size(limit: Limit) -> int:
    n, unit = limit.number, limit.unit
    return max(0, {"+": n * unit + 1, "-": (n - 1) * unit, "": n * unit}[limit.sign])


def out_of_reach(command: str) -> Counter[str]:
    """Limits and times of a command that no copy puts to the test, as words that another command has or has not."""
    found = Counter("access" for _ in ACCESSED.finditer(command))
    found.update(" ".join(match.group().split()) for match in CHANGED.finditer(command))
    for sign, number, unit in SIZE_TEST.findall(command):
        if int(number) * SIZE_UNITS[unit] > MAX_SIZE:
            found[f"-size {sign}{number}{unit}"] += 1
    return found
