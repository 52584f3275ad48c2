"""Is every row of a file fit for training? Each line that is not, with its number and why; and proposals to mend it.

    python -m scripts.teachers.validate --file rows.jsonl [--domain nl2bash] [--repair]

Looked at, in this order: JSON, shape, blanks, credentials, the answer by the domain's metrics (syntax, form), danger,
the requests of committed test sets, rows that are there twice. Exit 0: all are fit; 1: some are not. With --repair
<file>.repaired.jsonl gets the rows that are fit and those that could be mended, and <file>.repairs.jsonl what was done
to each line and what could not be mended: read it before the rows are used. FILE itself is never written.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import NO_SHIP, UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.contracts.guests import visiting
from eval.contracts.task import Row
from eval.run.files import write_text
from eval.run.records import Record
from eval.run.secret_patterns import redact
from scripts.data.own_lines import Line, read_lines
from scripts.data.own_shapes import Misshapen, Pair
from scripts.data.stages import Duplicates
from scripts.teachers.checks import Checks, Problem, target_for
from scripts.teachers.repairs import Repair, mended_answers, mended_line

SHOWN = 200  # lines that are printed; with --repair the file of repairs has all


class UnfitLine(Record):
    """A line that is not fit, what found that, and why; `line` counts from 1."""

    line: int
    stage: str
    reason: str
    detail: str

    @classmethod
    def of(cls, found: "Found") -> "UnfitLine":
        stage, reason, detail = found.problem
        return cls(line=found.number, stage=stage, reason=reason, detail=detail)


class Validated(Record):
    """How many rows are fit, and the first lines that are not. `mended`: with --repair, how many could be mended."""

    task: str
    fit: int
    unfit: int
    first: list[UnfitLine]
    mended: int | None


@dataclass(frozen=True)
class Found:
    """One line that is not fit."""

    number: int
    where: str
    problem: Problem

    def __str__(self) -> str:
        stage, reason, detail = self.problem
        return f"{self.where}: {stage}: {reason}" + (f" ({detail})" if detail else "")


class Validation:
    """A file, line by line. Rows that are read twice (by `repaired`) are judged by the same rules."""

    def __init__(self, domain: str, file: Path, root: Path) -> None:
        self.checks = Checks(target_for(domain, file, root), root)
        self.twice = Duplicates()

    def read(self, line: Line) -> tuple[Pair | None, Problem | None]:
        """The row as its task reads it, and the first thing that is wrong with it."""
        try:
            pair = self.checks.read(line)
        except Misshapen as error:
            return None, ("shape", redact(str(error)), "")
        problem = self.checks.problem(pair)
        if problem is None and (again := self.twice(pair))[0]:
            problem = ("duplicate", *again)
        return pair, problem


def validate(file: Path, domain: str, root: Path = ROOT) -> tuple[list[tuple[Line, Pair]], list[Found], Validation]:
    """The rows that are fit, and the lines that are not, in the order of the file."""
    validation = Validation(domain, file, root)
    lines, rejects = read_lines(file)
    found = [Found(one.number, one.where, (one.stage, one.reason, one.detail)) for one in rejects]
    fit = []
    for line in lines:
        pair, problem = validation.read(line)
        if problem is not None:
            found.append(Found(line.number, line.where, problem))
        elif pair is not None:
            fit.append((line, pair))
    if not lines and not rejects:
        raise UserError(f"{file} has no rows: is it the right file?")
    return fit, sorted(found, key=lambda one: one.number), validation


def repaired(
    file: Path, fit: Sequence[tuple[Line, Pair]], found: Sequence[Found], validation: Validation
) -> Iterator[Repair]:
    """What can be proposed for each line that is not fit; a proposal is fit by the same rules."""
    lines = {line.number: line for line in read_lines(file)[0]}
    texts = dict(enumerate(read_bytes(file).decode("utf-8-sig", "replace").split("\n"), start=1))
    for one in found:
        line = lines.get(one.number)
        if line is None:
            row, did = mended_line(texts.get(one.number, "") if one.where.startswith("line") else "")
            if row is None:
                yield Repair(one.number, str(one), "left out: it cannot be read as a row")
                continue
            line = Line(one.number, one.where, row)
        else:
            did = ""
        yield _proposal(one, line, did, validation)


def _proposal(one: Found, line: Line, did: str, validation: Validation) -> Repair:
    pair, problem = validation.read(line)
    if problem is not None and pair is not None and problem[0] in ("check", "empty"):
        for row, more in mended_answers(pair, validation.checks.target.task):
            other = Line(line.number, line.where, row)
            if validation.read(other)[1] is None:
                return Repair(one.number, str(one), ", ".join(filter(None, (did, more))), row)
    if problem is None and did:
        return Repair(one.number, str(one), did, line.row)
    stage, reason, _ = problem or one.problem
    return Repair(one.number, str(one), f"left out: {stage}: {reason}")


def write_repairs(file: Path, fit: Sequence[tuple[Line, Pair]], repairs: Sequence[Repair]) -> tuple[Path, Path]:
    """Write both files beside the one that was read. UserError where one is there: it may have been read and edited."""
    stem = file.name.split(".")[0]
    rows_file, repairs_file = (file.with_name(f"{stem}.{word}.jsonl") for word in ("repaired", "repairs"))
    for path in (rows_file, repairs_file):
        if path.exists():
            raise UserError(f"{path} is there already: move it away, and run the same command again")
    rows: dict[int, Row] = {line.number: line.row for line, _ in fit}
    rows |= {one.number: one.row for one in repairs if one.row is not None}
    write_text(rows_file, "".join(_line(rows[number]) for number in sorted(rows)))
    write_text(repairs_file, "".join(_line(one.record()) for one in repairs))
    return rows_file, repairs_file


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def run(file: Path, domain: str, repair: bool) -> int:
    """Check, print, propose; the exit code."""
    fit, found, validation = validate(file, domain)
    for one in found[:SHOWN]:
        print(f"{file.name}: {one}")
    if len(found) > SHOWN:
        print(f"{file.name}: {len(found) - SHOWN:,} more lines")
    what = validation.checks.target.task.name
    print(f"validate: {len(fit):,} rows are fit for {what}, {len(found):,} are not", flush=True)
    mended, files = None, tuple[Path, ...]()
    if found and repair:
        repairs = list(repaired(file, fit, found, validation))
        files = write_repairs(file, fit, repairs)
        mended = sum(one.row is not None for one in repairs)
        print(f"validate: {mended:,} of them can be mended: read {files[1]}, then take {files[0]}")
    first = [UnfitLine.of(one) for one in found[:SHOWN]]
    result = Validated(task=what, fit=len(fit), unfit=len(found), first=first, mended=mended)
    return Answer(NO_SHIP if found else 0, result, files=files)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.teachers.validate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--file", required=True, help="JSONL, JSON, CSV, TSV or Parquet")
    parser.add_argument("--domain", default="", help="a domain of this repository, or the folder of one's own")
    parser.add_argument("--repair", action="store_true", help="write proposals to new files beside FILE")
    given = parser.parse_args(argv)
    file = Path(given.file).expanduser()
    with visiting():
        return run(file, given.domain, given.repair)


if __name__ == "__main__":
    run_command(main)
