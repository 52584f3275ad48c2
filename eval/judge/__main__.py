"""Judge candidates from JSON lines; one verdict a line on stdout, in input order.

    python -m eval.judge --jsonl FILE           {"request", "gold", "candidate", "fixture"} a line; - reads stdin
    -> {"verdict": accept|reject|undecided|unsupported|invalid, "rule": str, "evidence": {...}}

The robust judge is the default; --plain asks the given file system alone, as published benchmarks do. Every line that
is not blank gets its line. `invalid` is one that could not be judged (rule `unreadable`, `fixture` or `sandbox_broken`;
the evidence says why): the others are judged all the same, and the exit code is 2 at the end.
"""

import argparse
import json
import sys
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from eval.common.errors import UserError, run_command
from eval.common.reading import JsonLine, json_lines
from eval.judge.judging import judge_many
from eval.judge.ladder import ALL, ROBUST
from eval.judge.scenes import Runs, base_fixture
from eval.judge.verdicts import Case
from eval.sandbox import Sandbox, SandboxError, open_sandbox

FIELDS = ("request", "gold", "candidate", "fixture")
CHUNK = 64  # cases judged between two writes


def case_of(line: JsonLine) -> Case | str:
    """The case of one line, or why it holds none."""
    if line.problem:
        return line.problem
    row = line.value
    if not isinstance(row, dict) or not all(isinstance(row.get(field), str) for field in FIELDS):
        return f"needs the strings {', '.join(FIELDS)}"
    for field in ("request", "gold", "fixture"):  # a candidate is a stranger's: that one is judged by what it does
        if any("\ud800" <= letter <= "\udfff" for letter in row[field]):
            return f"{field} holds half a surrogate pair"
    return Case(*(row[field] for field in FIELDS))


def judge_lines(
    sandbox: Sandbox, lines: Iterator[JsonLine], robust: bool, rules: Collection[str]
) -> Iterator[dict[str, Any]]:
    """The verdict of each line, in order."""
    while chunk := list(islice(lines, CHUNK)):
        runs = Runs(sandbox)
        answers = {line.number: answer_of(line, runs) for line in chunk}
        cases = {number: found for number, found in answers.items() if isinstance(found, Case)}
        try:
            verdicts = judge_many(sandbox, cases.values(), robust=robust, rules=rules, runs=runs)
            judged = {number: verdict.to_json() for number, verdict in zip(cases, verdicts, strict=True)}
        except SandboxError:  # which of them broke it?
            judged = {number: _alone(case, runs, robust, rules) for number, case in cases.items()}
        for number, answer in answers.items():
            yield judged[number] if isinstance(answer, Case) else answer


def answer_of(line: JsonLine, runs: Runs) -> Case | dict[str, Any]:
    """The case of a line whose fixture is there, or its verdict `invalid`."""
    case = case_of(line)
    if isinstance(case, str):
        return _invalid("unreadable", f"line {line.number}: {case}")
    try:
        base_fixture(case.fixture, runs.sandbox)
    except (UserError, OSError, ValueError) as error:
        return _invalid("fixture", f"line {line.number}: {error}")
    return case


def _alone(case: Case, runs: Runs, robust: bool, rules: Collection[str]) -> dict[str, Any]:
    try:
        return judge_many(runs.sandbox, [case], robust=robust, rules=rules, runs=runs)[0].to_json()
    except SandboxError as error:
        return _invalid("sandbox_broken", str(error))


def _invalid(rule: str, why: str) -> dict[str, Any]:
    return {"verdict": "invalid", "rule": rule, "evidence": {"error": why}}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.judge", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--jsonl", required=True, help="file with one case a line, - for stdin")
    parser.add_argument("--plain", action="store_true", help="the given file system alone, every rung")
    parser.add_argument("--without", action="append", default=[], choices=sorted(ALL), help="switch a rule off")
    parser.add_argument("--backend", choices=["namespaces", "pod"], help="default: the strongest that works here")
    arguments = parser.parse_args()
    lines = json_lines(arguments.jsonl)
    rules = (ALL if arguments.plain else ROBUST) - set(arguments.without)
    errors = []
    with open_sandbox(arguments.backend) as sandbox:
        for answer in judge_lines(sandbox, lines, not arguments.plain, rules):
            # ASCII: names of files that are not UTF-8 are half surrogate pairs, which no stream takes as they are.
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
            errors += [answer["evidence"]["error"]] if answer["verdict"] == "invalid" else []
    if errors:
        raise UserError(f"{arguments.jsonl}: {len(errors)} of the lines could not be judged: {errors[0]}")
    return 0


if __name__ == "__main__":
    run_command(main)
