"""Spot answers: before a run goes up, some of its recorded answers are given again, by the adapter and its base.

    check_request(count, reason)                    before anything is read
    spot = spot_answers(evidence, count, reason)    Refused when an answer is not the model's own

`again` does the work in a process of its own (`python -m scripts.publishing.spot_answers`), as torch is not needed
for anything else here: drawn answers run again in the sandbox, then read or generated again by the model.

Not protected against: what was not drawn; someone who publishes again until a draw misses; weights that are bad in the
way the answers say. docs/publishing.md has the chances.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import try_to_load_from_cache
from pydantic import ValidationError

from eval.common.errors import Refused, UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import unchanging
from eval.config.suite_file import Suite
from eval.config.template_arguments import template_arguments
from eval.contracts.backend import Arms
from eval.run.baselines import BASE, BLESSED, RUN
from eval.run.candidate import numerics_of
from eval.run.digests import file_sha256
from eval.run.files import read_jsonl
from eval.run.folder import RESULTS, read_recipe
from eval.run.metrics import Metrics
from eval.run.records import Score
from eval.run.variant import MODEL, MODEL_MANIFEST, variant_of
from scripts.publishing.card import Evidence
from scripts.publishing.run_rows import Rows, read_rows
from scripts.publishing.spot_draw import deciding_weights, draw, evidence_seed
from scripts.publishing.spot_executions import run_again
from scripts.publishing.spot_record import Spot
from scripts.publishing.verify_data import asked_rows
from scripts.publishing.verify_run import read_suite

if TYPE_CHECKING:
    from scripts.publishing.spot_model import ModelSpot

DEFAULT, MOST = 16, 1000  # items of each of the two draws
LONGEST_REASON = 300
TIMEOUT_SECONDS = 3600  # a base of several GB without a GPU
LAST_LINE = "spot: "
COMMAND = [sys.executable, "-m", "scripts.publishing.spot_answers"]
OTHERWISE = "or publish with SPOT=0 REASON='...', which the card shows"


def check_request(count: int, reason: str | None) -> None:
    """UserError for a number that cannot be; Refused when spot answers are left out without a reason."""
    if not 0 <= count <= MOST:
        raise UserError(f"--spot {count}: from 1 to {MOST} items a draw, or 0 with a reason")
    if count and reason is not None:
        raise UserError("--spot-reason is for --spot 0: remove one of them")
    said = " ".join((reason or "").split())
    if not count and not said:
        raise Refused("SPOT=0 leaves out the proof that the answers are the model's own: give a REASON='...' for it")
    if len(said) > LONGEST_REASON or not said.isprintable():
        raise UserError(f"the reason for SPOT=0 is one line of at most {LONGEST_REASON} characters")


def spot_answers(evidence: Evidence, count: int, reason: str | None) -> Spot:
    """Draw items and have them answered again. Refused when an answer on record is not what the model, or the sandbox,
    gives now; UserError when there is no base to ask."""
    check_request(count, reason)
    if not count:
        return Spot(skipped=" ".join((reason or "").split()))
    recipe = read_recipe(evidence.folder)
    check_base_at_hand(str(recipe["base_model"]), recipe.get("revision_of_model"))
    if evidence.parent is not None:  # its verdict is what the variant's leans on
        print(f"first {evidence.parent.run}, whose form this is", flush=True)
        spot_answers(evidence.parent, count, reason)
    baseline = evidence.parent.folder / "adapter" if evidence.parent else baseline_adapter(evidence.metrics)
    given = {
        "folder": str(evidence.folder),
        "digests": evidence.review.digests,
        "baseline": str(baseline or ""),
        "count": count,
        "random": os.urandom(16).hex(),
    }
    print(f"answering again: {count} items by the evidence, {count} at random, in a process of its own", flush=True)
    return run_apart(given)


def check_base_at_hand(name: str, revision: str | None) -> None:
    """UserError unless the base is a folder here, or in the cache of the Hub's client."""
    if (ROOT / name / "config.json").is_file():
        return
    if not isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
        pinned = f" --revision {revision}" if revision else ""
        raise UserError(
            f"{name} is not on this machine, so that no answer can be given again: `hf download {name}{pinned}`, "
            f"{OTHERWISE}"
        )


def baseline_adapter(metrics: Metrics) -> Path | None:
    """Folder of the baseline's adapter; None for the base. UserError when it is not here."""
    if metrics.baseline == BASE:
        return None
    folder = RESULTS / metrics.baseline.removeprefix(f"{BLESSED}, ").removeprefix(RUN) / "adapter"
    if not folder.is_dir():
        raise UserError(f"{folder}, the baseline, is not here, so that it cannot answer again: bring it, {OTHERWISE}")
    return folder


def run_apart(given: dict[str, Any]) -> Spot:
    """`again` in a process of its own, without network and without tokens. Raises what it raised."""
    environment = {name: value for name, value in os.environ.items() if "TOKEN" not in name}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    try:
        done = subprocess.run(
            COMMAND, cwd=ROOT, env=environment, input=json.dumps(given), capture_output=True, text=True,
            errors="replace", timeout=TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(
            f"answering again took over {TIMEOUT_SECONDS} s: publish where the run was evaluated, a smaller SPOT=, "
            f"{OTHERWISE}"
        ) from None
    last = ([line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"])[-1].strip()
    if done.returncode in (1, 2) and last.startswith("error: "):
        said = last.removeprefix("error: ")
        raise Refused(said) if done.returncode == 1 else UserError(said)
    spoken = [line for line in done.stdout.splitlines() if line.startswith(LAST_LINE)]
    try:
        return Spot.model_validate_json(spoken[-1].removeprefix(LAST_LINE))
    except (IndexError, ValidationError):
        raise UserError(f"answering again failed (exit code {done.returncode}): {last[:300]}") from None


def again(folder: Path, digests: dict[str, str], baseline: Path | None, count: int, random: str) -> Spot:
    """Draw items and check what is on record about them. Refused or UserError; files with other digests are Refused."""
    started = time.monotonic()
    for name, digest in digests.items():
        if file_sha256(folder / name) != digest:
            raise Refused(f"{folder / name} changed while it was being published: publish again")
    suite, metrics = read_suite(folder)
    rows = read_rows(suite, read_jsonl(folder / "scores.jsonl", Score), folder)
    known = asked_rows(suite, metrics, rows.items, folder)
    weights = deciding_weights(suite, rows.scores)
    made_of = {name: digests[name] for name in ("adapter.sha256", MODEL_MANIFEST) if name in digests}
    seed = evidence_seed(metrics, made_of, rows.generations, rows.scores)
    first = draw(weights, seed, count)
    second = draw(weights, random, count, first)
    mixed = [item for pair in zip(second, first, strict=False) for item in pair]
    items = list(dict.fromkeys([*mixed, *second, *first]))

    executed = run_again(suite, rows, known, items)
    model = ask_model(suite, metrics, rows, baseline)
    model.check_drawn(items)
    answered = [item for item in second if item in model.samples]
    texts = [item for item in answered if model.generates(item)]  # of likelihoods the numbers themselves are read
    if answered:
        model.check_batch((texts or answered)[0])
    return Spot(
        evidence_sha256=seed,
        random=random,
        items=items,
        executed=executed,
        read=model.read,
        generated=model.generated,
        same_machine=model.same_machine,
        largest_gap=round(model.largest_gap, 4),
        seconds=round(time.monotonic() - started, 1),
    )


def ask_model(suite: Suite, metrics: Metrics, rows: Rows, baseline: Path | None) -> "ModelSpot":
    """Both arms, loaded and found to be those that answered."""
    from scripts.publishing.spot_model import ModelSpot  # torch and lm-eval, 10 s

    recipe, whole = read_recipe(rows.folder), variant_of(rows.folder) is not None
    arms = Arms(
        recipe["base_model"],
        recipe.get("revision_of_model"),
        None if whole else rows.folder / "adapter",
        baseline,
        template_arguments(recipe, f"{rows.folder.name}/recipe.yaml"),
        numerics_of(rows.folder, recipe),
        str(rows.folder / MODEL) if whole else None,
    )
    if whole:
        from scripts.publishing.spot_variant import check_made_of

        check_made_of(arms)
    return ModelSpot.load(suite, metrics, rows, arms)


def main() -> int:
    given = json.load(sys.stdin)
    os.chdir(ROOT)  # task files name their data from the repository root
    with unchanging():
        spot = again(
            Path(given["folder"]),
            given["digests"],
            Path(given["baseline"]) if given["baseline"] else None,
            given["count"],
            given["random"],
        )
    print(LAST_LINE + spot.model_dump_json(), flush=True)
    return 0


if __name__ == "__main__":
    run_command(main)
