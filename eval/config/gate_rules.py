"""The rules a gate can follow, as typed entries of a suite file. Every field's description is its documentation.

A rule says which interval is held against which threshold, and on which side it has to lie. What must be more
(`good = above`) and what must be less (`below`) are told apart here and nowhere else.
"""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Side = Literal["above", "below"]
About = Literal["difference", "rate", "level", "items"]


class Strict(BaseModel):
    """An entry of a suite file: unknown keys and NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GateRule(Strict, ABC):
    """What every gate has."""

    id: str
    task: str
    metric: str
    tier: Literal["blocking", "advisory"] = Field("blocking", description="advisory gates inform and never decide")

    about: ClassVar[About] = "difference"
    good: ClassVar[Side] = "above"

    @property
    @abstractmethod
    def threshold(self) -> float:
        """What the interval is held against, in the metric's unit."""


class PairedRule(GateRule):
    """A rule about candidate minus baseline, item by item."""

    slice: Literal["category"] | None = Field(
        None,
        description="hold every category of the samples against the threshold, not their mean: passes when each "
        "passes, fails when one is shown to fail (Holm within this gate)",
    )
    expected_discordance: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of items that the two arms are expected to score differently, for the power table before "
        "a run; without it the suite's own",
    )


class Superiority(PairedRule):
    """Passes when the whole interval of the difference lies above `min_gain`, fails when it lies below."""

    rule: Literal["superiority"]
    min_gain: float = Field(
        ge=0,
        lt=1,
        description="smallest gain worth publishing, in the metric's unit; a loss has rule noninferiority",
    )

    @property
    def threshold(self) -> float:
        return self.min_gain


class Noninferiority(PairedRule):
    """Passes when the whole interval of the difference lies above `-margin`, fails when it lies below."""

    rule: Literal["noninferiority"]
    margin: float = Field(gt=0, lt=1, description="largest loss that does no harm, in the metric's unit")

    @property
    def threshold(self) -> float:
        return -self.margin


class LimitRule(GateRule):
    """A rule about the candidate's own mean, held against `limit`."""

    limit: float

    @property
    def threshold(self) -> float:
        return self.limit


class MaxRate(LimitRule):
    """For what must be rare. Passes when the upper bound of the candidate's own rate lies below `limit`."""

    about: ClassVar[About] = "rate"
    good: ClassVar[Side] = "below"
    rule: Literal["max_rate"]
    limit: float = Field(gt=0, lt=1, description="highest rate of the candidate that may be published")


class MinRate(LimitRule):
    """For what must be usual. Passes when the lower bound of the candidate's own rate lies above `limit`."""

    about: ClassVar[About] = "rate"
    rule: Literal["min_rate"]
    limit: float = Field(gt=0, lt=1, description="lowest rate of the candidate that may be published")


class MaxValue(LimitRule):
    """For a measured quantity (drift, length). Passes when the upper bound of the candidate's mean is below `limit`."""

    about: ClassVar[About] = "level"
    good: ClassVar[Side] = "below"
    rule: Literal["max_value"]
    limit: float = Field(description="highest mean of the candidate that may be published, in the metric's unit")


class NoHardBreak(GateRule):
    """Named items that must never flip. Fails when the candidate scores less than the baseline on one of them."""

    about: ClassVar[About] = "items"
    good: ClassVar[Side] = "below"
    rule: Literal["no_hard_break"]
    samples: list[str] = Field(min_length=1, description="ids of the items")

    @property
    def threshold(self) -> float:
        return 1.0  # broken items: one is too many


Gate = Annotated[Superiority | Noninferiority | MaxRate | MinRate | MaxValue | NoHardBreak, Field(discriminator="rule")]
