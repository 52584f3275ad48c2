"""Two runs against each other: run B's candidate minus run A's, item by item, on the samples that both were asked.

    python -m scripts.runs compare A B     (what `make compare A= B=` runs)

Prints both runs' gates and the paired comparison, and writes the items that flipped between the runs to
results/compare/A--B.html. Nothing is decided here: the runs are comparable only where digests of samples and the
backend agree, and what else differs between them (libraries, machine, scorer) is said.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.number_text import level_text
from eval.gates.comparisons import compare_pairs, pair_scores
from eval.report.figures import Figure
from eval.report.forest import Line, Panel, forest
from eval.report.items import Flip, GatedMetric, Texts, flipped_items, gated_metrics, read_texts
from eval.report.number_text import GateRow, difference_text
from eval.report.page_templates import environment
from eval.run.files import read_jsonl, write_text
from eval.run.metrics import Comparison, Metrics, is_rate
from eval.run.records import BASELINE, CANDIDATE, Score
from eval.statistics.paired import holm

CONFIDENCE = 0.9
SAME_BACKEND = ("kind", "dtype")
PLOT = 33  # columns of a bar in the terminal


@dataclass(frozen=True)
class Between:
    """Run B against run A: each metric that both have, gated ones first, with Holm's p over the gated ones."""

    comparisons: list[Comparison]
    gated: list[GatedMetric]
    adjusted: dict[tuple[str, str], float]
    flips: dict[str, list[Flip]]
    notes: list[str]


def shared_tasks(one: Metrics, other: Metrics) -> list[str]:
    """Tasks that both ran. UserError unless there is one and each asked the same samples under the same backend."""
    samples = {task.name: task.samples_sha256 for task in other.tasks}
    shared = [task for task in one.tasks if task.name in samples]
    if not shared:
        raise UserError(f"{one.run} and {other.run} have no task in common: nothing to compare")
    changed = [task.name for task in shared if task.samples_sha256 != samples[task.name]]
    if changed:
        raise UserError(
            f"{one.run} and {other.run} were asked different samples in {', '.join(changed)}: "
            "evaluate both under the same suite first"
        )
    for key in SAME_BACKEND:
        values = [(metrics.provenance.get("backend") or {}).get(key) for metrics in (one, other)]
        if values[0] != values[1]:
            raise UserError(
                f"{one.run} and {other.run} were generated with another backend.{key} ({values[0]} and {values[1]}): "
                "evaluate both under the same suite first"
            )
    return [task.name for task in shared]


def differences_between(one: Metrics, other: Metrics) -> list[str]:
    """What else is not the same in the two runs, in words: it may be what a difference comes from."""
    notes = []
    labels = {"packages": "library versions", "machine": "the machine", "sandbox": "the sandbox"}
    for key, label in labels.items():
        first, second = one.provenance.get(key), other.provenance.get(key)
        if first != second:
            notes.append(f"{label} differ{_named_differences(first, second)}")
    commits = [(metrics.provenance.get("git") or {}).get("commit") for metrics in (one, other)]
    if commits[0] != commits[1]:
        notes.append(f"scored by other code: commits {str(commits[0])[:7]} and {str(commits[1])[:7]}")
    if one.provenance.get("adapter_sha256") == other.provenance.get("adapter_sha256"):
        notes.append("both runs hold the same adapter")
    return notes


def _named_differences(first: Any, second: Any) -> str:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return ""
    keys = [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]
    return ": " + ", ".join(f"{key} {first.get(key)} and {second.get(key)}" for key in keys)


def compare_runs(runs: tuple[Path, Path], metrics: tuple[Metrics, Metrics]) -> Between:
    """B's candidate against A's on every metric of the tasks they share.

    UserError when they are not comparable or scores.jsonl is missing.
    """
    shared = set(shared_tasks(*metrics))
    # Where the suites group or label items differently, B's way holds for both.
    labels: dict[tuple[str, str], tuple[str, str | None]] = {}
    rows: dict[str, list[Score]] = {}
    for arm, run in ((CANDIDATE, runs[1]), (BASELINE, runs[0])):
        rows[arm] = []
        for score in read_jsonl(run / "scores.jsonl", Score):
            if score.arm == CANDIDATE and score.task in shared:
                cluster, category = labels.setdefault((score.task, score.sample), (score.cluster, score.category))
                rows[arm].append(score.model_copy(update={"arm": arm, "cluster": cluster, "category": category}))
    both = {(s.task, s.metric) for s in rows[BASELINE]} & {(s.task, s.metric) for s in rows[CANDIDATE]}
    scores = [score for arm in (BASELINE, CANDIDATE) for score in rows[arm] if (score.task, score.metric) in both]
    by_metric: dict[tuple[str, str], list[Score]] = {key: [] for key in sorted(both)}
    for score in scores:
        by_metric[score.task, score.metric].append(score)
    found = {key: compare_pairs(pair_scores(own), CONFIDENCE) for key, own in by_metric.items()}

    gates: list[GateRow] = [
        (gate, None)
        for gate in {gate.id: gate for other in metrics for gate in other.gates}.values()
        if (gate.task, gate.metric) in found
    ]
    gated = gated_metrics(sorted(gates, key=lambda row: row[0].tier != "blocking"))
    keys = list(dict.fromkeys((gate.task, gate.metric) for gate, _ in gates))
    p = [_p(found[key]) for key in keys]
    ordered = [*keys, *(key for key in found if key not in keys)]
    return Between(
        [found[key] for key in ordered],
        gated,
        dict(zip(keys, holm(p), strict=True)),
        flipped_items(_texts_between(*runs), scores, gated),
        differences_between(*metrics),
    )


def _p(comparison: Comparison) -> float:
    p = comparison.sign_flip_p if comparison.mcnemar_p is None else comparison.mcnemar_p
    return 1.0 if p is None else p


def _texts_between(one: Path, other: Path) -> Texts:
    """The candidate's answers of A and of B, as the two arms."""
    first, second = read_texts(one), read_texts(other)

    def arms(before: dict[tuple[str, str, str], Any], after: dict[tuple[str, str, str], Any]) -> dict[Any, Any]:
        old = {(BASELINE, *key[1:]): row for key, row in before.items() if key[0] == CANDIDATE}
        return old | {key: row for key, row in after.items() if key[0] == CANDIDATE}

    return Texts(arms(first.answers, second.answers), first.items | second.items, arms(first.executed, second.executed))


def between_figure(between: Between) -> Figure:
    """B minus A on every gated metric, with its interval; panels by unit."""
    gated = {(metric.task, metric.metric): metric for metric in between.gated}
    groups: dict[bool, list[Line]] = {}
    for comparison in between.comparisons:
        metric = gated.get((comparison.task, comparison.metric))
        if metric is None or comparison.difference is None:
            continue
        said = f"+{comparison.wins} −{comparison.losses} of {comparison.n}"
        groups.setdefault(is_rate(comparison), []).append(
            Line(
                metric.label,
                f"{comparison.task} · {comparison.metric}",
                comparison.difference,
                comparison.interval,
                None,
                "above",
                tone_of(comparison, metric.rare),
                difference_text(comparison),
                said,
            )
        )
    units = {True: "B − A, percentage points", False: "B − A, the metric's own unit"}
    panels = [
        Panel("B against A, item by item", units[rate], tuple(lines), 100.0 if rate else 1.0)
        for rate, lines in sorted(groups.items(), reverse=True)
    ]
    return Figure("Run B against run A, item by item", lambda slim: forest(panels, slim))


def tone_of(comparison: Comparison, rare: bool) -> Any:
    """pass or fail where the whole interval is on one side of zero, by what is good; else plain."""
    interval = comparison.interval
    if interval is None or interval.low <= 0 <= interval.high:
        return "plain"
    return "pass" if (interval.low > 0) != rare else "fail"


def bar(comparison: Comparison, reach: float) -> str:
    """An interval as characters: `│` is zero, the ends of the line are -reach and +reach."""
    cells = [" "] * PLOT

    def at(value: float) -> int:
        return max(0, min(PLOT - 1, round((value + reach) / (2 * reach) * (PLOT - 1)))) if reach else PLOT // 2

    cells[at(0)] = "│"
    if comparison.interval:
        for place in range(at(comparison.interval.low), at(comparison.interval.high) + 1):
            cells[place] = "┼" if place == at(0) else "─"
    if comparison.difference is not None:
        cells[at(comparison.difference)] = "●"
    return "".join(cells)


def write_page(path: Path, names: tuple[str, str], metrics: tuple[Metrics, Metrics], between: Between) -> None:
    """The comparison with every flipped item, as one self-contained page."""
    flips = {
        task: ([f for f in found if f.outcome == "lost"], [f for f in found if f.outcome == "won"])
        for task, found in between.flips.items()
    }
    gates = {gate.id: gate for other in metrics for gate in other.gates}
    page = (
        environment("html")
        .get_template("compare.html.j2")
        .render(
            names=names,
            metrics=metrics,
            between=between,
            figure=between_figure(between),
            flips=flips,
            item_categories=sorted({f.category for found in between.flips.values() for f in found if f.category}),
            gates=[
                (gate, [next((g for g in other.gates if g.id == gate), None) for other in metrics]) for gate in gates
            ],
            measured=[{(c.task, c.metric): c for c in other.comparisons} for other in metrics],
            confidence=f"{100 * CONFIDENCE:g} %",
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def cells(comparison: Comparison, reach: float, adjusted: float | None) -> tuple[str, ...]:
    """One row of the terminal's table."""
    rate = is_rate(comparison)
    return (
        f"{comparison.task} / {comparison.metric}",
        str(comparison.n),
        level_text(comparison.baseline, rate),
        level_text(comparison.candidate, rate),
        difference_text(comparison),
        bar(comparison, reach) if rate else "",
        f"+{comparison.wins} −{comparison.losses}",
        "" if adjusted is None else f"{adjusted:.3f}",
    )
