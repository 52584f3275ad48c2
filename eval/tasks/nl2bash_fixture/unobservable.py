"""Which rows cannot be judged by running them, and why: data/nl2bash/unobservable.yaml, and files too large to make."""

from functools import cache
from typing import Any

import yaml

from eval.config import ROOT
from eval.tasks.nl2bash_fixture.folders import LARGEST
from eval.tasks.nl2bash_fixture.reading import Reading

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
