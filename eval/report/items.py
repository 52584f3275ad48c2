"""The items that the two arms scored differently, with everything known of each, for the report.

An item is shown once, with every gated metric it was won or lost on: a command that stopped parsing is lost on four
metrics and is still one command to read.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from eval.config.gate_rules import kind_of
from eval.report.number_text import GateRow
from eval.run.files import read_jsonl
from eval.run.metrics import GateResult
from eval.run.records import BASELINE, CANDIDATE, Generation, Item, Judgement, Observed, Score

EXECUTED = "executes_equal"
Key = tuple[str, str]  # task, metric


@dataclass(frozen=True)
class Texts:
    """What was asked, answered and done in a run, where it was kept."""

    answers: dict[tuple[str, str, str], Generation]
    items: dict[tuple[str, str], Item]
    executed: dict[tuple[str, str, str], Judgement]


@dataclass(frozen=True)
class GatedMetric:
    """A metric that gates look at, and what it counts."""

    key: str  # short name, for the page's filter
    task: str
    metric: str
    gates: tuple[str, ...]
    blocking: bool
    rare: bool  # counts what should not happen: a candidate that scores less has won

    @property
    def label(self) -> str:
        return ", ".join(self.gates)


@dataclass(frozen=True)
class Change:
    """One metric on which an item was won or lost."""

    metric: GatedMetric
    before: float
    after: float
    lines: list[int]  # of scores.jsonl, so that a number can be followed back
    reasons: tuple[str, str]  # of the scorer, by arm

    @property
    def outcome(self) -> Literal["lost", "won"]:
        return "lost" if (self.after < self.before) != self.metric.rare else "won"


@dataclass(frozen=True)
class Answer:
    """What one arm answered to an item."""

    text: str | None
    cut: bool
    reasons: list[str]
    did: str | None  # in the sandbox, for items that were executed


@dataclass(frozen=True)
class Flip:
    """An item that the two arms scored differently on a gated metric."""

    task: str
    sample: str
    category: str | None
    request: str | None
    gold: str | None
    gold_did: str | None
    baseline: Answer
    candidate: Answer
    changes: list[Change]

    def keys(self, outcome: str) -> str:
        """Short names of the metrics it was `lost` or `won` on."""
        return " ".join(change.metric.key for change in self.changes if change.outcome == outcome)

    @property
    def outcome(self) -> Literal["lost", "won"]:
        """Lost when it was lost on any metric: what a reader wants to see first."""
        return "lost" if any(change.outcome == "lost" for change in self.changes) else "won"

    @property
    def weight(self) -> tuple[bool, int, float]:
        """How much it matters: lost on what blocks, on how many metrics, and how far."""
        same = [change for change in self.changes if change.outcome == self.outcome]
        return (
            any(change.metric.blocking for change in same),
            len(same),
            max(abs(change.after - change.before) for change in same),
        )

    @property
    def texts(self) -> list[tuple[str, str]]:
        """What is known of the item as labelled texts, in reading order."""
        texts = [("request", self.request), ("gold", self.gold), ("gold did", self.gold_did)]
        for arm, answer in ((BASELINE, self.baseline), (CANDIDATE, self.candidate)):
            texts += [(arm, answer.text), ("", "↳ cut off at the token limit" if answer.cut else None)]
            texts += [("", f"↳ {reason}") for reason in answer.reasons]
            texts.append((f"{arm} did", answer.did))
        return [(label, text) for label, text in texts if text is not None]


def read_texts(run: Path) -> Texts:
    """Texts of a run; whatever is missing is empty."""
    generations = optional(run / "generations.jsonl", Generation)
    return Texts(
        {(g.arm, g.task, g.sample): g for g in sorted(generations, key=lambda g: -g.repeat)},
        {(s.task, s.sample): s for s in optional(run / "samples.jsonl", Item)},
        {(j.arm, j.task, j.sample): j for j in optional(run / "executions.jsonl", Judgement)},
    )


def gated_metrics(rows: Sequence[GateRow]) -> list[GatedMetric]:
    """The metrics of all gates, in their order, each once. Items of a metric with any blocking gate are blocking.

    A measured quantity (drift, length) is not won or lost item by item, so those are left out.
    """
    gates: dict[Key, list[GateResult]] = defaultdict(list)
    for gate, _ in rows:
        if not kind_of(gate.rule).quantity:
            gates[gate.task, gate.metric].append(gate)
    return [
        GatedMetric(
            f"g{place}",
            task,
            metric,
            tuple(gate.id for gate in found),
            any(gate.tier == "blocking" for gate in found),
            any(kind_of(gate.rule).wants() == "lower" for gate in found),
        )
        for place, ((task, metric), found) in enumerate(gates.items())
    ]


def flipped_items(texts: Texts, scores: list[Score], metrics: Iterable[GatedMetric]) -> dict[str, list[Flip]]:
    """By task: every item won or lost on a gated metric, lost ones first, what matters most first."""
    by_key = {(metric.task, metric.metric): metric for metric in metrics}
    numbered: dict[tuple[str, str, str], list[tuple[int, Score]]] = defaultdict(list)
    for line, score in enumerate(scores, start=1):
        if (score.task, score.metric) in by_key:
            numbered[score.task, score.sample, score.metric].append((line, score))
    changes: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for (task, sample, metric), rows in numbered.items():
        change = _change(by_key[task, metric], rows)
        if change:
            changes[task, sample].append(change)
    found: dict[str, list[Flip]] = {metric.task: [] for metric in by_key.values()}
    for (task, sample), own in changes.items():
        found[task].append(_flip(texts, task, sample, own))
    for flips in found.values():
        flips.sort(key=lambda flip: (flip.outcome == "lost", flip.weight), reverse=True)
    return found


def _change(metric: GatedMetric, rows: list[tuple[int, Score]]) -> Change | None:
    """None when both arms scored alike, or an arm has an invalid repeat: such an item counts for neither."""
    if len({score.value for _, score in rows}) == 1:
        return None  # most items: every answer scored alike, or none at all
    means, reasons = [], []
    for arm in (BASELINE, CANDIDATE):
        own = [score for _, score in rows if score.arm == arm]
        values = [score.value for score in own if score.value is not None]
        if not own or len(values) < len(own):
            return None
        means.append(sum(values) / len(values))
        reasons.append("; ".join(dict.fromkeys(score.reason for score in own if score.reason)))
    if means[0] == means[1]:
        return None
    arm_order = sorted(rows, key=lambda row: (row[1].arm != BASELINE, row[0]))
    return Change(metric, means[0], means[1], [line for line, _ in arm_order], (reasons[0], reasons[1]))


def _flip(texts: Texts, task: str, sample: str, changes: list[Change]) -> Flip:
    known, said = texts.items.get((task, sample)), texts.answers.get((CANDIDATE, task, sample))
    ran = any(change.metric.metric == EXECUTED for change in changes)
    judged = [texts.executed.get((arm, task, sample)) if ran else None for arm in (BASELINE, CANDIDATE)]
    changes = sorted(changes, key=lambda change: (change.outcome == "won", not change.metric.blocking))

    def answer(place: int, arm: str) -> Answer:
        own, did = texts.answers.get((arm, task, sample)), judged[place]
        reasons = list(dict.fromkeys(reason for change in changes if (reason := change.reasons[place])))
        cut = own is not None and own.finish == "length"
        return Answer(own.text if own else None, cut, reasons, deed(did.answer) if did else None)

    return Flip(
        task,
        sample,
        known.category if known else None,
        known.request if known else said.request if said else None,
        known.gold if known else None,
        next((deed(judgement.gold) for judgement in judged if judgement and judgement.gold), None),
        answer(0, BASELINE),
        answer(1, CANDIDATE),
        changes,
    )


def deed(run: Observed | None) -> str | None:
    """What a command did: exit code, output, errors and file-system changes, as text. None when it was not run."""
    if run is None:
        return None
    ended = f"exit {run.exit}" if run.exit is not None else f"killed: {', '.join(run.limits_hit)}"
    parts = [run.stdout.rstrip("\n"), run.stderr.rstrip("\n"), *run.changes]
    return "\n".join([ended, *(part for part in parts if part)])


def optional(path: Path, kind: Any) -> list[Any]:
    """Rows of a file that a run may lack."""
    return read_jsonl(path, kind) if path.is_file() else []
