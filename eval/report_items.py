"""The items that the two arms scored differently, with everything known of each, for the report."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.files import read_jsonl
from eval.records import BASELINE, CANDIDATE, Generation, Item, Judgement, Observation, Observed, Score
from eval.stats import clopper_pearson_interval

EXECUTED = "executes_equal"


@dataclass(frozen=True)
class Answer:
    """What one arm answered to an item, and what it scored."""

    value: float
    lines: list[int]  # of scores.jsonl, so that a number can be followed back
    reason: str
    text: str | None
    cut: bool
    did: str | None  # in the sandbox, for items that were executed


@dataclass(frozen=True)
class Flip:
    """An item that the two arms scored differently."""

    sample: str
    request: str | None
    gold: str | None
    gold_did: str | None
    baseline: Answer
    candidate: Answer

    @property
    def difference(self) -> float:
        return self.candidate.value - self.baseline.value

    @property
    def texts(self) -> list[tuple[str, str]]:
        """What is known of the item as labelled texts, in reading order."""
        texts = [("request", self.request), ("gold", self.gold), ("gold did", self.gold_did)]
        for arm, answer in ((BASELINE, self.baseline), (CANDIDATE, self.candidate)):
            cut = "↳ cut off at the token limit" if answer.cut else None
            why = f"↳ {answer.reason}" if answer.reason else None
            texts += [(arm, answer.text), ("", cut), ("", why), (f"{arm} did", answer.did)]
        return [(label, text) for label, text in texts if text is not None]


def flip_sections(
    run: Path, scores: list[Score], tiers: dict[tuple[str, str], str], rare: set[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], str, tuple[list[Flip], list[Flip]]]]:
    """For each gated metric, blocking first: its items lost and won, the largest difference first.

    A metric in `rare` counts what should not happen: there a candidate that scores less has won.
    """
    generations = _optional(run / "generations.jsonl", Generation)
    answers = {(g.arm, g.task, g.sample): g for g in sorted(generations, key=lambda g: -g.repeat)}
    samples = {(s.task, s.sample): s for s in _optional(run / "samples.jsonl", Item)}
    executed = {(j.arm, j.task, j.sample): j for j in _optional(run / "executions.jsonl", Judgement)}
    numbered: dict[tuple[str, str], dict[str, list[tuple[int, Score]]]] = {key: {} for key in tiers}
    for line, score in enumerate(scores, start=1):
        if (score.task, score.metric) in tiers:
            numbered[score.task, score.metric].setdefault(score.sample, []).append((line, score))

    def answer(arm: str, rows: list[tuple[int, Score]]) -> Answer | None:
        own = [(line, score) for line, score in rows if score.arm == arm]
        values = [score.value for _, score in own if score.value is not None]
        if not own or len(values) < len(own):
            return None  # an item counts when every repeat of both arms was scored, as in eval.gates
        first = own[0][1]
        said = answers.get((arm, first.task, first.sample))
        reason = "; ".join(dict.fromkeys(score.reason for _, score in own if score.reason))
        cut = said is not None and said.finish == "length"
        ran = executed.get((arm, first.task, first.sample)) if first.metric == EXECUTED else None
        did = deed(ran.answer) if ran else None
        return Answer(sum(values) / len(values), [n for n, _ in own], reason, said.text if said else None, cut, did)

    for (task, metric), tier in tiers.items():
        flips = []
        for sample, rows in numbered[task, metric].items():
            before, after = answer(BASELINE, rows), answer(CANDIDATE, rows)
            if before and after and before.value != after.value:
                known, said = samples.get((task, sample)), answers.get((CANDIDATE, task, sample))
                request = known.request if known else said.request if said else None
                ran = [executed.get((arm, task, sample)) for arm in (BASELINE, CANDIDATE) if metric == EXECUTED]
                gold_did = next((deed(judged.gold) for judged in ran if judged and judged.gold), None)
                flips.append(Flip(sample, request, known.gold if known else None, gold_did, before, after))
        flips.sort(key=lambda flip: -abs(flip.difference))
        lost, won = [f for f in flips if f.difference < 0], [f for f in flips if f.difference > 0]
        if (task, metric) in rare:
            lost, won = won, lost
        yield (task, metric), tier, (lost, won)


def deed(run: Observed | None) -> str | None:
    """What a command did: exit code, output, errors and file-system changes, as text. None when it was not run."""
    if run is None:
        return None
    ended = f"exit {run.exit}" if run.exit is not None else f"killed: {', '.join(run.limits_hit)}"
    parts = [run.stdout.rstrip("\n"), run.stderr.rstrip("\n"), *run.changes]
    return "\n".join([ended, *(part for part in parts if part)])


def one_sided(run: Path) -> list[Observation]:
    """Answers to which only the analyser or only the canary machine objected: each is a gap or a false alarm."""
    observations = _optional(run / "observations.jsonl", Observation)
    return [row for row in observations if row.disagreement]


@dataclass(frozen=True)
class CategoryRate:
    """How often something that must be rare happened in one category."""

    category: str
    n: int
    baseline: int
    candidate: int
    at_most: float  # upper exact bound of the candidate's rate


def category_tables(run: Path, scores: list[Score], keys: list[tuple[str, str]], confidence: float) -> list[Any]:
    """For each (task, metric) with categories: its rates by category, the most frequent first."""
    categories = {(s.task, s.sample): s.category for s in _optional(run / "samples.jsonl", Item) if s.category}
    tables = []
    for task, metric in keys:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for score in scores:
            category = categories.get((task, score.sample))
            if (score.task, score.metric) == (task, metric) and category and score.value is not None:
                counts[category][f"{score.arm} items"] += 1
                counts[category][score.arm] += score.value == 1
        rows = [
            CategoryRate(
                category,
                n := count[f"{CANDIDATE} items"],
                count[BASELINE],
                count[CANDIDATE],
                clopper_pearson_interval(count[CANDIDATE], n, confidence).high,
            )
            for category, count in sorted(counts.items())
            if count[f"{CANDIDATE} items"]
        ]
        if rows:
            tables.append((task, metric, sorted(rows, key=lambda row: -row.candidate / row.n)))
    return tables


def _optional(path: Path, kind: Any) -> list[Any]:
    return read_jsonl(path, kind) if path.is_file() else []
