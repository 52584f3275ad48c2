"""JSON lines of a data file as rows."""

import json
from typing import Any


def rows_of(content: bytes) -> list[dict[str, Any]]:
    """One mapping a line; empty lines are skipped. ValueError, with the line's number, for anything else."""
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: {type(row).__name__} where a mapping is needed")
        rows.append(row)
    return rows
