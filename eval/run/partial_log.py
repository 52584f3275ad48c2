"""Records as they are made: <name>.partial.jsonl, appended a batch at a time and resumed after a kill.

The first line is a key: the digest of everything that decides a record (weights, prompts, settings,
library versions). Records under another key are never reused.
"""

import json
import os
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from eval.common.reading import read_bytes
from eval.run.files import write_jsonl, write_text
from eval.run.records import Place, Placed

Row = TypeVar("Row", bound=Placed)


class PartialLog(Generic[Row]):
    """The records of one kind of one run under one key; `<name>.jsonl` is written when all are there."""

    def __init__(self, run: Path, name: str, kind: type[Row], key: str) -> None:
        self.kind: type[Row] = kind
        self.key = key
        self.final, self.partial = run / f"{name}.jsonl", run / f"{name}.partial.jsonl"
        self.rows: dict[Place, Row] = {row.place: row for row in self._recover()}
        self._rewrite()

    def _recover(self) -> list[Row]:
        """Whole lines of an earlier process under the same key; a torn last line is dropped."""
        if not self.partial.is_file():
            return []
        head, *lines = read_bytes(self.partial).decode("utf-8", "replace").split("\n")[:-1] or [""]
        if head != json.dumps({"key": self.key}):
            return []
        found = []
        for line in lines:
            try:
                found.append(self.kind.model_validate_json(line))
            except ValidationError:
                break
        return found

    def _rewrite(self) -> None:
        """Whole, so that a kill in between loses nothing of what an earlier process paid for."""
        lines = [json.dumps({"key": self.key}), *(row.model_dump_json() for row in self.rows.values())]
        write_text(self.partial, "".join(f"{line}\n" for line in lines))

    def add(self, rows: list[Row]) -> None:
        """Append a finished batch and force it to disk."""
        try:
            with self.partial.open("a", encoding="utf-8") as stream:
                stream.writelines(row.model_dump_json() + "\n" for row in rows)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            error.filename = str(self.partial)  # a write that fails does not say where
            raise
        self.rows |= {row.place: row for row in rows}

    def discard(self) -> None:
        """Forget every row, so that no later process resumes from them."""
        self.rows.clear()
        self.partial.unlink(missing_ok=True)

    def finish(self, order: list[Place]) -> list[Row]:
        """Write the final file whole, in the given order; returns its rows. The partial file stays."""
        rows = [self.rows[place] for place in order]
        write_jsonl(self.final, rows)
        return rows
