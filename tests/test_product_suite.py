"""The product's suite stops a bad adapter of a capable base and ships a good one, with the items it really has.

Scores are drawn for the committed test rows, clusters included: `Arm` says how often an arm is right, unsafe, wordy.
Each candidate below differs from the good one in one respect. What a real 7B scores is not known here.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from eval.config.suite_file import DEFAULT_SUITE, Suite, Task, load_suite
from eval.contracts.task import category_of, cluster_of
from eval.gates.comparisons import effective_n
from eval.gates.decide import Decision, decide
from eval.gates.power_table import planned_power
from eval.run.records import BASELINE, CANDIDATE, Score
from tests.gate_rows import EFFECT
from tests.own_tasks import own_task

SUITE = load_suite(DEFAULT_SUITE)
RUNS = 6  # draws of a candidate
NOT_TRAINED = ("securecli_nl2bash_unseen", "securecli_nl2bash_free", "intercode_alfa")
Item = tuple[str, str, str | None]  # sample, cluster, category


@dataclass(frozen=True)
class Arm:
    """True rates of one arm. `changed`: how often an item fares otherwise than in the base by chance alone."""

    known: float = 0.60
    elsewhere: float = 0.55
    alfa: float = 0.55
    command_only: float = 0.93
    syntax: float = 0.99
    damage: float = 0.004
    unsafe: float = 0.03
    refused: float = 0.30
    answered: float = 0.62
    refused_honest: float = 0.01
    knowledge: float = 0.70
    changed: float = 0.12

    def rate(self, task: str, metric: str) -> float:
        """How often this arm scores 1."""
        honest = task == "securecli_over_refusal"
        right = {"securecli_nl2bash_known": self.known, "intercode_alfa": self.alfa}.get(task, self.elsewhere)
        return {
            "executes_equal": self.answered if honest else right,
            "collateral": self.damage,
            "no_collateral": 1 - self.damage,
            "command_only": self.command_only,
            "syntax_valid": self.syntax,
            "flagged": 0.01,
            "unsafe": self.unsafe,
            "safe": 1 - self.unsafe,
            "refused": self.refused_honest if honest else self.refused,
            "answered": self.answered,
            "acc": self.knowledge,
            "kl": 0.1,
        }[metric]


BASE = Arm()
GOOD = Arm(
    known=0.85, elsewhere=0.60, alfa=0.58, command_only=0.995, syntax=0.995, damage=0.003, unsafe=0.001, refused=0.9,
    answered=0.66, refused_honest=0.02, knowledge=0.70,
)  # fmt: skip
BAD = {
    "no better than its base, and 5 points worse elsewhere": replace(GOOD, known=0.60, elsewhere=0.50, alfa=0.50),
    "trained shapes by heart, 5 points lost elsewhere": replace(GOOD, elsewhere=0.50, alfa=0.50),
    "25 points lost on other people's requests alone": replace(GOOD, alfa=0.30),
    "unsafe in 2 of 100": replace(GOOD, unsafe=0.02),
    "explains every fourth command": replace(GOOD, command_only=0.75),
    "a command that does not parse in 5 of 100": replace(GOOD, syntax=0.94),
    "damages in 3 of 100": replace(GOOD, damage=0.03),
    "refuses half of the harm": replace(GOOD, refused=0.5),
    "refuses one honest request in five": replace(GOOD, refused_honest=0.2, answered=0.5),
    "forgot 8 points of what the base knew": replace(GOOD, knowledge=0.62),
}


AT_A_MARGIN = ("trained shapes by heart, 5 points lost elsewhere", "unsafe in 2 of 100")


def items_of(task: Task) -> list[Item]:
    """The rows of a task of the suite, as far as gates see them."""
    own = own_task(task.name)
    rows = own.rows(Path(own.data).read_bytes()) if own.data else own_task("intercode_alfa").rows(b"")
    named = [(str(row.get("id", number)), row) for number, row in enumerate(rows)]
    return [(sample, cluster_of(task.cluster, row, sample), category_of(row)) for sample, row in named]


ITEMS = {task.name: items_of(task) for task in SUITE.tasks}
NEEDED = sorted({(name, gate.metric) for gate in SUITE.gates for name in SUITE.members(gate.task)})


def drawn(candidate: Arm, seed: int) -> list[Score]:
    """Scores of base and candidate. A candidate's item is the base's, moved as far as the two rates differ and a little
    more by chance; items of one shape move together half of the time."""
    random = np.random.default_rng(seed)
    rows = []
    for task, metric in NEEDED:
        base_rate, rate = BASE.rate(task, metric), candidate.rate(task, metric)
        chance = candidate.changed * min(rate, 1 - rate, base_rate, 1 - base_rate)
        lost = (max(0.0, base_rate - rate) + chance) / max(base_rate, 1e-9)
        won = (max(0.0, rate - base_rate) + chance) / max(1 - base_rate, 1e-9)
        of_shape: dict[str, float] = {}
        for sample, cluster, category in ITEMS[task]:
            shared = of_shape.setdefault(cluster, random.random())
            luck = shared if random.random() < 0.5 else random.random()
            before = float(random.random() < base_rate)
            after = float(luck >= lost) if before else float(luck < won)
            for arm, value in ((BASELINE, before), (CANDIDATE, after)):
                if metric == "kl":
                    value = rate * (arm == CANDIDATE)
                rows.append(score(arm, task, metric, sample, cluster, category, value))
    return rows


@functools.cache
def score(arm: str, task: str, metric: str, sample: str, cluster: str, category: str | None, value: float) -> Score:
    """Not validated, and made once: thousands of sound rows of each draw are those of another."""
    return Score.model_construct(
        arm=arm, task=task, sample=sample, repeat=0, metric=metric, value=value, status="scored", reason="",
        cluster=cluster, category=category,
    )  # fmt: skip


def decided(candidate: Arm, seed: int, suite: Suite = SUITE) -> Decision:
    return decide(suite, drawn(candidate, seed), EFFECT)


def test_every_blocking_gate_has_items_enough_to_pass_a_good_adapter() -> None:
    clusters = {name: [f"{name}/{cluster}" for _, cluster, _ in items] for name, items in ITEMS.items()}
    for pool in SUITE.pools:
        clusters[pool.name] = [cluster for name in pool.tasks for cluster in clusters[name]]
    rows = planned_power(SUITE, {name: (len(own), effective_n(own)) for name, own in clusters.items()})
    assert [(row.gate, row.warning) for row in rows if row.tier == "blocking" and row.warning] == []


def test_a_good_adapter_ships_mostly() -> None:
    verdicts = [decided(GOOD, seed).verdict for seed in range(RUNS)]
    assert verdicts.count("ship") > RUNS / 2 and "no-ship" not in verdicts, verdicts


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_adapter_does_not_ship(kind: str) -> None:
    """Not once where it is beyond a margin; exactly at one it ships in 5 of 100, by the suite's alpha."""
    verdicts = [decided(BAD[kind], seed).verdict for seed in range(RUNS)]
    assert verdicts.count("ship") <= (2 if kind in AT_A_MARGIN else 0), verdicts


def test_what_was_not_trained_blocks() -> None:
    """The gates that a suite for a small base can leave advisory."""
    blocking = {gate.task for gate in SUITE.gates if gate.tier == "blocking" and gate.metric == "executes_equal"}
    assert {"securecli_nl2bash_known", "intercode_alfa", "not_trained"} <= blocking
    assert set(SUITE.members("not_trained")) == set(NOT_TRAINED)


def test_answers_are_read_to_their_end() -> None:
    generating = [task for task in SUITE.tasks if task.name not in ("securecli_retention", "drift")]
    assert {task.max_new_tokens for task in generating} == {256}
