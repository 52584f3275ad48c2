"""What is known of a recipe before it is started: its header, what earlier runs took, how its rehearsal went."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_bytes, read_text
from eval.run.digests import file_sha256
from eval.run.files import read_json, read_metrics
from eval.run.folder import RESULTS, list_runs, read_run, read_training
from scripts.training.lint_recipe import is_cpu_recipe, load_recipe
from spaces.trainer.choices import HERE

HEADER = re.compile(r"^#\s{1,8}(For|GPU|Memory|Hours)\s{1,8}(\S.{0,300})$", re.MULTILINE)
REHEARSALS = ROOT / ".cache" / "rehearsals"
LAST_STEP = "publish, dry run"
LOOK_SECONDS = 600.0  # for preflight, which imports torch and may ask the Hub
MONEY = ("Money", "none: this machine")
MOST_RUNS = 20  # that are looked at for how long they took


@dataclass(frozen=True)
class Facts:
    """Rows of name and value."""

    rows: list[tuple[str, str]]
    cpu: bool


@dataclass(frozen=True)
class Estimate:
    """What a job will take, as rows; `note` says where the figures come from."""

    rows: list[tuple[str, str]]
    note: str


@dataclass(frozen=True)
class LastRehearsal:
    """The last `make rehearse` of a recipe."""

    summary: str
    tone: str
    steps: list[tuple[str, str]]


def facts_of(path: Path) -> Facts:
    """From the recipe and its header. UserError when it is not a recipe."""
    recipe = load_recipe(path)
    size = f", rank {recipe['lora_r']}" if "lora_r" in recipe else ""
    rows = [("Base", str(recipe.get("base_model"))), ("Adapter", f"{recipe.get('adapter')}{size}")]
    known = dict(HEADER.findall(read_text(path)))
    rows += [(name, known[name]) for name in ("For", "GPU", "Memory") if name in known]
    return Facts(rows, is_cpu_recipe(recipe))


def estimate_of(path: Path, where: str, max_hours: float, budget: float, results: Path = RESULTS) -> Estimate:
    """Minutes of earlier runs on this machine; on a rented one, the limits that end the job."""
    known = dict(HEADER.findall(read_text(path)))
    if where != HERE:
        rows = [("At most", f"{max_hours:g} hours"), ("Budget", f"{budget:,.2f} US dollars")]
        rows += [("Training", f"{known['Hours']} hours")] if "Hours" in known else []
        return Estimate(rows, "The job ends by itself at whichever limit comes first. Hours are estimates.")
    for run in [*list_runs(results)[:MOST_RUNS], results / "demo"]:
        try:
            minutes = minutes_of(run, path)
        except (UserError, OSError):
            continue  # a broken run says nothing
        if minutes:
            rows = [(name, f"{value:,.1f} minutes") for name, value in minutes.items()]
            return Estimate([*rows, MONEY], f"As run {run.name} took on {machine_of(run)}.")
    hours = [("Training", f"{known['Hours']} hours")] if "Hours" in known else []
    return Estimate([*hours, MONEY], "This recipe has not been trained to its end yet.")


def minutes_of(run: Path, recipe: Path) -> dict[str, float]:
    """Minutes of training and of answering of a complete run of this very recipe; nothing for another."""
    if read_run(run).get("recipe") != recipe.stem or read_bytes(run / "recipe.yaml") != read_bytes(recipe):
        return {}
    training = read_training(run)
    if not training["completed"] or not training.get("seconds"):
        return {}
    minutes = {"Training": float(training["seconds"]) / 60}
    if (run / "metrics.json").is_file():
        costs = read_metrics(run / "metrics.json").costs
        minutes["Answers of both arms"] = sum(costs[name] for name in costs if name.startswith("seconds")) / 60
    return minutes


def machine_of(run: Path) -> str:
    """`2 cores of an AMD EPYC`, as the run recorded its machine."""
    file = run / "environment.json"
    machine = read_json(file).get("machine", {}) if file.is_file() else {}
    return f"{machine.get('cores', '?')} cores of {machine.get('cpu', 'an unknown CPU')}"


def last_rehearsal(path: Path, rehearsals: Path = REHEARSALS) -> LastRehearsal:
    """What rehearsal.json says, and whether it was of the recipe as it is now."""
    file = rehearsals / path.stem / "rehearsal.json"
    if not file.is_file():
        return LastRehearsal("not rehearsed yet: two minutes on a CPU, before anything is spent", "quiet", [])
    try:
        found = read_json(file)
        steps = [(str(step["step"]), str(step["said"])) for step in found["steps"]]
        of_this = found["recipe_sha256"] == file_sha256(path)
    except (UserError, KeyError, TypeError):
        return LastRehearsal("rehearsal.json is broken: rehearse again", "bad", [])
    if failed := [name for name, said in steps if said.startswith("failed")]:
        return LastRehearsal(f"failed at step {failed[0]}", "bad", steps)
    if not of_this:
        return LastRehearsal("the recipe changed since: rehearse again", "unsure", steps)
    if not steps or steps[-1][0] != LAST_STEP:
        return LastRehearsal("not walked through to its end", "unsure", steps)
    return LastRehearsal("walked through to its end", "good", steps)


def preflight_lines(path: Path) -> list[str]:
    """What `make preflight` prints about this machine; a process of its own, since it imports torch."""
    command = [sys.executable, "-m", "scripts.training.preflight", "--", str(path)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LOOK_SECONDS
        )
    except subprocess.TimeoutExpired:
        return [f"preflight said nothing for {LOOK_SECONDS:.0f} s: run `make preflight` in a terminal"]
    said = done.stdout.splitlines()
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return [*said, *errors[-1:]] or [f"preflight ended with code {done.returncode}"]
