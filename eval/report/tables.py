"""Tables of the report that are more than a list of records: rates by category, costs, what the two passes said."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.contracts.numerics import Numerics
from eval.gates.noise import parse_floor
from eval.report.escaped_text import duration, facts
from eval.report.items import GatedMetric, optional
from eval.run.metrics import Metrics
from eval.run.records import BASELINE, CANDIDATE, Item, Observation, Score
from eval.run.variant import Cost
from eval.statistics.paired import clopper_pearson_interval

PER_ARM = (
    "seconds_generate",
    "tokens",
    "reused",
    "tokens_reused",
    "seconds_saved",
)  # keys of costs that end in _baseline or _candidate


@dataclass(frozen=True)
class CategoryRate:
    """How often something that must be rare happened in one category."""

    category: str
    n: int
    baseline: int
    candidate: int
    at_most: float  # upper exact bound of the candidate's rate


def category_tables(
    items: Iterable[Item], scores: list[Score], metrics: Sequence[GatedMetric], confidence: float
) -> list[tuple[str, str, list[CategoryRate]]]:
    """For each metric that counts what should not happen: its rates by category, the most frequent first."""
    rare = {(metric.task, metric.metric) for metric in metrics if metric.rare}
    categories = {(item.task, item.sample): item.category for item in items if item.category}
    counts: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for score in scores:
        key = score.task, score.metric
        if key in rare and score.value is not None:
            category = score.category or categories.get((score.task, score.sample))
            if category:
                counts[key][category][f"{score.arm} items"] += 1
                counts[key][category][score.arm] += score.value == 1
    tables = []
    for (task, metric), by_category in sorted(counts.items()):
        rows = [
            CategoryRate(
                category,
                n := count[f"{CANDIDATE} items"],
                count[BASELINE],
                count[CANDIDATE],
                clopper_pearson_interval(count[CANDIDATE], n, confidence).high,
            )
            for category, count in sorted(by_category.items())
            if count[f"{CANDIDATE} items"]
        ]
        if rows:
            tables.append((task, metric, sorted(rows, key=lambda row: -row.candidate / row.n)))
    return tables


def one_sided(run: Path) -> list[Observation]:
    """Answers to which only the analyser or only the canary machine objected: each is a gap or a false alarm."""
    return [row for row in optional(run / "observations.jsonl", Observation) if row.disagreement]


@dataclass(frozen=True)
class ArmCost:
    """What the answers of one arm cost."""

    arm: str
    items: str
    tokens: str
    seconds: str
    tokens_per_second: str
    reused: str


def cost_tables(metrics: Metrics) -> tuple[list[ArmCost], list[tuple[str, str]]]:
    """Costs by arm, and every other entry of `costs` as a labelled text."""
    costs = metrics.costs
    rows = []
    for arm in (BASELINE, CANDIDATE):
        seconds, tokens = costs.get(f"seconds_generate_{arm}"), costs.get(f"tokens_{arm}")
        if seconds is None and tokens is None:
            continue
        reused, items, saved = costs.get(f"reused_{arm}"), costs.get("items"), costs.get(f"seconds_saved_{arm}")
        rows.append(
            ArmCost(
                arm,
                "–" if items is None else f"{items:,.0f}",
                "–" if tokens is None else f"{tokens:,.0f}",
                "–" if seconds is None else duration(seconds),
                f"{tokens / seconds:,.0f}" if tokens and seconds else "–",
                "–" if reused is None else f"{reused:,.0f}" + (f" ({duration(saved)} saved)" if saved else ""),
            )
        )
    shown = {f"{key}_{arm}" for key in PER_ARM for arm in (BASELINE, CANDIDATE)}
    return rows, facts(
        {key: value for key, value in costs.items() if key not in shown and (key != "items" or not rows)}
    )


def variant_rows(metrics: Metrics) -> list[tuple[str, str, str]]:
    """What a quantised form and what it was made of cost, as texts: of what, before, after. None for any other run."""
    served = metrics.provenance.get("served")
    found = [served.get(name) for name in ("before", "after")] if isinstance(served, dict) else []
    try:
        before, after = (Cost.model_validate(one) for one in found)
    except ValueError:  # no such run, or a record of another form
        return []
    return [
        ("weights on disk", megabytes(before.bytes), megabytes(after.bytes)),
        ("tokens a second", f"{before.tokens_per_second:,.1f}", f"{after.tokens_per_second:,.1f}"),
        ("processor seconds for 100 tokens", per_hundred(before), per_hundred(after)),
        ("peak memory beyond the libraries", megabytes(before.memory), megabytes(after.memory)),
    ]


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def per_hundred(cost: Cost) -> str:
    return f"{100 * cost.cpu_seconds / cost.tokens:,.1f}" if cost.tokens else "–"


def generation_rows(metrics: Metrics) -> list[tuple[str, str]]:
    """How answers were drawn, as labelled texts; nothing in runs made before it was recorded."""
    settings = metrics.generation
    if settings is None:
        return []
    sampled = settings.decoding.get("do_sample")  # not every backend says
    drawn = "" if sampled is None else "sampled: " if sampled else "greedy: "
    return [
        *base_rows(metrics.provenance),
        ("settings of both arms", drawn + (_settings(settings.decoding) or "not recorded")),
        *(
            (f"but for {task.name}", f"sampled: {_settings(task.sampling)}; {task.repeats} answers to each sample")
            for task in metrics.tasks
            if task.sampling
        ),
        ("asked for by the base, not used", _settings(settings.ignored) or "nothing"),
        ("an answer ends with token", ", ".join(map(str, settings.end_tokens)) or "none"),
        ("padding token", "none" if settings.pad_token is None else str(settings.pad_token)),
        ("arguments of the chat template", _settings(settings.template_arguments) or "none"),
        ("day the chat template is told", settings.template_date or "it does not ask"),
    ]


def base_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """In which numbers the base was loaded, where that is more than its own number type."""
    numerics, load = Numerics.recorded(provenance.get("device") or {}), (provenance.get("backend") or {}).get("load")
    if numerics.form == "full" and load is None:
        return []
    trained = "as training saw it" if load is None else f"as the suite asks for (load: {load})"
    return [("the base of both arms", f"{numerics.words if numerics.form != 'full' else 'not quantised'}, {trained}")]


def _settings(values: Mapping[str, Any]) -> str:
    """As `generate` is called with them."""
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


@dataclass(frozen=True)
class NoiseRow:
    """How much one metric of the base alone moves when only the batches change."""

    task: str
    metric: str
    n: int
    batch_sizes: str
    answers_differ: float
    flipped: float
    spread: float


def noise_rows(metrics: Metrics) -> list[NoiseRow]:
    """The noise floor of this backend for the gated metrics, where it was measured."""
    if metrics.noise is None:
        return []
    gated = {(gate.task, gate.metric) for gate in metrics.gates}
    return [
        NoiseRow(
            task.task,
            row.metric,
            row.n,
            ", ".join(map(str, task.batch_sizes)),
            task.answers_differ,
            row.flipped,
            row.spread,
        )
        for task in parse_floor(metrics.noise, "metrics.json").tasks
        for row in task.metrics
        if (task.task, row.metric) in gated
    ]
