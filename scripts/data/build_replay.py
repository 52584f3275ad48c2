"""Build the general requests of replay: `python -m scripts.data.build_replay [--check]`.

The story is `build`: load -> fill in -> decontaminate -> render, with the rendering, writing and checking of
`scripts.data.build_data`. No answer is in here: a base gives its own (`make replay`). What is trained on must not be
what knowledge, drift or any other test is measured by, so the builder refuses a request that

- asks what a test set asks: word for word, nearly, with other names, or inside a longer text (scripts/data/stages.py);
- has every content word of a test's question about knowledge, or of a prompt of drift (`Subjects`);
- shares six words in a row with a training request, or speaks of a shell: the domain is trained by its own rows.

Not noticed: the same subject in quite other words.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from scripts.data.build_data import Row, manifest, render, run_build, shuffled
from scripts.data.build_retention import asked, load_lists, short, trained_requests, word_runs
from scripts.data.build_safety import in_turn
from scripts.data.stages import InTests
from scripts.training.leakage import NEAR, requests, test_rows

DATA = ROOT / "data" / "replay"
TESTS_OF_PRODUCTS = "products/*/test*.jsonl"
# Words that say nothing of the subject.
COMMON = frozenset(
    re.findall(
        r"\w+",
        """
    a an the of in on at to for from by with and or is are was were be been do does did how what which who whom whose
    why when where i you we it he she they my your our me us this that these those can could should would will give
    tell explain describe called mean make have has not as if so than then there some any about
        """,
    )
)
SHELL = re.compile(
    r"\b(shell|bash|zsh|terminals?|command[ -]lines?|sudo|grep|unix|linux|director(?:y|ies)|filenames?)\b", re.I
)


class Subjects:
    """What the questions about knowledge and the prompts of drift are about: their content words."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.known = [(row["id"], subject(asked(row)), subject(right_option(row))) for row in rows]

    def asked_in(self, text: str) -> str | None:
        """The id of a row whose whole subject is in a request."""
        words = subject(text)
        return next((name for name, question, _ in self.known if question and question <= words), None)

    def told_in(self, text: str) -> str | None:
        """The id of a question whose whole subject stands in a text together with its right option."""
        words = subject(text)
        return next((name for name, question, right in self.known if right and question | right <= words), None)


def subject(text: str) -> frozenset[str]:
    """The content words of a text, without the `s` of a plural."""
    words = re.findall(r"\w+", text.casefold())
    return frozenset(re.sub(r"(?<=\w\w)s$", "", word) for word in words if word not in COMMON)


def right_option(row: dict[str, Any]) -> str:
    return str(row["choices"][row["answer"]]) if "choices" in row else ""


def build(folder: Path, root: Path = ROOT) -> dict[str, bytes]:
    """File name -> bytes of every derived file, MANIFEST.json included. Writes nothing. UserError for bad input."""
    source = folder / "prompts.yaml"
    rows = in_turn(shuffled(prompt_rows(source)))
    guards = Guards.of(root)
    found = [(row["prompt"], guards.against_request(row["prompt"])) for row in rows]
    if problems := [f"`{text}` {problem}" for text, problem in found if problem]:
        raise UserError(f"{source}: {'; '.join(problems)}")
    tiers = {"prompts": rows}
    files = {"prompts.jsonl": render(rows)}
    files["MANIFEST.json"] = manifest(folder, [source], tiers, files, system_prompt=None)
    return files


def prompt_rows(path: Path) -> list[Row]:
    """A row for each request. UserError for an entry that is misshapen, or for two equal requests."""
    rows: list[Row] = []
    for category, entries in load_lists(path).items():
        for entry in entries:
            whole = isinstance(entry, dict) and set(entry) == {"ask", "it"} and isinstance(entry["it"], list)
            if not whole or "$it" not in entry["ask"]:
                raise UserError(f"{path}: {category}: `ask` with $it in it, and a list `it`, are expected")
            texts = [Template(entry["ask"]).substitute(it=value) for value in entry["it"]]
            rows += [{"id": f"replay-{short(text)}", "category": category, "prompt": text} for text in texts]
    if twice := [name for name, count in Counter(row["id"] for row in rows).items() if count > 1]:
        raise UserError(f"{path}: two requests are one: {', '.join(twice)}")
    return rows


@dataclass(frozen=True)
class Guards:
    """What a request, or an answer, must not be about."""

    tests: InTests
    subjects: Subjects
    trained: dict[tuple[str, ...], str]

    @classmethod
    def of(cls, root: Path, guests: Sequence[Path] = ()) -> "Guards":
        """Those of a repository, its products included, and of the test sets `guests`."""
        known = requests(root, [*sorted(root.glob(TESTS_OF_PRODUCTS)), *guests])
        kept = [root / "data" / "retention" / f"{name}.jsonl" for name in ("questions", "neutral")]
        runs = {run: name for name, request in trained_requests(root / "data") for run in word_runs(request)}
        return cls(InTests(known, NEAR, forms=True), Subjects([row for path in kept for row in test_rows(path)]), runs)

    def against_request(self, text: str) -> str:
        """Why a request is not general, or is a test's; empty where nothing is to be said."""
        if name := self.subjects.asked_in(text):
            return f"is about what {name} asks"
        if run := next((run for run in sorted(word_runs(text)) if run in self.trained), None):
            return f"shares `{' '.join(run)}` with training row {self.trained[run]}"
        return self.against_text(text)

    def against_text(self, text: str) -> str:
        """The same for any text: that of a test, one that tells what a test asks, or one about a shell."""
        if (found := self.tests.of_text(text))[0]:
            return " ".join(found).strip()
        if name := self.subjects.told_in(text):
            return f"tells what {name} asks"
        if found_word := SHELL.search(text):
            return f"speaks of `{found_word.group()}`"
        return ""


def main(argv: Sequence[str] | None = None) -> int:
    return run_build(build, DATA, argv)


if __name__ == "__main__":
    run_command(main, "data")
