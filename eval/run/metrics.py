"""metrics.json as types: comparisons, gates, power, checks, and the verdict."""

from typing import Any, Literal

from pydantic import Field, field_validator

from eval.contracts.domains import facts_of
from eval.run.facts import Training, first_wrong
from eval.run.records import Judged, Record

Outcome = Literal["pass", "fail", "inconclusive"]
Verdict = Literal["ship", "no-ship", "inconclusive"]


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


def is_rate(measured: Comparison | SliceResult | None) -> bool:
    """Whether differences are written in percentage points: as the task declares it, else where all lies in 0..1."""
    declared = facts_of(measured.task, measured.metric) if isinstance(measured, Comparison) else None
    if declared is not None:
        return declared.rate
    values = (measured.baseline, measured.candidate) if measured else ()
    return all(value is None or 0 <= value <= 1 for value in values)


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
    tensors_loaded: int = Field(description="of those, found under their own keys with equal values in the model")
    nonzero_updates: int = Field(
        description="tensors of the file that change something by themselves: an update B that is not all zero, a "
        "trained copy that is not the base's"
    )
    probe_prompts: int
    max_logit_change: float = Field(description="largest absolute change of a next-token logit over the probes")
    answers_changed: int = Field(description="samples whose two arms answered differently")
    samples: int
    proven: bool = Field(
        True,
        description="false: the backend cannot prove which bytes answered, so that the verdict is shown and never "
        "published; 0 tensors then means that none was looked at",
    )

    @property
    def took_effect(self) -> bool:
        return self.tensors_loaded == self.tensors > 0 and self.max_logit_change > 0

    @property
    def is_denied(self) -> bool:
        """Whether it was looked at, and there is none. What cannot be looked at is not denied: the gates decide."""
        return not self.took_effect and (self.proven or self.tensors > 0)


UNSEEN = AdapterEffect(  # where nobody can look: a backend without proofs, or logs of somebody else's
    tensors=0,
    tensors_loaded=0,
    nonzero_updates=0,
    probe_prompts=0,
    max_logit_change=0.0,
    answers_changed=0,
    samples=0,
    proven=False,
)


class LogFacts(Record):
    """Whose scores one arm's are, where logs were compared."""

    name: str = Field(description="the last parts of the log's path")
    files: dict[str, str] = Field(description="sha256 of each file, by name")


class ComparedLogs(Record):
    """Two logs that somebody else's tool wrote, and that no bytes of a model are known of (eval/logs)."""

    format: str
    baseline: LogFacts
    candidate: LogFacts


class GenerationSettings(Record):
    """What decides an answer beside weights and prompts, the same for both arms (eval/model/generation_settings.py)."""

    end_tokens: list[int] = Field(description="each of these token ids ends an answer")
    pad_token: int | None = Field(description="fills up a batch on the left")
    decoding: dict[str, Any] = Field(description="settings of transformers' generate, unless a task's own YAML differs")
    ignored: dict[str, Any] = Field(description="what the base's generation_config.json asks for besides; not used")
    template_arguments: dict[str, Any] = Field(description="`chat_template_kwargs` of the recipe, in every chat prompt")
    template_date: str | None = Field(description="the day a chat template is told; null: it does not ask")


class TaskSummary(Record):
    """A task of the suite as it ran."""

    name: str
    samples: int
    metrics: list[str]
    dataset: str
    dataset_sha256: str
    samples_sha256: str = Field(description="digest of sample ids and prompts, equal in both arms by construction")
    clusters: int
    repeats: int = Field(1, ge=1, le=64, exclude_if=lambda repeats: repeats == 1, description="answers to each sample")
    sampling: dict[str, float] = Field(
        default_factory=dict,
        exclude_if=lambda sampling: not sampling,
        description="temperature and top_p of answers that are drawn; absent where they are greedy",
    )
    executed: dict[str, dict[Judged, int]] | None = Field(
        None, description="answers by arm and by what the judge said; null when the task is not executed"
    )
    watched: dict[str, int] | None = Field(
        None, description="answers on the canary machine to which only one of the two passes objected"
    )


class EarlierCandidates(Record):
    """How many other adapters the same items have judged, as far as this machine can tell (eval/run/earlier.py)."""

    candidates: int = Field(ge=0, description="other adapters: those of runs, and those of kept answers alone")
    in_results: int = Field(ge=0, description="of those, adapters of the runs beside this one")
    in_cache: int = Field(ge=0, description="of those, makers of kept answers that no run explains")
    evaluations: int = Field(ge=0, description="run folders beside this one that asked the same items")
    unread: int = Field(0, ge=0, description="run folders that could not be read")
    chance: float = Field(description="that one of all would ship if each were at a threshold: at most")
    adapters: list[str] = Field(default_factory=list, description="digests of the adapters of runs")


class Metrics(Record):
    """metrics.json: everything a report or a reviewer needs, without any text a model wrote."""

    schema_version: Literal[1] = 1
    run: str
    suite: str
    suite_sha256: str
    verdict: Verdict
    reasons: list[str]
    cautions: list[str] = Field(default_factory=list, description="what the suite's gates do not prove")
    gates: list[GateResult]
    comparisons: list[Comparison]
    tasks: list[TaskSummary]
    explorations: list[Exploration] = Field(default_factory=list)
    power_planned: list[PowerRow] = Field(default_factory=list, description="as printed before anything was generated")
    power_observed: list[PowerRow] = Field(default_factory=list)
    self_checks: list[SelfCheck] = Field(default_factory=list)
    earlier: EarlierCandidates | None = Field(None, description="null in runs of before it was counted")
    sequential: SequentialUse | None = Field(None, description="null in a fixed evaluation: one look at all items")
    noise: dict[str, Any] | None = Field(None, description="noise floor of this backend, where it was measured")
    baseline: str = Field("base", description="what the candidate is compared with: base, or a run and its adapter")
    adapter_effect: AdapterEffect | None = Field(description="null when the candidate is the base model itself")
    logs: ComparedLogs | None = Field(
        None, exclude_if=lambda logs: logs is None, description="of a verdict over logs; absent in evaluations of ours"
    )
    generation: GenerationSettings | None = Field(None, description="null in runs made before it was recorded")
    costs: dict[str, float] = Field(description="seconds, tokens and items by stage")
    training: dict[str, Any] | None = Field(description="summary of train.json: steps, losses, seconds, curve")
    provenance: dict[str, Any] = Field(description="commit, versions, hardware, seeds, digests")

    @field_validator("training")
    @classmethod
    def _training_is_readable(cls, training: dict[str, Any] | None) -> dict[str, Any] | None:
        if training is not None and (wrong := first_wrong(Training, training)):
            raise ValueError(wrong)
        return training
