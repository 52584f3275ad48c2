"""Verify a run from its raw files, build the exact set of files to upload, and upload it.

    python -m scripts.publish --run RUN --repo OWNER/NAME --dry-run     everything but the upload
    python -m scripts.publish --run RUN --repo OWNER/NAME               a private repository, one commit, one tag

Checks run in the order of `verify`, the first failure ends it with one line: exit 1 when the answer is no, 2
when something is missing or unreadable. The approving review is the confirmation; there is no --yes. Files go
up from publication/ inside the run folder, whose bytes are compared once more with what was verified.

Not protected against: someone who can write to the run folder *and* approve; an adapter that behaves well on
the suite only; what a later version of a library does with a file that is harmless today.
"""

import argparse
import itertools
import math
import re
from pathlib import Path
from typing import Any

import yaml

from eval.config import Suite, load_suite
from eval.errors import Refused, UserError, run_command
from eval.files import read_json, read_jsonl, read_metrics, write_json
from eval.gates import decide
from eval.judgements import JUDGED_VALUES, NOT_FOR_EXECUTION
from eval.judgements import METRIC as EXECUTES_EQUAL
from eval.provenance import file_sha256, json_sha256
from eval.records import BASELINE, CANDIDATE, Generation, Item, Judgement, Metrics, Score
from eval.run_folder import read_run, resolve_run
from scripts.adapter_files import check_adapter, check_weights, read_text
from scripts.card import Evidence
from scripts.hub_upload import FROM_RUN, WEIGHTS, build, upload
from scripts.review import REVIEW, REVIEWED, REVIEWED_IF_THERE, require_approval
from scripts.secret_patterns import refuse_secrets

REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")


def verify(folder: Path) -> Evidence:
    """Everything that must hold before a byte leaves the machine. Raises Refused or UserError."""
    state = check_complete(folder)
    adapter = check_adapter(folder)
    tensors = check_weights(folder / "adapter" / WEIGHTS)
    suite, metrics = check_decision(folder)
    if metrics.adapter_effect is None or metrics.adapter_effect.tensors != tensors:
        raise Refused(f"metrics.json has no proof that the {tensors} tensors of this adapter took effect")
    for what, recorded, found in (
        ("run", metrics.run, state["run"]),
        ("adapter", metrics.provenance.get("adapter_sha256"), file_sha256(folder / "adapter.sha256")),
        ("recipe", metrics.provenance.get("recipe_sha256"), file_sha256(folder / "recipe.yaml")),
    ):
        if recorded != found:
            raise Refused(f"{folder / 'metrics.json'} was measured on another {what}: `make eval` again")
    review = require_approval(folder, metrics.verdict)
    recipe_text = read_text(folder / "recipe.yaml")
    texts = [folder / name for name in ("recipe.yaml", "data.json", *FROM_RUN)]
    refuse_secrets(texts + [folder / "adapter" / name for name in adapter if name != WEIGHTS], folder)
    return Evidence(
        folder=folder,
        state=state,
        recipe=parse_recipe(folder, recipe_text),
        recipe_text=recipe_text,
        data=read_json(folder / "data.json"),
        suite=suite,
        metrics=metrics,
        review=review,
        adapter_digests=adapter,
    )


def check_complete(folder: Path) -> dict[str, Any]:
    """run.json, once every stage is done and no file of the evidence is a link."""
    for name in (*REVIEWED, *REVIEWED_IF_THERE, REVIEW, "run.json", "train.json", "adapter", "publication"):
        if (folder / name).is_symlink():
            raise Refused(f"{folder / name} is a symbolic link: evidence must be in the run folder itself")
    state = read_run(folder)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(state["run"])):
        raise UserError(f"{folder / 'run.json'}: run {state['run']!r} cannot be a tag")
    unfinished = [stage for stage in ("train", "eval") if state["stages"].get(stage) != "completed"]
    if unfinished:
        raise Refused(f"{folder.name}: {' and '.join(unfinished)} did not complete: run `make {unfinished[0]}`")
    training = read_json(folder / "train.json")
    if not isinstance(training, dict) or training.get("completed") is not True:
        raise Refused(f"{folder / 'train.json'} does not say completed: train again, it resumes")
    return state


def check_decision(folder: Path) -> tuple[Suite, Metrics]:
    """Suite and metrics, once the scores, decided again under that suite, give what metrics.json says."""
    suite, metrics = load_suite(folder / "suite.yaml"), read_metrics(folder / "metrics.json")
    if file_sha256(folder / "suite.yaml") != metrics.suite_sha256:
        raise Refused(f"{folder / 'suite.yaml'} is not the suite of metrics.json: evaluate again with `make eval`")
    scores = read_jsonl(folder / "scores.jsonl", Score)
    again = decide(suite, scores, metrics.adapter_effect)
    derived = {
        "verdict": again.verdict,
        "reasons": again.reasons,
        "gates": [gate.model_dump() for gate in again.gates],
        "comparisons": [comparison.model_dump() for comparison in again.comparisons],
    }
    recorded = metrics.model_dump(include=set(derived))
    if changed := [name for name in derived if not agree(recorded[name], derived[name])]:
        raise Refused(f"{folder / 'metrics.json'}: {changed[0]} is not what scores.jsonl gives")
    check_items(suite, metrics, scores, folder)
    if metrics.verdict != "ship":
        raise Refused(f"the verdict of {folder.name} is {metrics.verdict}: only a ship is published")
    return suite, metrics


def check_items(suite: Suite, metrics: Metrics, scores: list[Score], folder: Path) -> None:
    """Refused unless every sample that was asked is answered, and has every metric, in both arms.

    Which samples were asked is known from TaskSummary.samples_sha256, the digest of ids, prompts and golds.
    """
    tasks = {task.name: task for task in metrics.tasks}
    if missing := [task.name for task in suite.tasks if task.name not in tasks]:
        raise Refused(f"task {missing[0]} of the suite is not in metrics.json")
    prompts: dict[tuple[str, str, str, int], str] = {
        (line.arm, line.task, line.sample, line.repeat): line.prompt_sha256
        for line in read_jsonl(folder / "generations.jsonl", Generation)
    }
    items = read_jsonl(folder / "samples.jsonl", Item)
    repeats = {key[3] for key in prompts}
    for arm, repeat, task in itertools.product((BASELINE, CANDIDATE), repeats, metrics.tasks):
        asked = [
            [item.sample, prompts.get((arm, item.task, item.sample, repeat)), item.gold]
            for item in items
            if item.task == task.name
        ]
        if json_sha256(asked) != task.samples_sha256:
            raise Refused(f"{arm} of {task.name}: generations.jsonl and samples.jsonl are not what was asked")
    unjudged = check_executions(folder, scores)
    expected = {
        (*key, metric)
        for key in prompts
        if key[1] in tasks
        for metric in tasks[key[1]].metrics
        if metric != EXECUTES_EQUAL or key[1:3] not in unjudged
    }
    present = {(line.arm, line.task, line.sample, line.repeat, line.metric) for line in scores}
    if differing := sorted(expected ^ present):
        arm, name, sample, _, metric = differing[0]
        raise Refused(f"{arm} of {name}: {sample} lacks an answer or its {metric}: `make eval` again")


def check_executions(folder: Path, scores: list[Score]) -> set[tuple[str, str]]:
    """(task, sample) of those that execution cannot judge, once executions.jsonl agrees with itself and the scores.

    Refused when a sample was judged in one arm only, or a score is not what the judge said.
    """
    file = folder / "executions.jsonl"
    rows = read_jsonl(file, Judgement) if file.is_file() else []
    unjudged: dict[str, set[tuple[str, str]]] = {BASELINE: set(), CANDIDATE: set()}
    for row in rows:
        if row.rule == NOT_FOR_EXECUTION:
            unjudged.setdefault(row.arm, set()).add((row.task, row.sample))
    if unjudged[BASELINE] != unjudged[CANDIDATE]:
        raise Refused(f"{file}: the arms leave out different samples: `make eval` again")
    said = {(row.arm, row.task, row.sample, row.repeat): JUDGED_VALUES.get(row.verdict) for row in rows}
    for line in scores:
        key = (line.arm, line.task, line.sample, line.repeat)
        if line.metric == EXECUTES_EQUAL and (key not in said or said[key] != line.value):
            raise Refused(f"{folder / 'scores.jsonl'}: {line.arm} of {line.sample} is not what executions.jsonl says")
    return unjudged[BASELINE]


def agree(one: Any, other: Any) -> bool:
    """Equal JSON values; floats to 9 digits, as another machine's mathematics may differ in the last one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(agree, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def parse_recipe(folder: Path, text: str) -> dict[str, Any]:
    try:
        recipe = yaml.safe_load(text)
    except yaml.YAMLError:
        recipe = None
    if not isinstance(recipe, dict):
        raise UserError(f"{folder / 'recipe.yaml'} is not a recipe")
    return recipe


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.publish", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="name or path of a run; the newest by default")
    parser.add_argument("--repo", required=True, help="OWNER/NAME on the Hugging Face Hub")
    parser.add_argument("--dry-run", action="store_true", help="stop before the upload")
    arguments = parser.parse_args(argv)
    repo: str = arguments.repo
    if not REPO.fullmatch(repo) or len(repo) > 96 or ".." in repo or "--" in repo or repo.endswith(".git"):
        raise UserError(f"--repo {repo!r} is not OWNER/NAME of letters, digits, `-`, `_` and `.`")
    folder = resolve_run(arguments.run)
    print(f"verifying {folder.name}", flush=True)
    evidence = verify(folder)
    publication = build(repo, evidence)
    for path in sorted(publication.iterdir()):
        print(f"{path.stat().st_size:>13,}  {file_sha256(path)}  {path.name}")
    print(f"model card: {publication / 'README.md'}")
    if arguments.dry_run:
        print(f"dry run: nothing was uploaded; these files would go to {repo}, tag {evidence.run}")
        return 0
    record = upload(publication, repo, evidence.run)
    write_json(folder / "publication.json", record)
    print(f"published {repo} at {record['commit']}, tag {evidence.run}; {folder / 'publication.json'}")
    return 0


if __name__ == "__main__":
    run_command(main)
