"""`start`: a new job, or the unfinished one of the same recipe at the same provider, watched to its end.

Whoever runs the same command while another terminal watches the job looks on, and takes over when that one ends.
"""

import datetime
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import HfApi

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.run.digests import file_sha256
from eval.run.folder import locked
from scripts.remote import clock
from scripts.remote.code import committed, is_pushed
from scripts.remote.exchange import Exchange, hub_errors
from scripts.remote.job import JOBS, Job, new_name, read_job, unfinished
from scripts.remote.loop import STOP_MARK, carry_on
from scripts.remote.provider import Provider
from scripts.remote.shown import say_kept
from scripts.remote.site import Site
from scripts.training.dataset_entries import inputs
from scripts.training.lint_recipe import lint_recipe, load_recipe, resolve_recipe
from scripts.training.sharded import refuse_to_train

LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. Hours and dollars are those of the whole job."""

    recipe: str
    max_hours: float
    budget_usd: float
    gpu: str | None
    count: int
    image: str | None
    evaluate: str


def pick_up(wanted: Wanted, provider: Provider, api: HfApi, site: Site) -> Job:
    """The job to go on with, its limits as they are given now; a new one where there is none."""
    path = resolve_recipe(wanted.recipe)
    JOBS.mkdir(parents=True, exist_ok=True)
    with locked(JOBS, wait=True):  # two that start together do not both find none
        job = unfinished(provider.name, file_sha256(path))
        if job is None:
            return new_job(wanted, path, provider, api, site)
    site.say(f"{job.name}: going on ({job.phase}, commit {job.commit[:7]})")
    return job


def new_job(wanted: Wanted, path: Path, provider: Provider, api: HfApi, site: Site) -> Job:
    """A record of what is about to be asked, after everything that can be refused without money."""
    recipe = load_recipe(path)
    refuse_to_train(recipe, path)  # as the rented machine would
    if problems := lint_recipe(path):
        raise UserError(f"{len(problems)} problem(s): {'; '.join(problems)}")
    files = [file for entry in inputs(recipe) for file in entry.files(ROOT) or []]
    commit = committed([path, *files])
    if not is_pushed(commit):
        site.say(f"commit {commit[:7]} is on no remote: it is sent along, and the verdict's code will be here alone")
    offer = provider.offer(wanted.gpu or provider.default_gpu, wanted.count)
    site.say(f"{provider.name}: {offer.gpu} ({offer.says}) at {offer.usd_per_hour:.2f} USD an hour")
    with hub_errors("the account"):
        owner = str(api.whoami()["name"])
    name = new_name(path.stem)
    job = Job(
        name=name, provider=provider.name, recipe=path.resolve().relative_to(ROOT).as_posix(),
        recipe_sha256=file_sha256(path), commit=commit, gpu=offer.gpu, count=offer.count,
        image=wanted.image or provider.default_image, evaluate=wanted.evaluate, max_hours=wanted.max_hours,
        budget_usd=wanted.budget_usd, usd_per_hour=offer.usd_per_hour, repo=f"{owner}/{name}",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
    )  # fmt: skip
    hours = job.seconds_left() / 3600
    site.say(f"{name}: at most {hours:.2f} hours and {hours * offer.usd_per_hour:.2f} USD")
    job.save()
    return job


def renew(job: Job, wanted: Wanted, provider: Provider, site: Site) -> None:
    """A job of which nothing is rented takes the limits, and the hardware, that are asked for now."""
    if job.phase not in ("prepared", "paused"):
        return
    offer = provider.offer(wanted.gpu or job.gpu, wanted.count)
    (job.folder / STOP_MARK).unlink(missing_ok=True)
    job.save(
        phase="prepared", outcome=None, max_hours=wanted.max_hours, budget_usd=wanted.budget_usd, gpu=offer.gpu,
        count=offer.count, usd_per_hour=offer.usd_per_hour, image=wanted.image or job.image, evaluate=wanted.evaluate,
    )  # fmt: skip
    site.say(f"{job.name}: {offer.gpu} ({offer.says}) at {offer.usd_per_hour:.2f} USD an hour")


def start(wanted: Wanted, provider: Provider, api: HfApi, before: Site) -> tuple[Job, int]:
    """The job and its exit code: 0, 1 and 3 are the verdict's; 0 too when the machine runs and nobody waits."""
    job = pick_up(wanted, provider, api, before)
    site = replace(before, exchange=Exchange(api, job.repo))
    seen: int | None = None
    while True:
        with ExitStack() as held:
            try:
                held.enter_context(locked(job.folder))
            except UserError:
                if seen is None:
                    site.say(f"{job.name}: another terminal watches it; looking on")
                seen = say_kept(job, seen or 0, site.say)
                clock.pause(LOOK_SECONDS)
            else:
                job = read_job(job.name)
                renew(job, wanted, provider, site)
                return job, carry_on(job, site)
        job = read_job(job.name)
        if job.phase in ("done", "paused") and job.outcome:
            return job, job.outcome.code
        if site.detach and job.phase not in ("prepared", "asking"):
            return job, 0
