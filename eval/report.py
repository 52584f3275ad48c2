"""The report of a run: report.md, report.html and figures/*.svg, rendered from its saved files alone.

    python -m eval.report [--run RUN]      (what `make report` runs: no model, no GPU, no network)

Numbers come from metrics.json; which items were won and lost from scores.jsonl; their texts, where present,
from generations.jsonl and samples.jsonl. The same files give the same bytes.

What a model wrote is hostile. In report.html it is escaped and a content security policy admits no script
but the page's own; in report.md every text is escaped unless a filter made it code. Invisible characters are
shown. This does not protect against a person who runs an answer that the report shows.
"""

import argparse
import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval import figures
from eval.config import load_suite
from eval.errors import UserError, run_command
from eval.files import read_jsonl, read_metrics, write_text
from eval.provenance import file_sha256
from eval.records import AdapterEffect, Metrics, Score
from eval.report_items import category_tables, flip_sections, one_sided
from eval.report_text import LONGEST_TEXT, clip, facts, markdown_code, markdown_fence, markdown_text, visible
from eval.run_folder import resolve_run

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
WON_IN_MARKDOWN = 20
FOREST_TITLES = {
    "gates": "Interval of each gate's difference against its threshold",
    "gates-own-unit": "Interval of each gate's difference against its threshold, in the metric's unit",
    "rates": "Interval of the candidate's rate against the limit of each gate",
}


def render_report(run: Path) -> None:
    """Write report.md, report.html and figures/*.svg of a run. UserError when a file it needs is not fit."""
    if not (run / "metrics.json").is_file():
        raise UserError(f"{run / 'metrics.json'} is missing: run `make eval RUN={run.name}` first")
    metrics = read_metrics(run / "metrics.json")
    context = build_context(run, metrics, read_jsonl(run / "scores.jsonl", Score))
    (run / "figures").mkdir(exist_ok=True)
    for name, (svg, _) in context["figures"].items():
        write_text(run / "figures" / f"{name}.svg", svg)
    for kind in ("md", "html"):
        template = environment(kind).get_template(f"report.{kind}.j2")
        write_text(run / f"report.{kind}", template.render(context))


def build_context(run: Path, metrics: Metrics, scores: list[Score]) -> dict[str, Any]:
    """What both templates show."""
    by_metric = {(comparison.task, comparison.metric): comparison for comparison in metrics.comparisons}
    rows = [(gate, by_metric.get((gate.task, gate.metric))) for gate in metrics.gates]
    rows.sort(key=lambda row: row[0].tier != "blocking")
    tiers: dict[tuple[str, str], str] = {}
    for gate, _ in rows:
        tiers.setdefault((gate.task, gate.metric), gate.tier)
    rare = {(gate.task, gate.metric) for gate, _ in rows if gate.good == "below"}
    suite = run / "suite.yaml"
    evidence = [name for name in ("metrics.json", "scores.jsonl", "adapter.sha256") if (run / name).is_file()]
    return {
        "m": metrics,
        "rows": rows,
        "git": git if isinstance(git := metrics.provenance.get("git"), dict) else {},
        "sentence": verdict_sentence(metrics),
        "steps": next_steps(metrics),
        "nothing_changed": nothing_changed(metrics.adapter_effect),
        "limits": {task.name: task.limit for task in load_suite(suite).tasks} if suite.is_file() else {},
        "methods": sorted(
            {f"{c.interval.confidence:.0%} {c.interval.method}" for c in by_metric.values() if c.interval}
        ),
        "sections": [
            (task, metric, tier, *flips) for (task, metric), tier, flips in flip_sections(run, scores, tiers, rare)
        ],
        "by_category": category_tables(
            run,
            scores,
            sorted(rare),
            max((gate.interval.confidence for gate, _ in rows if gate.interval), default=0.9),
        ),
        "one_sided": one_sided(run),
        "has_texts": (run / "generations.jsonl").is_file(),
        "invalid": Counter((s.task, s.metric, s.arm, s.reason) for s in scores if s.status == "invalid").most_common(),
        "figures": draw_figures(metrics, rows),
        "evidence": {name: file_sha256(run / name) for name in evidence},
    }


def verdict_sentence(metrics: Metrics) -> str:
    """The verdict in one plain sentence."""
    outcomes = [gate.outcome for gate in metrics.gates if gate.tier == "blocking"]
    failed, undecided, n = outcomes.count("fail"), outcomes.count("inconclusive"), len(outcomes)
    gates = f"{n} blocking gate" + ("s" if n != 1 else "")
    if metrics.verdict == "ship":
        return f"This adapter may ship: {'all' if n > 1 else 'its'} {gates} passed."
    if metrics.verdict == "no-ship":
        return f"This adapter must not ship: {failed} of {gates} failed."
    if undecided:
        return f"Not decided: {undecided} of {gates} could go either way."
    return "Not decided: there is no proof that the adapter changed anything."


def nothing_changed(effect: AdapterEffect | None) -> str | None:
    """Why the comparison says nothing about an adapter; None when the adapter did something."""
    if effect is None:
        return "The base model was compared with itself: no adapter was evaluated."
    if effect.tensors_loaded < effect.tensors or not effect.tensors:
        return f"Only {effect.tensors_loaded} of {effect.tensors} adapter tensors are in the loaded model."
    if not effect.took_effect:
        return "The adapter is loaded and changes no logit: candidate and baseline compute the same."
    if not effect.answers_changed:
        return f"The adapter changed none of {effect.samples} answers."
    return None


def next_steps(metrics: Metrics) -> list[tuple[str, str | None]]:
    """What to do now: sentences, each with a command or None."""
    if metrics.verdict == "ship":
        return [
            ("Read the items lost, below.", None),
            ("Then record your decision:", f"make review RUN={metrics.run}"),
        ]
    if metrics.verdict == "no-ship":
        return [
            ("Read the items lost, below: they show where it got worse.", None),
            ("Change the data or the recipe, train again, and evaluate the new run:", "make train RECIPE=..."),
        ]
    steps: list[tuple[str, str | None]] = []
    if metrics.adapter_effect is None or not metrics.adapter_effect.took_effect:
        steps.append(("Make sure that the adapter is the one that was trained and that it is loaded.", None))
    scored = {(comparison.task, comparison.metric): comparison.n for comparison in metrics.comparisons}
    for gate in metrics.gates:
        if gate.tier == "blocking" and gate.outcome == "inconclusive":
            n, needed = scored.get((gate.task, gate.metric), 0), gate.items_needed
            size = f"about {needed:,} items would settle it" if needed else "no number of items is known to settle it"
            steps.append((f"{gate.id}: {size}; {n:,} were scored.", None))
    return [*steps, ("Then evaluate again:", f"make eval RUN={metrics.run}")]


def draw_figures(metrics: Metrics, rows: list[figures.GateRow]) -> dict[str, tuple[str, str]]:
    """(SVG, title) by file name. Differences, differences in a unit of their own, and rates share no axis."""
    drawn: dict[str, tuple[str, str]] = {}
    own_rates = [row for row in rows if row[0].about == "rate"]
    paired = [row for row in rows if row[0].about == "difference"]
    for name, alike in (
        ("gates", [row for row in paired if figures.is_rate(row[1])]),
        ("gates-own-unit", [row for row in paired if not figures.is_rate(row[1])]),
        ("rates", own_rates),
    ):
        if alike:
            drawn[name] = figures.forest_plot(alike), FOREST_TITLES[name]
    if paired:
        drawn["outcomes"] = figures.outcome_bars(paired), "Items won, lost and alike, by gate"
    curve = [point for point in (metrics.training or {}).get("curve") or [] if None not in point]
    if curve:
        drawn["loss"] = figures.loss_curve(curve), "Training loss by step"
    return drawn


@cache
def environment(kind: str) -> "Environment":
    """The templates' environment. What a template prints is escaped for its kind unless it is Markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    def as_markup(function: Callable[..., str]) -> Callable[..., Markup]:
        return lambda *arguments: Markup(function(*arguments))

    def finalize(value: Any) -> Any:
        if not isinstance(value, str) or isinstance(value, Markup):
            return value
        return Markup(markdown_text(value)) if kind == "md" else visible(value)

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    ours = as_markup if kind == "md" else lambda function: function  # numbers hold nothing to escape in markdown
    made.filters |= {
        "level": ours(figures.level_text),
        "signed": ours(figures.signed_text),
        "difference": ours(figures.difference_text),
        "estimate": ours(figures.estimate_text),
        "p_value": ours(lambda p: "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"),
        "clip": lambda text: clip(text, LONGEST_TEXT[kind]),
        "name": lambda text: Markup(re.sub("([_/])", r"\1<wbr>", str(escape(visible(text))))),  # where a line may end
        "facts": facts,
        "code": as_markup(markdown_code),
        "fence": as_markup(markdown_fence),
        "inline": lambda drawn, name: Markup(figures.inline(drawn[0], name, drawn[1])),
        "sha256_base64": lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
    }
    made.tests["rate"] = figures.is_rate
    made.globals |= {
        "forests": list(FOREST_TITLES),
        "symbols": {**figures.SYMBOLS, "ship": "✓", "no-ship": "✕"},
        "won_shown": WON_IN_MARKDOWN,
    }
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.report", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run name or folder (default: the newest)")
    run = resolve_run(parser.parse_args().run)
    render_report(run)
    print(f"report: {run / 'report.html'} (and report.md, figures/)")
    return 0


if __name__ == "__main__":
    run_command(main)
