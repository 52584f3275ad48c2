"""Which rows cannot be judged by running them, and why: data/nl2bash/unobservable.yaml, and files too large to make."""

from functools import cache
from typing import Any

import yaml

from eval.config import ROOT
from eval.tasks.nl2bash_fixture.folders import LARGEST
from eval.tasks.nl2bash_fixture.reading import Reading

WAITS, ONE_USER = "waits for an answer", "one user id"  # reasons of the file that mean more than "shows nothing"
NO_CHANGE = ":"  # a command that changes nothing

RULES = ROOT / "data" / "nl2bash" / "unobservable.yaml"


@cache
def rules() -> Any:
    return yaml.safe_load(RULES.read_text(encoding="utf-8"))


def why_unobservable(row_id: str, reading: Reading) -> str | None:
    """The reason why running this gold shows nothing; None when it can be judged."""
    known = rules()
    if row_id in known["rows"]:
        return str(known["rows"][row_id])
    for utility in reading.utilities:
        if utility in known["utilities"]:
            return str(known["utilities"][utility])
    for rule in known["calls"]:
        if any(set(rule["words"]) <= set(call) for call in reading.calls):
            return str(rule["reason"])
    if any(size > LARGEST for _, size in reading.sizes):
        return f"needs files above {LARGEST >> 20} MB"
    return None


def changes_asked(row_id: str, reading: Reading) -> str | None:
    """A command whose changes to files are those of this gold, for telling what else an answer changed.

    A gold about processes, a network or the machine leaves files alone and need not run. None where the change itself
    cannot be made here: it waits for an answer, or its files are too large.
    """
    reason = why_unobservable(row_id, reading)
    if reason is None or reason == ONE_USER:
        return reading.gold
    listed = {*rules()["utilities"].values(), *rules()["rows"].values(), *(rule["reason"] for rule in rules()["calls"])}
    return NO_CHANGE if reason in listed - {WAITS} else None
