"""A provider, looked at for one job: what carries its name, ending it, and the proof that nothing is left.

mine = rented(job, site)      machines of the job's name that bill; None when the provider cannot be asked
prove_gone(job, site)         end them, and list until nothing is left
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from eval.common.errors import UserError
from scripts.remote import clock
from scripts.remote.exchange import Broken, Exchange
from scripts.remote.job import Job, at
from scripts.remote.provider import Machine, Provider, Unsure

LAG_SECONDS = 10.0  # a listing may be this much behind a start
LOOKS = 3  # before nobody has the name
STOP_TRIES = 40
Found = TypeVar("Found")


@dataclass(frozen=True)
class Site:
    """Where a job runs, where its files go through, and to whom it speaks."""

    provider: Provider
    exchange: Exchange
    say: Callable[[str], None]
    detach: bool = False


def find(job: Job, site: Site) -> list[Machine]:
    """Machines of the job's name that bill; looked for several times, since a listing may be late.

    UserError when the provider cannot be asked: then nobody knows, and nothing may be started.
    """
    answered = 0
    for number in range(STOP_TRIES):
        if number:
            clock.pause(LAG_SECONDS)
        mine = rented(job, site)
        if mine:
            return mine
        answered += mine is not None
        if answered == LOOKS:
            return []
    raise UserError(
        f"{site.provider.name} cannot be asked whether it has {job.name}: the same command looks again, and "
        "`make remote-stop JOB=` ends what there is"
    )


def rented(job: Job, site: Site) -> list[Machine] | None:
    """Machines of the job's name that bill; None when the provider cannot be asked."""
    try:
        return [machine for machine in site.provider.machines() if machine.name == job.name and machine.rented]
    except Unsure as unsure:
        site.say(f"{unsure}: asking again")
        return None


def prove_gone(job: Job, site: Site) -> None:
    """UserError while the provider cannot be made to list nothing."""
    empty = 0
    for number in range(STOP_TRIES):
        if number:
            clock.pause(LAG_SECONDS if empty == 0 else LAG_SECONDS / 2)
        mine = rented(job, site)
        empty = empty + 1 if mine == [] else 0
        if empty == 2:  # twice, since a listing may be late
            site.say(f"{job.name}: nothing of it is left at {site.provider.name}")
            return
        for machine in mine or []:
            stop_one(machine, site)
    until = f", which has until {at(job.attempt.deadline)}" if job.attempts else ""
    raise UserError(f"{site.provider.name} still lists {job.name}{until}: run the same command again, or end it there")


def stop_one(machine: Machine, site: Site) -> None:
    try:
        site.provider.stop(machine)
    except UserError as error:
        site.say(f"{error}: trying again")


def patiently(call: Callable[[], Found], site: Site, tries: int = 4) -> Found:
    """The result of a call of the Hub, which is tried again; what is broken or refused is not."""
    for number in range(tries):
        try:
            return call()
        except Broken:
            raise
        except UserError as error:
            if number + 1 == tries:
                raise
            site.say(f"{error}: trying again")
            clock.pause(5.0 * 2**number)
    raise AssertionError("unreachable")
