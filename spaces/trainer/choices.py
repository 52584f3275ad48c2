"""What can be chosen on the page: recipes and suites of this repository by name, and where a job runs. Nothing else.

order = Order(kind="train", recipe="smollm2-135m-cpu", suite="demo", where="here", max_hours=1, budget=0)
check(order, recipes)           UserError for anything that is not on a list
first_command(order, recipes)   argv, without a shell; names and numbers in it come from the lists
"""

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.config.suite_file import SUITES
from eval.run.records import Record

RECIPES = ROOT / "configs" / "train"
KINDS = ("train", "rehearse")
HERE = "here"
RENTED = {"hf-jobs": "Hugging Face Jobs", "runpod": "RunPod"}
REMOTE = (sys.executable, "-m", "scripts.remote")
OVER = ("done", "paused")  # phases of a rented job that has no machine
MOST_HOURS, MOST_BUDGET = 48.0, 500.0  # hours and US dollars that can be typed; what is rented has limits of its own


class Order(Record):
    """order.json: one job, as it was asked for."""

    kind: str
    recipe: str
    suite: str
    where: str = HERE
    max_hours: float = 0.0  # on a rented machine
    budget: float = 0.0  # US dollars
    user: str = ""
    recipes: str = str(RECIPES)  # the folder the name is looked up in; whoever starts the page says which


def recipes_in(folder: Path) -> dict[str, Path]:
    """Recipe files by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def suites() -> dict[str, Path]:
    """Suite files by name."""
    return {path.stem: path for path in sorted(SUITES.glob("*.yaml"))}


def places() -> dict[str, str]:
    """Where a job can run from this installation, as `name -> label`."""
    found = {HERE: "this machine"} if importlib.util.find_spec("axolotl") else {}
    return found | (RENTED if importlib.util.find_spec("scripts.remote") else {})


def check(order: Order) -> None:
    """UserError when something of an order is on none of the lists."""
    for what, given, known in (
        ("job", order.kind, KINDS),
        ("recipe", order.recipe, recipes_in(Path(order.recipes))),
        ("suite", order.suite, suites()),
        ("place", order.where, places()),
    ):
        if given not in known:
            raise UserError(f"no {what} {given[:100]!r}: choose one of {', '.join(known)}")
    if order.where == HERE:
        return
    if order.kind != "train":
        raise UserError("a rehearsal runs on this machine: choose that")
    for name, value, most in (("hours", order.max_hours, MOST_HOURS), ("budget", order.budget, MOST_BUDGET)):
        if not math.isfinite(value) or not 0 < value <= most:
            raise UserError(f"{name}: give a number above 0 and up to {most:g}")


def first_command(order: Order) -> list[str]:
    """What starts a job: what `make train`, `make rehearse` or `make remote` would start."""
    check(order)
    if order.where != HERE:
        limits = [f"--max-hours={order.max_hours:g}", f"--budget={order.budget:g}"]
        return [*REMOTE, "start", f"--on={order.where}", *limits, "--", order.recipe]
    recipe = str(recipes_in(Path(order.recipes))[order.recipe])
    module = "scripts.training.train" if order.kind == "train" else "scripts.training.rehearse"
    return [sys.executable, "-m", module, "--", recipe]


def evaluation_command(order: Order, run: Path) -> list[str]:
    """What `make eval RUN=` would start."""
    return [sys.executable, str(ROOT / "eval/run_eval_suite.py"), f"--run={run}", f"--config={suites()[order.suite]}"]


def list_command(order: Order) -> list[str]:
    """What lists the rented machines of an order's provider, as JSON."""
    return [*REMOTE, "status", f"--on={order.where}", "--json"]


def end_commands(order: Order, listed: dict[str, Any]) -> list[list[str]]:
    """What ends the machines of an order's recipe, by what `list_command` printed."""
    jobs = listed["result"]["jobs"]
    rows = [row for row in jobs if Path(row["recipe"]).stem == order.recipe and row["phase"] not in OVER]
    return [[*REMOTE, "stop", f"--on={order.where}", "--", str(row["job"])] for row in rows]
