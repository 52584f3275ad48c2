"""What teachers are asked, and the rows in what they say.

`pairs`: a few seeds are shown as JSON lines, and more lines like them are wanted, with `request`, `answer` and the
plan's `fields`. `answers`: the request of a row, as the domain's task asks it, and the reply is the answer.
"""

import json
import random
import re
from collections.abc import Sequence
from typing import Any

from eval.common.errors import UserError
from eval.contracts.task import Row
from scripts.data.own_shapes import CHATS, Pair
from scripts.teachers.asking import Messages, Question
from scripts.teachers.settings import Plan

KINDS = {"str": "text", "int": "number", "float": "number", "bool": "true or false", "list": "list", "dict": "object",
         "NoneType": "null"}  # fmt: skip
MOST_BROKEN = 100  # objects of one reply that do not parse, before the rest is left unread
THOUGHT = "</think>"


def shown(pair: Pair, fields: Sequence[str]) -> Row:
    """A seed as teachers see it. UserError where it lacks one of the fields."""
    row = pair.line.row
    if lacking := [name for name in fields if name not in row]:
        raise UserError(
            f"{pair.line.where} has no `{lacking[0]}`, which the plan's `fields` want: add it, or leave it out"
        )
    return {"request": pair.request, "answer": pair.gold, **{name: row[name] for name in fields}}


class Schema:
    """What every new row has to have: the fields that all seeds share, of the kinds that they are of there."""

    def __init__(self, seeds: Sequence[Row]) -> None:
        names = [name for name in seeds[0] if all(name in seed for seed in seeds)]
        self.kinds = {name: {kind_of(seed[name]) for seed in seeds} for name in names}

    def problem(self, row: Row) -> str:
        """What is wrong with a row; empty where nothing is."""
        for name, kinds in self.kinds.items():
            if name not in row:
                return f"it has no `{name}`"
            if kind_of(row[name]) not in kinds:
                return f"its `{name}` is a {kind_of(row[name])}, not a {' or '.join(sorted(kinds))}"
        return ""

    def fitted(self, row: Row) -> Row:
        """The row without fields that no seed has."""
        return {name: row[name] for name in self.kinds}


def kind_of(value: Any) -> str:
    return KINDS[type(value).__name__]


def question_for_pairs(plan: Plan, system: str, schema: Schema, seeds: Sequence[Row], number: int) -> Question:
    """The question of that number: which seeds it shows follows from the plan's seed and the number alone."""
    drawn = random.Random(f"{plan.seed}/{number}").sample(list(seeds), min(plan.examples, len(seeds)))
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in drawn)
    names = ", ".join(json.dumps(name) for name in schema.kinds)
    says = [
        "You write training examples for a small model that has one task.",
        f"It is told: {system}" if system else "",
        plan.instructions.strip(),
        "Each example is right, complete, and different from all others in what it asks, not only in its names.",
    ]
    asks = (
        f"{len(drawn)} examples, one JSON object a line:\n{lines}\n\nWrite {plan.rows} new ones: one JSON object a "
        f"line, with the keys {names}, and nothing else."
    )
    messages = [{"role": "system", "content": "\n".join(filter(None, says))}, {"role": "user", "content": asks}]
    return Question(number, messages, (plan.seed + number) % 2**31, plan.rows)


def question_for_answer(plan: Plan, system: str, pair: Pair, number: int) -> Question:
    """The request of one row, as the domain's task asks it."""
    told = "\n".join(filter(None, (system, plan.instructions.strip())))
    messages: Messages = [{"role": "system", "content": told}] * bool(told) + [{"role": "user", "content": pair.prompt}]
    return Question(number, messages, plan.seed, 1)


def without_thoughts(text: str) -> str:
    """A reply without what a model thought aloud before it."""
    return text.rpartition(THOUGHT)[2].strip()


def objects_in(text: str) -> tuple[list[Row], int]:
    """The JSON objects in a reply, on lines of their own, in a list or between words; and how many do not parse."""
    text, found, broken, place = without_thoughts(text), list[Row](), 0, 0
    decoder = json.JSONDecoder()
    while (place := text.find("{", place)) >= 0 and broken < MOST_BROKEN:
        try:
            row, place = decoder.raw_decode(text, place)
            found.append(row)
        except (ValueError, RecursionError):
            broken += 1
            after = text.find("\n", place)
            place = len(text) if after < 0 else after
    return found, broken


FENCED = re.compile(r"\A```[^\n`]*\n(.*?)\n?```\Z", re.DOTALL)


def answer_in(text: str) -> str:
    """The answer in a reply: all of it, but for thoughts before and a fence around it."""
    text = without_thoughts(text)
    fenced = FENCED.match(text)
    return fenced.group(1).strip() if fenced and "```" not in fenced.group(1) else text


def with_answer(pair: Pair, answer: str) -> Row | None:
    """The row with another answer in place of its own; None where it is not known where that stands."""
    row = {name: value for name, value in pair.line.row.items() if name not in ("teacher", "merged")}
    for name in CHATS:
        if isinstance(row.get(name), list):
            turns = [dict(turn) for turn in row[name]]
            text = "content" if "content" in turns[-1] else "value"
            turns[-1][text] = answer
            return {**row, name: turns}
    holders = [name for name, value in row.items() if value == pair.gold]
    return {**row, holders[0]: answer} if len(holders) == 1 else None
