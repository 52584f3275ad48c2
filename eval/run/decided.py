"""A verdict as a command answers it under `--json`: what metrics.json has of it, without comparisons and provenance."""

from collections.abc import Iterable
from pathlib import Path

from eval.run.metrics import GateResult, Metrics, Outcome, Verdict
from eval.run.records import Record

REPORTED = ("metrics.json", "report.md", "report.html")


class GateAnswer(Record):
    """One gate: its interval, `low` to `high`, held against `threshold`; `reason` says the same in words."""

    id: str
    tier: str
    outcome: Outcome
    estimate: float | None
    low: float | None
    high: float | None
    threshold: float
    good: str
    reason: str

    @classmethod
    def of(cls, gate: GateResult) -> "GateAnswer":
        ends = (gate.interval.low, gate.interval.high) if gate.interval else (None, None)
        given = gate.model_dump(include={"id", "tier", "outcome", "estimate", "threshold", "good", "reason"})
        return cls(low=ends[0], high=ends[1], **given)


class Decided(Record):
    """The verdict on one run; `run` is null for a file of scores."""

    run: str | None
    suite: str
    verdict: Verdict
    reasons: list[str]
    cautions: list[str]
    gates: list[GateAnswer]

    @classmethod
    def by(
        cls, run: str | None, suite: str, verdict: Verdict, reasons: list[str], cautions: list[str],
        gates: Iterable[GateResult],
    ) -> "Decided":  # fmt: skip
        answers = [GateAnswer.of(gate) for gate in gates]
        return cls(run=run, suite=suite, verdict=verdict, reasons=reasons, cautions=cautions, gates=answers)

    @classmethod
    def of(cls, metrics: Metrics) -> "Decided":
        """As metrics.json has it."""
        said = metrics.reasons, metrics.cautions, metrics.gates
        return cls.by(metrics.run, metrics.suite, metrics.verdict, *said)


class Evaluated(Record):
    """What an evaluation answers: a verdict for each run, and why the others have none."""

    runs: list[Decided]
    failed: dict[str, str]


class Answered(Record):
    """Runs whose every answer is generated, to be judged elsewhere."""

    runs: list[str]


def reports_of(run: Path) -> list[Path]:
    """The files in which a verdict is written down, as far as they are there."""
    return [run / name for name in REPORTED if (run / name).is_file()]
