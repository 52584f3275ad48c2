"""Suite files: configs/eval/<suite>.yaml, typed. Unknown keys are errors and all errors come at once.

Every field's description below is its documentation.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from eval.common.entries import Strict
from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.config.backend_settings import BackendSettings as BackendSettings  # for whoever reads suites
from eval.config.gate_rules import AnyGate
from eval.config.metric_table import contradiction
from eval.config.parts import Part, half_of
from eval.config.task_entry import Task as Task
from eval.config.task_entry import problems_of_repeats
from eval.contracts.domains import execution_of, facts_of, find_task, modes_giving
from eval.contracts.gate import Gate, Terms
from eval.contracts.guest_folder import MODULE
from eval.contracts.guests import let_in
from eval.contracts.plugins import names
from eval.contracts.task import WATCHED_MODE

SUITES = ROOT / "configs" / "eval"
TRACKERS = ("wandb", "trackio", "mlflow", "tensorboard")  # ours, in scripts/tracking/
DEFAULT_SUITE = SUITES / "nl2bash.yaml"


class ReviewPolicy(Strict):
    """What publishing asks of the review of a run."""

    max_age_days: float = Field(30, gt=0, le=36500, description="an older approval does not count")
    allow_override: bool = Field(
        False, description="a person may approve what is not a ship, with a reason that the card and the report show"
    )
    require_signature: bool = Field(False, description="the approval must carry a valid signature of a known key")


class GuestDomain(Strict):
    """A domain of somebody else's whose tasks take part. Its code runs when the suite is loaded."""

    folder: str | None = Field(
        None, description="the folder of its domain.py, from the suite file; none: an installed package offers it"
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="digest of its code, as `make plugins SUITE=` prints it; to publish"
    )


class Pool(Strict):
    """The items of several tasks as one: for gates on what has to be rare wherever it happens."""

    name: str
    tasks: list[str] = Field(min_length=2)


class Suite(Strict):
    """One suite: what runs, how, and what must hold."""

    name: str
    description: str
    seed: int = Field(
        42,
        ge=0,
        description="of drawn answers and of a sweep's halves; the order of a sequential run is not the seed's",
    )
    part: Part | None = Field(
        None,
        exclude_if=lambda part: part is None,
        description="the half of every task's clusters that is asked: `selection` or `verdict`; `make sweep` writes it",
    )
    backend: BackendSettings = BackendSettings()
    alpha: float = Field(0.05, gt=0, lt=0.5, description="chance that one gate passes a model exactly at its threshold")
    mode: Literal["fixed", "sequential"] = Field(
        "fixed",
        description="fixed: all items, then one look. sequential: items in a random order that data and adapter fix, a "
        "look after every batch, and an end as soon as every blocking gate is decided",
    )
    baseline: str = Field(
        "base", description="what the adapter is compared with: `base`, `run:<run>` or `blessed` (of the same recipe)"
    )
    expected_discordance: float = Field(
        0.2, gt=0, le=1, description="share of items the two arms score differently, for the power table before a run"
    )
    power: float = Field(0.8, gt=0.5, lt=1, description="chance of passing that the power table asks for")
    max_invalid: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="share of a task's items that may be invalid before a gate on it is inconclusive",
    )
    review: ReviewPolicy = ReviewPolicy()
    tracking: list[str] = Field(
        default_factory=list,
        description="experiment trackers a finished evaluation is logged with, all offline: "
        f"{', '.join(TRACKERS)}, or those of installed packages",
    )
    plugins: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        default_factory=dict,
        exclude_if=lambda plugins: not plugins,
        description="packages whose backends and gate kinds may have a say in what is published: `name version` and "
        "the digest that `make plugins` prints",
    )
    domains: dict[str, GuestDomain] = Field(
        default_factory=dict, exclude_if=lambda domains: not domains, description="tasks of somebody else's, by domain"
    )
    tasks: list[Task] = Field(min_length=1)
    pools: list[Pool] = Field(default_factory=list)
    gates: list[AnyGate]

    @model_validator(mode="after")
    def _names(self) -> "Suite":
        names = [task.name for task in self.tasks]
        ids = [gate.id for gate in self.gates]
        problems = [f"task {name} is listed twice" for name in sorted({n for n in names if names.count(n) > 1})]
        problems += [
            f"tracker {name} is listed twice"
            for name in sorted({n for n in self.tracking if self.tracking.count(n) > 1})
        ]
        problems += [f"gate {gate} is listed twice" for gate in sorted({g for g in ids if ids.count(g) > 1})]
        problems += [
            f"pool {pool.name}: {task} is not in tasks, or there twice"
            for pool in self.pools
            for task in sorted({name for name in pool.tasks if name not in names or pool.tasks.count(name) > 1})
        ]
        pools = [pool.name for pool in self.pools]
        problems += [f"pool {name} has the name of a task or of another pool" for name in sorted(
            {name for name in pools if name in names or pools.count(name) > 1})]  # fmt: skip
        problems += [
            f"gate {gate.id}: task {gate.task} is not in tasks ({', '.join([*names, *pools])})"
            for gate in self.gates
            if gate.task not in (*names, *pools)
        ]
        modes = {task.name: task.execute for task in self.tasks}
        problems += [problem for task in self.tasks if (problem := _unknown_mode(task))]
        problems += [
            f"task {task.name}: a result for the Hub is of all rows: remove `hub`, or `limit` and `mode: sequential`"
            for task in self.tasks
            if task.hub and (task.limit or self.mode == "sequential")
        ]
        problems += [
            problem
            for task in self.tasks
            for problem in problems_of_repeats(
                task, [gate for gate in self.gates if task.name in self.members(gate.task)]
            )
        ]
        giving = {
            (name, gate.metric): _needed_modes(name, gate.metric)
            for gate in self.gates
            for name in self.members(gate.task)
        }
        problems += [
            f"gate {gate.id}: {gate.metric} needs `execute: {' or '.join(needed)}` on task {name}"
            for gate in self.gates
            for name in self.members(gate.task)
            if (needed := giving[name, gate.metric]) and name in modes and modes[name] not in needed
        ]
        problems += [
            said
            for gate in self.gates
            for name in self.members(gate.task)
            if (facts := facts_of(name, gate.metric)) and (said := contradiction(gate, name, facts))
        ]
        if self.mode == "sequential":
            problems += [
                f"gate {gate.id}: {what} has no anytime-valid test; use mode: fixed or tier: advisory"
                for gate in self.gates
                if gate.tier == "blocking" and (what := _without_sequential_test(gate, gate.task in pools))
            ]
        if not any(gate.tier == "blocking" for gate in self.gates):
            problems.append("no blocking gate: such a suite could never ship")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def members(self, task: str) -> list[str]:
        """The tasks whose items a gate on `task` is about: those of the pool of this name, else itself."""
        return next((pool.tasks for pool in self.pools if pool.name == task), [task])

    def asks(self, cluster: str) -> bool:
        """Whether items of this cluster are asked: all are, but for those of the half that the suite is not about."""
        return self.part is None or half_of(self.seed, cluster) == self.part

    @property
    def confidence(self) -> float:
        """Two-sided confidence whose each end is a one-sided test at alpha."""
        return self.terms.confidence

    @property
    def terms(self) -> Terms:
        """What every gate of the suite is asked for."""
        return Terms(self.alpha, self.power, self.mode, self.expected_discordance)


def _unknown_mode(task: Task) -> str:
    execution = execution_of(task.name)
    modes = (*(execution.modes if execution else ()), WATCHED_MODE)
    if task.execute is None or task.execute in modes:
        return ""
    return f"task {task.name}: execute {task.execute} is not one of {', '.join(dict.fromkeys(modes))}"


def _needed_modes(task: str, metric: str) -> tuple[str, ...]:
    """In which modes a task of a domain gives a metric; elsewhere a metric of such a name is the task's own."""
    return modes_giving(task, metric) if find_task(task) else ()


def _without_sequential_test(gate: Gate, on_pool: bool) -> str:
    """What of a gate sequential evaluation cannot decide; empty when it can.

    The items of a pool are asked task by task: they have no order of their own that each look would continue.
    """
    return "a pool" if on_pool else gate.not_sequential()


def check_trackers(suite: Suite) -> None:
    """UserError for a tracker that nobody offers. Asked before an evaluation alone: a suite that names one of a package
    which is not installed here still decides."""
    known = names("trackers", dict.fromkeys(TRACKERS, ""))
    if unknown := [name for name in suite.tracking if name not in known]:
        raise UserError(f"suite {suite.name}: no tracker {', '.join(unknown)}: there are {', '.join(known)}")


def resolve_suite(name: str | None) -> Path:
    """Path of a suite given by path or by name; the default suite for None. UserError when there is none."""
    if name is None:
        return DEFAULT_SUITE
    for path in (Path(name), SUITES / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in SUITES.glob("*.yaml")))
    raise UserError(f"no suite {name}: give a path or one of {known}")


def load_suite(path: Path) -> Suite:
    """Read and check a suite file. UserError lists every problem, each with its key."""
    try:
        raw = parse_yaml(read_bytes(path).decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"suite {path} does not exist: see configs/eval/") from None
    except (BrokenYaml, UnicodeDecodeError) as error:
        raise UserError(f"{path}: broken YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a suite is a mapping with name, description, tasks and gates")
    let_in_guests(path, raw.get("domains"))
    try:
        return Suite.model_validate(raw)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'suite'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        raise UserError(f"{path}: {'; '.join(problems)}") from None


def let_in_guests(path: Path, asked: object) -> None:
    """Load the domains that a suite file names, before its tasks and gates are checked. UserError names the domain.

    A run holds a copy of its suite; what the folder was when it was evaluated stands in its run.json.
    """
    if not isinstance(asked, dict):
        return
    for name, value in asked.items():
        try:
            guest = GuestDomain.model_validate(value if value is not None else {})
        except ValidationError:
            continue  # said, with the rest, when the whole suite is checked
        folder = None if guest.folder is None else (path.resolve().parent / guest.folder).resolve()
        if folder is not None and not (folder / MODULE).is_file() and (path.parent / "run.json").is_file():
            folder = Path(str((read_places(path.parent / "run.json")).get(str(name), folder)))
        let_in(str(name), folder, guest.sha256)


def read_places(state: Path) -> dict[str, str]:
    """Where the domains of a run were when it was evaluated; empty where it says nothing."""
    try:
        found = json.loads(read_bytes(state)).get("domains")
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
