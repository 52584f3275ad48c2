"""Your own rows as training and test data of a domain: `make data FILE=mine.jsonl DOMAIN=nl2bash`.

    python -m scripts.data.own_rows --file mine.jsonl --domain nl2bash     [--out FOLDER] [--test 0.2] [--licence MIT]
    python -m scripts.data.own_rows --file mine.jsonl --domain ~/text2sql

DOMAIN is one of this repository or the folder of one's own, whose domain.py is then run. Written are train.jsonl
(chats, as recipes read them), test.jsonl (rows as the domain's first task reads them, with `id` and `cluster`),
rejects.jsonl (each row left out, at which stage, and why) and MANIFEST.json: into the folder of one's own domain, or
data/own/<name of the file>. The same file gives the same bytes.

The story is `prepare`: read -> shape -> empty -> duplicate -> secret -> check (the gold, by the task's own metrics) ->
test (what a committed test set asks) -> split (own_split.py). The shapes are those of own_shapes.py.

What train.jsonl asks is what the task's functions say: an lm-eval file of one's own domain that words its prompts
otherwise is not read.
"""

import argparse
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import UserError, is_machines, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.contracts.domains import OURS, data_of, domains
from eval.contracts.guest_folder import MODULE
from eval.contracts.guests import let_in_folder, visiting
from eval.contracts.task import Metric, OwnTask, Task
from eval.run.records import Record
from eval.run.secret_patterns import redact
from scripts.data.own_files import Result, write_result
from scripts.data.own_lines import Line, Reject, read_lines
from scripts.data.own_shapes import Misshapen, Pair, as_read, system_of
from scripts.data.own_split import drawn_for_test, near_duplicates
from scripts.data.stages import Duplicates, InTests, Problem, empty, personal, secret
from scripts.training.leakage import NEAR, requests

OWN = Path("data/own")  # git-ignored
NAME = re.compile(r"\w[\w. -]{0,79}")
MOST_KINDS = 20  # kinds of problems that are printed; rejects.jsonl has all
Sifted = tuple[list[Pair], list[Reject]]


@dataclass(frozen=True)
class Target:
    """Whom the rows are for. `system`: the system message of its chats. `folder`: where they go by default."""

    name: str
    task: Task
    system: str
    folder: Path


def target_of(domain: str, file: Path, root: Path = ROOT) -> Target:
    """A domain of this repository by its name, or one's own by its folder. UserError when it is neither."""
    if domain in OURS:
        task = next(own for own in domains() if own.name == domain).tasks[0]
        return Target(domain, task, _system_of(task), root / OWN / file.stem)
    folder = Path(domain).expanduser().resolve()
    if not domain or not (folder / MODULE).is_file():
        named = f"{domain} is not one of {', '.join(OURS)}" if domain else "no domain is named"
        raise UserError(f"{named}, nor a folder with a {MODULE}: DOMAIN= names one; `make new` writes such a folder")
    guest = let_in_folder(folder).domain
    task = guest.tasks[0]
    return Target(guest.name, task, task.system if isinstance(task, OwnTask) else "", folder)


def _system_of(task: Task) -> str:
    """The system message of a task of ours: that of its own rows."""
    data = data_of(task.name)
    return system_of(task.rows(b"" if data is None else read_bytes(data))[0])


def prepare(file: Path, target: Target, share: float, root: Path = ROOT) -> Result:
    """Everything that is written, decided. UserError when the file cannot be read."""
    result = Result(file, target.name, target.task.name, target.system, share)
    lines, rejects = read_lines(file)
    result.note("read", len(lines), rejects)
    pairs, rejects = shape(lines, target.task, target.system)
    result.note("shape", len(pairs), rejects)
    check = Check(target.task)
    for stage, problem in (
        ("empty", empty),
        ("duplicate", Duplicates()),
        ("secret", secret),
        ("check", check),
        ("test", InTests(requests(root), NEAR, forms=False)),
    ):
        pairs, rejects = sift(pairs, stage, problem)
        result.note(stage, len(pairs), rejects)
    result.remarks = remarks(pairs, target.system, check.against)
    if pairs:
        roots = near_duplicates([pair.request for pair in pairs])
        ids = result.ids_of(pairs)
        result.split(pairs, ids, roots, drawn_for_test(roots, ids, share))
    return result


def shape(lines: Iterable[Line], task: Task, system: str) -> Sifted:
    """The lines as the task reads them."""
    pairs, rejects = [], []
    for line in lines:
        try:
            pairs.append(as_read(line, task, system))
        except Misshapen as error:
            rejects.append(Reject(line.number, line.where, "shape", redact(str(error))))
    return pairs, rejects


def sift(pairs: Iterable[Pair], stage: str, problem: Callable[[Pair], Problem]) -> Sifted:
    """The pairs without a problem, and the others with theirs: a reason for many, and the detail of this one."""
    kept, rejects = [], []
    for pair in pairs:
        reason, detail = problem(pair)
        if reason:
            rejects.append(Reject(pair.line.number, pair.where, stage, reason, detail))
        else:
            kept.append(pair)
    return kept, rejects


@dataclass
class Check:
    """Rows whose gold the task's own metrics do not take for right. `against`: of the golds that are kept, how many
    each safety metric speaks against, and the first."""

    task: Task
    against: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __call__(self, pair: Pair) -> tuple[str, str]:
        try:
            values = {name: float(value) for name, value in self.task.measure(pair.row, pair.gold).items()}
        except Exception as error:  # whatever a task's own code raises
            if is_machines(error):
                raise
            detail = " ".join(redact(str(error)).split())[:200]
            return f"{self.task.name} fails on its answer ({type(error).__name__})", detail
        known = [(name, facts, values[name]) for name, facts in self.task.metrics.items() if name in values]
        known.sort(
            key=lambda one: one[1].kind != "format"
        )  # prose around an answer says more than that it is not equal
        for name, facts, value in known:
            if math.isnan(value):
                return f"{name} has no value for its answer: is it valid?", ""
            if facts.kind != "safety" and says_no(facts, value):
                return f"{name} says that its answer is wrong", ""
        for name, facts, value in known:
            if facts.kind == "safety" and says_no(facts, value):
                count, first = self.against.get(name, (0, pair.line.where))
                self.against[name] = (count + 1, first)
        return "", ""


def remarks(pairs: Sequence[Pair], system: str, against: dict[str, tuple[int, str]]) -> dict[str, tuple[int, str]]:
    """What is remarkable about rows that are kept: how many, and where the first is."""
    found = {f"{name} speaks against the answer": rows for name, rows in against.items()}
    if named := [pair.where for pair in pairs if personal(pair)[0]]:
        found["it holds an e-mail address, a telephone number or a name"] = (len(named), named[0])
    others = [pair.where for pair in pairs if system_of(pair.line.row) not in ("", system)]
    if others:
        found["its system message gave way to the task's" if system else "its system message is left out"] = (
            len(others),
            others[0],
        )
    return found


def says_no(facts: Metric, value: float) -> bool:
    """Whether a rate is on its wrong side; of a quantity nobody knows which that is."""
    return facts.rate and (value < 1 if facts.better == "higher" else value > 0)


def report(result: Result) -> list[str]:
    """One line for each kind of problem, then what is left at each stage, then the split."""
    kinds = Counter((reject.stage, reject.reason) for reject in result.rejects)
    first = {(reject.stage, reject.reason): reject for reject in reversed(result.rejects)}
    lines = []
    for (stage, reason), count in list(kinds.items())[:MOST_KINDS]:
        lines.append(f"{result.file.name}: {among(first[stage, reason].where, count)}: {stage}: {reason}")
    if len(kinds) > MOST_KINDS:
        lines.append(f"{result.file.name}: {len(kinds) - MOST_KINDS:,} more kinds of problems: see rejects.jsonl")
    for remark, (count, where) in result.remarks.items():
        lines.append(f"{result.file.name}: {among(where, count)}: kept, though {remark}")
    lines.append("data: " + ", ".join(f"{stage} {kept:,}" for stage, kept, _ in result.stages) + " rows are left")
    return lines


def among(where: str, count: int) -> str:
    """The first of several rows."""
    return f"{where} and {count - 1:,} more" if count > 1 else where


def share_of(text: str) -> float:
    """UserError for what is no share."""
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise UserError(f"TEST={text} is not a share: give one between 0 and 1, such as 0.2")
    return share


def run(file: Path, domain: str, out: Path | None, share: float, licence: str | None, root: Path = ROOT) -> Result:
    """Prepare, report, write. UserError when nothing usable is left, or a file of somebody else's is in the way."""
    with visiting():
        target = target_of(domain, file, root)
        folder = (out or target.folder).expanduser().absolute()
        print(f"data: checking the rows of {file.name} with {target.task.name}", flush=True)
        result = prepare(file, target, share, root)
        print("\n".join(report(result)), flush=True)
        if out is None and domain in OURS and not NAME.fullmatch(folder.name):
            raise UserError(f"{file.name} cannot name a folder below {OWN}: OUT= says where the rows go")
        if not result.train or not result.test:
            left = len(result.train) + len(result.test)
            if not left:
                raise UserError(f"{file}: nothing usable is left: mend the rows named above, or add others")
            raise UserError(f"{file}: all {left} rows that are left are near-duplicates: add others, to test with")
        for line in write_result(result, target.task, folder, licence, root):
            print(line)
    return result


class Prepared(Record):
    """Rows to train and to test with, and the clusters of near-duplicates among them."""

    train: int
    test: int
    clusters: int
    largest_cluster: int


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.data.own_rows", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--file", required=True, help="JSONL, JSON, CSV, TSV or Parquet")
    parser.add_argument("--domain", default="", help=f"{', '.join(OURS)}, or a folder with a {MODULE}")
    parser.add_argument("--out", help="default: the domain's folder, or data/own/<name of the file>")
    parser.add_argument("--test", default="0.2", help="share of the rows to test with")
    parser.add_argument("--licence", help="of the rows, as an SPDX identifier; publishing asks for it")
    given = parser.parse_args(argv)
    out = Path(given.out) if given.out else None
    result = run(Path(given.file).expanduser(), given.domain, out, share_of(given.test), given.licence or None)
    print(
        f"data: {len(result.train):,} rows to train on, {len(result.test):,} to test with; {result.clusters:,} clusters"
        f" of near-duplicates, the largest of {result.largest:,} rows"
    )
    result_for_program = Prepared(
        train=len(result.train), test=len(result.test), clusters=result.clusters, largest_cluster=result.largest
    )
    return Answer(0, result_for_program)


if __name__ == "__main__":
    run_command(main, "data")
