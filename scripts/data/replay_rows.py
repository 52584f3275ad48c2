"""Which of a base's own answers are trained on again, and how many of them: the rows of `make replay`.

    prompts = prompts_in(file, guards)
    rows, rejects = sifted(prompts, answers, guards)
    fit, long = fitting(rows, lengths, sequence_len)        what training would not drop
    chosen, added = draw(fit, own, share)                   the first rows that make up the share

An answer is left out when it is blank, was cut off, refuses, holds a credential or personal data, or when it asks or
tells what a test asks (scripts/data/build_replay.py). What is left are the base's words as they are: replay keeps what
the base does, mistakes included, and teaches nothing new.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.bash.refusals import is_refusal
from eval.common.errors import UserError
from eval.run.records import Generation
from scripts.data.build_replay import Guards
from scripts.data.own_files import shown
from scripts.data.own_lines import Reject
from scripts.data.stages import personal, secret
from scripts.data.token_counts import Length
from scripts.training.dataset_entries import BrokenRow, read_rows
from scripts.training.prepared_rows import LENGTH


@dataclass(frozen=True)
class Prompt:
    """A general request: its id, its kind, its text."""

    id: str
    category: str
    text: str


@dataclass(frozen=True)
class Replayed:
    """A general request with the base's own answer, as the checks of scripts/data/stages.py see rows."""

    number: int  # of its prompt
    asked: Prompt
    gold: str

    @property
    def where(self) -> str:
        return self.asked.id

    @property
    def request(self) -> str:
        return self.asked.text

    prompt = request

    def texts(self) -> Iterator[str]:
        yield from (self.asked.text, self.gold)

    def row(self) -> dict[str, Any]:
        """As Axolotl reads it; without a system message, as general requests come."""
        turns = [{"role": "user", "content": self.request}, {"role": "assistant", "content": self.gold}]
        return {"id": self.where, "messages": turns, "category": self.asked.category}

    def written(self) -> str:
        return str(self.row())


NONE = Length(0, 0, 0)


def prompts_in(file: Path, guards: Guards) -> list[Prompt]:
    """The general requests of a file. UserError for a row that is none, or that asks what a test asks."""
    found: list[Prompt] = []
    try:
        rows = list(read_rows(file))
    except BrokenRow as error:
        raise UserError(f'{file}: {error}: each line is {{"prompt": a general request}}') from None
    for where, row in rows:
        text = row.get("prompt") if isinstance(row, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise UserError(f'{file}: {where} has no `prompt`: each line is {{"prompt": a general request}}')
        if problem := guards.against_request(text):
            raise UserError(f"{file}: {where} {problem}: remove it, or the table of what was kept means nothing")
        found.append(Prompt(str(row.get("id", where)), str(row.get("category", "")), text))
    if not found or len({prompt.id for prompt in found}) < len(found):
        raise UserError(f"{file}: " + ("two lines have one id" if found else "holds no prompts"))
    return found


def sifted(
    prompts: Sequence[Prompt], answers: Mapping[str, Generation], guards: Guards
) -> tuple[list[Replayed], list[Reject]]:
    """The rows that may be trained on, in the order of the prompts, and why the others may not."""
    rows, rejects = [], []
    for number, prompt in enumerate(prompts, start=1):
        row = Replayed(number, prompt, answers[prompt.id].text.strip())
        stage, reason = fault(row, answers[prompt.id].finish, guards)
        if stage:
            rejects.append(Reject(number, prompt.id, stage, reason))
        else:
            rows.append(row)
    return rows, rejects


def fault(row: Replayed, finish: str, guards: Guards) -> tuple[str, str]:
    """The stage at which a row is left out, and the reason; twice empty for one that is fine."""
    if not row.gold:
        return "empty", "the base said nothing"
    if finish != "stop":
        return "cut off", "its answer did not end by itself"
    if is_refusal(row.gold):
        return "refusal", "the base refuses, which replay would teach"
    for stage, look in (("secret", secret), ("personal", personal)):
        if reason := look(row)[0]:
            return stage, reason
    if reason := guards.against_text(row.gold):
        return "test", f"its answer {reason}"
    return "", ""


def is_trained(length: Length, recipe: Mapping[str, Any]) -> bool:
    """Whether Axolotl trains on a row of this length: it drops longer ones than `sequence_len`, unless it may cut."""
    short = length.tokens <= int(recipe["sequence_len"]) or recipe.get("excess_length_strategy") == "truncate"
    return short and length.tokens >= 2 and length.learned > 0


def fitting(
    rows: Sequence[Replayed], lengths: Sequence[Length], longest: int
) -> tuple[list[tuple[Replayed, Length]], list[Reject]]:
    """The rows of at most `longest` tokens with their lengths, and the others."""
    fit, long = [], []
    for row, length in zip(rows, lengths, strict=True):
        if length.tokens > longest:
            long.append(Reject(row.number, row.where, "length", f"{LENGTH} ({longest})"))
        else:
            fit.append((row, length))
    return fit, long


def draw(rows: Sequence[tuple[Replayed, Length]], own: Length, share: float) -> tuple[list[Replayed], Length]:
    """The first rows with which `share` of all tokens that are learned are the base's, and what they add.

    `own`: what the recipe learns without them. A larger share begins with the rows of a smaller one. UserError where
    all rows together are a smaller share.
    """
    if not own.learned:
        raise UserError("no row of the recipe's datasets is learned: `make lint` says more")
    added = NONE
    for number, (_, length) in enumerate(rows, start=1):
        added += length
        if added.learned >= share * (added + own).learned:
            return [row for row, _ in rows[:number]], added
    most = 100 * added.learned / (added + own).learned
    raise UserError(
        f"SHARE={share:g} takes more than the {len(rows)} answers that may be used: they are {most:.1f} % of what is "
        "learned; take a smaller share, or more prompts with FILE="
    )


def entry_for(recipe: dict[str, Any], rows: Path, root: Path) -> dict[str, Any]:
    """How the copy names the rows: trained like the recipe's own chats."""
    first = next((one for one in recipe.get("datasets") or [] if isinstance(one, dict)), {})
    entry: dict[str, Any] = {"path": shown(rows, root), "type": "chat_template", "field_messages": "messages"}
    entry |= {"roles_to_train": ["assistant"]}
    return entry | ({"train_on_eos": first["train_on_eos"]} if "train_on_eos" in first else {})
