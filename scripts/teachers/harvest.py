"""The rows in the replies: each is kept, or left out with a reason. Which are kept follows from the replies alone.

harvest = Harvest(plan, checks, seeds)
new = harvest.take(reply, facts)            rows that are kept, in the order of the journal
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from eval.contracts.task import Row
from eval.run.digests import text_sha256
from scripts.data.own_lines import Line, Reject, unsound
from scripts.data.own_shapes import Misshapen, Pair
from scripts.teachers.asking import Reply
from scripts.teachers.checks import Checks, Requests
from scripts.teachers.prompts import Schema, answer_in, objects_in, shown, with_answer
from scripts.teachers.settings import Plan

REMOVED = re.compile(r"\[[^\[\]]{1,60} removed\]")  # what eval/run/secret_patterns.py leaves in place of a credential


class Harvest:
    """What is kept of an expansion so far. `limits`: the most rows of each teacher."""

    def __init__(self, plan: Plan, checks: Checks, seeds: Sequence[Pair], limits: Mapping[str, int]) -> None:
        self.plan, self.checks, self.limits = plan, checks, limits
        self.schema = Schema([shown(pair, plan.fields) for pair in seeds])
        self.requests = Requests(near=plan.dedupe == "near")
        if plan.ask == "pairs":
            for pair in seeds:
                self.requests.add(pair.request, f"seed, {pair.line.where}")
        self.asked = {id_of(pair): pair for pair in seeds}
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self.kept: Counter[str] = Counter()

    def take(self, reply: Reply, facts: Mapping[str, Any]) -> int:
        """How many new rows a reply gives."""
        before = len(self.rows)
        where = f"{reply.arm}, reply {reply.sample}"
        if reply.finish == "length" and self.plan.ask == "answers":
            self._reject(where, "reply", "its answer was cut off at max_tokens")
            return 0
        found = self._of_pairs(reply, where) if self.plan.ask == "pairs" else self._of_answers(reply, where)
        for place, row in enumerate(found, start=1):
            self._row(reply, facts, f"{where}, row {place}" if self.plan.ask == "pairs" else where, row)
        return len(self.rows) - before

    def _of_pairs(self, reply: Reply, where: str) -> list[Row]:
        found, broken = objects_in(reply.text)
        if broken:
            self._reject(where, "reply", "a row in it is no JSON, or cut off")
        if not found and not broken:
            self._reject(where, "reply", "there is no JSON object in it")
        return found

    def _of_answers(self, reply: Reply, where: str) -> list[Row]:
        pair = self.asked.get(reply.sample)
        row = None if pair is None else with_answer(pair, answer_in(reply.text))
        if row is None:
            self._reject(where, "reply", "its row has no place for another answer")
        return [] if row is None else [row]

    def _row(self, reply: Reply, facts: Mapping[str, Any], where: str, row: Row) -> None:
        problem = unsound(row) or (self.schema.problem(row) if self.plan.ask == "pairs" else "")
        if problem:
            return self._reject(where, "schema", problem)
        if reply.redacted and REMOVED.search(json.dumps(row, ensure_ascii=False)):
            return self._reject(where, "secret", "held a credential, which was removed before it was stored")
        fitted = self.schema.fitted(row) if self.plan.ask == "pairs" else row
        try:
            pair = self.checks.read(Line(len(self.rows) + 1, where, fitted))
        except Misshapen as error:
            return self._reject(where, "shape", str(error))
        if self.plan.ask == "pairs" and (found := self.requests.seen(pair.request))[0]:
            return self._reject(where, "duplicate", *found)
        if wrong := self.checks.problem(pair):
            return self._reject(where, *wrong)
        if self.kept[reply.arm] < self.limits[reply.arm]:
            self.requests.add(pair.request, where)
            self.kept[reply.arm] += 1
            self.rows.append(self._written(pair, fitted, reply, facts))
        return None

    def _written(self, pair: Pair, row: Row, reply: Reply, facts: Mapping[str, Any]) -> Row:
        maker = {**facts, "served": reply.served, "seed": reply.seed, "prompt_sha256": reply.prompt_sha256}
        maker["reply"] = reply.sample
        name = id_of(pair) if self.plan.ask == "pairs" else f"{reply.sample}-{reply.arm}"
        return {"id": name, **{key: value for key, value in row.items() if key != "id"}, "teacher": maker}

    def _reject(self, where: str, stage: str, reason: str, detail: str = "") -> None:
        self.rejects.append(Reject(len(self.rejects) + 1, where, stage, reason, detail))


def id_of(pair: Pair) -> str:
    """A name for a row: its own, else a digest of what it asks and answers."""
    own = pair.line.row.get("id")
    text = f"{pair.prompt}\0{pair.gold}"
    return str(own) if own else f"row-{text_sha256(text)[:16]}"


def limits_for(plan: Plan, wanted: int) -> dict[str, int]:
    """How many rows each teacher is to give: by its share, and `wanted` together."""
    if plan.ask == "answers":
        return {teacher.name: wanted for teacher in plan.teachers}
    whole, limits, given, so_far = sum(teacher.share for teacher in plan.teachers), {}, 0, 0.0
    for teacher in plan.teachers:
        so_far += teacher.share
        limits[teacher.name] = round(wanted * so_far / whole) - given
        given += limits[teacher.name]
    return limits
