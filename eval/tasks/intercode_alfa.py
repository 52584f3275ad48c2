"""The 300 rows of InterCode-ALFA: a request, its gold command, a second gold that does the same, a file system.

The data comes from the package `icalfa` (MIT), read where it is installed and never copied into the repository;
the package itself is not imported (it wants docker and openai). Westenfelder et al., NAACL 2025, arXiv:2502.06858.
"""

import json
from dataclasses import dataclass

from eval.errors import UserError
from eval.sandbox.fixtures import ICALFA, icalfa_folder

ROWS = 300
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
