"""Several teachers' answers to one request become one row: valid, agreed by what they do, then the preferred teacher's.

    python -m scripts.teachers.merge --files a/rows.jsonl,b/rows.jsonl --out data/own/merged --domain nl2bash
                                     [--config configs/teachers/answers.yaml] [--agree 2]

An answer is looked at as `make data` would (syntax, credentials, danger), then run beside the others in the sandbox, as
the domain's task judges answers. Preference is the order of the plan's teachers, else of the files. Into OUT go
rows.jsonl, disagreements.jsonl (every request without a row, its answers and why), rejects.jsonl and MANIFEST.json.
Killed, the same command continues.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.common.answer import Answer as Ended
from eval.common.errors import Refused, UserError, run_command
from eval.common.places import ROOT
from eval.contracts.guests import visiting
from eval.contracts.task import Row
from eval.execution.execute import code_digest
from eval.run.digests import file_sha256, json_sha256, text_sha256
from eval.run.files import read_json, write_json, write_text
from eval.run.folder import locked
from eval.run.partial_log import PartialLog
from eval.run.records import Judgement, Record
from eval.sandbox import open_sandbox
from scripts.data.own_lines import Reject, read_lines
from scripts.data.own_shapes import Misshapen
from scripts.teachers.agreement import (
    Answer,
    Group,
    Settled,
    Verdicts,
    compare,
    comparisons,
    executor,
    settle,
    teachers_of,
)
from scripts.teachers.checks import Checks, target_for
from scripts.teachers.settings import load_plan

MADE_BY, MANIFEST = "make merge", "MANIFEST.json"


class Merged(Record):
    """Requests that have a row now, requests that have none, and how many ended for which reason."""

    rows: int
    disagreements: int
    by_reason: dict[str, int]


def say(line: str) -> None:
    print(f"merge: {line}", flush=True)


def teacher_of(row: Row, file: Path) -> str:
    """Who gave a row, as `make expand` wrote it down; else the file's name."""
    record = row.get("teacher")
    name = record.get("name") if isinstance(record, dict) else record
    return name if isinstance(name, str) and name else file.stem


def answers_in(files: Sequence[Path], checks: Checks) -> tuple[list[Answer], list[Reject]]:
    """Every row that is fit for training by itself, and the others with their reasons."""
    execution, _ = executor(checks.target.task)
    answers, rejects = [], []
    for number, file in enumerate(files, start=1):
        lines, broken = read_lines(file)
        rejects += [Reject(one.number, f"file {number}, {one.where}", one.stage, one.reason) for one in broken]
        for line in lines:
            where = f"file {number}, {line.where}"
            try:
                pair = checks.read(line)
                problem = checks.problem(pair)
            except Misshapen as error:
                problem = ("shape", str(error), "")
            if problem:
                rejects.append(Reject(line.number, where, *problem))
                continue
            program = execution.program(pair.gold) if execution else pair.gold.strip()
            answers.append(Answer(teacher_of(line.row, file), where, pair, program))
    return answers, rejects


def grouped(answers: Sequence[Answer], order: Sequence[str]) -> list[Group]:
    """Answers by what they answer, to the letter but for white space; inside a group by preference."""
    rank = {name: place for place, name in enumerate(order)}
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(" ".join(answer.pair.prompt.split()), []).append(answer)
    return [
        Group(
            f"request-{text_sha256(prompt)[:16]}",
            found[0].pair.request,
            tuple(sorted(found, key=lambda one: rank.get(one.teacher, len(rank)))),
        )
        for prompt, found in groups.items()
    ]


def verdicts_of(groups: Sequence[Group], checks: Checks, out: Path) -> Verdicts:
    """What running the answers shows; nothing for a task whose answers are not run."""
    execution, mode = executor(checks.target.task)
    if execution is None:
        say("the answers of this domain are not run: only equal texts agree")
        return {}
    runnable = [group for group in groups if any(comparisons(group, execution))]
    if not runnable:
        return {}
    with open_sandbox() as sandbox:
        code = checks.target.task.name, code_digest(), sandbox.identity, mode
        key = json_sha256([code, [[one.id, [answer.pair.row for answer in one.answers]] for one in runnable]])
        return compare(runnable, execution, mode, sandbox, PartialLog(out, "comparisons", Judgement, key), say)


def merged_row(group: Group, settled: Settled) -> Row:
    """The preferred teacher's row, with who agreed, who did not, and by what that is known."""
    first = settled.agreed[0]
    names = list(dict.fromkeys(answer.teacher for answer in settled.agreed))
    others = [
        {"teacher": answer.teacher, "why": settled.why[answer.where]}
        for answer in group.answers
        if answer.where in settled.why
    ]
    record = {"agreed": names, "by": settled.by, "others": others}
    return {**first.pair.line.row, "id": group.id, "merged": record}


def disagreement(group: Group, reason: str, settled: Settled) -> Row:
    """A request that becomes no row, with everything that was answered."""
    answers = [
        {"teacher": answer.teacher, "where": answer.where, "answer": answer.pair.gold,
         "why": settled.why.get(answer.where, "")}
        for answer in group.answers
    ]  # fmt: skip
    return {"id": group.id, "request": group.request, "reason": reason, "answers": answers}


def claim(out: Path, files: Sequence[Path]) -> None:
    """UserError for a folder with files that are not this command's, or that holds what is read."""
    if any(file.resolve().parent == out.resolve() for file in files):
        raise UserError(f"{out} holds a file that is to be merged: OUT= names another folder")
    if (out / MANIFEST).exists():
        before = read_json(out / MANIFEST)
        if isinstance(before, dict) and before.get("made_by") == MADE_BY:
            return
    elif not any(out.iterdir()):
        write_json(out / MANIFEST, {"made_by": MADE_BY, "ended": False})
        return
    raise UserError(f"{out} is not empty, and not one of `{MADE_BY}`: OUT= names another folder")


def merge(
    files: Sequence[Path], out: Path, domain: str, config: Path | None, agree: int, root: Path = ROOT
) -> Counter[str]:
    """Read, compare, write; how many requests ended how. UserError for bad input."""
    plan = load_plan(config) if config else None
    checks = Checks(target_for(domain, files[0], root), root)
    answers, rejects = answers_in(files, checks)
    order = [one.name for one in plan.teachers] if plan else list(dict.fromkeys(one.teacher for one in answers))
    groups = grouped(answers, order)
    if not groups:
        first = f" ({rejects[0].where}: {rejects[0].stage}: {rejects[0].reason})" if rejects else ""
        raise UserError(f"no row of {', '.join(file.name for file in files)} can be used{first}")
    say(f"{len(answers):,} answers to {len(groups):,} requests; {len(rejects):,} rows left out")
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        claim(out, files)
        verdicts = verdicts_of(groups, checks, out)
        rows, apart = [], []
        for group in groups:
            settled = settle(group, verdicts)
            count = len(teachers_of(group, {answer.program for answer in settled.agreed}))
            if settled.agreed and count >= agree:
                rows.append(merged_row(group, settled))
            else:
                reason = settled.reason or f"{count} of the {agree} teachers agree that are wanted"
                apart.append(disagreement(group, reason, settled))
        contents = {
            "rows.jsonl": rows,
            "disagreements.jsonl": apart,
            "rejects.jsonl": [{name: value for name, value in asdict(one).items() if value != ""} for one in rejects],
        }
        write_out(out, contents, checks.target.name, files, order, agree)
    by = Counter(f"agreed by {row['merged']['by']}" if row["merged"]["by"] != "alone" else "one answer" for row in rows)
    return by + Counter(one["reason"] for one in apart)


def write_out(
    out: Path, contents: dict[str, list[Any]], domain: str, files: Sequence[Path], order: Sequence[str], agree: int
) -> None:
    """The files, and last the manifest."""
    listed = []
    for name, rows in contents.items():
        text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        write_text(out / name, text)
        listed.append({"path": name, "sha256": text_sha256(text), "rows": len(rows)})
    inputs = [{"path": file.name, "sha256": file_sha256(file)} for file in files]
    manifest = {"schema_version": 1, "made_by": MADE_BY, "ended": True, "domain": domain, "agree": agree}
    write_json(out / MANIFEST, {**manifest, "preference": list(order), "inputs": inputs, "files": listed})


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.teachers.merge", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--files", required=True, help="files of rows, with commas between them")
    parser.add_argument("--out", required=True, help="a folder")
    parser.add_argument("--domain", default="", help="a domain of this repository, or the folder of one's own")
    parser.add_argument("--config", help="a plan: its order of teachers is that of preference")
    parser.add_argument("--agree", default="1", help="teachers that have to agree on a row (default: 1)")
    given = parser.parse_args(argv)
    if not given.agree.isdecimal() or int(given.agree) < 1:
        raise UserError(f"AGREE={given.agree} is no number of teachers: give 1, 2, ...")
    files = [Path(name.strip()).expanduser() for name in given.files.split(",") if name.strip()]
    if not files:
        raise UserError("FILES= names no file: give one or more, with commas between them")
    config = Path(given.config).expanduser() if given.config else None
    out = Path(given.out).expanduser()
    with visiting():
        counts = merge(files, out, given.domain, config, int(given.agree))
    for reason, count in counts.most_common():
        say(f"{count:,} requests: {reason}")
    rows = sum(count for reason, count in counts.items() if reason.startswith(("agreed", "one answer")))
    if not rows:
        raise Refused(f"no request has an answer that is agreed on: {out}/disagreements.jsonl has them all")
    say(f"{out}/rows.jsonl and disagreements.jsonl")
    result = Merged(rows=rows, disagreements=counts.total() - rows, by_reason=dict(counts.most_common()))
    return Ended(0, result, files=[out / "rows.jsonl", out / "disagreements.jsonl", out / "rejects.jsonl"])


if __name__ == "__main__":
    run_command(main)
