"""Does a recipe train on what it will be tested on?

    leakage_problems(recipe, root)   ->  ["datasets[0].path: x.jsonl: line 7 asks what data/.../test_known.jsonl asks"]
    compared_with(root)              ->  {"data/nl2bash/test_known.jsonl": sha256, ...}

A row counts as a test's when one of its texts (a turn of a chat, a column, or a line of either) is a request of a test
set, word for word or nearly (NEAR); case, spaces and marks at the ends do not matter. The right answers are no
evidence: `ls -l` answers many requests, and shapes of commands are meant to occur in both. Validation rows count like
training rows, since they choose the checkpoint.

Test sets are the committed ones, the package's rows of InterCode-ALFA, and `test*.jsonl` of every domain of one's own:
those below domains/ and the one whose folder holds the recipe. Their code is not run for that.

Not covered: a request in other words or with quite another name in it, one inside a longer line (`make data CONFIG=`
looks for both), rows of a Hub dataset, lm-eval's own benchmarks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from eval.common.errors import UserError
from eval.common.json_rows import rows_of
from eval.common.reading import read_bytes
from eval.contracts.guest_folder import MODULE
from eval.run.digests import file_sha256, json_sha256
from scripts.data.alike import NearTexts, near_texts, normal
from scripts.training.dataset_entries import START, Entry, inputs, read_rows, shown_path

TESTS = (
    "data/nl2bash/test*.jsonl",
    "data/safety/adversarial.jsonl",
    "data/safety/over_refusal.jsonl",
    "data/retention/questions.jsonl",
    "data/retention/neutral.jsonl",
)
ALFA = "intercode_alfa"  # how the package's rows are called
ASKING = ("question", "text", "prompt", "request", "instruction", "nl", "query", "input")  # columns that may ask
# Five words that two people wrote: "print the number of processors" is also a training row of data/nl2bash, which the
# committed demo is bound to. To be worded anew when the demo is trained again; `make data CONFIG=` leaves it out.
COINCIDENCES = frozenset({(ALFA, "alfa-86")})
SHORTEST = 8  # letters: below, a text such as `yes` is no request
# Of all grams of the two. The nearest committed training request has 0.82 (`tcp` for `udp`, another command); a word in
# front of a request of 90 letters leaves 0.9.
NEAR = 0.85
REMEMBERED = 65_536  # texts: a system message stands in every row, and rows are compared more than once


class Found(NamedTuple):
    """The test that a text asks: its file, the id of its row, and whether only nearly."""

    test: str
    sample: str
    nearly: bool = False

    @property
    def asks(self) -> str:
        """What a row does, for a message: `nearly asks what FILE asks`."""
        return f"{'nearly ' * self.nearly}asks what {self.test} asks"


@dataclass
class Asked:
    """The requests of test sets, normalised, with the file and the id of the first row of each."""

    requests: dict[str, tuple[str, str]]
    known: dict[str, Found | None] = field(default_factory=dict)

    def beside(self, more: Iterable[tuple[str, str, str]]) -> "Asked":
        """These and more: a test's file, a row's id, what it asks. A text too short to be a request is left out."""
        found = dict(self.requests)
        for test, sample, text in more:
            if len(normal(text)) >= SHORTEST:
                found.setdefault(normal(text), (test, sample))
        return Asked(found)

    @cached_property
    def near(self) -> tuple[list[str], NearTexts]:
        texts = list(self.requests)
        return texts, near_texts(tuple(texts), NEAR)

    def find(self, text: str) -> Found | None:
        """The test that asks this, or nearly this."""
        plain = normal(text)
        if len(plain) < SHORTEST:
            return None
        if plain in self.requests:
            return Found(*self.requests[plain])
        if plain not in self.known:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            requests, near = self.near
            place = near.find(plain)
            self.known[plain] = None if place is None else Found(*self.requests[requests[place]], nearly=True)
        return self.known[plain]


def committed_tests(root: Path) -> list[Path]:
    """The committed test sets."""
    return sorted(path for pattern in TESTS for path in root.glob(pattern))


def guest_tests(root: Path, beside: Path | None) -> list[Path]:
    """Test sets of domains of one's own: those below domains/, and the one in the folder `beside`."""
    folders = {module.parent.resolve() for module in root.glob(f"domains/*/{MODULE}")}
    if beside is not None and (beside / MODULE).is_file():
        folders.add(beside.resolve())
    return sorted(path for folder in folders for path in folder.glob("test*.jsonl"))


def alfa_rows() -> list[dict[str, Any]]:
    """InterCode-ALFA's rows; none where its package is not installed, whose suites then cannot run either."""
    from eval.tasks.intercode_alfa.rows import documents

    try:
        return documents()
    except UserError:
        return []


def compared_with(root: Path) -> dict[str, str]:
    """Digest of each test set by its path: what a training was compared with."""
    committed = {str(path.relative_to(root)): file_sha256(path) for path in committed_tests(root)}
    rows = alfa_rows()
    return {**committed, ALFA: json_sha256(rows)} if rows else committed


def requests(root: Path, guests: Iterable[Path] = (), but: frozenset[tuple[str, str]] = COINCIDENCES) -> Asked:
    """The requests of the committed tests, of InterCode-ALFA, and of the files `guests`; without the rows `but`.

    Made once in a process, for as long as the files hold the same bytes.
    """
    sets = [(path, shown_path(path.resolve(), root), file_sha256(path)) for path in (*committed_tests(root), *guests)]
    return _requests(tuple(sets), but)


@lru_cache(maxsize=4)
def _requests(sets: tuple[tuple[Path, str, str], ...], but: frozenset[tuple[str, str]]) -> Asked:
    """Of files with their names and digests."""
    rows = [(name, test_rows(path)) for path, name, _ in sets] + [(ALFA, alfa_rows())]
    return Asked({}).beside(
        (name, sample, text)
        for name, found in rows
        for place, row in enumerate(found, start=1)
        if (name, sample := str(row.get("id", f"row {place}"))) not in but
        for text in asked_in(row)
    )


def test_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a test set. UserError when one cannot be read."""
    try:
        return rows_of(read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path} {error}: mend this test set, so that rows can be compared with it") from None


def asked_in(row: dict[str, Any]) -> Iterator[str]:
    """What a row of a test asks: the user's turns of a chat, and each column of ASKING; `query` where it stands alone,
    since beside a question it is the answer in SQL."""
    turns = row.get("messages")
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, dict) and turn.get("role") == "user" and isinstance(turn.get("content"), str):
            yield turn["content"]
    columns = [name for name in ASKING if isinstance(row.get(name), str)]
    yield from (row[name] for name in columns if name != "query" or columns == ["query"])


def leakage_problems(recipe: dict[str, Any], root: Path, beside: Path | None = None) -> list[str]:
    """One line for each dataset with rows of a test set: how many, and the first. `beside`: the recipe's folder."""
    entries = [(entry, entry.files(root)) for entry in inputs(recipe) if entry.role != START]
    asked = requests(root, guest_tests(root, beside)) if any(files for _, files in entries) else Asked({})
    problems = []
    for entry, files in entries:
        if hits := list(leaked(entry, files or [], asked)):
            file, where, found = hits[0]
            name = shown_path(file, root)
            also = f", and so do {len(hits) - 1:,} more rows" if len(hits) > 1 else ""
            problems.append(
                f"{entry.where}.path: {name}: {where} {found.asks} ({found.sample}){also}; "
                "remove what belongs to a test, as `make data FILE=` does"
            )
    return problems


def leaked(entry: Entry, files: list[Path], asked: Asked) -> Iterator[tuple[Path, str, Found]]:
    """Each row that asks what a test asks: file, line or row, and the test's file and row."""
    for file in files:
        for where, row in read_rows(file, entry.given):
            if found := asked_by_test(row, asked):
                yield file, where, found


def asked_by_test(row: Any, asked: Asked) -> Found | None:
    """The first test's row that asks what this row holds; None when no test does."""
    return next((found for text in texts(row) if (found := asked.find(text))), None)


def texts(row: Any) -> Iterator[str]:
    """Every text in a row, at any depth, and each of its lines."""
    if isinstance(row, str):
        yield row
        if "\n" in row:
            yield from row.split("\n")
    elif isinstance(row, dict | list):
        for part in row.values() if isinstance(row, dict) else row:
            yield from texts(part)
