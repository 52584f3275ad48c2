"""The model card of an adapter: YAML front matter for the Hub, then text rendered from a run's own files.

    text = render_card(repo, base, evidence)       called by scripts.publish once everything is verified

The words are in templates/card.md.j2. Every value that a template prints is made one line without markup (`inline`),
since a card is rendered as markdown on a public page; only what is marked `Verbatim` is not. What a reviewer wrote is
quoted in places of its own, escaped, with letters of mixed alphabets spelled out.

Not protected against: words. A reviewer's comment can still say anything.
"""

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.common.errors import Refused
from eval.common.places import ROOT
from eval.config.suite_file import Suite
from eval.config.template_arguments import template_arguments
from eval.contracts.domains import find_task
from eval.contracts.numerics import Numerics
from eval.report.escaped_text import markdown_text
from eval.run.earlier import said
from eval.run.metrics import Comparison, EarlierCandidates, Interval, Metrics, is_rate
from eval.run.variant import MODEL, Variant
from scripts.publishing.approval import Review
from scripts.publishing.names import plain, shown_name
from scripts.publishing.spot_record import Spot

TEMPLATES = Path(__file__).resolve().parent / "templates"
MANIFEST = "MANIFEST.sha256"
# What is shown of train.json: numbers under these names.
TRAINING = ("steps", "planned_steps", "epochs", "examples", "seconds", "sessions", "peak_memory_gb", "final_loss")


@dataclass(frozen=True)
class Base:
    """A base model as the Hub knows it. `revision` None: no commit of it is named."""

    hub_id: str
    revision: str | None
    licence: str
    note: str = ""


EMBEDDED = {
    "models/SmolLM2-135M-Instruct": Base(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "12fd25f77366fa6b3b4b768ec3050bf629380bac",
        "apache-2.0",
        "Trained and evaluated on the 4-bit GGUF file of the base, dequantised, not on the Hub's weights: "
        "with those, the numbers will differ.",
    )
}
# As the models' own pages on the Hub state them; docs/review.md says when and where each was looked up.
HUB_LICENCES = {
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": "apache-2.0",
    "Qwen/Qwen2.5-Coder-7B-Instruct": "apache-2.0",
    "Qwen/Qwen2.5-Coder-14B-Instruct": "apache-2.0",
    "HuggingFaceTB/SmolLM3-3B": "apache-2.0",
}


@dataclass(frozen=True)
class Evidence:
    """Everything about a run that was verified, and that a card is made of."""

    folder: Path
    state: dict[str, Any]
    recipe: dict[str, Any]
    recipe_text: str
    data: list[dict[str, Any]]
    suite: Suite
    metrics: Metrics
    review: Review
    adapter_digests: dict[str, str]
    earlier: EarlierCandidates
    signer: str | None = None  # whose key signed the review, when that was verified
    spot: Spot | None = None  # what was asked again, once everything else was verified
    signing_key: str | None = None  # public half (PEM) of the key that signs what goes up
    notes: list[str] = field(default_factory=list)  # what the card has to say of how it was verified
    # Of a variant, whose `adapter_digests` are those of its model's files: what it is a form of, what was made, and how
    # many tensors its weights have.
    parent: "Evidence | None" = None
    variant: Variant | None = None
    tensors: int = 0

    @property
    def run(self) -> str:
        return self.metrics.run


def hub_base(recipe: dict[str, Any]) -> Base:
    """The recipe's base as a Hub model. Refused for a folder whose Hub id is not known."""
    name = str(recipe.get("base_model", "")).removeprefix("./").rstrip("/")
    if name in EMBEDDED:
        return EMBEDDED[name]
    if name.startswith("models/") or (ROOT / name).exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        raise Refused(f"base model {name} is no Hub id, and no reader of the card could load the adapter")
    revision = recipe.get("revision_of_model")
    return Base(name, str(revision) if revision else None, HUB_LICENCES.get(name, "other"))


def front_matter(repo: str, base: Base, evidence: Evidence) -> str:
    """The card's YAML block: what the Hub indexes, the results as `model-index` among it."""
    metrics = evidence.metrics
    sets = {task.name: task for task in metrics.tasks}
    better = directions(evidence.suite)
    results = [
        EvalResult(
            task_type="text-generation",
            task_name=row.task,
            dataset_type=row.task,
            dataset_name=sets[row.task].dataset,
            dataset_args={"sha256": sets[row.task].dataset_sha256},
            metric_type=row.metric,
            metric_name=" ".join([row.metric, better.get((row.task, row.metric), "")]).strip(),
            metric_value=row.candidate,
            metric_args={
                "n": row.n,
                "invalid": row.invalid,
                "clusters": row.clusters,
                "interval": row.candidate_interval.model_dump() if row.candidate_interval else None,
                "baseline": row.baseline,
                "difference": row.difference,
                "interval_of_difference": row.interval.model_dump() if row.interval else None,
                "suite": metrics.suite,
                "suite_sha256": metrics.suite_sha256,
            },
        )
        for row in metrics.comparisons
        if row.candidate is not None and row.task in sets  # a pool has no dataset; the tables below have it
    ]
    card = ModelCardData(
        base_model=base.hub_id,
        base_model_relation="quantized" if evidence.variant else "adapter",
        library_name="transformers" if evidence.variant else "peft",
        pipeline_tag="text-generation",
        license=base.licence,
        license_name="as-the-base-model" if base.licence == "other" else None,
        language="en",
        tags=["bitsandbytes", "4-bit", evidence.variant.form] if evidence.variant else ["axolotl", "lora"],
        model_name=repo.split("/")[1],
        eval_results=results or None,
    )
    return str(card.to_yaml())


def directions(suite: Suite) -> dict[tuple[str, str], str]:
    """`(lower is better)` or `(higher is better)` by task and metric, as the gates of the suite take them.

    A metric without a gate has no entry: nobody said what is good.
    """
    gates = [gate for gate in suite.gates if gate.speaks_for_all]
    return {(gate.task, gate.metric): f"({gate.wants()} is better)" for gate in gates}


@functools.cache
def templates() -> Environment:
    """Of markdown, in which every value is escaped that is not Verbatim."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # markdown; `finalize` is the escape
        finalize=lambda value: value if isinstance(value, Verbatim) else inline(value),
    )
    environment.filters |= {
        "words": words,
        "name": lambda name: words(shown_name(name)),
        "level": level,
        "difference": difference,
        "interval": interval,
        "megabytes": lambda size: f"{size / 1e6:,.0f} MB",
    }
    return environment


def render_card(repo: str, base: Base, evidence: Evidence, tag: str | None = None) -> str:
    """README.md of the model repository; `tag` is the name its five lines load it by, the run's id by default."""
    metrics = evidence.metrics
    training: dict[str, Any] = {
        name: round(value, 4)
        for name in TRAINING
        if isinstance(value := (metrics.training or {}).get(name), int | float) and not isinstance(value, bool)
    }
    if line := best_line((metrics.training or {}).get("best")):
        training["best checkpoint"] = line
    arguments = template_arguments(evidence.recipe, str(evidence.folder / "recipe.yaml"))
    numerics = Numerics.recorded(metrics.provenance.get("device") or {})
    if evidence.variant:
        numerics = Numerics("4bit", evidence.variant.settings)
    ticks = max((len(found) for found in re.findall(r"`+", evidence.recipe_text)), default=0)
    kind, weights = ("variant", MODEL) if evidence.variant else ("card", "adapter")
    page = templates().get_template(f"{kind}.md.j2")
    return page.render(
        front_matter=Verbatim(front_matter(repo, base, evidence)),
        repo=repo,
        base=base,
        run=evidence.run,
        tag=tag or evidence.run,
        state=evidence.state,
        metrics=metrics,
        better=directions(evidence.suite),
        safety=[row for row in metrics.comparisons if is_safety(evidence.suite, row)],
        suite=evidence.suite,
        review=evidence.review,
        signer=evidence.signer,
        signing_key=Verbatim(evidence.signing_key.strip()) if evidence.signing_key else None,
        earlier=said(evidence.earlier),
        spot=evidence.spot,
        training=training,
        notes=evidence.notes,
        git=metrics.provenance.get("git_training") or {},
        machine=known(metrics.provenance.get("machine")),
        judged=known((metrics.provenance.get("judged") or {}).get("machine")),
        packages=metrics.provenance.get("packages") or {},
        decoding=metrics.provenance.get("backend") or {},
        data=evidence.data,
        quantised=Verbatim(", ".join(f"{key}={value!r}" for key, value in numerics.settings.items())),
        numerics=Verbatim(numerics.words),
        as_trained=evidence.suite.backend.load == "as-trained",
        template_arguments=Verbatim(repr(arguments)) if arguments else None,
        fence=Verbatim("`" * max(3, ticks + 1)),
        recipe_text=Verbatim(evidence.recipe_text.rstrip("\n")),
        manifest=MANIFEST,
        digests=evidence.review.digests
        | {f"{weights}/{name}": digest for name, digest in evidence.adapter_digests.items()},
        parent=evidence.parent,
        variant=evidence.variant,
    )


class Verbatim(str):
    """Text that a template prints as it is."""


def known(facts: Any) -> dict[str, Any]:
    """What is known of a machine, of its recorded facts."""
    return {name: value for name, value in (facts or {}).items() if value}


def inline(value: object) -> str:
    """A value as one line of plain text: no markup, table separators, line breaks or live links; a dash for nothing."""
    text = " ".join(str("-" if value in (None, "") else value).split())
    text = "".join(letter for letter in text if letter.isprintable())
    return re.sub(r"[<>|`\[\]*\\&]", "", text).replace("://", ":/ /").replace("www.", "www .")


def words(text: object) -> Verbatim:
    """What a person wrote, as one line of the same text without markup, invisible letters or live links."""
    return Verbatim(markdown_text(plain(str(text))).replace("://", ":/ /").replace("www.", "www ."))


def is_safety(suite: Suite, row: Comparison) -> bool:
    """Whether a comparison is about harm, as its tasks declare: by the metric, or every metric of a task about harm."""
    tasks = [find_task(name) for name in suite.members(row.task)]
    facts = [task.metrics.get(row.metric) for task in tasks if task]
    return any(task.about_harm for task in tasks if task) or any(one.kind == "safety" for one in facts if one)


def level(value: float | None, row: Comparison) -> str:
    """One arm's value: `91.7 %`, or the number itself where the metric is no rate."""
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if is_rate(row) else f"{value:.4g}"


def difference(row: Comparison) -> str:
    """Candidate minus baseline: `+58.3 points`, or in the metric's own unit."""
    if row.difference is None:
        return "-"
    return f"{100 * row.difference:+.1f} points" if is_rate(row) else f"{row.difference:+.4g}"


def interval(value: Interval | None, row: Comparison, signed: bool = True) -> str:
    """`+2.0 to +11.0 (90 %, tango score)`; points or percent where the metric is a rate."""
    if value is None:
        return "-"
    scale, sign = (100.0 if is_rate(row) else 1.0), ("+" if signed else "")
    form = f"{sign}.1f" if is_rate(row) else f"{sign}.4g"
    ends = f"{scale * value.low:{form}} to {scale * value.high:{form}}"
    return f"{ends} ({100 * value.confidence:.0f} %, {value.method})"


def best_line(best: Any) -> str:
    """`step 3 by eval_loss, 2.31`, where the best checkpoint was chosen; empty for anything else."""
    if not isinstance(best, dict) or not re.fullmatch(r"\w{1,60}", str(best.get("metric"))):
        return ""
    step, value = best.get("step"), best.get("value")
    if not isinstance(step, int) or not isinstance(value, int | float):
        return ""
    return f"step {step} by {best['metric']}, {value:.4g}"
