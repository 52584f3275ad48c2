"""More rows from a few: teachers write rows like the seeds of FILE, or answer the requests of its rows.

    python -m scripts.teachers.expand --file seeds.jsonl --out data/own/more --config configs/teachers/grammar.yaml
                                      [--rows 500] [--domain nl2bash]

Into the folder OUT go rows.jsonl (what is kept, each row with its maker), rejects.jsonl (what is not, and why), the
journal of every reply (replies.partial.jsonl) and MANIFEST.json. Killed, the same command continues; a larger number
of rows continues too, with nothing asked twice. docs/teachers.md has the plans.
"""

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import Refused, UserError, run_command
from eval.common.places import ROOT
from eval.contracts.guests import visiting
from eval.run.digests import file_sha256, json_sha256, text_sha256
from eval.run.files import read_json, write_json, write_text
from eval.run.folder import locked
from eval.run.partial_log import PartialLog
from eval.run.records import Record
from scripts.data.own_lines import Line
from scripts.data.own_shapes import Misshapen, Pair
from scripts.teachers.asking import Question, Reply, open_teacher
from scripts.teachers.checks import FEWEST, Checks, seeds_in, target_for
from scripts.teachers.expanding import Expansion, State
from scripts.teachers.harvest import Harvest, id_of, limits_for
from scripts.teachers.prompts import Schema, question_for_answer, question_for_pairs, shown, with_answer
from scripts.teachers.settings import Plan, asked_of, load_plan

MADE_BY, MANIFEST, REPLIES = "make expand", "MANIFEST.json", "replies"
ROWS = 500
LISTED = 5  # kinds of problems that are printed


class Asked(Record):
    """What one teacher gave. `tokens`: of requests and replies; those of a reply that names none are an upper bound."""

    teacher: str
    rows: int
    replies: int
    tokens: int


class Expanded(Record):
    """Rows that are kept, of how many that were wanted, and what was left out (rejects.jsonl)."""

    rows: int
    wanted: int
    left_out: int
    teachers: list[Asked]


def say(line: str) -> None:
    print(f"expand: {line}", flush=True)


def prepared(file: Path, domain: str, plan: Plan, wanted: int | None, root: Path) -> tuple[Checks, list[Pair], int]:
    """Checks, seeds and the number of rows. UserError for seeds that cannot be what others are to be like."""
    checks = Checks(target_for(domain, file, root), root)
    if plan.ask == "answers":
        pairs = seeds_in(file, checks, fewest=1)
        for pair in pairs:
            if with_answer(pair, "x") is None:
                raise UserError(
                    f"{file.name}: {pair.line.where}: it is not clear where its answer stands: use messages"
                )
        if twice := [name for name, count in Counter(map(id_of, pairs)).items() if count > 1]:
            raise UserError(f"{file.name}: two rows have the id {twice[0]}: give each its own")
        return checks, pairs, min(len(pairs), wanted or len(pairs))
    seeds = seeds_in(file, checks)
    for pair in seeds:
        try:
            checks.read(Line(1, pair.line.where, shown(pair, plan.fields)))
        except Misshapen as error:
            raise UserError(
                f"{file.name}: {pair.line.where}: request and answer alone are no row of {checks.target.task.name} "
                f"({error}): name what it needs besides in the plan's `fields`"
            ) from None
    return checks, seeds, ROWS if wanted is None else wanted


def questions_of(plan: Plan, checks: Checks, seeds: Sequence[Pair], count: int) -> Iterator[tuple[str, Question]]:
    """Every question of a teacher, each with its place in the journal."""
    system = checks.target.system
    if plan.ask == "answers":
        for number, pair in enumerate(seeds[:count]):
            yield id_of(pair), question_for_answer(plan, system, pair, number)
        return
    rows = [shown(pair, plan.fields) for pair in seeds]
    schema = Schema(rows)
    for number in itertools.count():
        yield str(number), question_for_pairs(plan, system, schema, rows, number)


def claim(out: Path, plan: Plan, checks: Checks, file: Path, seeds: Sequence[Pair]) -> tuple[str, dict[str, Any]]:
    """The key of the journal, and what the manifest says so far. UserError for a folder of another expansion."""
    asked = asked_of(plan)
    what = {"plan": asked, "domain": checks.target.name, "system_prompt": checks.target.system or None}
    key = json_sha256([what, [pair.line.row for pair in seeds]])
    if (out / MANIFEST).exists():
        before = read_json(out / MANIFEST)
        if not isinstance(before, dict) or before.get("made_by") != MADE_BY:
            raise UserError(f"{out / MANIFEST} is not one of `{MADE_BY}`: OUT= names another folder")
        if before.get("key") != key:
            raise UserError(
                f"{out} holds replies to another plan, or for other seeds: OUT= names another folder for this one "
                "(limits, addresses and shares may change, and nothing else)"
            )
    elif any(not path.name.endswith(".partial") for path in out.iterdir()):
        raise UserError(f"{out} is not empty, and no expansion is in it: OUT= names another folder")
    inputs = [{"path": file.name, "sha256": file_sha256(file), "rows": len(seeds)}]
    return key, {"schema_version": 1, "made_by": MADE_BY, "key": key, "inputs": inputs, **what}


def expand(file: Path, out: Path, config: Path, wanted: int | None, domain: str, root: Path = ROOT) -> Expansion:
    """Ask, keep, write. UserError for bad input; what the teachers gave is written before anything is said of them."""
    plan = load_plan(config)
    checks, seeds, rows = prepared(file, domain, plan, wanted, root)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        key, manifest = claim(out, plan, checks, file, seeds)
        states = []
        for settings in plan.teachers:
            teacher = open_teacher(settings)
            states.append(State(settings, teacher, teacher.facts(), questions_of(plan, checks, seeds, rows)))
        write_json(out / MANIFEST, {**manifest, "ended": False})
        log = PartialLog(out, REPLIES, Reply, key)
        harvest = Harvest(plan, checks, seeds, limits_for(plan, rows))
        expansion = Expansion(plan, states, harvest, log, plan.ask, say)
        say(f"{len(seeds)} {'rows to answer' if plan.ask == 'answers' else 'seeds'}; {expansion.progress()}")
        try:
            expansion.run()
        finally:
            written(out, expansion, manifest)
    return expansion


def written(out: Path, expansion: Expansion, manifest: dict[str, Any]) -> None:
    """Write rows, rejects and, last, the manifest: all of them follow from the journal."""
    harvest = expansion.harvest
    rejects = [{name: value for name, value in asdict(one).items() if value != ""} for one in harvest.rejects]
    files = []
    for name, rows in (("rows.jsonl", harvest.rows), ("rejects.jsonl", rejects)):
        text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        write_text(out / name, text)
        files.append({"path": name, "sha256": text_sha256(text), "rows": len(rows)})
    teachers = [
        {**state.facts, "replies": state.replies, "tokens": state.tokens, "rows": harvest.kept[state.name]}
        for state in expansion.states
    ]
    write_json(out / MANIFEST, {**manifest, "ended": True, "teachers": teachers, "files": files})


def conclude(expansion: Expansion, out: Path) -> int:
    """Say what came of it. Refused where a teacher stopped short, UserError where one could not be asked."""
    harvest = expansion.harvest
    for (stage, reason), count in Counter((one.stage, one.reason) for one in harvest.rejects).most_common(LISTED):
        say(f"{count:,} left out: {stage}: {reason}")
    say(f"{expansion.progress()}: {out}/rows.jsonl")
    given = {
        state.name: state.replies if expansion.plan.ask == "answers" else harvest.kept[state.name]
        for state in expansion.states
    }
    short = [state for state in expansion.states if given[state.name] < harvest.limits[state.name]]
    if failed := [state for state in short if state.error]:
        raise UserError(f"teacher {failed[0].name}: {failed[0].error}")
    if expansion.plan.ask == "pairs" and short:
        state = short[0]
        raise Refused(
            f"teacher {state.name} gave {harvest.kept[state.name]:,} of {harvest.limits[state.name]:,} rows and "
            f"{state.ended}: raise that in the plan, or add seeds, and see rejects.jsonl"
        )
    if unasked := [state for state in expansion.states if state.ended.startswith(("has reached", "is at"))]:
        raise Refused(f"teacher {unasked[0].name} {unasked[0].ended}: raise that, and the same command continues")
    teachers = [
        Asked(teacher=state.name, rows=harvest.kept[state.name], replies=state.replies, tokens=state.tokens)
        for state in expansion.states
    ]
    result = Expanded(
        rows=len(harvest.rows), wanted=sum(harvest.limits.values()), left_out=len(harvest.rejects), teachers=teachers
    )
    return Answer(0, result, files=[out / "rows.jsonl", out / "rejects.jsonl", out / MANIFEST])


def positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1_000_000:
        raise UserError(f"N={text} is no number of rows: give one from 1 to 1,000,000")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.teachers.expand", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--file", required=True, help=f"JSONL, JSON, CSV or Parquet: {FEWEST} seeds or more")
    parser.add_argument("--out", required=True, help="a folder")
    parser.add_argument("--config", required=True, help="a plan, such as configs/teachers/grammar.yaml")
    parser.add_argument("--rows", help=f"how many (default: {ROWS}; of `ask: answers`, all)")
    parser.add_argument("--domain", default="", help="a domain of this repository, or the folder of one's own")
    given = parser.parse_args(argv)
    wanted = positive(given.rows) if given.rows else None
    file, out, config = (Path(name).expanduser() for name in (given.file, given.out, given.config))
    with visiting():
        return conclude(expand(file, out, config, wanted, given.domain), out)


if __name__ == "__main__":
    run_command(main)
