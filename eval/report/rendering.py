"""The report of a run: report.md, report.html and figures/*.svg, rendered from its saved files alone.

    python -m eval.report [--run RUN]      (what `make report` runs: no model, no GPU, no network)

Numbers come from metrics.json; which items were won and lost from scores.jsonl; their texts, where present,
from generations.jsonl and samples.jsonl; the trend from the metrics.json of earlier runs of the same recipe
beside it. The same files give the same bytes.

What a model wrote is hostile. In report.html it is escaped and a content security policy admits no script
but the page's own; in report.md every text is escaped unless a filter made it code. Invisible characters are
shown. This does not protect against a person who runs an answer that the report shows.
"""

import argparse
import gc
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import UserError
from eval.common.reading import read_bytes
from eval.config.gate_rules import kind_of
from eval.config.suite_file import ReviewPolicy, load_suite
from eval.report.calibration import Calibration, calibrations
from eval.report.charts import loss_figure, reliability_figure, trend_figure
from eval.report.damage import DamageReport, damage_figure, damage_report
from eval.report.figures import Figure, gates_figure, outcomes_figure, slices_figure
from eval.report.items import flipped_items, gated_metrics, read_texts
from eval.report.number_text import GateRow
from eval.report.page_templates import environment
from eval.report.sentences import (
    baseline_words,
    headings,
    next_steps,
    nothing_changed,
    origin_words,
    other_reasons,
    same_logs,
    sequential_sentence,
    verdict_sentence,
)
from eval.report.tables import category_tables, cost_tables, generation_rows, noise_rows, one_sided, variant_rows
from eval.report.trends import Trend, trends_of
from eval.run.decided import Decided, reports_of
from eval.run.digests import file_sha256
from eval.run.earlier import said
from eval.run.files import read_jsonl, read_metrics, write_text
from eval.run.folder import RESULTS, locked, read_row, resolve_run
from eval.run.metrics import Metrics, PowerRow
from eval.run.records import Score


def render_report(run: Path) -> None:
    """Write report.md, report.html and figures/*.svg of a run. UserError when a file it needs is not fit."""
    pages = rendered(run)
    (run / "figures").mkdir(exist_ok=True)
    for stale in (run / "figures").glob("*.svg"):  # of an earlier rendering: nothing links to them
        if f"figures/{stale.name}" not in pages:
            stale.unlink()
    for name, text in pages.items():
        write_text(run / name, text)


def rendered(run: Path, trends: list[Trend] | None = None) -> dict[str, str]:
    """Text by name of every file of the report. `trends`: by default those over the runs beside it."""
    _refuse_unless_evaluated(run)
    metrics = read_metrics(run / "metrics.json")
    context = build_context(run, metrics, read_jsonl(run / "scores.jsonl", Score), trends)
    drawn = {f"figures/{name}.svg": figure.svg() for name, figure in context["figures"].items()}
    pages = {kind: environment(kind).get_template(f"report.{kind}.j2").render(context) for kind in ("md", "html")}
    return drawn | {f"report.{kind}": page for kind, page in pages.items()}


def _refuse_unless_evaluated(run: Path) -> None:
    if not (run / "metrics.json").is_file():
        raise UserError(f"{run / 'metrics.json'} is missing: run `make eval RUN={run.name}` first")


def edited_report(run: Path) -> str | None:
    """The first file of a run's report that its files do not give; None when all are as rendered.

    Figures that are not there are not missed. The trend may be over the runs beside it, over those of results/, or left
    out: a run that was copied elsewhere has no others beside it.
    """
    _refuse_unless_evaluated(run)
    there = {name: read_bytes(run / name) for name in ("report.md", "report.html") if (run / name).is_file()}
    there |= {f"figures/{path.name}": read_bytes(path) for path in sorted((run / "figures").glob("*.svg"))}
    different: str | None = None
    tried: list[list[Trend]] = []
    for results in (run.parent, RESULTS, run / "figures"):  # the last holds no runs
        trends = trends_of(run, results)
        if trends in tried:
            continue
        tried.append(trends)
        pages = {name: text.encode() for name, text in rendered(run, trends).items()}
        changed = [name for name, content in there.items() if pages.get(name) != content]
        if not changed:
            return None
        different = different or changed[0]
    return different


def build_context(run: Path, metrics: Metrics, scores: list[Score], trends: list[Trend] | None) -> dict[str, Any]:
    """What both templates show; `trends` as of `rendered`."""
    by_metric = {(comparison.task, comparison.metric): comparison for comparison in metrics.comparisons}
    rows = [(gate, by_metric.get((gate.task, gate.metric))) for gate in metrics.gates]
    rows.sort(key=lambda row: row[0].tier != "blocking")
    confidence = max((gate.interval.confidence for gate, _ in rows if gate.interval), default=0.9)
    tasks, texts = {task.name for task in metrics.tasks}, read_texts(run)
    gated = gated_metrics([row for row in rows if row[0].task in tasks])  # a pool has no items of its own
    damage = damage_report(metrics, texts.executed.values(), texts.items.values())
    flips = flipped_items(texts, scores, gated)
    calibrated = calibrations(texts.answers.values(), scores, confidence)
    trends = trends_of(run) if trends is None else trends
    against, for_it = other_reasons(metrics)
    arm_costs, other_costs = cost_tables(metrics)
    suite = load_suite(run / "suite.yaml") if (run / "suite.yaml").is_file() else None
    part = suite.part if suite else None
    evidence = [name for name in ("metrics.json", "scores.jsonl", "adapter.sha256") if (run / name).is_file()]
    return {
        "m": metrics,
        "rows": rows,
        "trained_row": read_row(run),
        "git": git if isinstance(git := metrics.provenance.get("git"), dict) else {},
        "not_committed": texts_of(metrics.provenance.get("not_committed")),
        "sentence": verdict_sentence(metrics, part),
        "baseline": baseline_words(metrics),
        "origin": origin_words(metrics),
        "variant": variant_rows(metrics),
        "arms": headings(metrics),
        "against": against,
        "for_it": for_it,
        "damage": damage,
        "steps": next_steps(metrics, suite.review if suite else ReviewPolicy(), part),
        "nothing_changed": (same_logs if metrics.logs else nothing_changed)(metrics.adapter_effect),
        "sequential": sequential_sentence(metrics),
        "earlier": said(metrics.earlier) if metrics.earlier else None,
        "confidence": f"{100 * confidence:g} %",
        "limits": {task.name: task.limit for task in suite.tasks} if suite else {},
        "overridable": bool(suite and suite.review.allow_override),
        "methods": sorted(
            {f"{c.interval.confidence:.0%} {c.interval.method}" for c in by_metric.values() if c.interval}
        ),
        "own_unit": {(gate.task, gate.metric) for gate, _ in rows if kind_of(gate.rule).quantity},
        "sliced": [gate for gate, _ in rows if gate.slices],
        "power": power_rows(metrics),
        "kinds": defaultdict(lambda: None, {gate.id: kind_of(gate.rule) for gate in metrics.gates}),
        "gated": gated,
        "flips": {
            task: ([f for f in found if f.outcome == "lost"], [f for f in found if f.outcome == "won"])
            for task, found in flips.items()
        },
        "flip_counts": Counter(
            (change.metric.key, change.outcome) for found in flips.values() for flip in found for change in flip.changes
        ),
        "item_categories": sorted({flip.category for found in flips.values() for flip in found if flip.category}),
        "by_category": category_tables(texts.items.values(), scores, gated, confidence),
        "one_sided": one_sided(run),
        "has_texts": bool(texts.answers),
        "invalid": Counter((s.task, s.metric, s.arm, s.reason) for s in scores if s.status == "invalid").most_common(),
        "noise": noise_rows(metrics),
        "generation": generation_rows(metrics),
        "calibrated": calibrated,
        "trends": trends,
        "arm_costs": arm_costs,
        "other_costs": other_costs,
        "figures": draw_figures(metrics, rows, calibrated, trends, damage),
        "evidence": {name: file_sha256(run / name) for name in evidence},
    }


def texts_of(value: Any) -> list[str]:
    """A list of names in the provenance, which may be anything; empty where it is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def power_rows(metrics: Metrics) -> list[tuple[str, str, PowerRow | None, PowerRow | None]]:
    """(gate, tier, planned, observed) of every gate that either power table has."""
    planned = {row.gate: row for row in metrics.power_planned}
    observed = {row.gate: row for row in metrics.power_observed}
    tiers = {row.gate: row.tier for row in (*metrics.power_planned, *metrics.power_observed)}
    return [(gate, tier, planned.get(gate), observed.get(gate)) for gate, tier in tiers.items()]


def draw_figures(
    metrics: Metrics,
    rows: list[GateRow],
    calibrated: list[Calibration],
    trends: list[Trend],
    damage: DamageReport | None,
) -> dict[str, Figure]:
    """Figures by file name; only those with something to show."""
    curve = [point for point in (metrics.training or {}).get("curve") or [] if _is_point(point)]
    found: dict[str, Figure | None] = {
        "collateral": damage_figure(damage) if damage and damage.rows else None,
        "gates": gates_figure(rows),
        "outcomes": outcomes_figure(rows),
        "trend": trend_figure(trends) if trends else None,
        "reliability": reliability_figure(calibrated) if calibrated else None,
        "loss": loss_figure(curve) if curve else None,
    }
    for place, (gate, _) in enumerate((row for row in rows if row[0].slices), start=1):
        found[f"slices-{place}"] = slices_figure(gate.id, gate.slices, gate.threshold, gate.good)
    for place, explored in enumerate(metrics.explorations, start=1):
        name = f"{explored.task} / {explored.metric}"
        found[f"explored-{place}"] = slices_figure(name, explored.slices, None, "above")
    return {name: figure for name, figure in found.items() if figure is not None}


def _is_point(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(isinstance(value, int | float) for value in point)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.report", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run name or folder (default: the newest)")
    run = resolve_run(parser.parse_args().run)
    gc.disable()  # one pass over many small rows, then the end: collecting would take a quarter of the time
    with locked(run):
        render_report(run)
        metrics = read_metrics(run / "metrics.json")
    print(f"report: {run / 'report.html'} (and report.md, figures/)")
    return Answer(0, Decided.of(metrics), verdict=metrics.verdict, files=reports_of(run))
