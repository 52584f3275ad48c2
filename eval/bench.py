"""What an evaluation is made of: the bench that several of them share, and the case of one candidate, once loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.config.suite_file import Suite
from eval.contracts.backend import Backend
from eval.gates.decide import Decision, decide
from eval.run.baselines import Baseline
from eval.run.candidate import Candidate
from eval.run.metrics import AdapterEffect, PowerRow, SelfCheck
from eval.run.records import Score
from eval.sandbox import Sandbox

if TYPE_CHECKING:
    from eval.model.answer_cache import AnswerCache
    from eval.model.lm_tasks import LoadedTask

LOOKS = "looks"  # folder of a run: what the sandbox said about each chunk, while a sequential evaluation runs


@dataclass
class Bench:
    """What the evaluations of one command share: suite, sandbox, kept answers, and what is loaded."""

    suite_path: Path
    suite: Suite
    sandbox: Sandbox | None
    cache: "AnswerCache | None"
    strict: bool = False
    backend: Backend | None = None  # of the comparison before


@dataclass(frozen=True)
class Case:
    """One candidate against its baseline, loaded and found fit: nothing of it was answered yet.

    `prompts`: those of drift, apart from `tasks`. `orders`: by task, what fixes the order of a sequential evaluation.
    `seconds`: that loading took.
    """

    bench: Bench
    candidate: Candidate
    baseline: Baseline
    backend: Backend
    tasks: "list[LoadedTask]"
    prompts: "list[LoadedTask]"
    power: list[PowerRow]
    effect: AdapterEffect | None
    noise: dict[str, Any] | None
    orders: Mapping[str, str]
    seconds: float

    @property
    def suite(self) -> Suite:
        return self.bench.suite

    def judge(self, scores: list[Score], effect: AdapterEffect | None) -> Decision:
        """The suite's verdict on scores, as far as there are any."""
        return decide(self.suite, scores, effect=effect, noise=self.noise, orders=self.orders)


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found: the proof of effect with its counts, what it says of itself, and the decision."""

    effect: AdapterEffect | None
    checks: list[SelfCheck]
    decision: Decision
