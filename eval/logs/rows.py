"""What a log says, whatever its format: items, each with its values, and what was asked. Pure.

Somebody else's tools and models wrote all of it: names are made printable and short, texts are cut, and a value is a
finite number, nothing (invalid), or said not to be a number.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.common.errors import UserError
from eval.run.digests import json_sha256, text_sha256
from eval.run.records import finite, printable

LONGEST_NAME = 160  # characters of an id, a task or a metric; a longer one ends in its digest
LONGEST_TEXT = 4_000  # characters of a request or an answer that are kept for the report
LONGEST_FIELD = 1_000  # characters of a field that may group items
FEW = 3  # items that an error names


@dataclass(frozen=True)
class NotANumber:
    """A value that is no number, in words: `a list`."""

    said: str


Value = float | None | NotANumber  # None: invalid, as NaN and what nobody scored


@dataclass(frozen=True)
class Logged:
    """One item as one arm's log has it; each repeat is one.

    `question`: digest of what was asked and what is right, empty where the log does not say. `fields`: what may group
    items (cluster, category). `failed`: why nothing of it was scored; empty when something was.
    """

    task: str
    id: str
    repeat: int
    values: dict[str, Value]
    question: str = ""
    request: str = ""
    gold: str = ""
    answer: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    failed: str = ""


@dataclass
class Part:
    """What one file says. `versions`: of tasks. `higher`: by task and metric, whether more is better, where it says.

    `whole`: the tasks that this file is all of, so that no other file of the arm may hold them.
    """

    items: list[Logged] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    higher: dict[tuple[str, str], bool] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()


@dataclass
class Log:
    """One arm. `letter`: A or B. `name`: the last parts of its path. `files`: digest by name."""

    letter: str
    name: str
    format: str
    files: dict[str, str]
    items: list[Logged] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    higher: dict[tuple[str, str], bool] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """How errors call it: `A (base)`."""
        return f"{self.letter} ({self.name})"

    def tasks(self) -> dict[str, list[Logged]]:
        """Items by task, in the log's order."""
        found: dict[str, list[Logged]] = {}
        for item in self.items:
            found.setdefault(item.task, []).append(item)
        return found


def metrics_in(items: Iterable[Logged]) -> list[str]:
    """Every metric that an item has, in the order in which they are met."""
    return list(dict.fromkeys(metric for item in items for metric in item.values))


def number_of(value: Any) -> Value:
    """A value as written: true and false are 1 and 0; null, NaN and what cannot be computed with are invalid."""
    if value is None or isinstance(value, bool):
        return None if value is None else float(value)
    if isinstance(value, int | float):
        try:
            return finite(float(value))
        except OverflowError:
            return None
    return NotANumber(f"the text {value[:30]!a}" if isinstance(value, str) else f"a {type(value).__name__}")


def name_of(value: Any) -> str:
    """An id or name as records can hold it. What is too long keeps its beginning and gets the digest of all of it."""
    text = printable(value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False))
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 17]}~{text_sha256(text)[:16]}"


def text_of(value: Any) -> str:
    """A text for readers of the report; anything else as JSON. A long one keeps its beginning and more of its end: that
    is where the question stands after examples."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > LONGEST_TEXT:
        text = f"{text[: LONGEST_TEXT // 4]} [...] {text[-3 * LONGEST_TEXT // 4 :]}"
    return printable(text)


def digest_of(asked: Any) -> str:
    """Digest of what was asked: any JSON value, NaN and characters that are none included."""
    return text_sha256(printable(json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)))


def fields_of(*rows: Any) -> dict[str, str]:
    """The plain values of some mappings as texts, for cluster and category; of a name twice, the last. Empty texts
    group nothing."""
    found: dict[str, str] = {}
    for row in rows:
        for key, value in row.items() if isinstance(row, dict) else ():
            if isinstance(value, str | int | float) and value != "" and len(str(value)) <= LONGEST_FIELD:
                found[printable(str(key))] = printable(str(value))
    return found


def few(names: Sequence[str]) -> str:
    """`x, y, z and 12 more`."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def refuse(where: object, what: str, advice: str) -> UserError:
    """The one line for a log that cannot be used."""
    return UserError(f"{where}: {what}: {advice}")


def samples_sha256(items: Iterable[Logged]) -> str:
    """Digest of ids and of what was asked, in the order of ids: that of the same items in any log."""
    return json_sha256(sorted([item.id, item.repeat, item.question] for item in items))
