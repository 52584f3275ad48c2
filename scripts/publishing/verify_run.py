"""Everything that must hold before a byte of a run leaves the machine, in order; the first failure ends it.

    evidence = verify(folder)        Refused (exit 1) when the answer is no, UserError (2) when something is missing

complete -> the suite is a committed one -> suite, recipe, data and adapter are those that were measured -> plain files,
safetensors, finite, the settings and tensors of the recipe's LoRA -> the base's tokenizer -> scores complete -> verdict
recomputed -> approved by a person, for these bytes, lately -> the report is what the files give -> no credentials ->
licences stated and compatible -> base pinned.

Not protected against: someone who can write to the run folder *and* approve; an adapter that behaves well on
the suite only; what a later version of a library does with a file that is harmless today.
"""

import datetime
import stat
from pathlib import Path
from typing import Any

from eval.adapters.adapter_config import check_config
from eval.adapters.adapter_tensors import check_tensors
from eval.adapters.safetensors_file import check_weights
from eval.common.errors import Refused, UserError
from eval.config.parts import SELECTION
from eval.config.suite_file import ReviewPolicy, Suite, load_suite
from eval.model.backends import SERVERS
from eval.run.candidate import BROUGHT
from eval.run.digests import file_sha256
from eval.run.earlier import chance_of_one, earlier_candidates
from eval.run.files import read_json, read_jsonl, read_metrics
from eval.run.folder import LOGS, read_recipe, read_run
from eval.run.metrics import EarlierCandidates, Metrics
from eval.run.records import Generation, Score
from eval.run.secret_patterns import refuse_secrets
from eval.run.variant import MODEL
from scripts.publishing.adapter_files import CONFIG, WEIGHTS, check_adapter, read_text
from scripts.publishing.approval import (
    REVIEW,
    REVIEWED,
    REVIEWED_IF_THERE,
    Review,
    refuse_edited_report,
    require_approval,
    verify_signature,
)
from scripts.publishing.card import Evidence, hub_base
from scripts.publishing.committed import COMMIT
from scripts.publishing.licences import check_licences
from scripts.publishing.names import name_problem, tag_problem
from scripts.publishing.verify_adopted import adopted_data
from scripts.publishing.verify_base import check_tokenizer_files
from scripts.publishing.verify_claims import check_costs, check_measured, commit_notes
from scripts.publishing.verify_data import data_notes
from scripts.publishing.verify_guests import Place, check_guests, check_suite
from scripts.publishing.verify_inputs import check_data
from scripts.publishing.verify_made_by import check_made_by
from scripts.publishing.verify_plugins import check_plugins
from scripts.publishing.verify_scores import check_decision, check_items
from scripts.publishing.verify_training import check_record, recipe_notes

FROM_RUN = ("metrics.json", "report.md")  # go up as they are
RECORD = "publication.json"
FOLDERS = ("adapter", MODEL, "publication")
CLOCK_SKEW = datetime.timedelta(minutes=5)


def verify(folder: Path, place: Place | None = None) -> Evidence:
    """Everything that must hold before a byte leaves the machine. Raises Refused or UserError.

    `place`: the repository of a domain that is not ours, where the publisher names one.
    """
    refuse_brought(folder)
    state = check_complete(folder)
    suite, metrics = read_suite(folder)
    refuse_selection(folder, suite)
    refuse_unproven(folder, suite, metrics)
    check_suite(folder, suite, place)
    guest_notes = check_guests(suite, metrics, place)
    recipe = read_recipe(folder)
    check_measured(folder, state, recipe, suite, metrics)
    if state.get("adopted"):
        data, notes = adopted_data(folder, state)
    else:
        data, notes = check_data(folder, state, recipe, suite)
        check_record(folder, state, recipe)
    adapter = check_adapter(folder)
    tensors = check_weights(folder / "adapter" / WEIGHTS)
    notes += check_plugins(folder, suite, metrics)
    if metrics.adapter_effect is None or metrics.adapter_effect.tensors != tensors:
        raise Refused(f"metrics.json has no proof that the {tensors} tensors of this adapter took effect")
    config = read_json(folder / "adapter" / CONFIG)
    check_config(folder / "adapter" / CONFIG, config, recipe)
    check_tensors(folder / "adapter" / WEIGHTS, config)
    notes += check_tokenizer_files(folder, recipe, adapter)
    scores = read_jsonl(folder / "scores.jsonl", Score)
    check_decision(suite, metrics, scores, folder)
    check_items(suite, metrics, scores, folder)
    check_made_by(metrics, folder)
    check_costs(folder, metrics, read_jsonl(folder / "generations.jsonl", Generation))
    review = check_review(folder, suite.review, metrics)
    signer = check_signature(folder, suite.review)
    refuse_edited_report(folder)
    texts = [folder / name for name in ("recipe.yaml", "data.json", *FROM_RUN)]
    refuse_secrets(texts + [folder / "adapter" / name for name in adapter if name != WEIGHTS], folder)
    base = hub_base(recipe)
    check_licences(base, data)
    if not base.revision or not COMMIT.fullmatch(base.revision):
        raise Refused(
            f"{folder / 'recipe.yaml'} pins no commit of {base.hub_id}: set revision_of_model and train again"
        )
    return Evidence(
        folder=folder,
        state=state,
        recipe=recipe,
        recipe_text=read_text(folder / "recipe.yaml"),
        data=data,
        suite=suite,
        metrics=metrics,
        review=review,
        adapter_digests=adapter,
        earlier=count_again(folder, suite, metrics),
        signer=signer,
        notes=[*guest_notes, *recipe_notes(folder, state), *notes, *data_notes(metrics), *commit_notes(metrics)],
    )


def refuse_brought(folder: Path) -> None:
    """Refused for a run that trained nothing: what a backend brought has no bytes here that could go up."""
    if (folder / "run.json").is_file() and BROUGHT in read_run(folder):
        raise Refused(
            f"{folder.name} shows a verdict about models of a server: which bytes answered cannot be proven, and none "
            "are here to publish; evaluate a run's adapter under hf"
        )


def refuse_selection(folder: Path, suite: Suite) -> None:
    """Refused for a run that was judged on the items by which a sweep chooses: its verdict is kinder than the truth."""
    if suite.part == SELECTION:
        raise Refused(
            f"{folder.name} was judged on the selection half alone, by which a sweep chooses: its verdict is never "
            "published; `make sweep` judges the winner on the other half"
        )


def refuse_unproven(folder: Path, suite: Suite, metrics: Metrics) -> None:
    """Refused for an evaluation by a backend that cannot prove which bytes answered, whatever metrics.json says."""
    effect, backend = metrics.adapter_effect, suite.backend.kind
    if backend in SERVERS or (effect is not None and not effect.proven):
        raise Refused(
            f"{folder / 'metrics.json'}: backend {backend} cannot prove which bytes answered: its verdict is shown, "
            "and never published; evaluate under one that can, as hf does"
        )


def count_again(folder: Path, suite: Suite, metrics: Metrics) -> EarlierCandidates:
    """Other candidates that the same items have judged until now: never fewer than the evaluation counted.

    Whoever tries ten adapters may publish the first of them.
    """
    recorded = metrics.earlier
    found = earlier_candidates(folder, suite, folder.parent, metrics.provenance.get("adapter_sha256"))
    if recorded is None:
        return found
    candidates = max(recorded.candidates, len({*found.adapters, *recorded.adapters}) + recorded.in_cache)
    return found.model_copy(
        update={
            "candidates": candidates,
            "in_cache": min(recorded.in_cache, candidates),
            "chance": chance_of_one(candidates + 1, suite.alpha),
        }
    )


def plain_state(folder: Path) -> dict[str, Any]:
    """run.json, once every file of the evidence is a plain one, and the run's name can be a tag."""
    for name in (*REVIEWED, *REVIEWED_IF_THERE, REVIEW, "run.json", "train.json", RECORD, *FOLDERS):
        path = folder / name
        if path.is_symlink():
            raise Refused(f"{path} is a symbolic link: evidence must be in the run folder itself")
        expected = stat.S_ISDIR if name in FOLDERS else stat.S_ISREG
        if path.exists() and not expected(path.stat().st_mode):
            raise Refused(f"{path} is not a plain {'folder' if expected is stat.S_ISDIR else 'file'}")
    state = read_run(folder)
    if problem := tag_problem(str(state["run"])):
        raise UserError(f"{folder / 'run.json'}: run {str(state['run'])[:80]!r} cannot be a tag: it {problem}")
    return state


def check_complete(folder: Path) -> dict[str, Any]:
    """run.json, once every stage is done and every file of the evidence is a plain one."""
    state = plain_state(folder)
    if state.get("rehearsal"):
        raise Refused(f"{folder.name} is a rehearsal, of random weights: train the recipe with `make train`")
    if state.get("model"):
        raise Refused(
            f"{folder.name} judged a whole model, {state['model']}: only adapters are published here, and what `make "
            "quantize` makes of them"
        )
    if LOGS in state["stages"]:
        raise Refused(
            f"{folder.name} is a verdict over logs, which prove no bytes: it is shown, and never published; evaluate "
            "the adapter here with `make eval`"
        )
    unfinished = [stage for stage in ("train", "eval") if state["stages"].get(stage) != "completed"]
    if unfinished:
        raise Refused(f"{folder.name}: {' and '.join(unfinished)} did not complete: run `make {unfinished[0]}`")
    training = read_json(folder / "train.json")
    if not isinstance(training, dict) or training.get("completed") is not True:
        raise Refused(f"{folder / 'train.json'} does not say completed: train again, it resumes")
    return state


def read_suite(folder: Path) -> tuple[Suite, Metrics]:
    """The suite of the run and its metrics, once they belong together."""
    suite, metrics = load_suite(folder / "suite.yaml"), read_metrics(folder / "metrics.json")
    if file_sha256(folder / "suite.yaml") != metrics.suite_sha256:
        raise Refused(f"{folder / 'suite.yaml'} is not the suite of metrics.json: evaluate again with `make eval`")
    return suite, metrics


def check_review(folder: Path, policy: ReviewPolicy, metrics: Metrics) -> Review:
    """The approving review of these bytes, as recent as the suite asks.

    Only a ship passes, or what the suite lets a person override.
    """
    if metrics.verdict != "ship" and not policy.allow_override:
        raise Refused(
            f"the verdict of {folder.name} is {metrics.verdict}: only a ship is published, and the suite allows no "
            "override"
        )
    review = require_approval(folder, metrics.verdict)
    if problem := name_problem(review.reviewer):
        raise Refused(f"{folder / REVIEW}: the reviewer's name {problem}: review again")
    now = datetime.datetime.now(datetime.UTC)
    try:
        age = now - datetime.datetime.fromisoformat(review.time)
    except (ValueError, TypeError):  # not a time, or one without a zone
        raise UserError(f"{folder / REVIEW}: its time is not a time with a zone: review again") from None
    if age < -CLOCK_SKEW:
        raise Refused(f"{folder / REVIEW} is from the future ({review.time}): set the clock, or review again")
    if age > datetime.timedelta(days=policy.max_age_days):
        raise Refused(
            f"{folder / REVIEW} is {age.days} days old, and the suite allows {policy.max_age_days:g}: review again"
        )
    return review


def check_signature(folder: Path, policy: ReviewPolicy) -> str | None:
    """Who signed the review, where the suite asks for a signature. Refused when nobody known did."""
    if not policy.require_signature:
        return None
    signer = verify_signature(folder)
    if signer is None:
        raise Refused(f"{folder / REVIEW} is not signed, and the suite asks for it: review again with SIGN=1")
    return signer
