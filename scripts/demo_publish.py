"""Publish a run to a Hub on this machine and load it back as a reader would: the whole way, without an account.

    python -m scripts.demo_publish [--run RUN] [--reviewer NAME]

Takes the newest run of verdict ship that has its weights. A copy of it is published, so that no record of the run
itself changes; the base is served by the same Hub, so that the card's five lines run unchanged. The approval is the
run's own, or one recorded for the copy in the name of --reviewer. State: .cache/demo-publish/, made anew each time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from huggingface_hub import snapshot_download

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import copy_regular, read_text
from eval.run.files import read_json, read_metrics
from eval.run.folder import list_runs, read_recipe, resolve_run
from eval.run.records import Record
from scripts.loopback_hub.faults import Hub
from scripts.loopback_hub.server import serve
from scripts.publishing.adapter_files import WEIGHTS
from scripts.publishing.approval import make_review, write_review
from scripts.publishing.card import hub_base
from scripts.publishing.load_back import card_lines, load_back

STATE = ROOT / ".cache" / "demo-publish"
OWNER = "demo"


def newest_shipped() -> Path:
    """The newest run of verdict ship whose weights are here. UserError when there is none."""
    for run in list_runs():
        with suppress(UserError):  # a run that cannot be read is none to publish
            if (run / "adapter" / WEIGHTS).is_file() and read_metrics(run / "metrics.json").verdict == "ship":
                return run
    raise UserError("no run of verdict ship with its weights in results/: run `make demo` first, or name one with RUN=")


def copy_run(run: Path, reviewer: str) -> Path:
    """A copy of the run to publish, approved: by its own review, or by one of the copy alone."""
    copy = STATE / "results" / run.name
    shutil.rmtree(STATE, ignore_errors=True)
    ignored = shutil.ignore_patterns("training", "publication*", "wandb")
    try:
        shutil.copytree(run, copy, ignore=ignored, copy_function=copy_regular)
    except shutil.Error as error:  # all that could not be copied, each with its reason
        source, _, reason = error.args[0][0]
        raise UserError(f"{source} cannot be copied: {reason}") from None
    if reviewer:
        write_review(copy, make_review(copy, "approve", reviewer, "make demo-publish: a Hub on this machine only"))
    elif not (copy / "review.json").is_file():
        raise UserError(
            f"{run.name} is not reviewed: read it with `make review RUN={run.name}`, or try with REVIEWER='your name'"
        )
    return copy


def serve_base(hub: Hub, run: Path) -> None:
    """Put the base of the run on the Hub, under the id and revision that the card names."""
    recipe = read_recipe(run)
    base, folder = hub_base(recipe), ROOT / str(recipe["base_model"])
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a model folder: this demonstration needs the base on this machine")
    assert base.revision
    hub.store.add_model(base.hub_id, folder, base.revision)


def read_by_card(hub: Hub, run: Path, repo: str) -> str:
    """Download the card by its tag, run its lines as they are, and return the answer to one request."""
    record = read_json(run / "publication.json")
    with tempfile.TemporaryDirectory() as cache:
        target = {"revision": record["tag"], "endpoint": hub.endpoint, "token": hub.token}
        snapshot = Path(snapshot_download(repo, cache_dir=cache, **target))
        lines = card_lines(read_text(snapshot / "README.md"))
        print(f"\nthe card's own lines, in a process of their own:\n\n{lines}", flush=True)
        loaded = load_back(
            snapshot,
            lines,
            record["loaded"]["request"],
            record["loaded"]["tensors"],
            Path(cache),
            hub.endpoint,
            hub.token,
        )
    return f"{loaded.request!r} -> {loaded.answer!r}"


class PublishedHere(Record):
    """A run on the Hub of this machine, and what the model answered once loaded from there."""

    run: str
    repo: str
    requests: int
    answered: str


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.demo_publish", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="name or path of a run; the newest of verdict ship by default")
    parser.add_argument("--reviewer", default="", help="approve the copy in this name")
    arguments = parser.parse_args(argv)
    run = resolve_run(arguments.run) if arguments.run else newest_shipped()
    copy = copy_run(run, arguments.reviewer.strip())
    repo = f"{OWNER}/{run.name}"[:96].rstrip("-.")
    with serve(STATE / "hub") as hub:
        print(f"a Hub at {hub.endpoint}, kept in {STATE / 'hub'}", flush=True)
        serve_base(hub, copy)
        command = [sys.executable, "-m", "scripts.publish", "--run", str(copy), "--repo", repo]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, **hub.environment}, check=False).returncode
        if code:
            return code
        answered = read_by_card(hub, copy, repo)
        print(answered)
        print(f"{len(hub.log)} requests, {len(hub.writes)} of them writes; {copy / 'publication.json'}")
        told = PublishedHere(run=run.name, repo=repo, requests=len(hub.log), answered=answered)
    return Answer(0, told, files=[copy / "publication.json"])


if __name__ == "__main__":
    run_command(main)
