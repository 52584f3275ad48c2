"""Everything that must hold before a variant (`make quantize`) leaves the machine. Raises Refused.

    evidence = verify_any(folder)       an adapter's run by verify_run.py, a variant by what is here

First its parent, by the whole chain of verify_run.py: a variant's verdict says that it is no worse than its parent, and
so no more than the parent's own. The parent has to be a ship that a person approved, there, and the one whose files the
variant's folder holds. Then the variant itself, as any run: its model's bytes are those that were loaded and answered,
its suite is a committed one of configs/serve, its verdict follows from its scores, and a person approved these bytes.

Not protected against: what verify_run.py is not.
"""

from pathlib import Path
from typing import Any

from eval.common.errors import Refused, UserError
from eval.config.suite_file import Suite
from eval.run.baselines import BASE, RUN
from eval.run.digests import file_sha256, json_sha256
from eval.run.files import read_jsonl
from eval.run.folder import read_run
from eval.run.metrics import Metrics
from eval.run.records import Generation, Score
from eval.run.secret_patterns import refuse_secrets
from eval.run.variant import MODEL, PARENT_FILES, PARENT_FILES_IF_THERE, Variant, is_variant, parent_of, variant_of
from scripts.publishing.approval import refuse_edited_report
from scripts.publishing.card import Evidence
from scripts.publishing.model_files import NF4_CONFIG, WEIGHTS, check_model
from scripts.publishing.verify_base import check_tokenizer_files
from scripts.publishing.verify_claims import check_costs, check_measured, commit_notes
from scripts.publishing.verify_data import data_notes
from scripts.publishing.verify_guests import Place, check_guests, check_suite
from scripts.publishing.verify_made_by import check_made_by
from scripts.publishing.verify_plugins import check_plugins
from scripts.publishing.verify_run import (
    FROM_RUN,
    check_review,
    check_signature,
    count_again,
    plain_state,
    read_suite,
    refuse_selection,
    refuse_unproven,
    verify,
)
from scripts.publishing.verify_scores import check_items, check_verdict

AGAIN = "`make quantize` again"


def verify_any(folder: Path, place: Place | None = None) -> Evidence:
    """`verify` for an adapter's run, `verify_variant` for a variant. Raises Refused or UserError."""
    if (folder / "run.json").is_file() and is_variant(read_run(folder)):
        return verify_variant(folder, place)
    return verify(folder, place)


def verify_variant(folder: Path, place: Place | None = None) -> Evidence:
    """Everything that must hold, in order; the first failure ends it. Raises Refused or UserError."""
    state = plain_state(folder)
    if state["stages"].get("eval") != "completed":
        raise Refused(f"{folder.name}: eval did not complete: the same `make quantize` continues it")
    variant = variant_of(folder)
    assert variant is not None  # whoever calls this has looked
    parent = verified_parent(folder, variant, place)
    suite, metrics = read_suite(folder)
    refuse_selection(folder, suite)
    refuse_unproven(folder, suite, metrics)
    check_suite(folder, suite, place, served=True)
    guest_notes = check_guests(suite, metrics, place)
    digests, tensors = check_model(folder)
    check_named(folder, state, variant)
    model = json_sha256(digests)  # as the evaluation names the files that it loaded
    check_measured(folder, state, parent.recipe, suite, metrics, model)
    check_compared(folder, suite, metrics, variant)
    notes = check_plugins(folder, suite, metrics) + check_tokenizer_files(folder, parent.recipe, digests, MODEL)
    scores = read_jsonl(folder / "scores.jsonl", Score)
    check_verdict(suite, metrics, scores, folder)
    check_items(suite, metrics, scores, folder)
    check_made_by(metrics, folder, model)
    check_costs(folder, metrics, read_jsonl(folder / "generations.jsonl", Generation))
    review = check_review(folder, suite.review, metrics)
    signer = check_signature(folder, suite.review)
    refuse_edited_report(folder)
    texts = [folder / MODEL / name for name in digests if not WEIGHTS.fullmatch(name)]
    refuse_secrets([*(folder / name for name in FROM_RUN), *texts], folder)
    return Evidence(
        folder=folder,
        state=state,
        recipe=parent.recipe,
        recipe_text=parent.recipe_text,
        data=parent.data,
        suite=suite,
        metrics=metrics,
        review=review,
        adapter_digests=digests,
        earlier=count_again(folder, suite, metrics),
        signer=signer,
        notes=[*guest_notes, *notes, *data_notes(metrics), *commit_notes(metrics)],
        parent=parent,
        variant=variant,
        tensors=tensors,
    )


def verified_parent(folder: Path, variant: Variant, place: Place | None) -> Evidence:
    """The parent, once all that publishing asks of it holds, and it is the one that was quantised."""
    parent = parent_of(folder, variant)
    try:
        evidence = verify(parent, place)
    except Refused as error:
        raise Refused(f"{folder.name} is a form of {parent.name}, which may not be published: {error}") from None
    except UserError as error:
        raise UserError(f"{folder.name} is a form of {parent.name}: {error}") from None
    for name in (*PARENT_FILES, *PARENT_FILES_IF_THERE):
        there, here = parent / name, folder / name
        if there.is_file() != here.is_file() or (there.is_file() and file_sha256(there) != file_sha256(here)):
            raise Refused(f"{here} is not that of {parent.name}: it is a form of another run: {AGAIN}")
    if variant.adapter_sha256 != file_sha256(parent / "adapter.sha256"):
        raise Refused(f"{folder / 'run.json'} names another adapter than {parent.name} has: {AGAIN}")
    return evidence


def check_named(folder: Path, state: dict[str, Any], variant: Variant) -> None:
    """Refused unless run.json says of the model what it is: the folder, and the settings of its method."""
    if Path(str(state.get("model"))).name != MODEL:
        raise Refused(f"{folder / 'run.json'}: model {state.get('model')!r} is not the folder beside it: {AGAIN}")
    if any(NF4_CONFIG.get(name) != value for name, value in variant.settings.items()):
        raise Refused(f"{folder / 'run.json'}: its settings are not those of METHOD={variant.form}: {AGAIN}")


def check_compared(folder: Path, suite: Suite, metrics: Metrics, variant: Variant) -> None:
    """Refused unless the other arm was the parent's adapter, and the suite asks for no other baseline."""
    expected = {"name": RUN + variant.run, "asked": BASE, "adapter_sha256": variant.adapter_sha256}
    if (suite.baseline, metrics.baseline, metrics.provenance.get("baseline")) != (BASE, expected["name"], expected):
        raise Refused(f"{folder / 'metrics.json'}: compared with another baseline than {variant.run}: {AGAIN}")
