"""Does a recipe train on what it will be tested on?

    leakage_problems(recipe, root)   ->  ["datasets[0].path: x.jsonl: line 7 asks what data/.../test_known.jsonl asks"]
    compared_with(root)              ->  {"data/nl2bash/test_known.jsonl": sha256, ...}

A row counts as a test's when one of its texts (a turn of a chat, a column, or a line of either) is a request of a test
set word for word; case, spaces and marks at the ends do not matter. The right answers are no evidence: `ls -l` answers
many requests, and shapes of commands are meant to occur in both. Validation rows count like training rows, since they
choose the checkpoint.

Not covered: a request in other words or with another file name, one inside a longer line, rows of a Hub dataset.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.common.reading import read_bytes
from eval.run.digests import file_sha256
from scripts.training.dataset_entries import START, Entry, inputs, read_rows, shown_path

TESTS = (
    "data/nl2bash/test*.jsonl",
    "data/safety/adversarial.jsonl",
    "data/safety/over_refusal.jsonl",
    "data/retention/questions.jsonl",
    "data/retention/neutral.jsonl",
)
SHORTEST = 8  # letters: below, a text such as `yes` is no request


def normal(text: str) -> str:
    """A request without what does not change it."""
    return " ".join(text.split()).casefold().strip(" .!?:;")


def committed_tests(root: Path) -> list[Path]:
    """The committed test sets."""
    return sorted(path for pattern in TESTS for path in root.glob(pattern))


def compared_with(root: Path) -> dict[str, str]:
    """Digest of each test set by its path: what a training was compared with."""
    return {str(path.relative_to(root)): file_sha256(path) for path in committed_tests(root)}


def requests(root: Path) -> dict[str, tuple[str, str]]:
    """Each request of the tests, normalised, with the file and the id of its row."""
    found: dict[str, tuple[str, str]] = {}
    for path in committed_tests(root):
        for line in read_bytes(path).splitlines():
            row = json.loads(line)
            asked = [turn["content"] for turn in row.get("messages") or [] if turn["role"] == "user"]
            for text in [*asked, row.get("question"), row.get("text")]:
                if text and len(normal(text)) >= SHORTEST:
                    found.setdefault(normal(text), (str(path.relative_to(root)), str(row.get("id"))))
    return found


def leakage_problems(recipe: dict[str, Any], root: Path) -> list[str]:
    """One line for each dataset with rows of a test set: how many, and the first."""
    entries = [(entry, entry.files(root)) for entry in inputs(recipe) if entry.role != START]
    asked = requests(root) if any(files for _, files in entries) else {}
    problems = []
    for entry, files in entries:
        if hits := list(leaked(entry, files or [], asked)):
            file, where, (test, sample) = hits[0]
            name = shown_path(file, root)
            also = f", and so do {len(hits) - 1:,} more rows" if len(hits) > 1 else ""
            problems.append(
                f"{entry.where}.path: {name}: {where} asks what {test} asks ({sample}){also}; "
                "remove what belongs to a test"
            )
    return problems


def leaked(
    entry: Entry, files: list[Path], asked: dict[str, tuple[str, str]]
) -> Iterator[tuple[Path, str, tuple[str, str]]]:
    """Each row that asks what a test asks: file, line or row, and the test's file and row."""
    for file in files:
        for where, row in read_rows(file, entry.given):
            if found := asked_by_test(row, asked):
                yield file, where, found


def asked_by_test(row: Any, asked: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """File and id of a test's row that asks what this row holds; None when no test does."""
    return next((asked[normal(text)] for text in texts(row) if normal(text) in asked), None)


def texts(row: Any) -> Iterator[str]:
    """Every text in a row, at any depth, and each of its lines."""
    if isinstance(row, str):
        yield row
        if "\n" in row:
            yield from row.split("\n")
    elif isinstance(row, dict | list):
        for part in row.values() if isinstance(row, dict) else row:
            yield from texts(part)
