"""What `make remote` and its kin answer a program: the documents of `status`, `logs` and `stop` as records."""

from pydantic import Field

from eval.run.records import Record


class JobRow(Record):
    """One job, as `status` shows it."""

    job: str
    provider: str
    recipe: str
    phase: str
    machine: str | None = Field(description="its state; null: none is listed; unknown: the provider could not be asked")
    gone_by: str | None = Field(description="when its machine ends by itself at the latest, UTC")
    spent_usd: float = Field(description="about: hours at the price that was asked")
    run: str | None = Field(description="the run that came back into results/")
    exit_code: int | None
    said: str


class Orphan(Record):
    """A machine with a job's name, of which this computer has no job that runs."""

    provider: str
    job: str
    machine: str
    state: str


class Jobs(Record):
    """Every job of this computer, and every machine that bills under a job's name."""

    jobs: list[JobRow]
    orphans: list[Orphan]
    not_asked: dict[str, str] = Field(description="providers that could not be asked, and why")


class Stopped(Record):
    """A job whose machine was ended; `left`: machines of it that the provider still lists."""

    job: str
    left: int
