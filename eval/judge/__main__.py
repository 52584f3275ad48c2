"""Judge candidates from JSON lines; one verdict a line on stdout, in input order.

    python -m eval.judge --jsonl FILE           {"request", "gold", "candidate", "fixture"} a line; - reads stdin
    -> {"verdict": accept|reject|undecided|unsupported, "rule": str, "evidence": {...}}

The robust judge is the default; --plain asks the given file system alone, as published benchmarks do.
"""

import argparse
import json
import sys
from pathlib import Path

from eval.errors import UserError, run_command
from eval.judge.judging import judge_many
from eval.judge.ladder import ALL, ROBUST
from eval.judge.verdicts import Case
from eval.reading import read_text

FIELDS = {"request", "gold", "candidate", "fixture"}


def read_cases(path: str) -> list[Case]:
    """Cases of a JSON-lines file. UserError names the first bad line."""
    try:
        text = sys.stdin.read() if path == "-" else read_text(Path(path))
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path} is no file: give JSON lines with {', '.join(sorted(FIELDS))}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
    cases = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{number}: no JSON ({error.msg})") from None
        if not isinstance(row, dict) or not row.keys() >= FIELDS or not all(isinstance(row[k], str) for k in FIELDS):
            raise UserError(f"{path}:{number}: needs the strings {', '.join(sorted(FIELDS))}")
        cases.append(Case(row["request"], row["gold"], row["candidate"], row["fixture"]))
    return cases


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.judge", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--jsonl", required=True, help="file with one case a line, - for stdin")
    parser.add_argument("--plain", action="store_true", help="the given file system alone, every rung")
    parser.add_argument("--without", action="append", default=[], choices=sorted(ALL), help="switch a rule off")
    parser.add_argument("--backend", choices=["namespaces", "pod"], help="default: the strongest that works here")
    arguments = parser.parse_args()
    cases = read_cases(arguments.jsonl)
    from eval.sandbox import open_sandbox  # probes the machine: after the arguments are known to be right

    rules = (ALL if arguments.plain else ROBUST) - set(arguments.without)
    with open_sandbox(arguments.backend) as sandbox:
        for verdict in judge_many(sandbox, cases, robust=not arguments.plain, rules=rules):
            sys.stdout.write(json.dumps(verdict.to_json(), ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    run_command(main)
