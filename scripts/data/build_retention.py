"""Build the test of general knowledge and the prompts of drift: `python -m scripts.data.build_retention [--check]`.

The story is `build`: load -> expand -> decontaminate -> render, with the rendering, writing and checking
of `scripts.data.build_data`. The same inputs always give the same bytes. An id comes from the question's own words, so
that it stays when items are added around it.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes, read_text
from scripts.data.build_data import SEED, Row, digest, manifest, render, run_build, shuffled
from scripts.data.build_safety import in_turn

DATA = ROOT / "data" / "retention"
OPTIONS = 4
SHARED_RUN = 6  # words in a row that a test item may not share with a training request


def build(folder: Path) -> dict[str, bytes]:
    """File name -> bytes of every derived file, MANIFEST.json included. Writes nothing. UserError for bad input."""
    questions, neutral = folder / "questions.yaml", folder / "neutral.yaml"
    tiers = {
        "questions": placed(in_turn(shuffled(question_rows(questions)))),
        "neutral": in_turn(shuffled(neutral_rows(neutral))),
    }
    decontaminate(tiers, trained_requests(folder.parent))
    files = {f"{name}.jsonl": render(rows) for name, rows in tiers.items()}
    files["MANIFEST.json"] = manifest(folder, [questions, neutral], tiers, files, system_prompt=None)
    return files


def load_lists(path: Path) -> dict[str, list[Any]]:
    """Name -> items of an authored file, every value as text (`7` and `no` are answers, not numbers or booleans)."""
    try:
        content = yaml.load(read_text(path), Loader=yaml.BaseLoader)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: it is the authored source") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: broken YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(items, list) and items for items in content.values()):
        raise UserError(f"{path}: a mapping of names to lists is expected")
    return content


def question_rows(path: Path) -> list[Row]:
    """One row a question, the right answer still first. UserError lists every malformed item."""
    rows, problems = [], []
    for category, items in load_lists(path).items():
        for number, item in enumerate(items, start=1):
            texts = isinstance(item, list) and all(isinstance(part, str) and part.strip() for part in item)
            if not texts or len(item) != 1 + OPTIONS:
                problems.append(f"{category} {number}: a question, its answer and {OPTIONS - 1} wrong ones expected")
                continue
            question, *choices = item
            if len({choice.strip().casefold() for choice in choices}) < OPTIONS:
                problems.append(f"{category} {number}: two options are equal")
            name = f"retention-{category}-{short(question)}"
            rows.append({"id": name, "question": question, "choices": choices, "answer": 0, "category": category})
    if problems:
        raise UserError(f"{path}: {'; '.join(problems)}")
    return rows


def placed(rows: list[Row]) -> list[Row]:
    """The right answer at each of the four places once in every four rows, so that no place is a good guess."""
    rng = random.Random(f"{SEED}/retention")
    result = []
    for index, row in enumerate(rows):
        if index % OPTIONS == 0:
            places = rng.sample(range(OPTIONS), OPTIONS)
        right, *wrong = row["choices"]
        place = places[index % OPTIONS]
        choices = rng.sample(wrong, len(wrong))
        choices.insert(place, right)
        result.append(row | {"choices": choices, "answer": place})
    return result


def neutral_rows(path: Path) -> list[Row]:
    """Rows of category `chat` with two messages, and of category `text` with a passage."""
    lists = load_lists(path)
    if set(lists) != {"chat", "text"}:
        raise UserError(f"{path}: the two lists chat and text are expected, not {', '.join(lists)}")
    rows: list[Row] = []
    for number, item in enumerate(lists["chat"], start=1):
        if not (isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) and part for part in item)):
            raise UserError(f"{path}: chat {number}: a request and a reply are expected")
        messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), item, strict=True)]
        rows.append({"id": f"chat-{short(item[0])}", "category": "chat", "messages": messages})
    for number, item in enumerate(lists["text"], start=1):
        if not isinstance(item, str) or len(item.split()) < 5:
            raise UserError(f"{path}: text {number}: a passage of five words or more is expected")
        rows.append({"id": f"text-{short(item)}", "category": "text", "text": item})
    return rows


def asked(row: Row) -> str:
    """The text of a row that must stand in no other."""
    return str(row.get("question") or row.get("text") or row["messages"][0]["content"])


def words(text: str) -> str:
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.casefold()).split()) or text


def short(text: str) -> str:
    return digest(words(text).encode())[:8]


def trained_requests(data: Path) -> Iterator[tuple[str, str]]:
    """Id and request of every training row of the project's datasets."""
    for path in sorted(data.glob("*/train.jsonl")):
        for line in read_bytes(path).splitlines():
            row = json.loads(line)
            yield row["id"], next(part["content"] for part in row["messages"] if part["role"] == "user")


def decontaminate(tiers: dict[str, list[Row]], trained: Iterator[tuple[str, str]]) -> None:
    """UserError when two rows ask the same, or a row shares SHARED_RUN words in a row with a training request."""
    problems = []
    for rows in tiers.values():
        counts = Counter(words(asked(row)) for row in rows)
        problems += [f"asked {count} times: {text}" for text, count in counts.items() if count > 1]
    runs = {run: name for name, request in trained for run in word_runs(request)}
    for row in (row for rows in tiers.values() for row in rows):
        shared = next((run for run in word_runs(asked(row)) if run in runs), None)
        if shared is not None:
            problems.append(f"{row['id']} shares `{' '.join(shared)}` with training row {runs[shared]}")
    if problems:
        raise UserError("; ".join(problems))


def word_runs(text: str) -> set[tuple[str, ...]]:
    """Every run of SHARED_RUN words; of a shorter text, the whole of it."""
    parts = words(text).split()
    return {tuple(parts[start : start + SHARED_RUN]) for start in range(max(1, len(parts) - SHARED_RUN + 1))}


def main(argv: Sequence[str] | None = None) -> int:
    return run_build(build, DATA, argv)


if __name__ == "__main__":
    run_command(main, "data")
