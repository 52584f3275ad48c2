"""Teachers on this machine: servers of tests/answering_server.py that write rows like those that they are shown.

    with Writing() as server: ...                                 rows that follow from what was asked, each its own
    python -m tests.writing_server PORT                           the same as a process, to be killed

What is asked for 5 rows gets 5: request and answer hold a digest of the whole question. Other questions are answered
from a dictionary.
"""

import hashlib
import json
import re
import sys
from typing import Any

from tests.answering_server import Answering

WANTED = re.compile(r"Write (\d+) new ones")
COMMAND = "ls -l folder-{}"


class Rows(dict[str, str]):
    """Answers of a model: rows where rows are wanted, else what the dictionary says."""

    def get(self, text: str, default: Any = None) -> Any:
        wanted = WANTED.search(text)
        if wanted is None:
            return super().get(text, default)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return "\n".join(json.dumps(row(f"{digest}-{number}")) for number in range(int(wanted.group(1))))


def row(name: str) -> dict[str, str]:
    return {"request": f"List folder-{name}.", "answer": COMMAND.format(name)}


class Writing(Answering):
    """One teacher, called `teacher`, that knows `answers` besides."""

    def __init__(self, answers: dict[str, str] | None = None, port: int = 0, **given: Any) -> None:
        super().__init__({"teacher": Rows(answers or {}), "other": Rows({})}, port=port, **given)


if __name__ == "__main__":
    with Writing(port=int(sys.argv[1])) as served:
        served.pace = 0.03
        print(served.url, flush=True)
        sys.stdin.read()
