"""`status`, `logs` and `stop`: what there is at the providers, on whichever computer it was started.

A machine with a job's name of which this computer has no unfinished job is an orphan: it is shown, and ended by name.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from huggingface_hub import HfApi

from eval.common.errors import CANNOT_EVALUATE, UserError
from eval.run.folder import locked
from scripts.remote import clock
from scripts.remote.exchange import Exchange
from scripts.remote.job import JOBS, NAME, Attempt, Job, Outcome, all_jobs, at, read_job
from scripts.remote.loop import STOP_MARK, carry_on
from scripts.remote.provider import Machine
from scripts.remote.providers import open_provider, set_up
from scripts.remote.shown import say_kept, show_log
from scripts.remote.site import Site, prove_gone, rented

Say = Callable[[str], None]
OVER = ("done", "paused", "prepared")
WATCHER_SECONDS = 120.0  # for a watching terminal to see that its job was stopped


def status(on: str | None, api: HfApi, say: Say) -> dict[str, Any]:
    """Jobs and machines, as one document. A job whose deadline has passed is ended: that is a watcher's duty."""
    jobs = [job for job in all_jobs() if on in (None, job.provider)]
    names = [on] if on else sorted({*set_up(), *(job.provider for job in jobs if job.phase not in OVER)})
    machines, unasked = asked(names, api)
    for job in jobs:
        mine = [machine for machine in machines.get(job.provider, []) if machine.name == job.name]
        if mine and job.attempts and clock.now() >= job.attempt.deadline:
            say(f"{job.name}: its deadline has passed, and it is still there: ending it")
            prove_gone(job, site_of(job, api, say))
            machines[job.provider] = [machine for machine in machines[job.provider] if machine.name != job.name]
    open_names = {job.name for job in jobs if job.phase not in OVER}
    return {
        "jobs": [job_row(job, machines.get(job.provider)) for job in jobs],
        "orphans": [
            {"provider": provider, "job": machine.name, "machine": machine.id, "state": machine.state}
            for provider, found in machines.items()
            for machine in found
            if machine.name not in open_names
        ],
        "not_asked": unasked,
    }


def asked(names: Iterable[str], api: HfApi) -> tuple[dict[str, list[Machine]], dict[str, str]]:
    """Machines that bill, by provider; and why a provider could not be asked."""
    machines: dict[str, list[Machine]] = {}
    unasked: dict[str, str] = {}
    for name in names:
        try:
            machines[name] = [machine for machine in open_provider(name, api).machines() if machine.rented]
        except UserError as error:
            unasked[name] = str(error)
    return machines, unasked


def job_row(job: Job, machines: list[Machine] | None) -> dict[str, Any]:
    """One job as `status` shows it. `machine` None: none is listed; "unknown": the provider could not be asked."""
    mine = None if machines is None else [machine for machine in machines if machine.name == job.name]
    state = "unknown" if mine is None else mine[0].state if mine else None
    return {
        "job": job.name,
        "provider": job.provider,
        "recipe": job.recipe,
        "phase": job.phase,
        "machine": None if job.phase in OVER and not mine else state,
        "gone_by": at(job.attempt.deadline) if job.attempts and job.phase not in OVER else None,
        "spent_usd": round(job.spent_usd(), 2),
        "run": job.run,
        "exit_code": job.outcome.code if job.outcome else None,
        "said": job.outcome.said if job.outcome else "",
    }


def say_status(found: dict[str, Any], say: Say) -> None:
    for row in found["jobs"]:
        machine = f", machine {row['machine']}, gone by {row['gone_by']}" if row["machine"] else ""
        said = f": {row['said']}" if row["said"] else ""
        say(f"{row['job']} on {row['provider']}: {row['phase']}{machine}, about {row['spent_usd']:.2f} USD{said}")
    for row in found["orphans"]:
        say(
            f"{row['job']} on {row['provider']}: {row['state']}, and no job of this computer: if it is nobody's, "
            f"end it with make remote-stop JOB={row['job']} ON={row['provider']}"
        )
    for name, why in found["not_asked"].items():
        say(f"{name} could not be asked: {why}")
    if not found["jobs"] and not found["orphans"]:
        say("no jobs, and no machines of theirs")


def site_of(job: Job, api: HfApi, say: Say) -> Site:
    return Site(open_provider(job.provider, api), Exchange(api, job.repo), say)


def logs(name: str, follow: bool, api: HfApi, say: Say) -> Job:
    """What the job's machines said: what was kept here, then what is new; with `follow` until it is over."""
    job = read_job(name)
    seen = say_kept(job, 0, say)
    while job.phase not in OVER:
        with ExitStack() as held:
            try:
                held.enter_context(locked(job.folder))
            except UserError:  # whoever watches the job keeps its log
                over = False
            else:
                over = not read_new(read_job(name), api)
        seen, job = say_kept(job, seen, say), read_job(name)
        if over or not follow:
            break
        clock.pause(5.0)
    return job


def read_new(job: Job, api: HfApi) -> bool:
    """Keep what a job's machine has said since; whether it has one."""
    site = site_of(job, api, lambda line: None)
    mine = rented(job, site)
    for machine in (mine or [])[:1]:
        show_log(job, site.provider, machine, lambda line: None)
    return mine != []


def stop(name: str, on: str | None, forget: bool, api: HfApi, say: Say) -> int:
    """End every machine of this name, and prove it by listing. 0 when nothing is left."""
    if not NAME.fullmatch(name):
        raise UserError(f"{name[:80]!r} is no job's name: see `make remote-status`")
    if not (JOBS / name / "job.json").is_file():
        return stop_orphan(name, on, api, say)
    job = read_job(name)
    (job.folder / STOP_MARK).touch()  # whoever watches it starts no other machine
    site = site_of(job, api, say)
    prove_gone(job, site)
    until = clock.now() + WATCHER_SECONDS
    while True:
        with ExitStack() as held:
            try:
                held.enter_context(locked(job.folder))
            except UserError:
                if clock.now() >= until:
                    raise
            else:
                return settle(read_job(name), site, forget)
        clock.pause(2.0)


def settle(job: Job, site: Site, forget: bool) -> int:
    """The record of a job that was stopped. What had ended by itself before goes on to its results later."""
    if job.phase in ("prepared", "asking", "running"):
        stopped = Outcome(code=CANNOT_EVALUATE, said="stopped, as asked: the same command goes on")
        job.save(phase="ending", then="paused", outcome=stopped)
    if job.phase == "ending" and job.then in ("paused", "done", "asking"):
        if job.then == "asking":
            job.save(then="paused", outcome=Outcome(code=CANNOT_EVALUATE, said="stopped, as asked"))
        carry_on(job, site)
    if forget:
        site.exchange.delete()
        said = job.outcome.said if job.outcome else "stopped, as asked"
        job.save(phase="done", outcome=Outcome(code=CANNOT_EVALUATE, said=said))
    return 0


def stop_orphan(name: str, on: str | None, api: HfApi, say: Say) -> int:
    """A machine of which this computer knows the name alone."""
    for provider in [on] if on else set_up():
        prove_gone(orphan(name, provider), Site(open_provider(provider, api), Exchange(api, ""), say))
    return 0


def orphan(name: str, provider: str) -> Job:
    """As much of a job as its end needs; it has no record."""
    attempts: list[Attempt] = []
    return Job(
        name=name, provider=provider, recipe="", recipe_sha256="", commit="", gpu="", count=1, image="",
        evaluate="here", max_hours=0, budget_usd=0, usd_per_hour=0, repo="", created="", attempts=attempts,
    )  # fmt: skip
