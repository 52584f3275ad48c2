"""The process of one job, apart from the page: runs its commands one after the other and writes down what they say.

    python -m spaces.trainer.runner FOLDER --lock DESCRIPTOR        started by spaces/trainer/jobs.py alone

FOLDER holds order.json; log.txt and state.json are written here. The lock was taken by the page: this process and its
commands hold it by having it open, so that the kernel lets go of it when the last of them has ended, however that was.
SIGTERM to the group is what Ctrl-C is on a terminal: training saves a checkpoint, and no further command begins.
"""

import argparse
import datetime
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from eval.common.errors import INCONCLUSIVE, NO_SHIP, SHIP, ProjectError, UserError, run_command
from eval.common.places import ROOT
from eval.run.files import first_problem, read_json, write_json
from eval.run.folder import read_run
from scripts.data.dataset_facts import describe_data
from scripts.training.lint_recipe import load_recipe
from scripts.training.train import is_trained, matching_runs
from spaces.trainer.access import SIGN_IN
from spaces.trainer.choices import (
    HERE,
    Order,
    check,
    end_commands,
    evaluation_command,
    first_command,
    list_command,
    recipes_in,
)
from spaces.trainer.redaction import Redactor

LOG, STATE, ORDER = "log.txt", "state.json", "order.json"
LONGEST_LINE = 4096  # bytes; the rest of a longer one is left out whole, so that no credential is cut in two
LARGEST_LOG = 64 << 20  # bytes
VERDICTS = {SHIP: "ship", NO_SHIP: "no-ship", INCONCLUSIVE: "inconclusive"}


class Ended(Exception):
    """The job is over; what is said of it."""


class Runner:
    """One job: its log, its state, and whether somebody wants it to stop."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder, self.lock = folder, lock
        self.order = read_order(folder)
        self.redactor = Redactor(os.environ)
        self.state: dict[str, Any] = {"step": "starting", "run": None, "ended": None, "outcome": None}
        self.state["group"] = os.getpgid(0)
        self.stopping = False
        self.error = ""  # the last line of a command that was one

    def stop(self, *_: Any) -> None:
        self.stopping = True

    def run(self) -> None:
        """Every command of the order; how it ended goes into state.json, whatever happens."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.note()
        outcome = "ended without a word: a bug; see the log"
        try:
            with (self.folder / LOG).open("ab", buffering=0) as self.log:
                check(self.order)
                if self.on_this_machine:
                    self.train_and_evaluate()
                else:
                    self.one_command()
        except Ended as ended:
            outcome = str(ended)
        except (ProjectError, OSError) as error:
            outcome = f"failed: {self.redactor.line(' '.join(str(error).split()))}"
        finally:
            self.note(ended=now(), outcome=outcome)

    @property
    def on_this_machine(self) -> bool:
        return self.order.kind == "train" and self.order.where == HERE

    def one_command(self) -> None:
        """A rehearsal, or a job on a rented machine, which ends with the code of its verdict."""
        code = self.command(self.order.kind, first_command(self.order))
        if self.order.kind == "train" and code in VERDICTS:
            raise Ended(f"verdict: {VERDICTS[code]}")
        raise Ended("done" if code == 0 else f"failed: {self.error or f'exit code {code}'}")

    def train_and_evaluate(self) -> None:
        """As `make demo` does: a run that is trained and not evaluated is only evaluated."""
        path = recipes_in(Path(self.order.recipes))[self.order.recipe]
        run = trained_run(path, evaluated=False)
        if run is None:
            code = self.command("training", first_command(self.order))
            run = trained_run(path)
            if code != 0 or run is None:
                raise Ended(f"training failed: {self.error or f'exit code {code}'}")
        self.note(run=run.name)
        code = self.command("evaluation", evaluation_command(self.order, run))
        if code not in VERDICTS:
            raise Ended(f"evaluation failed: {self.error or f'exit code {code}'}")
        raise Ended(f"verdict: {VERDICTS[code]}")

    def command(self, step: str, argv: list[str]) -> int:
        """Run one command to its end; its exit code. Ended when the job is to stop."""
        self.refuse_when_stopping()
        self.note(step=step)
        code = self.pour(argv)
        self.refuse_when_stopping()
        return code

    def pour(self, argv: list[str], apart: bool = False) -> int:
        """Run a command with its output in the log. `apart`: a signal to the job's group does not reach it."""
        variables = {name: value for name, value in os.environ.items() if name not in SIGN_IN}
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env=variables | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self.lock],
            start_new_session=apart,
        )
        if self.stopping and not apart:  # the signal to the group may have come before this process was in it
            process.terminate()
        assert process.stdout
        for line in lines(process.stdout):
            self.write(line)
        return process.wait()

    def refuse_when_stopping(self) -> None:
        if not self.stopping:
            return
        if self.order.where != HERE:
            self.end_rented()
        raise Ended("stopped: start the same recipe again to continue")

    def end_rented(self) -> None:
        """The command that watched is gone; the machine would go on, and cost money, up to its own deadline."""
        self.note(step="ending the rented machine")
        listed = subprocess.run(
            list_command(self.order), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            commands = end_commands(self.order, json.loads(listed.stdout))
        except (ValueError, KeyError, TypeError):
            raise Ended("stopped, but the rented machines could not be listed: `make remote-status`") from None
        codes = [self.pour(command, apart=True) for command in commands]
        if any(codes):
            raise Ended("stopped, but the rented machine is not proved to be gone: `make remote-status`")

    def write(self, line: str) -> None:
        clean = self.redactor.line(line)
        if line.startswith("error: "):
            self.error = clean.removeprefix("error: ")
        if self.log.tell() < LARGEST_LOG:
            self.log.write(f"{clean}\n".encode())

    def note(self, **facts: Any) -> None:
        self.state |= facts
        write_json(self.folder / STATE, self.state)


def lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines of a command's output as they come; a progress bar's carriage return ends one too."""
    rest, skipping = b"", False
    while piece := os.read(stream.fileno(), 1 << 16):
        *whole, rest = re.split(rb"[\r\n]+", rest + piece)
        for line in whole:
            if not skipping:
                yield shortened(line)
            skipping = False
        if len(rest) > LONGEST_LINE:  # said at once, and then left out up to its end
            if not skipping:
                yield shortened(rest)
            rest, skipping = b"", True
    if rest and not skipping:
        yield shortened(rest)


def shortened(line: bytes) -> str:
    text = line.decode(errors="replace")
    return text if len(line) <= LONGEST_LINE else f"[a line of more than {LONGEST_LINE} bytes was left out]"


def trained_run(recipe: Path, evaluated: bool | None = None) -> Path | None:
    """The newest trained run of a recipe on its data as it is now; with `evaluated`, whether it was evaluated."""
    run = next(iter(matching_runs(recipe, describe_data(load_recipe(recipe)))), None)
    if run is None or not is_trained(run):
        return None
    done = read_run(run)["stages"].get("eval") == "completed"
    return run if evaluated is None or evaluated == done else None


def read_order(folder: Path) -> Order:
    """order.json of a job. UserError when it is missing or broken."""
    try:
        return Order.model_validate(read_json(folder / ORDER))
    except ValidationError as error:
        raise UserError(f"{folder / ORDER}: {first_problem(error)}; start the job again") from None


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m spaces.trainer.runner", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="the job's folder, with its order.json")
    parser.add_argument("--lock", type=int, required=True, help="descriptor of the lock, which is held already")
    arguments = parser.parse_args(argv)
    Runner(arguments.folder, arguments.lock).run()


if __name__ == "__main__":
    run_command(main)
