"""A dataset from its sources: `make data CONFIG=configs/data/nl2bash.yaml`, or the file's name.

    python -m scripts.data.pipeline --config FILE [--nl2bash FOLDER] [--out FOLDER]

The story is `prepare`: fetch -> normalise -> the stages of filters.py -> share -> split -> write. Every row that goes
in is in train.jsonl, validation.jsonl, test.jsonl or rejects.jsonl, there with its stage and reason. Same inputs, same
bytes: data.json says what was made of what. What a stage found is kept in .cache/data, so that the same command
continues after a kill. Written to data/own/<name> unless --out says otherwise.
"""

import argparse
import hashlib
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.run.digests import json_sha256
from eval.sandbox import open_sandbox
from scripts.data.card import EXAMPLES
from scripts.data.filters import Stage, groups, stages
from scripts.data.held_out import not_executed
from scripts.data.kept_findings import Findings, code_sha256
from scripts.data.own_lines import Reject
from scripts.data.own_rows import Prepared
from scripts.data.own_split import drawn_for_test
from scripts.data.pipeline_config import Config, load_config
from scripts.data.provenance import write_dataset
from scripts.data.run_golds import ran
from scripts.data.sources import Example, fetch
from scripts.data.stages import Problem
from scripts.data.token_counts import Counted, count_tokens
from scripts.training.leakage import Asked, compared_with, guest_tests, requests

OWN = Path("data/own")  # git-ignored
CONFIGS = Path("configs/data")
CACHE = Path(".cache/data")
STEP, GOLD_STEP = 2000, 40  # rows between two lines of progress, and at most lost by a kill
RUN = ("golds", "held-out")  # stages that run commands
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))  # letters that nobody sees


@dataclass
class Dataset:
    """What came of a config: rows of each side, what was left out, and the counts of each stage."""

    config: Config
    facts: dict[str, Any] = field(default_factory=dict)  # by source
    stages: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    train: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    clusters: dict[str, str] = field(default_factory=dict)  # of each test row, by id: the id of its group's first row
    not_executed: list[str] = field(default_factory=list)  # of each test row, why it is not run; empty where it is
    groups: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, str] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, Example]]] = field(default_factory=dict)  # of what each stage left out, and why
    tokens: Counted | None = None

    def note(self, stage: str, kept: int, rejects: Sequence[Reject], **more: Any) -> None:
        """The outcome of a stage, kept and said."""
        self.stages.append({"stage": stage, "kept": kept, "rejected": len(rejects), **more})
        self.rejects += rejects
        changed = f", {more['changed']:,} changed" if more.get("changed") else ""
        print(f"data: {stage}: {kept:,} rows are left, {len(rejects):,} left out{changed}", flush=True)


def prepare(config: Config, nl2bash: Path | None, root: Path = ROOT) -> Dataset:
    """Everything that is written, decided. UserError when a source is out of reach or nothing is left."""
    dataset = Dataset(config)
    rows = gather(dataset, nl2bash, root)
    rows = normalised(dataset, rows)
    asked = against(dataset, root)
    for place, stage in enumerate(stages(config, asked)):
        rows = sift(dataset, rows, stage, findings(dataset, place, stage, root))
    if config.golds != "no":
        with open_sandbox() as sandbox:
            stage = Stage("golds", lambda some, done: ran(some[done:], sandbox, config.golds == "strict"))
            rows = sift(dataset, rows, stage, findings(dataset, len(dataset.stages), stage, root, sandbox.identity))
    rows = shared(dataset, rows)
    if not rows:
        raise UserError(
            f"dataset {config.name}: no row is left: rejects are counted above, loosen the stage that took most"
        )
    split(dataset, rows)
    if dataset.test:
        dataset.not_executed = observed(dataset, root)
    if config.recipe:
        dataset.tokens = count_tokens(config.recipe, dataset.train, root)
    return dataset


def gather(dataset: Dataset, nl2bash: Path | None, root: Path) -> list[Example]:
    """The rows of all sources, one after the other."""
    rows: list[Example] = []
    rejects: list[Reject] = []
    for source in dataset.config.sources:
        fetched = fetch(source, dataset.config.system, nl2bash, root)
        dataset.facts[source.name] = fetched.facts | {"rows": len(fetched.examples) + len(fetched.rejects)}
        rows += fetched.examples
        rejects += fetched.rejects
    dataset.note("fetch", len(rows), rejects)
    return rows


def normalised(dataset: Dataset, rows: Iterable[Example]) -> list[Example]:
    """The rows as they are trained: composed letters, no invisible ones, no blanks around, no prompt in front."""
    found = [normal_row(row) for row in rows]
    changed = sum(new is not old for new, old in zip(found, rows, strict=True))
    dataset.note("normalise", len(found), [], changed=changed)
    return found


def normal_row(row: Example) -> Example:
    """One row as it is trained; the same object where nothing changes."""
    asked = (
        unicodedata.normalize("NFC", row.request)
        .translate(INVISIBLE)
        .replace("\u00a0", " ")
        .replace("\r\n", "\n")
        .strip()
    )
    if row.commands:
        asked = " ".join(asked.split())
    gold = row.gold.replace("\r\n", "\n").strip()
    gold = gold.removeprefix("$ ").strip() if row.commands else gold
    return row if (asked, gold) == (row.request, row.gold) else replace(row, request=asked, gold=gold)


def against(dataset: Dataset, root: Path) -> Asked:
    """Every test set at hand, and what each is."""
    guests = guest_tests(root, None)
    dataset.tests = compared_with(root)
    return requests(root, guests, but=frozenset())


def findings(dataset: Dataset, place: int, stage: Stage, root: Path, sandbox: str = "") -> Findings:
    """What an earlier process found at this stage, of the same rows by the same code, and in the same sandbox."""
    decides = [code_sha256(), dataset.config.model_dump(mode="json"), dataset.facts, dataset.tests, sandbox]
    folder = root / CACHE / f"{dataset.config.name}-{json_sha256(decides)[:16]}"
    return Findings(folder / f"{place:02}-{stage.name}.jsonl")


def looked_at(rows: Sequence[Example], stage: Stage, known: Findings) -> list[Problem]:
    """What a stage finds of every row; what an earlier process found is not looked for again."""
    started = time.monotonic()
    problems = known.take(len(rows)) if stage.alone else []
    for problem in stage.run(rows, len(problems)):
        problems.append(problem)
        if len(problems) % (GOLD_STEP if stage.name in RUN else STEP) == 0:
            if stage.alone:
                known.keep(problems)
            if time.monotonic() - started > 2:
                print(f"data: {stage.name}: {len(problems):,} of {len(rows):,}", file=sys.stderr, flush=True)
    if stage.alone:
        known.keep(problems)
    return problems


def sift(dataset: Dataset, rows: Sequence[Example], stage: Stage, known: Findings) -> list[Example]:
    """The rows in which a stage finds nothing; the others become rejects."""
    problems = looked_at(rows, stage, known)
    pairs = list(zip(rows, problems, strict=True))
    rejects = [Reject(row.number, row.where, stage.name, *problem) for row, problem in pairs if problem[0]]
    kept = [row for row, problem in pairs if not problem[0]]
    left_out = sorted((pair for pair in pairs if pair[1][0]), key=lambda pair: drawn(dataset.config.seed, pair[0]))
    dataset.examples[stage.name] = [(problem[0], row) for row, problem in left_out[:EXAMPLES]]
    remarks = Counter(detail for reason, detail in problems if detail and not reason)
    dataset.note(stage.name, len(kept), rejects, **({"kept_though": dict(remarks.most_common())} if remarks else {}))
    return kept


def shared(dataset: Dataset, rows: list[Example]) -> list[Example]:
    """No source with a `share` has more of the rows than that; which ones go follows from the seed."""
    limited = {source.name: source for source in dataset.config.sources if source.share is not None}
    if not limited:
        return rows
    others = sum(row.source not in limited for row in rows)
    wanted = sum(float(source.share or 0) for source in limited.values())
    if wanted >= 1:
        raise UserError(
            f"dataset {dataset.config.name}: its shares add up to {wanted:g}: leave room for the other rows"
        )
    allowed = {name: round(float(source.share or 0) * others / (1 - wanted)) for name, source in limited.items()}
    kept: set[str] = set()
    for name, most in allowed.items():
        of_it = sorted((row for row in rows if row.source == name), key=lambda row: drawn(dataset.config.seed, row))
        kept |= {row.where for row in of_it[:most]}
    rejects = [
        Reject(row.number, row.where, "share", "more of its source than its share")
        for row in rows if row.source in limited and row.where not in kept
    ]  # fmt: skip
    found = [row for row in rows if row.source not in limited or row.where in kept]
    dataset.note("share", len(found), rejects)
    return found


def drawn(seed: int, row: Example) -> bytes:
    """A place in an order that depends on the seed and the row alone."""
    return hashlib.sha256(f"{seed}/{row.id}".encode()).digest()


def split(dataset: Dataset, rows: Sequence[Example]) -> None:
    """Whole groups to the test and to validation, the rest to training, in an order that follows from the seed."""
    config = dataset.config
    roots = groups(rows, config.split.by)
    names = [row.id for row in rows]
    tested = drawn_for_test(roots, names, config.split.test) if config.split.test else set[int]()
    others = [place for place in range(len(rows)) if place not in tested]
    drawn_places = drawn_for_test([roots[place] for place in others], names, config.split.share)
    checked = {others[place] for place in drawn_places} if config.split.share else set[int]()
    order = sorted(range(len(rows)), key=lambda place: (drawn(config.seed, rows[place]), place))
    dataset.train = [rows[place] for place in order if place not in tested | checked]
    dataset.validation = [rows[place] for place in order if place in checked]
    dataset.test = [rows[place] for place in order if place in tested]
    dataset.clusters = {names[place]: names[roots[place]] for place in tested}
    sizes = Counter(roots)
    dataset.groups = {"groups": len(sizes), "largest": max(sizes.values()), "by": config.split.by}
    tests = f", {len(dataset.test):,} to test with" if tested else ""
    print(
        f"data: split: {len(dataset.train):,} to train on, {len(dataset.validation):,} for validation{tests}",
        flush=True,
    )


def observed(dataset: Dataset, root: Path) -> list[str]:
    """Of each test row why its answers are not run; empty where they are."""
    with open_sandbox() as sandbox:
        stage = Stage("held-out", lambda rows, done: (("", why) for why in not_executed(rows[done:], sandbox)))
        found = looked_at(dataset.test, stage, findings(dataset, len(dataset.stages), stage, root, sandbox.identity))
    reasons = [reason for _, reason in found]
    run = sum(not reason for reason in reasons)
    print(f"data: held-out: {run:,} of {len(reasons):,} can be judged by running them", flush=True)
    return reasons


def config_file(name: str, root: Path = ROOT) -> Path:
    """The file of a name in configs/data, or a file."""
    return (
        Path(name).expanduser() if "/" in name or name.endswith((".yaml", ".yml")) else root / CONFIGS / f"{name}.yaml"
    )


def run(file: Path, nl2bash: Path | None, out: Path | None, root: Path = ROOT) -> Dataset:
    """Prepare, write, say. UserError when a source or the folder is not what it should be."""
    config = load_config(file)
    print(f"data: {config.name}: {', '.join(source.name for source in config.sources)}", flush=True)
    dataset = prepare(config, nl2bash, root)
    folder = (out or root / OWN / config.name).expanduser().absolute()
    for line in write_dataset(dataset, folder, file, root):
        print(line, flush=True)
    return dataset


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.data.pipeline", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", required=True, help="a name in configs/data, or a file")
    parser.add_argument(
        "--nl2bash", type=Path, help="folder with NL2Bash's all.nl and all.cm, for sources that want it"
    )
    parser.add_argument("--out", type=Path, help="default: data/own/<name of the config>")
    given = parser.parse_args(argv)
    dataset = run(config_file(given.config), given.nl2bash, given.out)
    sizes = dataset.groups
    return Answer(
        0,
        Prepared(
            train=len(dataset.train),
            test=len(dataset.test or dataset.validation),
            clusters=sizes["groups"],
            largest_cluster=sizes["largest"],
        ),
    )


if __name__ == "__main__":
    run_command(main, "data")
