"""Is metrics.json about the files beside it, and does it say of them what they say themselves? Raises Refused.

    check_measured(folder, state, recipe, suite, metrics)
    check_costs(folder, metrics, generations)

The card prints what metrics.json says of training, machine and packages: each has a file of its own to agree with. What
stands nowhere else (seconds) has to be a number under a name that the evaluation writes.

Not protected against: files that were invented together.
"""

import math
import re
from pathlib import Path
from typing import Any

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.config.suite_file import Suite
from eval.contracts.numerics import chosen
from eval.run.candidate import numerics_of
from eval.run.digests import file_sha256
from eval.run.files import read_json
from eval.run.generated import JUDGED_ON
from eval.run.metrics import Metrics
from eval.run.records import BASELINE, CANDIDATE, Generation
from scripts.publishing.committed import in_history
from scripts.publishing.verify_data import AGAIN, mapping

COST = re.compile(r"items|(seconds|tokens|reused|memory)(_[a-z]+){1,3}")
# A processor's name has the widest letters: `Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz`. No markup, no address.
# Several GPUs are several lines, and a stop string may be a token of a template: `<|im_end|>`.
WORDS = re.compile(r"(?!.*(?:://|www\.|--))(?:[\w .,:;+/@()=~#%*'\n-]|<\|\w{1,40}\|>){0,300}", re.ASCII | re.DOTALL)
QUANTISED = ("load", "quantisation")  # facts of the device that say so
RECORDED = ("git_training", "machine", "packages", "backend", "judged")  # parts of the provenance that the card prints


def check_measured(
    folder: Path, state: dict[str, Any], recipe: dict[str, Any], suite: Suite, metrics: Metrics,
    model: str | None = None,
) -> None:  # fmt: skip
    """Refused unless run, suite, recipe, data, base and adapter are those that metrics.json is about.

    `model`: digest of the whole model that was measured in place of an adapter.
    """
    for name in ("adapter.sha256", "recipe.yaml"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: train again")
    measured = metrics.provenance
    for name in RECORDED:
        if not isinstance(measured.get(name) or {}, dict):
            raise UserError(f"{folder / 'metrics.json'}: provenance.{name} is not a mapping: `make eval` again")
    data, digest = read_json(folder / "data.json"), file_sha256(folder / "recipe.yaml")
    environment = read_environment(folder)
    base = {"path": recipe.get("base_model"), "revision": recipe.get("revision_of_model")}
    device = mapping(measured.get("device"))
    numerics = chosen(suite.backend.load, numerics_of(folder, recipe)).record()
    for what, recorded, found in (
        ("run", metrics.run, state["run"]),
        ("suite", metrics.suite, suite.name),
        ("recipe", measured.get("recipe_sha256"), digest),
        ("data manifest", measured.get("data"), data),
        ("adapter", measured.get("adapter_sha256"), model or file_sha256(folder / "adapter.sha256")),
        ("model", measured.get("model"), state.get("model")),
        ("served form", measured.get("served"), state.get("served")),
        ("base model", measured.get("base_model"), base),
        ("origin of the adapter", measured.get("adopted"), state.get("adopted")),
        ("form of the base", {name: device[name] for name in QUANTISED if name in device}, numerics),
        ("training", metrics.training, read_json(folder / "train.json")),
        ("commit of the training", measured.get("git_training"), state.get("git")),
        ("machine", measured.get("machine"), environment.get("machine")),
        ("set of packages", measured.get("packages"), installed(environment, measured.get("packages") or {})),
        ("backend", measured.get("backend"), suite.backend.model_dump()),
        ("commit", measured.get("git"), environment.get("git")),
        ("judging machine", measured.get("judged"), judged_on(folder)),
        ("time", measured.get("created"), state["created"]),
        ("recipe of another name", measured.get("recipe"), state.get("recipe")),
        ("set of seeds", measured.get("seeds"), {"training": state.get("seed"), "evaluation": suite.seed}),
    ):
        if recorded != found:
            raise Refused(f"{folder / 'metrics.json'} was measured on another {what}: `make eval` again")
    if state.get("recipe_sha256", digest) != digest or state["base_model"] != recipe.get("base_model"):
        raise Refused(f"{folder / 'recipe.yaml'} is not the recipe that was trained: train again")
    check_words(folder / "metrics.json", "provenance", {**measured, "data": None})


def check_words(file: Path, where: str, value: Any) -> None:
    """Refused for a text that is no name, version or digest: it would go up, and nobody derived it."""
    if isinstance(value, dict):
        for key, item in value.items():
            check_words(file, where, key)
            check_words(file, f"{where}.{key}", item)
    elif isinstance(value, list):
        for item in value:
            check_words(file, where, item)
    elif isinstance(value, str) and not WORDS.fullmatch(value):
        raise Refused(f"{file}: {where} holds a text that is not a name, version or digest: {AGAIN}")


def commit_notes(metrics: Metrics) -> list[str]:
    """What the card has to say of the code that trained and evaluated: changed, or not of this repository's history."""
    notes = []
    judged = (
        {"judged": mapping(metrics.provenance.get("judged")).get("git")} if metrics.provenance.get("judged") else {}
    )
    states = {"trained": metrics.provenance.get("git_training"), "evaluated": metrics.provenance.get("git"), **judged}
    for what, recorded in states.items():
        state = recorded or {}
        if state.get("dirty"):
            notes.append(f"The code that {what} it had changes that were not committed, by its own record.")
        if not in_history(state.get("commit"), ROOT):
            notes.append(f"The commit whose code {what} it is not in the history of this repository.")
    return notes


def check_costs(folder: Path, metrics: Metrics, generations: list[Generation]) -> None:
    """Refused unless the costs are the evaluation's, and count the items and tokens of its answers."""
    file, costs = folder / "metrics.json", metrics.costs
    for name, value in costs.items():
        if not COST.fullmatch(name) or not 0 <= value < math.inf:
            raise Refused(f"{file}: costs.{name[:40]!r} is nothing that an evaluation costs: {AGAIN}")
    for arm in (BASELINE, CANDIDATE):
        own = [answer for answer in generations if answer.arm == arm]
        counted = {
            "items": (costs.get("items"), len(own)),
            f"tokens_{arm}": (
                _sum(costs, f"tokens_{arm}", f"tokens_reused_{arm}"),
                sum(one.tokens or 0 for one in own),
            ),
        }
        for name, (recorded, found) in counted.items():
            if recorded is not None and recorded != found:
                raise Refused(f"{file}: costs.{name} is not what generations.jsonl gives: {AGAIN}")


def _sum(costs: dict[str, float], *names: str) -> float | None:
    found = [costs[name] for name in names if name in costs]
    return sum(found) if found else None


def judged_on(folder: Path) -> dict[str, Any] | None:
    """The machine that judged what another generated, and its commit; None where one machine did both."""
    if not (folder / JUDGED_ON).is_file():
        return None
    environment = read_environment(folder, JUDGED_ON)
    return {name: environment.get(name) for name in ("git", "machine")}


def read_environment(folder: Path, name: str = "environment.json") -> dict[str, Any]:
    """environment.json. UserError when it is missing or of another form."""
    environment = read_json(folder / name)
    if not isinstance(environment, dict) or not isinstance(environment.get("packages"), dict):
        raise UserError(f"{folder / name} is not a description of a machine: `make eval` again")
    return environment


def installed(environment: dict[str, Any], claimed: dict[str, Any]) -> dict[str, Any]:
    """Versions of the claimed packages as the environment has them."""
    return {name: environment["packages"].get(name) for name in claimed}
