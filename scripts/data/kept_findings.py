"""What stages found, kept while a dataset is made: the same command continues after a kill.

    known = Findings(file)
    problems = known.take(len(rows))      of an earlier process, maybe none
    known.keep(problems)                  all so far, whole or not at all

The folder's name holds a digest of whatever decides a finding: code, config, bytes of the sources, test sets, and of
stages that run commands the sandbox. Findings of anything else lie in another folder and are never read.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.run.digests import file_sha256
from eval.run.files import write_text

CODE = (
    "scripts/data",
    "eval/judge",
    "eval/sandbox",
    "eval/tasks/nl2bash",
    "scripts/training/leakage.py",
    "eval/risk",
    "eval/bash",
    "eval/run/secret_patterns.py",
)


class Findings:
    """(reason, detail) of the first rows of one stage."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def take(self, rows: int) -> list[tuple[str, str]]:
        """What is kept, at most as many as there are rows; nothing where the file is not what `keep` writes."""
        if not self.file.is_file():
            return []
        try:
            count, *found = [json.loads(line) for line in read_bytes(self.file).splitlines()]
            problems = [("", "")] * int(count)
            for place, reason, detail in found:
                problems[place] = (str(reason), str(detail))
        except (ValueError, IndexError, TypeError):
            return []
        return problems[:rows]

    def keep(self, problems: list[tuple[str, str]]) -> None:
        """Write down how many rows were looked at, and those with a problem or a remark."""
        found = [[place, *problem] for place, problem in enumerate(problems) if any(problem)]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.file, "".join(f"{json.dumps(one)}\n" for one in [len(problems), *found]))


@cache
def code_sha256(root: Path = ROOT) -> str:
    """A digest of the code and tables that decide what is found."""
    digest = hashlib.sha256()
    for name in CODE:
        place = root / name
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.suffix in (".py", ".yaml", ".txt"):
                digest.update(f"{file.relative_to(root)}\0{file_sha256(file)}\0".encode())
    return digest.hexdigest()
