"""What the judge answers, and what it was asked."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from eval.sandbox.stored import Fixture

Answer = Literal["accept", "reject", "undecided", "unsupported"]


@dataclass(frozen=True)
class Verdict:
    """One answer: `rule` names what decided, `evidence` holds what it saw (JSON values only).

    undecided: nothing observable tells the two apart or makes them one. unsupported: the gold, or the candidate's
    tools, need what the sandbox does not offer. Neither is ever a score of 0 or 1.
    """

    verdict: Answer
    rule: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """One question to the judge. `fixture` is one, names one, or is a folder; `more` are further file systems on which
    a robust judge asks for the same; without them it perturbs the first."""

    request: str
    gold: str
    candidate: str
    fixture: str | Fixture
    more: tuple[Fixture, ...] = ()
