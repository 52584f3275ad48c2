"""What a rented machine does, once boot.sh has seen to its end: train, send checkpoints, answer or evaluate, send all.

    SECURECLI_ORDER='{...}' python -m scripts.remote.machine       in a clone of the repository, after `make setup`

The verbs are those of the Makefile. Every whole checkpoint goes to the job's private repository, so that another
machine can go on. Some minutes before the deadline the training is stopped as Ctrl-C stops it. Whatever happens is
said in end.json: a machine that vanishes without one was lost.
"""

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eval.common.errors import CANNOT_EVALUATE, INCONCLUSIVE, NO_SHIP, SHIP, UserError, run_command
from eval.run.files import read_json
from eval.run.secret_patterns import redact
from scripts.remote.exchange import Broken, Exchange, newest_checkpoint, runs_of
from scripts.training.lint_recipe import load_recipe, resolve_recipe

ANSWERS = (SHIP, NO_SHIP, INCONCLUSIVE)
SAVING_SECONDS = 420.0  # to stop a training, save it and send it; at most a fifth of the machine's life
LOOK_SECONDS = float(os.environ.get("SECURECLI_LOOK", "15"))  # between two looks for a new checkpoint
AGAIN_SECONDS = 30.0


@dataclass(frozen=True)
class Orders:
    """What SECURECLI_ORDER holds. `deadline`: seconds since 1970."""

    job: str
    repo: str
    attempt: int
    recipe: str
    evaluate: str
    deadline: float


@dataclass
class End:
    """The machine's last words. `again`: another machine may go on where this one stopped."""

    attempt: int
    stage: str = "setup"
    code: int = CANNOT_EVALUATE
    said: str = "stopped by an error of its own: see the log"
    run: str | None = None
    again: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


class Step:
    """One verb of the Makefile: its output is passed on without credentials, and it can be stopped."""

    def __init__(self, goal: str, **variables: str) -> None:
        # In a session of its own: a signal reaches all of it, as Ctrl-C on a terminal does.
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", goal, *(f"{name}={value}" for name, value in variables.items())],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            text=True, errors="replace",
        )  # fmt: skip
        self.error = ""
        self.reader = threading.Thread(target=self._pass_on, daemon=True)
        self.reader.start()

    def _pass_on(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            shown = redact(line.rstrip())
            if shown.startswith("error: "):
                self.error = shown.removeprefix("error: ")
            print(shown, flush=True)

    def stop(self) -> None:
        """As Ctrl-C: make may end before the training has saved, and is not waited for alone."""
        os.killpg(self.process.pid, signal.SIGTERM)

    def wait_for_all(self, until: float) -> None:
        """Until nothing of the session is left, or it is `until` (seconds since 1970)."""
        while time.time() < until:
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)

    def code(self) -> int:
        """Exit code of the verb; make says 2 for every failure, and prints the verb's own."""
        code = self.process.wait()
        self.reader.join(timeout=10)
        return code


class Work:
    """The order, carried out in the current folder."""

    def __init__(self, orders: Orders, exchange: Exchange, results: Path) -> None:
        self.orders, self.exchange, self.results = orders, exchange, results
        self.end = End(orders.attempt)
        self.sent = 0.0
        left = orders.deadline - time.time()
        self.stop_at = orders.deadline - min(SAVING_SECONDS, left / 5)

    def run(self) -> End:
        """Every step, or up to the first that fails."""
        self.bring_back()
        if self.is_trained() or self.trains():
            runs = sorted(runs_of(self.results), key=lambda run: (run / "run.json").stat().st_mtime)
            self.end.run = runs[-1].name if runs else None
            goal = "eval" if self.orders.evaluate == "there" else "generate"
            if self.end.run and self.does(goal, RUN=self.end.run):
                self.end.stage, self.end.said = "done", f"{goal} ended"
        return self.end

    def is_trained(self) -> bool:
        """Whether an earlier machine came so far; training again would begin a new run."""
        files = [run / "train.json" for run in runs_of(self.results)]
        return any(path.is_file() and read_json(path).get("completed") for path in files)

    def trains(self) -> bool:
        """Every step up to the adapter, which is sent before anything else can fail."""
        recipe = {"RECIPE": self.orders.recipe}
        base = load_recipe(resolve_recipe(self.orders.recipe)).get("base_model", "")
        if str(base).startswith("models/") and not self.does("model"):
            return False
        if not (self.does("preflight", **recipe) and self.does("train", **recipe)):
            return False
        self.send()
        return True

    def bring_back(self) -> None:
        """What an earlier machine of this job sent; a container that is restarted has it already."""
        if runs_of(self.results):
            return
        try:
            there = self.exchange.fetch(self.results.parent / "outputs" / "brought-back")
        except Broken as error:
            print(f"remote: {error}; training begins anew", flush=True)
            return
        for run in sorted(there.glob("*")) if there else []:
            run.rename(self.results / run.name)
            print(f"remote: {run.name} is back, with its checkpoints", flush=True)
        self.sent = newest_checkpoint(self.results)

    def does(self, goal: str, **variables: str) -> bool:
        """Whether a step ended well; checkpoints go out while it runs."""
        print(f"remote: make {goal}", flush=True)
        self.end.stage = goal
        begun, stopped = time.time(), False
        step = Step(goal, **variables)
        while True:
            try:
                step.process.wait(LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                pass
            if newest_checkpoint(self.results) > self.sent:
                self.send()
            if not stopped and time.time() >= self.stop_at:
                print("remote: the deadline is near: stopping", flush=True)
                stopped = True
                step.stop()
        if stopped:
            step.wait_for_all(self.orders.deadline - AGAIN_SECONDS)
        code = CANNOT_EVALUATE if stopped else answer_of(step, self.results, goal, self.end.run)
        self.end.seconds[goal] = round(time.time() - begun, 1)
        self.end.code, self.end.again = code, stopped
        self.end.said = "the machine's time was used up" if stopped else step.error or f"make {goal} ended with {code}"
        return code == SHIP or (goal == "eval" and code in ANSWERS)

    def send(self) -> None:
        """The run as it is now. A Hub that cannot be reached costs a checkpoint's copy, not the training."""
        when = newest_checkpoint(self.results)
        try:
            self.exchange.push(self.results)
        except (UserError, OSError, ValueError) as error:
            print(f"remote: not sent, and tried again later: {redact(str(error))[:300]}", flush=True)
            return
        self.sent = max(self.sent, when)
        print("remote: sent what there is so far", flush=True)

    def say_end(self) -> None:
        """Send everything with the last words; as often as it takes, up to the deadline."""
        done = self.end.stage == "done"
        while True:
            try:
                self.exchange.push(self.results, asdict(self.end), finished=done)
                print(f"remote: ended ({self.end.stage}, code {self.end.code})", flush=True)
                return
            except (UserError, OSError, ValueError) as error:
                print(f"remote: the end was not sent: {redact(str(error))[:300]}", flush=True)
                if time.time() + AGAIN_SECONDS > self.orders.deadline:
                    raise
                time.sleep(AGAIN_SECONDS)


def answer_of(step: Step, results: Path, goal: str, run: str | None) -> int:
    """The verb's own exit code. make turns every failure into 2: of an evaluation the verdict tells."""
    code = step.code()
    if goal == "eval" and code and run:
        try:
            verdict = read_json(results / run / "metrics.json")["verdict"]
        except (OSError, UserError, KeyError, TypeError):
            return CANNOT_EVALUATE
        return {"ship": SHIP, "no-ship": NO_SHIP, "inconclusive": INCONCLUSIVE}.get(verdict, CANNOT_EVALUATE)
    return code


def read_orders(text: str) -> Orders:
    """SECURECLI_ORDER. UserError when it is not what `python -m scripts.remote` writes."""
    try:
        given: dict[str, Any] = json.loads(text)
        return Orders(**given)
    except (ValueError, TypeError):
        raise UserError("SECURECLI_ORDER is no order: this runs on a machine that scripts.remote started") from None


def main() -> int:
    from scripts.publishing.hub_errors import connect

    orders = read_orders(os.environ.get("SECURECLI_ORDER", ""))
    results = Path.cwd() / "results"
    results.mkdir(exist_ok=True)
    exchange = Exchange(connect(), orders.repo)
    if exchange.ended(orders.attempt):  # the container was restarted after its end
        return 0
    work = Work(orders, exchange, results)
    try:
        work.run()
    except UserError as error:
        work.end.said = str(error)
    finally:
        work.say_end()
    return 0


if __name__ == "__main__":
    run_command(main)
