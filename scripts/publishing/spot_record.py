"""What publishing asked again and found: part of publication.json, and of what the card says."""

from pydantic import Field

from eval.run.records import Record


class Spot(Record):
    """What was asked again when a run was published, and what came of it."""

    skipped: str = Field("", description="why nothing was asked again; empty when it was")
    evidence_sha256: str | None = Field(None, description="seed of the first draw: digest of what decides the verdict")
    random: str | None = Field(None, description="seed of the second draw, random bytes of the moment")
    items: list[tuple[str, str]] = Field(default_factory=list, description="task and sample of each item drawn")
    executed: int = Field(0, description="answers run again in the sandbox")
    read: int = Field(0, description="answers read again by the model, of both arms")
    generated: int = Field(0, description="answers generated again, whole batches of them")
    same_machine: bool | None = Field(None, description="whether generated answers had to be equal to the byte")
    largest_gap: float = Field(0.0, description="nats by which a token that was read fell short of the likeliest one")
    seconds: float = 0.0
