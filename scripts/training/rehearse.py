"""The whole loop of a recipe on this CPU, in a minute or two and before money is spent: `make rehearse RECIPE=`.

    python -m scripts.training.rehearse RECIPE [--suite SUITE]

A tiny model with random weights stands in for the base (scripts/training/stand_in.py); what needs a GPU is exchanged
(scripts/training/exchanges.py), printed, and kept in rehearsal.json as not rehearsed. The rest is the real thing: lint,
every row turned into tokens, Axolotl for two steps, an interruption, one step more, the suite with two items a task,
gates, report, review, and what publishing checks. Everything is in .cache/rehearsals/<recipe>, made anew each
time; its run can never be published (scripts/publishing/verify_run.py refuses it first).

Exit codes: 0 the loop was walked through, whatever the verdict; 2 a step failed, named in the line. Not rehearsed:
memory, speed, numbers in bfloat16, CUDA kernels, several GPUs, the download.
"""

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eval.common.answer import Answer
from eval.common.errors import ProjectError, UserError, run_command
from eval.common.places import ROOT
from eval.config.suite_file import resolve_suite
from eval.run.digests import file_sha256
from eval.run.environment import git_state, silence_libraries
from eval.run.files import read_json, write_json
from eval.run.folder import locked
from eval.run.records import Record
from scripts.data.dataset_facts import describe_data
from scripts.training.devices import Devices
from scripts.training.exchanges import STEPS, STOP_AFTER, Exchange, for_cpu
from scripts.training.launch import launch_worker, prepared_folder
from scripts.training.lint_recipe import lint_recipe, load_recipe, resolve_recipe
from scripts.training.rehearsed_suite import decided_again, evaluated, reported_again, reviewed, walked_to_the_hub
from scripts.training.shown_row import as_text
from scripts.training.stand_in import StandIn, build
from scripts.training.train import refuse_credentials, start_run
from scripts.training.training_end import checkpoints, complete, how_it_ended
from scripts.training.training_watch import STOP_AFTER as STOP_VARIABLE

REHEARSALS = ROOT / ".cache" / "rehearsals"
INTERRUPTION = "interrupted, checkpoint saved"
ALONE = {"AXOLOTL_DATASET_NUM_PROC": "0"}  # for few rows, starting more processes takes longer than the work
LONGEST_SHOWN = 600  # letters of a row on the terminal


@dataclass
class Rehearsal:
    """What is known so far; each step fills in more."""

    recipe_path: Path
    folder: Path
    suite: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)
    stand_in: StandIn | None = None
    run: Path = Path()

    @property
    def file(self) -> Path:
        """The recipe as it is rehearsed."""
        return self.folder / f"{self.recipe_path.stem}.yaml"

    def step(self, name: str, act: Callable[["Rehearsal"], str]) -> None:
        """Do one step and say how it went. UserError, with the step's name, for one that failed."""
        started = time.monotonic()
        try:
            with self.quietly(name):
                said = act(self)
        except (ProjectError, OSError) as error:
            seconds = time.monotonic() - started
            self.note(name, seconds, f"failed: {' '.join(str(error).split())}")
            print(f"rehearse: ✗ {name} ({seconds:.1f} s)", flush=True)
            raise UserError(f"rehearsal of {self.recipe_path.stem}, step {name}: {error}") from error
        except Exception:  # a bug: its own line and traceback, after the step that it happened in
            print(f"rehearse: ✗ {name}", flush=True)
            raise
        self.note(name, time.monotonic() - started, said)
        print(f"rehearse: ✓ {name} ({time.monotonic() - started:.1f} s): {said}", flush=True)

    def note(self, name: str, seconds: float, said: str) -> None:
        """A line of rehearsal.json, which so exists from the first step on."""
        self.steps.append({"step": name, "seconds": round(seconds, 1), "said": said})
        write_json(
            self.folder / "rehearsal.json",
            {
                "recipe": self.recipe_path.stem,
                "recipe_sha256": file_sha256(self.recipe_path),
                "git": git_state(),
                "stand_in": None if self.stand_in is None else [self.stand_in.what, self.stand_in.source],
                "not_rehearsed": [str(exchange) for exchange in self.exchanges],
                "steps": self.steps,
            },
        )

    @contextlib.contextmanager
    def quietly(self, name: str) -> Any:
        """What a step's own code prints goes to rehearsal.log."""
        with (self.folder / "rehearsal.log").open("a") as log:
            print(f"--- {name}", file=log, flush=True)
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield


def rehearse(recipe_path: Path, suite: Path, rehearsals: Path = REHEARSALS) -> Rehearsal:
    """Walk through the loop. UserError names the step that failed, and its reason."""
    rehearsals.mkdir(parents=True, exist_ok=True)
    folder = rehearsals / recipe_path.stem
    folder.mkdir(exist_ok=True)
    with locked(folder):
        for old in folder.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        rehearsal = Rehearsal(recipe_path.resolve(), folder, suite)
        rehearsal.step("lint", lint)
        rehearsal.step("stand-in", make_stand_in)
        for exchange in rehearsal.exchanges:
            print(f"rehearse:   not rehearsed: {exchange}", flush=True)
        rehearsal.step("data", data)
        rehearsal.step("train", train_and_stop)
        show_row(rehearsal.run)
        rehearsal.step("resume", resume)
        rehearsal.step("evaluate", lambda known: evaluated(known.run, known.suite, known.folder))
        rehearsal.step("gate", lambda known: decided_again(known.run))
        rehearsal.step("report", lambda known: reported_again(known.run))
        rehearsal.step("review", lambda known: reviewed(known.run))
        rehearsal.step("publish, dry run", lambda known: walked_to_the_hub(known.run, known.recipe))
        shutil.rmtree(prepared_folder(rehearsal.run), ignore_errors=True)
    return rehearsal


def lint(known: Rehearsal) -> str:
    """The recipe itself, for the GPU that it is meant for."""
    recipe = load_recipe(known.recipe_path)
    refuse_credentials(known.recipe_path, recipe)
    if problems := lint_recipe(known.recipe_path):
        raise UserError(f"{len(problems)} problem(s): {'; '.join(problems)}")
    return f"{recipe['base_model']}, {recipe['adapter']}, r {recipe.get('lora_r')}"


def make_stand_in(known: Rehearsal) -> str:
    recipe = load_recipe(known.recipe_path)
    known.stand_in = build(recipe, known.folder / "base")
    rows = {str(entry["path"]): int(entry.get("rows") or 0) for entry in describe_data(recipe)}
    known.recipe, known.exchanges = for_cpu(recipe, shown(known.folder / "base"), rows)
    known.file.write_text(yaml.safe_dump(known.recipe, sort_keys=False))
    return f"{known.stand_in.what}; {known.stand_in.source}"


def data(known: Rehearsal) -> str:
    """Every row is turned into tokens by Axolotl's code, as lint does where the base is at hand; here it is."""
    if problems := lint_recipe(known.file, "cpu"):
        raise UserError("; ".join(problems))
    files = describe_data(known.recipe)
    return ", ".join(f"{entry.get('rows') or 0:,} rows of {Path(str(entry['path'])).name}" for entry in files)


def train_and_stop(known: Rehearsal) -> str:
    """Two steps, then what a signal would do."""
    files = describe_data(known.recipe)
    known.run = start_run(known.file, known.recipe, files, known.folder / "results", rehearsal=True)
    try:
        launch_worker(known.run, known.recipe, Devices(), more=ALONE | {STOP_VARIABLE: str(STOP_AFTER)})
    except UserError as error:
        if not str(error).startswith(INTERRUPTION):
            raise
    last = checkpoints(known.run)[-1:]
    if [path.name for path in last] != [f"checkpoint-{STOP_AFTER}"]:
        raise UserError(f"it should have stopped after step {STOP_AFTER}: see {shown(known.run)}/train.log")
    if how_it_ended(known.run, known.recipe):
        raise UserError(f"{STEPS} steps were planned, and it ended before: see {shown(known.run)}/train.log")
    return f"{STOP_AFTER} steps, then interrupted; {last[0].name} is saved"


def resume(known: Rehearsal) -> str:
    launch_worker(known.run, known.recipe, Devices(), more=ALONE)
    complete(known.run, known.recipe)
    done = read_json(known.run / "train.json")
    if (done["steps"], done["sessions"]) != (STEPS, 2):
        raise UserError(f"{done['steps']} steps in {done['sessions']} sessions, not {STEPS} in 2")
    dropped = "".join(f", {count:,} left out ({why})" for why, count in (done["dropped"] or {}).items())
    return f"step {STEPS} from checkpoint-{STOP_AFTER}; {done['examples'] or 0:,} rows trained on{dropped}"


def show_row(run: Path) -> None:
    """The first row as it was trained on; learned tokens green on a terminal, else in brackets."""
    if not (run / "row.json").is_file():
        return
    row = read_json(run / "row.json")
    text = as_text(row)[:LONGEST_SHOWN]
    if sys.stdout.isatty():
        text = text.replace("⟦", "\033[32m").replace("⟧", "\033[0m") + "\033[0m"
    print(f"rehearse:   one row, {row['trained']} of {row['tokens']} tokens are learned (marked):", flush=True)
    for line in text.splitlines():
        print(f"rehearse:   | {printable(line)}", flush=True)


def printable(line: str) -> str:
    """Without what a terminal would obey, but for the two colours above."""
    return "".join(letter if letter.isprintable() or letter == "\033" else "?" for letter in line)


def shown(path: Path) -> str:
    """A path from the repository root, where it lies below."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


class Step(Record):
    """One step of the loop, and what it said."""

    step: str
    seconds: float
    said: str


class Rehearsed(Record):
    """What was walked through, and the keys of the recipe that a CPU could not try."""

    recipe: str
    steps: list[Step]
    not_rehearsed: list[str]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.training.rehearse", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("recipe", help="recipe name or file")
    parser.add_argument("--suite", help="suite name or file (default: configs/eval/nl2bash.yaml)")
    arguments = parser.parse_args(argv)
    path, suite = resolve_recipe(arguments.recipe), resolve_suite(arguments.suite)
    silence_libraries()
    os.chdir(ROOT)
    started = time.monotonic()
    done = rehearse(path, suite)
    print(
        f"rehearse: {path.stem} walked through in {time.monotonic() - started:.0f} s, on random weights; "
        f"{len(done.exchanges)} key(s) were not rehearsed: {shown(done.folder)}/rehearsal.json"
    )
    result = Rehearsed(
        recipe=path.stem,
        steps=[Step.model_validate(step) for step in done.steps],
        not_rehearsed=[str(exchange) for exchange in done.exchanges],
    )
    return Answer(0, result, files=[done.folder / "rehearsal.json"])


if __name__ == "__main__":
    run_command(main)
