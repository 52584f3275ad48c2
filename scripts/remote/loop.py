"""The life of a job: ask for a machine, watch it, end it, prove by listing that it is gone, fetch, judge.

    code = carry_on(job, Site(provider, exchange))      from whichever phase its record names

Every step first writes what it is about to do, and looks at what is there already: whoever runs the same command
again, after a kill at any moment and on whichever terminal, goes on. Only `ending` leads out of `running`, and only an
empty list leads out of `ending`.
"""

import subprocess
import sys
from typing import Any

from eval.common.errors import CANNOT_EVALUATE, INCONCLUSIVE, NO_SHIP, SHIP, UserError
from eval.common.places import ROOT
from scripts.remote import clock
from scripts.remote.code import bundle_of
from scripts.remote.exchange import Broken
from scripts.remote.fetched import place_run, verdict_code
from scripts.remote.job import Attempt, Job, Outcome, at
from scripts.remote.orders import order_of
from scripts.remote.provider import Machine, Unsure
from scripts.remote.shown import show_log
from scripts.remote.site import Site, find, patiently, prove_gone, rented, stop_one

POLL_SECONDS = 15.0
START_TRIES = 3
START_SECONDS = 1800.0  # from the start to a running container
SHORTEST_SECONDS = 600  # a machine that lives less long cannot even be set up
MISSES = 3  # listings without the machine before it counts as lost
MOST_ATTEMPTS = 3
DEARER = 1.05  # times the price that was quoted
STOP_MARK = "stop"  # a file of the job's folder: somebody asked for its end


def carry_on(job: Job, site: Site) -> int:
    """Everything that is left to do for a job; its exit code. UserError where somebody has to do something first."""
    steps = {"prepared": prepare, "asking": ask, "running": watch, "ending": end, "fetching": fetch, "judging": judge}
    while job.phase in steps:
        if site.detach and job.phase == "running":
            return 0
        steps[job.phase](job, site)
    assert job.outcome is not None
    site.say(f"{job.name}: {job.outcome.said}; about {job.spent_usd():.2f} USD")
    return job.outcome.code


def prepare(job: Job, site: Site) -> None:
    """The repository with the code. Nothing is rented yet."""
    said = patiently(lambda: site.exchange.ended(job.attempt.number), site) if job.attempts else None
    if said and not said.get("again"):  # the last machine had ended, and nobody could hear it
        return heard(job, said)
    site.say(f"{job.name}: sending the code of commit {job.commit[:7]} to {job.repo} (private)")
    bundle = bundle_of(job.commit, job.folder)
    patiently(lambda: site.exchange.prepare(bundle), site)
    bundle.unlink(missing_ok=True)
    job.save(phase="asking")


def ask(job: Job, site: Site) -> None:
    """One machine of the job's name: one that is there already, or a new one."""
    if asked_to_stop(job):
        return begin_end(job, "paused", CANNOT_EVALUATE, "stopped, as asked")
    if job.attempts and job.attempt.ended is None:
        if mine := find(job, site):  # the answer to a start was lost, or whoever waited for it
            return adopt(job, site, mine[0].id)
        job.attempts.pop()
    seconds = job.seconds_left()
    if seconds < SHORTEST_SECONDS:
        return job.save(phase="paused", outcome=Outcome(code=CANNOT_EVALUATE, said=used_up(job)))
    deadline = clock.now() + site.provider.queue_seconds + seconds
    job.attempts.append(Attempt(number=next_number(job), deadline=deadline))
    job.save()  # before anything is asked
    return order(job, site, seconds)


def order(job: Job, site: Site, seconds: int) -> None:
    """Start one machine. UserError when there is none, or nobody knows."""
    for _ in range(START_TRIES):
        try:
            return adopt(job, site, site.provider.start(order_of(job, site.provider, seconds)))
        except Unsure as unsure:
            site.say(f"{unsure}: looking for a machine called {job.name}")
            if mine := find(job, site):
                return adopt(job, site, mine[0].id)
        except UserError:  # for certain nothing was started
            job.attempts.pop()
            job.save(phase="prepared")
            raise
    raise UserError(
        f"{site.provider.name} did not say whether it started {job.name}: the same command looks again, and "
        "`make remote-stop JOB=` ends what there is"
    )


def next_number(job: Job) -> int:
    return job.attempts[-1].number + 1 if job.attempts else 1


def adopt(job: Job, site: Site, machine: str) -> None:
    job.attempt.machine, job.attempt.started = machine, job.attempt.started or clock.now()
    job.save(phase="running")
    site.say(f"{job.name}: {job.gpu} at {site.provider.name} ({machine}), gone by {at(job.attempt.deadline)}")


def watch(job: Job, site: Site) -> None:
    """Until the machine has said its end, is lost, or has to be ended."""
    misses = 0
    while True:
        mine = rented(job, site)
        machine = chosen(job, mine or [])
        if machine:
            show_log(job, site.provider, machine, site.say)
        heard_hub, said = last_words(job, site)
        if said:
            return heard(job, said)
        if mine is not None and heard_hub:  # else it may have ended well, and nobody can tell yet
            working = machine is not None and machine.state != "ended"
            misses = 0 if working else misses + 1
        if ending := why_end(job, machine):
            return begin_end(job, "paused", CANNOT_EVALUATE, ending)
        if misses >= MISSES:
            return lost(job, site)
        for extra in mine or []:
            if machine and extra.id != machine.id:  # a start that was answered by an error had happened
                stop_one(extra, site)
        clock.pause(POLL_SECONDS)


def chosen(job: Job, mine: list[Machine]) -> Machine | None:
    """The machine of the record, or else the first of the name."""
    return next((machine for machine in mine if machine.id == job.attempt.machine), mine[0] if mine else None)


def last_words(job: Job, site: Site) -> tuple[bool, dict[str, Any] | None]:
    """Whether the Hub could be asked, and what the machine said at its end."""
    try:
        return True, site.exchange.ended(job.attempt.number)
    except UserError as error:
        site.say(f"{error}: asking again")
        return False, None


def why_end(job: Job, machine: Machine | None) -> str | None:
    """Why the machine has to be ended from here."""
    if asked_to_stop(job):
        return "stopped, as asked"
    if clock.now() >= job.attempt.deadline:
        return used_up(job)
    price = machine.usd_per_hour if machine else None
    if price and price > job.usd_per_hour * DEARER:
        return f"it bills {price:.2f} USD an hour and was quoted at {job.usd_per_hour:.2f}: ended"
    waited = clock.now() - (job.attempt.started or clock.now())
    if machine and machine.state == "starting" and waited > START_SECONDS:
        return f"no {job.gpu} within {START_SECONDS / 60:.0f} minutes: try another GPU, or the same command later"
    return None


def heard(job: Job, said: dict[str, Any]) -> None:
    """What follows from a machine's last words."""
    job.run = str(said["run"]) if said.get("run") else None
    if said.get("stage") == "done":
        return begin_end(job, "fetching")
    trained = said.get("stage") in ("generate", "eval") and job.run
    if said.get("again"):
        return begin_end(job, "paused", CANNOT_EVALUATE, used_up(job))
    words = f"make {said.get('stage')} failed there: {said['said']}; what it sent is in {job.repo}"
    begin_end(job, "fetching" if trained else "done", CANNOT_EVALUATE, words)


def used_up(job: Job) -> str:
    return "its hours or its budget are used up: with more of them the same command goes on from the last checkpoint"


def lost(job: Job, site: Site) -> None:
    """The machine is gone without a word: another one goes on, a few times."""
    if len(job.attempts) < MOST_ATTEMPTS and job.seconds_left() >= SHORTEST_SECONDS:
        site.say(f"{job.name}: the machine is lost; another one goes on from the last checkpoint")
        return begin_end(job, "asking")
    begin_end(
        job, "paused", CANNOT_EVALUATE, f"lost {len(job.attempts)} machine(s), see its log: the same command goes on"
    )


def begin_end(job: Job, then: str, code: int | None = None, said: str = "") -> None:
    job.save(phase="ending", then=then, outcome=None if code is None else Outcome(code=code, said=said))


def end(job: Job, site: Site) -> None:
    """Stop everything of the job's name, and list until nothing is left."""
    prove_gone(job, site)
    for attempt in job.attempts:
        attempt.ended = attempt.ended or clock.now()
    job.save(phase=job.then)


def asked_to_stop(job: Job) -> bool:
    return (job.folder / STOP_MARK).exists()


def fetch(job: Job, site: Site) -> None:
    """The run folder, by its digests, into results/. What was altered on the way is asked for once more."""
    site.say(f"{job.name}: fetching {job.run} from {job.repo}")
    for number in range(2):
        try:
            there = patiently(lambda: site.exchange.fetch(job.folder / "fetched"), site)
            break
        except Broken:
            if number:
                raise
    run = place_run(there, job.run)
    site.say(f"{job.name}: {run.relative_to(run.parents[1])} is here, and agrees with its digests")
    job.save(phase="judging")


def judge(job: Job, site: Site) -> None:
    """The verdict: of the evaluation that ran there, or by running the answers here."""
    try:
        site.exchange.delete()
    except UserError as error:
        site.say(f"{error}: delete {job.repo} by hand; everything of it is here")
    assert job.run is not None
    if job.outcome is not None:
        job.outcome.said += f"; the trained run is here: make eval RUN={job.run}"
    elif job.evaluate == "there":
        job.outcome = Outcome(code=verdict_code(job.run), said=f"results/{job.run}/report.html")
    else:
        judging = [sys.executable, "eval/run_eval_suite.py", "--judge", "--run", job.run]
        done = subprocess.run(judging, cwd=ROOT, check=False)
        known = done.returncode in (SHIP, NO_SHIP, INCONCLUSIVE)
        said = f"results/{job.run}/report.html" if known else f"not judged: make judge RUN={job.run}"
        job.outcome = Outcome(code=done.returncode if known else CANNOT_EVALUATE, said=said)
    job.save(phase="done")
