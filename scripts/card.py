"""The model card of an adapter: YAML front matter for the Hub, then text rendered from a run's own files.

    text = render_card(repo, evidence)       called by scripts.publish once everything is verified

The words are in templates/card.md.j2. Text that came from a file (names, sources, a reviewer) is flattened to one
line and stripped of markup characters, since a card is rendered as markdown on a public page.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.config import ROOT, Suite
from eval.errors import Refused, UserError
from eval.records import Interval, Metrics
from scripts.review import Review

TEMPLATES = Path(__file__).resolve().parent / "templates"
MANIFEST = "MANIFEST.sha256"


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
HUB_LICENCES = {
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": "apache-2.0",
    "Qwen/Qwen2.5-Coder-7B-Instruct": "apache-2.0",
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

    @property
    def run(self) -> str:
        return self.metrics.run


def hub_base(recipe: dict[str, Any]) -> Base:
    """The recipe's base as a Hub model. Refused for a folder whose Hub id is not known."""
    name = str(recipe.get("base_model", "")).removeprefix("./").rstrip("/")
    if name in EMBEDDED:
        return EMBEDDED[name]
    if (ROOT / name).exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        raise Refused(f"base model {name} is no Hub id, and no reader of the card could load the adapter")
    revision = recipe.get("revision_of_model") or recipe.get("model_revision")
    return Base(name, str(revision) if revision else None, HUB_LICENCES.get(name, "other"))


def front_matter(repo: str, base: Base, evidence: Evidence) -> str:
    """The card's YAML block: what the Hub indexes, the results as `model-index` among it."""
    metrics = evidence.metrics
    sets = {task.name: task for task in metrics.tasks}
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=row.task,
            dataset_name=sets[row.task].dataset,
            dataset_args={"sha256": sets[row.task].dataset_sha256},
            metric_type=row.metric,
            metric_name=f"{row.metric} (higher is better)",
            metric_value=row.candidate,
            metric_args={
                "n": row.n,
                "invalid": row.invalid,
                "clusters": row.clusters,
                "baseline": row.baseline,
                "difference": row.difference,
                "interval_of_difference": row.interval.model_dump() if row.interval else None,
                "suite": metrics.suite,
                "suite_sha256": metrics.suite_sha256,
            },
        )
        for row in metrics.comparisons
        if row.candidate is not None
    ]
    card = ModelCardData(
        base_model=base.hub_id,
        base_model_relation="adapter",
        library_name="peft",
        pipeline_tag="text-generation",
        license=base.licence,
        license_name="as-the-base-model" if base.licence == "other" else None,
        language="en",
        tags=["axolotl", "lora"],
        model_name=repo.split("/")[1],
        eval_results=results,
    )
    return str(card.to_yaml())


def render_card(repo: str, base: Base, evidence: Evidence, tag: str | None = None) -> str:
    """README.md of the model repository; `tag` is the name its five lines load it by, the run's id by default.

    UserError when data.json lacks a field the card needs.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # markdown; `inline` is the escape
    )
    environment.filters |= {"inline": inline, "number": number, "signed": signed, "interval": interval}
    columns = ("path", "rows", "licence", "source", "revision", "sha256")
    for row in evidence.data:
        if missing := [name for name in columns if name not in row]:
            raise UserError(f"{evidence.folder / 'data.json'}: a dataset lacks {missing[0]}: train again")
    git = evidence.metrics.provenance.get("git_training") or {}
    training = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in (evidence.metrics.training or {}).items()
        if isinstance(value, int | float | str)
    }
    ticks = max((len(found) for found in re.findall(r"`+", evidence.recipe_text)), default=0)
    return environment.get_template("card.md.j2").render(
        front_matter=front_matter(repo, base, evidence),
        repo=repo,
        base=base,
        run=evidence.run,
        tag=tag or evidence.run,
        recipe_name=inline(evidence.state.get("recipe")),
        metrics=evidence.metrics,
        suite=evidence.suite,
        review=evidence.review,
        training=training,
        commit=f"{inline(git.get('commit'))}{', with uncommitted changes' if git.get('dirty') else ''}",
        data=evidence.data,
        fence="`" * max(3, ticks + 1),
        recipe_text=evidence.recipe_text.rstrip("\n"),
        manifest=MANIFEST,
        digests=evidence.review.digests
        | {f"adapter/{name}": digest for name, digest in evidence.adapter_digests.items()},
    )


def inline(value: object) -> str:
    """A value as one line of plain text: no markup, no table separators, no line breaks; a dash for nothing."""
    text = " ".join(str("-" if value in (None, "") else value).split())
    return re.sub(r"[<>|`\[\]*\\]", "", text)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def interval(value: Interval | None) -> str:
    """`+0.020 to +0.110 (90 %, tango score)`"""
    if value is None:
        return "-"
    return f"{value.low:+.3f} to {value.high:+.3f} ({100 * value.confidence:.0f} %, {value.method})"
