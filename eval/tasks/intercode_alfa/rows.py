"""The 300 rows of InterCode-ALFA: a request, its gold command, a second gold that does the same, a file system.

The data comes from the package `icalfa` (MIT), read where it is installed and never copied into the repository;
the package itself is not imported (it wants docker and openai). Westenfelder et al., NAACL 2025, arXiv:2502.06858.
"""

import json
from dataclasses import dataclass
from typing import Any

from eval.common.errors import UserError
from eval.sandbox.fixtures import ICALFA, icalfa_folder

ROWS = 300
SYSTEM = "Answer with one Bash command and nothing else."
INSTALL = "install it without its dependencies: pip install --no-deps icalfa==0.3.6"


@dataclass(frozen=True)
class Row:
    """One row; `number` counts from 0 over all five file systems, as the paper's harness does."""

    number: int
    fixture: str
    request: str
    gold: str
    second: str
    difficulty: int


def load_rows() -> list[Row]:
    """All rows in the paper's order. UserError when the package is not installed or is another version."""
    rows: list[Row] = []
    for fixture in ICALFA:
        path = icalfa_folder() / "datasets" / f"nl2bash_fs_{fixture[-1]}.json"
        if not path.is_file():
            raise UserError(f"{path} is missing: {INSTALL}")
        for row in json.loads(path.read_text(encoding="utf-8")):
            rows.append(Row(len(rows), fixture, row["query"], row["gold"], row["gold2"], row["difficulty"]))
    if len(rows) != ROWS:
        raise UserError(f"icalfa holds {len(rows)} rows, not {ROWS}: {INSTALL}")
    return rows


def documents() -> list[dict[str, Any]]:
    """The rows as the tasks of this repository have them: messages as in our own tests, and `fixture`, which names
    the file system that the judge runs an answer on. UserError as for `load_rows`."""
    roles = ("system", "user", "assistant")
    return [
        {
            "id": f"alfa-{row.number}",
            "fixture": row.fixture,
            "difficulty": row.difficulty,
            "messages": [
                {"role": role, "content": text}
                for role, text in zip(roles, (SYSTEM, row.request, row.gold), strict=True)
            ],
        }
        for row in load_rows()
    ]


def dataset(**_: Any) -> Any:
    """The rows as lm-evaluation-harness takes them (intercode_alfa.yaml); it passes the task's metadata, not used."""
    from datasets import Dataset  # heavy, and only lm-eval needs it

    return {"test": Dataset.from_list(documents())}
