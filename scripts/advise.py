"""From a no to a yes: what a run that may not ship would need, from its own files alone.

    python -m scripts.advise [--run RUN]     -> results/<run>/advice/advice.json and rows.jsonl, said in words

For each gate that did not pass: how many of its lost items have to come right, or how many more items would settle it;
which kinds of request carry the loss, and how many rows of those kinds were trained on; and rows of the repository's
larger training sets (`train.jsonl` beside a trained file) of just these kinds, without any that a test asks.

No model, no sandbox. Not protected against choosing with the test in view: advice read from test items fits them, so
that the next verdict on the same items is kinder than one on new ones. The report counts how often they were looked at.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.config.suite_file import Suite, load_suite
from eval.contracts.domains import data_of, reads_logits
from eval.gates.advice import Need, needs
from eval.gates.decide import decide_on, pairs_of
from eval.run.digests import file_sha256
from eval.run.files import read_json, read_jsonl, read_metrics, write_json, write_text
from eval.run.folder import locked, read_run, resolve_run
from eval.run.metrics import Metrics, Outcome, Verdict
from eval.run.records import Record, Score
from eval.statistics.sequential import orders_of
from scripts.training.dataset_entries import BrokenRow, read_rows
from scripts.training.leakage import Asked, asked_by_test, asked_in, requests

KINDS = ("shape", "category")  # fields of a row that say which kind of request it is, the finer one first
MOST_ROWS = 400  # rows that are proposed at once
MOST_GROUPS = 4  # kinds said of each gate


class Carrier(Record):
    """A kind of request: `lost` of `n` items count against the candidate, and the baseline lost `before`."""

    name: str
    n: int
    lost: int
    before: int
    trained_rows: int


class GateNeed(Record):
    """What a gate that did not pass needs; null: no number of items would do, or none describes it."""

    id: str
    tier: str
    outcome: Outcome
    reason: str
    items: int
    lost: int
    to_mend: int | None
    items_to_settle: int | None
    items_unused: int
    carried_by: list[Carrier]
    lost_samples: list[str]


class ProposedRows(Record):
    """How many rows are proposed, by kind; `file` is in the run's folder `advice/`."""

    file: str | None
    count: int
    kinds: dict[str, int]


class Advice(Record):
    """advice.json: a gate an entry, blocking ones first; none where every gate passed."""

    run: str
    verdict: Verdict
    gates: list[GateNeed]
    recipe: list[str]
    rows: ProposedRows


class Trained(NamedTuple):
    """What the run was trained on: rows by kind, requests that are in, and the files that more rows could come from."""

    counts: Counter[str]
    known: frozenset[str]
    larger: tuple[Path, ...]


def advise(run: Path, root: Path = ROOT) -> Advice:
    """What the run's gates need, written into its folder `advice/`. UserError when it is not evaluated or is broken."""
    metrics = read_metrics(run / "metrics.json")
    suite = load_suite(run / "suite.yaml")
    orders = orders_of(metrics.tasks, metrics.provenance.get("adapter_sha256"))
    pairs = pairs_of(suite, read_jsonl(run / "scores.jsonl", Score), orders)
    found = needs(suite, pairs, decide_on(suite, pairs, metrics.adapter_effect, metrics.noise).gates)
    trained = trained_on(run, root)
    deciding = [one for one in found if one.gate.tier == "blocking"] or found
    lost = Counter[str]()
    for one in deciding:
        lost.update({group.name: group.lost for group in one.groups})
    rows = list(proposed(trained, lost, root))
    advice = Advice(
        run=run.name,
        verdict=metrics.verdict,
        gates=[gate_advice(one, suite, metrics, trained) for one in found],
        recipe=list(recipe_hints(found, trained, recipe_named(run, root))),
        rows=ProposedRows(file="rows.jsonl" if rows else None, count=len(rows), kinds=dict(kinds_of(rows))),
    )
    folder = run / "advice"
    folder.mkdir(exist_ok=True)
    write_json(folder / "advice.json", advice.model_dump(mode="json"))
    write_text(folder / "rows.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return advice


def trained_on(run: Path, root: Path) -> Trained:
    """The run's training rows by kind, from the files that data.json names, where they are as they were."""
    counts, known, larger = Counter[str](), set[str](), []
    for entry in read_json(run / "data.json") if (run / "data.json").is_file() else []:
        path = root / str(entry.get("path"))
        if entry.get("role") != "training" or not path.is_file() or file_sha256(path) != entry.get("sha256"):
            continue
        for row in rows_of(path):
            counts.update(kinds(row))
            known.add(request_of(row))
        if (whole := path.with_name("train.jsonl")) != path and whole.is_file():
            larger.append(whole)
    return Trained(counts, frozenset(known), tuple(dict.fromkeys(larger)))


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from (row for _, row in read_rows(path, {}) if isinstance(row, dict))
    except BrokenRow as error:
        raise UserError(f"{path}: {error}: restore the file, or train again on what it is now") from None


def kinds(row: Mapping[str, Any]) -> set[str]:
    return {str(row[field]) for field in KINDS if row.get(field)}


def request_of(row: Mapping[str, Any]) -> str:
    """What a row asks, as the search for test rows reads it; the whole row where that finds nothing."""
    return "\n".join(asked_in(dict(row))) or json.dumps(row, sort_keys=True)


def proposed(trained: Trained, lost: Mapping[str, int], root: Path) -> Iterator[dict[str, Any]]:
    """Rows of the larger files of kinds that lost items have, the worst kinds first: not trained on, in no test."""
    asked, taken = requests(root) if lost and trained.larger else Asked({}), set(trained.known)
    found = [
        (max(lost.get(kind, 0) for kind in kinds(row) or {""}), row) for path in trained.larger for row in rows_of(path)
    ]
    count = 0
    for weight, row in sorted(found, key=lambda pair: -pair[0]):
        if weight == 0 or count == MOST_ROWS:
            return
        if request_of(row) not in taken and asked_by_test(row, asked) is None:
            taken.add(request_of(row))
            count += 1
            yield row


def kinds_of(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return Counter(str(row.get("shape") or row.get("category")) for row in rows).most_common()


def gate_advice(one: Need, suite: Suite, metrics: Metrics, trained: Trained) -> GateNeed:
    """One gate's part of advice.json."""
    gate = one.gate
    return GateNeed(
        id=gate.id,
        tier=gate.tier,
        outcome=gate.outcome,
        reason=gate.reason,
        items=one.n,
        lost=len(one.lost),
        to_mend=one.to_mend,
        items_to_settle=one.items,
        items_unused=unused(suite, metrics, gate.task),
        carried_by=[Carrier(**asdict(group), trained_rows=trained.counts.get(group.name, 0)) for group in one.groups],
        lost_samples=list(one.lost[:20]),
    )


def unused(suite: Suite, metrics: Metrics, task: str) -> int:
    """Rows of the task's test sets that the suite's limits left out; the other half of a sweep is not among them."""
    limits = {one.name: one.limit for one in suite.tasks}
    asked = {one.name: one.samples for one in metrics.tasks}
    rest = 0
    for name in suite.members(task):
        path = data_of(name)
        if path is not None and path.is_file() and name in asked:
            rows = sum(1 for line in read_bytes(path).splitlines() if line.strip())
            rest += max(0, rows - (asked[name] if suite.part is None else limits[name] or rows))
    return rest


def recipe_named(run: Path, root: Path) -> str:
    """How RECIPE= names the run's recipe: by its name in configs/train, else by the run's own copy."""
    name = str(read_run(run).get("recipe"))
    return name if (root / "configs" / "train" / f"{name}.yaml").is_file() else f"{run}/recipe.yaml"


def recipe_hints(found: Sequence[Need], trained: Trained, recipe: str) -> Iterator[str]:
    """Settings worth a try: replay as measured in docs/retention.md, else rules of thumb from the literature."""
    replay = f"make replay RECIPE={recipe} SHARE=0.1 mixes in the base's own answers"
    moved = [one.gate.id for one in found if reads_logits(one.gate.task)]
    forgot = [
        one.gate.id
        for one in found
        if any(group.lost > group.before for group in one.groups)
        and not any(trained.counts.get(group.name) for group in one.groups)
    ]
    if moved:
        yield f"{', '.join(moved)}: it moved where nobody asked it to; {replay}, or halve learning_rate"
    if forgot:
        yield f"{', '.join(forgot)}: worse at what no training row is about; {replay} (10 to 25 %), or lower lora_r"


def said(advice: Advice) -> Iterator[str]:
    """The advice in words."""
    if not advice.gates:
        yield f"advise: {advice.run}: every gate passed"
        return
    yield f"advise: {advice.run}: {advice.verdict}"
    for gate in advice.gates:
        yield f"  {gate.id} ({gate.tier}, {gate.outcome}): {gate.reason}"
        yield f"    {need_text(gate)}"
        for group in gate.carried_by[:MOST_GROUPS]:
            lost = f"{group.lost} of {group.n} lost (base: {group.before})"
            yield f"    {group.name}: {lost}, {group.trained_rows} rows trained on"
    yield from (f"  recipe: {hint}" for hint in advice.recipe)
    if advice.rows.count:
        most = ", ".join(f"{name} {count}" for name, count in list(advice.rows.kinds.items())[:MOST_GROUPS])
        count = advice.rows.count
        yield f"  rows: {count} more of the kinds that lose, none of them a test's ({most}): advice/rows.jsonl"
    yield "  what is chosen by looking at test items fits them: judge the next adapter on new ones where you can"


def need_text(gate: GateNeed) -> str:
    """What one gate needs, in a line."""
    parts = []
    if gate.to_mend:
        parts.append(f"{gate.to_mend} of the {gate.lost} lost items have to come right ({gate.items} asked)")
    elif gate.lost:
        parts.append(f"all {gate.items} items right would not be enough: ask more")
    if gate.items_to_settle:
        rest = f", {gate.items_unused} are unused" if gate.items_unused else ", none are left: write more"
        parts.append(f"or {gate.items_to_settle} items would settle it as it is{rest}")
    return "; ".join(parts) or "a mean, which no count of items describes: see the reason"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.advise", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run name or folder (default: the newest)")
    run = resolve_run(parser.parse_args(argv).run)
    with locked(run):
        advice = advise(run)
    print("\n".join(said(advice)))
    return Answer(0, advice, verdict=advice.verdict, files=sorted((run / "advice").iterdir()))


if __name__ == "__main__":
    run_command(main)
