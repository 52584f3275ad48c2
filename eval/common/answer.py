"""What a command answers: an exit code that carries its result; under `--json` one JSON document on stdout.

    return Answer(NO_SHIP, Checked(command=..., findings=...), verdict="block", files=[path])

    {"command": "check", "exit_code": 1, "verdict": "block", "result": {...}, "files": [...], "error": null}

A command prints prose as it goes, and need not know how it was asked: under `--json` whatever it and its children write
to file descriptor 1 goes to stderr. `run_command` (eval/common/errors.py) writes the document, errors included.
`--json=errors`, for what make does on the way to the goal, writes one only when it fails. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALL, ERRORS = "--json", "--json=errors"


class Answer(int):
    """An exit code, and what it is about: a pydantic model, a verdict in one word, files, the one line of an error."""

    result: Any
    verdict: str | None
    files: tuple[str, ...]
    error: str | None

    def __new__(
        cls, code: int, result: Any = None, *, verdict: str | None = None, files: Iterable[str | Path] = (),
        error: str | None = None,
    ) -> Answer:  # fmt: skip
        """`result` is what the command's schema describes (scripts/answers.py); None where there is none."""
        answer = super().__new__(cls, code)
        answer.result, answer.verdict, answer.error = result, verdict, error
        answer.files = tuple(str(Path(path).absolute()) for path in files)
        return answer


@dataclass(frozen=True)
class Document:
    """Where the one document goes: the stdout that the process began with."""

    command: str
    descriptor: int
    only_errors: bool
    folder: Path  # where the command was started; paths below it are shown without it

    def write(self, answer: Answer) -> None:
        """OSError when it cannot be written; TypeError or ValueError when a result is no JSON."""
        if self.only_errors and not answer:
            return
        left = (json.dumps(self.content(answer), allow_nan=False) + "\n").encode()
        while left:
            left = left[os.write(self.descriptor, left) :]

    def content(self, answer: Answer) -> dict[str, Any]:
        """The document of an answer."""
        result = answer.result.model_dump(mode="json") if hasattr(answer.result, "model_dump") else answer.result
        return {
            "command": self.command,
            "exit_code": int(answer),
            "verdict": answer.verdict,
            "result": result,
            "files": [self._shown(Path(path)) for path in answer.files],
            "error": answer.error,
        }

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)


def open_document(command: str | None = None) -> Document | None:
    """Take `--json` off the command line, and stdout for the document; None when nobody asks for one."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    asked = [word for word in sys.argv[1:end] if word in (ALL, ERRORS)]
    if not asked:
        return None
    sys.argv[1:end] = [word for word in sys.argv[1:end] if word not in asked]
    sys.stdout.flush()
    document = Document(command or _module(), os.dup(1), ALL not in asked, Path.cwd())
    os.dup2(2, 1)
    return document


def _module() -> str:
    """`serve-check` of scripts/serve_check.py, `sandbox` of eval/sandbox/__main__.py."""
    started = Path(sys.argv[0])
    if sys.argv[0] == "-m":  # while modules are imported
        started = Path(sys.orig_argv[sys.orig_argv.index("-m") + 1].replace(".", "/"))
    name = started.parent.name if started.stem == "__main__" else started.stem
    return name.replace("_", "-")
