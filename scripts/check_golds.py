"""Run every gold of data/nl2bash in its own file tree and say which of them do something that can be seen.

    python -m scripts.check_golds                    all four files; exit 1 when an unmarked gold shows nothing
    python -m scripts.check_golds --mutants          and: does the tree tell the gold from slightly wrong commands?

A gold is observable when, in one of its trees, it ends well (diff: 0 or 1) and prints more than blanks or changes a
file, the same in two runs; it is marked when data/nl2bash/unobservable.yaml says why it cannot be; else it is silent,
which is an error in the data or in its tree. A mutant is the gold with one number, pattern, flag, test or stage
changed; the tree tells it apart when exit code, output or file changes differ from the gold's. Some mutants mean the
same, so 100 % is out of reach.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import run_command
from eval.common.reading import read_bytes
from eval.run.files import write_json
from eval.run.records import Record
from eval.sandbox import Execution, Fixture, Limits, Sandbox, open_sandbox
from eval.tasks.nl2bash.fixture import VARIANTS, fixture_for, gold_of, unsupported_reason

DATA = Path("data/nl2bash")
FILES = ("test_known", "test_unseen", "test_free", "train")
OUT = Path("results/bench/golds.json")
PATIENT = Limits(wall_seconds=60)  # a busy machine is no fault of a gold
BATCH = 200  # rows whose trees are built before they run


@dataclass(frozen=True)
class Checked:
    """One gold: `state` is observable, marked or silent; `why` says more. `told` of `mutants` differ."""

    file: str
    row_id: str
    category: str
    gold: str
    state: str
    why: str = ""
    mutants: int = 0
    told: int = 0
    told_by_first: int = 0
    alike: tuple[str, ...] = ()


def same(one: Execution, other: Execution) -> bool:
    """Whether two executions show the same."""
    return (one.exit, one.stdout, one.changes) == (other.exit, other.stdout, other.changes)


def state_of(gold: str, one: Execution, two: Execution) -> tuple[str, str]:
    """(state, why) of a gold from two runs of it."""
    fine = one.exit == 0 or (one.exit == 1 and gold.startswith("diff"))
    if not same(one, two):
        return "silent", "differs between two runs"
    if not fine or not (one.stdout.strip() or one.changes):  # blanks alone show nothing to the judge either
        said = one.stderr.decode(errors="replace").strip().splitlines()
        return "silent", f"exit {one.exit} {' '.join(one.limits_hit)} {said[0] if said else ''}".strip()
    return "observable", ""


def mutants_of(gold: str) -> list[str]:
    """Slightly wrong versions of a gold, each different from it."""
    found: list[str] = []

    def changed(pattern: str, *new: str | Callable[[re.Match[str]], str]) -> None:
        for match in re.finditer(pattern, gold):
            for one in new:
                text = match.expand(one) if isinstance(one, str) else one(match)
                found.append(gold[: match.start()] + text + gold[match.end() :])

    def added(pattern: str, flags: str) -> None:
        """Each flag after the matched utility, unless it has it already."""
        for match in re.finditer(pattern, gold):
            there = re.match(r"[^|]*", gold[match.end() :])
            own = "".join(re.findall(r" -([a-zA-Z]+)", there.group() if there else ""))
            found.extend(gold[: match.end()] + f" -{flag}" + gold[match.end() :] for flag in flags if flag not in own)

    if not gold.startswith(("chmod", "git show")):
        more, less = (lambda match: str(int(match[0]) + 1)), (lambda match: str(max(0, int(match[0]) - 1)))
        changed(r"(?<![\w.\-:/#])\d+(?![\w.:\-])", more, less)
        changed(r"(?<=[\s'][+-])\d+(?=[\s'M])|(?<=\d-)\d+(?= )|(?<=depth=)\d+", more, less)
    changed(r"(?<=chmod )(-R )?([0-7]{3})\b", lambda match: (match[1] or "") + oct(int(match[2], 8) ^ 0o011)[2:])
    changed(r"\*\.\w+", "*.txt", lambda match: match[0][:-1], r"\g<0>*")
    changed(r"(?<= )-([a-zA-Z])([a-zA-Z]+)(?= )", r"-\1", r"-\2")
    changed(r" -[a-zA-Z](?= (?![,:]| ))", "")
    changed(r" -(type|name|iname|size|mtime|mmin|user|group|newer|maxdepth|perm|not -path) \S+", "")
    changed(r" -empty| --\w+=\S+", "")
    changed(r"-(mtime|mmin|size) \+", r"-\1 -")
    changed(r"-(mtime|mmin) -", r"-\1 +", r"-\1 ")
    changed(r"-name", "-iname")
    changed(r"-iname", "-name")
    changed(r"-type f", "-type d")
    changed(r"-type d", "-type f")
    changed(r"(?<=grep )([^|']*)'([^']+)'", r"\1'\2s'", lambda match: f"{match[1]}'{match[2].swapcase()}'")
    added(r"(?<!git )\bgrep", "iwv")
    added(r"\bsort", "rnu")
    changed(r"(?<=sed )([^']*)'s/([^/]+)/([^/]*)/g'", r"\1's/\2/\3/'", r"\1's/\2/\3s/g'", r"\1's/\2/\3/gI'")
    changed(r" \| [^|]+$", "")
    changed(r"(?<=awk )'(?=[^']*\$[1-9N])", "-F ';' '")
    changed(r"(?<![-<>&|]) ([A-Za-z~/][\w./~-]*)$", r" \1.old")
    return [mutant for mutant in dict.fromkeys(found) if mutant != gold]


def check_rows(rows: list[dict[str, Any]], file: str, sandbox: Sandbox, with_mutants: bool) -> list[Checked]:
    """Check some rows of one file, in order."""
    reasons = {row["id"]: unsupported_reason(row) for row in rows}
    judged = [row for row in rows if reasons[row["id"]] is None]
    trees = {row["id"]: [fixture_for(row, sandbox, variant) for variant in range(VARIANTS if with_mutants else 1)]
             for row in judged}  # fmt: skip
    states: dict[str, tuple[str, str]] = {}
    for variant in range(VARIANTS):  # the next tree only for those that the one before did not show
        asked = [row for row in judged if states.get(row["id"], ("silent",))[0] == "silent"]
        runs = [(gold_of(row), fixture_for(row, sandbox, variant)) for row in asked for _ in range(2)]
        pairs = run_all(sandbox, runs)
        states |= {row["id"]: state_of(gold_of(row), *pairs[2 * n : 2 * n + 2]) for n, row in enumerate(asked)}
    found = []
    for row in rows:
        state, why = states.get(row["id"], ("marked", reasons[row["id"]] or ""))
        counts: tuple[Any, ...] = ()
        if with_mutants and state == "observable":
            counts = check_mutants(gold_of(row), trees[row["id"]], sandbox)
        found.append(Checked(file, row["id"], row["category"], gold_of(row), state, why, *counts))
    return found


def check_mutants(gold: str, trees: list[Fixture], sandbox: Sandbox) -> tuple[int, int, int, tuple[str, ...]]:
    """(mutants, told apart by any tree, by the first tree, those that no tree tells apart)."""
    mutants = mutants_of(gold)
    first, second = (run_all(sandbox, [(command, tree) for command in (gold, *mutants)]) for tree in trees)
    by_first = [not same(first[0], run) for run in first[1:]]
    by_any = [one or not same(second[0], run) for one, run in zip(by_first, second[1:], strict=True)]
    alike = tuple(mutant for mutant, told in zip(mutants, by_any, strict=True) if not told)
    return len(mutants), sum(by_any), sum(by_first), alike


def run_all(sandbox: Sandbox, tasks: list[tuple[str, Fixture]]) -> list[Execution]:
    """Executions in the order of the tasks. SandboxError when the sandbox is broken."""
    done = []
    for one in sandbox.run_many(tasks, PATIENT):
        if not isinstance(one, Execution):
            raise one
        done.append(one)
    return done


def table(checked: list[Checked], with_mutants: bool) -> str:
    """One line a file and one a category of the test files."""
    lines = [f"{'':24}{'n':>6}{'observable':>12}{'marked':>8}{'silent':>8}"]
    lines[0] += f"{'told apart':>14}{'%':>7}" if with_mutants else ""
    files = dict.fromkeys(one.file for one in checked)
    groups = [(file, [one for one in checked if one.file == file]) for file in files]
    tests = [one for one in checked if one.file != "train"]
    names = sorted({one.category for one in tests})
    groups += [(f"  {name}", [one for one in tests if one.category == name]) for name in names]
    for name, group in groups:
        count = Counter(one.state for one in group)
        line = f"{name:24}{len(group):6}{count['observable']:12}{count['marked']:8}{count['silent']:8}"
        if with_mutants:
            total, told = sum(one.mutants for one in group), sum(one.told for one in group)
            line += f"{f'{told}/{total}':>14}{100 * told / total if total else 0:7.1f}"
        lines.append(line)
    return "\n".join(lines)


class Golds(Record):
    """Rows whose right command was run; `silent` are the ids of those that could not be judged and do not say so."""

    rows: int
    silent: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.check_golds", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="*", default=FILES, metavar="FILE", help=f"of {', '.join(FILES)} (default: all)")
    parser.add_argument("--mutants", action="store_true", help="how many slightly wrong commands are told apart")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th row of a file")
    parser.add_argument("--show", action="store_true", help="list the mutants that are not told apart")
    arguments = parser.parse_args()
    checked: list[Checked] = []
    with open_sandbox() as sandbox:
        for file in arguments.files:
            rows = [json.loads(line) for line in read_bytes(DATA / f"{file}.jsonl").splitlines()][:: arguments.every]
            for start in range(0, len(rows), BATCH):
                checked += check_rows(rows[start : start + BATCH], file, sandbox, arguments.mutants)
                print(f"{file}: {min(start + BATCH, len(rows))} of {len(rows)}", file=sys.stderr)
    print(table(checked, arguments.mutants))
    reasons = Counter(one.why for one in checked if one.state == "marked" and one.file != "train")
    print("marked: " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()))
    if arguments.show:
        for one in checked:
            print("".join(f"not told apart  {one.gold}   {mutant}\n" for mutant in one.alike), end="")
    silent = [one for one in checked if one.state == "silent"]
    for one in silent:
        print(f"silent: {one.row_id}  {one.gold}  ({one.why})")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    write_json(OUT, {"rows": [vars(one) for one in checked]})
    print(f"-> {OUT}")
    result = Golds(rows=len(checked), silent=[str(one.row_id) for one in silent])
    error = f"{len(silent)} right commands can neither be run nor are marked: see {OUT}" if silent else None
    return Answer(1 if silent else 0, result, files=[OUT], error=error)


if __name__ == "__main__":
    run_command(main)
