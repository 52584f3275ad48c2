"""The files of a run, as types: one generation, one score, and everything in metrics.json.

These models are the file format: their JSON Schemas are committed under eval/schemas/ and tested against real
output (`python -m eval.files` writes them again).
"""

import math
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

BASELINE, CANDIDATE = "baseline", "candidate"

Outcome = Literal["pass", "fail", "inconclusive"]
Verdict = Literal["ship", "no-ship", "inconclusive"]
Risk = Literal["none", "allow", "review", "block"]
Judged = Literal["accept", "reject", "undecided", "unsupported"]


class Grouped(Protocol):
    """An item that belongs to a cluster and perhaps to a category."""

    @property
    def cluster(self) -> str: ...

    @property
    def category(self) -> str | None: ...


class Record(BaseModel):
    """A frozen row that refuses unknown keys and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Generation(Record):
    """One line of generations.jsonl: what one arm answered to one sample."""

    arm: str
    task: str
    sample: str
    repeat: int = Field(ge=0)
    request: str = Field(description="the user's request, for the report")
    prompt_sha256: str = Field(description="digest of the exact text given to the model, template included")
    text: str = Field(description="the answer; for likelihood tasks the JSON of the raw responses")
    tokens: int | None = Field(description="generated tokens, the end token included; null if the backend hides them")
    finish: Literal["stop", "length", "unknown"]
    seconds: float = Field(ge=0, description="wall seconds of the batch, divided by its samples")


class Item(Record):
    """One line of samples.jsonl: what was asked and what is right, the same for both arms."""

    task: str
    sample: str
    request: str
    gold: str
    cluster: str
    category: str | None = Field(None, description="kind of request, for tables by category")


class Score(Record):
    """One line of scores.jsonl: the value of one metric for one generation."""

    arm: str
    task: str
    sample: str
    repeat: int = Field(ge=0)
    metric: str
    value: float | None
    status: Literal["scored", "invalid"]
    reason: str = ""
    cluster: str = Field(description="samples that share it are not independent")
    category: str | None = Field(None, description="kind of request, for slices")

    @model_validator(mode="after")
    def _value_matches_status(self) -> "Score":
        if (self.status == "scored") != (self.value is not None):
            raise ValueError("a scored line has a value and an invalid one has null")
        return self

    @property
    def key(self) -> tuple[str, str, int]:
        return self.task, self.sample, self.repeat

    @classmethod
    def of(
        cls, row: "Generation | Judgement | Observation", metric: str, value: float | None, reason: str, item: Grouped
    ) -> "Score":
        """The score of one answer to `item`, from any row that names it; without a value it is invalid."""
        status: Literal["scored", "invalid"] = "invalid" if value is None else "scored"
        return cls(
            arm=row.arm,
            task=row.task,
            sample=row.sample,
            repeat=row.repeat,
            metric=metric,
            value=value,
            status=status,
            reason=reason,
            cluster=item.cluster,
            category=item.category,
        )


class Observed(Record):
    """What one command did in the sandbox, cut to a length for reading."""

    exit: int | None = Field(description="null when a limit killed it")
    stdout: str
    stderr: str
    changes: list[str] = Field(description="`+ path`, `- path` or `~ path` of every file-system change")
    limits_hit: list[str]


class Judgement(Record):
    """One line of executions.jsonl: an answer executed beside the gold, and what the judge said."""

    arm: str
    task: str
    sample: str
    repeat: int = Field(ge=0)
    command: str = Field(description="the command found in the answer")
    verdict: Judged
    rule: str = Field(description="the rule that decided")
    reason: str = ""
    gold: Observed | None = Field(description="null when the sample cannot be judged by execution")
    answer: Observed | None


class Observation(Record):
    """One line of observations.jsonl: what the commands of one answer were seen to do on the canary machine."""

    arm: str
    task: str
    sample: str
    repeat: int = Field(ge=0)
    commands: list[str] = Field(description="commands the answer carries, as run")
    static: Risk = Field(description="the analyser's verdict on the worst command of the answer")
    dynamic: Risk = Field(description="the strongest action among what was observed")
    findings: list[str] = Field(description="`rule: what was seen`, each rule once")
    invalid: str = Field("", description="why nothing is known: the sandbox broke")

    @property
    def unsafe(self) -> bool:
        return "block" in (self.static, self.dynamic)

    @property
    def is_known(self) -> bool:
        """Harm that was seen stays seen when the sandbox breaks later; nothing seen then means nothing known."""
        return self.unsafe or not self.invalid

    @property
    def disagreement(self) -> str:
        """Which pass alone objected (to review or to block); empty when they agree, or nothing is known."""
        static, dynamic = (verdict in ("review", "block") for verdict in (self.static, self.dynamic))
        return "" if self.invalid or static == dynamic else "static only" if static else "dynamic only"


class Interval(Record):
    """A confidence interval and how it was computed."""

    low: float
    high: float
    confidence: float
    method: str


class Comparison(Record):
    """One metric of one task, candidate against baseline, paired by item."""

    task: str
    metric: str
    n: int = Field(description="items scored in both arms")
    clusters: int
    effective_n: int = Field(
        0, description="n^2 / sum of squared cluster sizes: what n is worth if items of a cluster always agree"
    )
    invalid: int = Field(description="items dropped because either arm was invalid")
    baseline: float | None
    candidate: float | None
    binary: bool = Field(True, description="every value is 0 or 1")
    baseline_interval: Interval | None = Field(description="of the arm's own mean: Wilson's for 0/1 metrics")
    candidate_interval: Interval | None
    difference: float | None = Field(description="candidate - baseline")
    interval: Interval | None = Field(description="of the difference")
    wins: int
    losses: int
    mcnemar_p: float | None = Field(description="exact, two-sided; null unless the metric is 0/1")
    sign_flip_p: float | None = Field(None, description="two-sided, clusters flipped as one; null for 0/1 metrics")


class SliceResult(Record):
    """One category of a task, candidate against baseline."""

    slice: str
    n: int
    baseline: float | None
    candidate: float | None
    difference: float | None
    interval: Interval | None
    wins: int
    losses: int
    p: float | None = Field(description="gate: of being at least as good as the threshold; exploration: of no change")
    adjusted_p: float | None = Field(description="gate: Holm; exploration: Benjamini-Hochberg")
    outcome: Outcome | None = Field(description="null in an exploration, which decides nothing")


class Exploration(Record):
    """The categories of one metric, looked at afterwards; a hint where to look, never a reason to decide."""

    task: str
    metric: str
    slices: list[SliceResult]


class PowerRow(Record):
    """What one gate can see with its items, before a run (expected discordance) or after it (observed)."""

    gate: str
    tier: Literal["blocking", "advisory"]
    n: int = Field(description="items")
    effective_n: int = Field(description="what they are worth if items of a cluster agree; planning uses this one")
    discordance: float | None = Field(description="share of items that differ between the arms; null for rates")
    detectable: float | None = Field(
        description="paired: smallest true distance from the threshold that passes with the wanted power; "
        "rates: highest (lowest) true rate that passes with it; null when unknown"
    )
    needed: int | None = Field(description="items at which an adapter equal to its base passes; null: n is enough")
    warning: str = ""


class SelfCheck(Record):
    """One of the checks that every evaluation makes of itself."""

    name: str
    ok: bool
    said: str


class SequentialUse(Record):
    """How much of the planned items a sequential evaluation used."""

    looks: int
    used: dict[str, int] = Field(description="items by task")
    planned: dict[str, int]
    stopped: Literal["decided", "out of items"]

    @property
    def share_saved(self) -> float:
        planned = sum(self.planned.values())
        return 1 - sum(self.used.values()) / planned if planned else 0.0


class GateResult(Record):
    """What one gate of the suite decided."""

    id: str
    task: str
    metric: str
    rule: str
    tier: Literal["blocking", "advisory"]
    about: Literal["difference", "rate", "level", "items"] = Field(
        "difference", description="what the estimate is: the paired difference, the candidate's own rate or mean, items"
    )
    estimate: float | None = Field(description="for a sliced gate, that of its worst slice")
    interval: Interval | None = Field(description="of the estimate")
    threshold: float = Field(description="what the interval is held against")
    good: Literal["above", "below"] = Field(description="the side of the threshold on which the gate passes")
    outcome: Outcome
    reason: str
    items_needed: int | None = Field(description="items that would settle an inconclusive gate at the observed rate")
    slices: list[SliceResult] = Field(default_factory=list, description="of a sliced gate, the worst first")


class AdapterEffect(Record):
    """Proof that the adapter was loaded and changes what the model computes."""

    tensors: int = Field(description="adapter tensors in the file")
    tensors_loaded: int = Field(description="of those, found with equal values in the loaded model")
    nonzero_updates: int = Field(description="adapted matrices whose update B is not all zero")
    probe_prompts: int
    max_logit_change: float = Field(description="largest absolute change of a next-token logit over the probes")
    answers_changed: int = Field(description="samples whose two arms answered differently")
    samples: int

    @property
    def took_effect(self) -> bool:
        return self.tensors_loaded == self.tensors > 0 and self.max_logit_change > 0


class TaskSummary(Record):
    """A task of the suite as it ran."""

    name: str
    samples: int
    metrics: list[str]
    dataset: str
    dataset_sha256: str
    samples_sha256: str = Field(description="digest of sample ids and prompts, equal in both arms by construction")
    clusters: int
    executed: dict[str, dict[Judged, int]] | None = Field(
        None, description="answers by arm and by what the judge said; null when the task is not executed"
    )
    watched: dict[str, int] | None = Field(
        None, description="answers on the canary machine to which only one of the two passes objected"
    )


class Metrics(Record):
    """metrics.json: everything a report or a reviewer needs, without any text a model wrote."""

    schema_version: Literal[1] = 1
    run: str
    suite: str
    suite_sha256: str
    verdict: Verdict
    reasons: list[str]
    gates: list[GateResult]
    comparisons: list[Comparison]
    tasks: list[TaskSummary]
    explorations: list[Exploration] = Field(default_factory=list)
    power_planned: list[PowerRow] = Field(default_factory=list, description="as printed before anything was generated")
    power_observed: list[PowerRow] = Field(default_factory=list)
    self_checks: list[SelfCheck] = Field(default_factory=list)
    sequential: SequentialUse | None = Field(None, description="null in a fixed evaluation: one look at all items")
    noise: dict[str, Any] | None = Field(None, description="noise floor of this backend, where it was measured")
    baseline: str = Field("base", description="what the candidate is compared with: base, or a run and its adapter")
    adapter_effect: AdapterEffect | None = Field(description="null when the candidate is the base model itself")
    costs: dict[str, float] = Field(description="seconds, tokens and items by stage")
    training: dict[str, Any] | None = Field(description="summary of train.json: steps, losses, seconds, curve")
    provenance: dict[str, Any] = Field(description="commit, versions, hardware, seeds, digests")


def printable(text: str) -> str:
    """Text as a record can hold it: what is no character (bytes that are not UTF-8) becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def finite(value: float) -> float | None:
    """The value, or None for NaN and infinities, which no record may hold."""
    return value if math.isfinite(value) else None
