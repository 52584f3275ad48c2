"""Train, and evaluate, a recipe on a rented machine that ends by itself (docs/remote.md).

    python -m scripts.remote start --on hf-jobs --max-hours 2 --budget 5 [--gpu a10g-large] [--detach] -- RECIPE
    python -m scripts.remote status [--on X]          jobs, and machines that no job of this computer has
    python -m scripts.remote logs JOB [--follow]
    python -m scripts.remote stop JOB [--on X] [--forget]

`start` exits with the verdict's code (0, 1, 3), or 2; with --detach with 0 once the machine is started. The same
command again goes on with the same job.
"""

import argparse
import math
import sys
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from scripts.remote.answered import JobRow, Jobs, Stopped
from scripts.remote.providers import PROVIDERS

EVALUATES = ("here", "there")


def amount(text: str) -> float:
    """A positive number: hours or US dollars."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 100_000:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no positive number")
    return value


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.remote", description=(__doc__ or "").split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    begin = verbs.add_parser("start", help="a new job, or the unfinished one of this recipe")
    begin.add_argument("--on", required=True, choices=list(PROVIDERS))
    begin.add_argument("--max-hours", required=True, type=amount, help="of all the job's machines together")
    begin.add_argument("--budget", required=True, type=amount, help="US dollars, of all the job's machines together")
    begin.add_argument("--gpu", help="the provider's own name of the hardware")
    begin.add_argument("--price", type=amount, help="the most to pay for an hour, where prices are not asked for")
    begin.add_argument("--count", type=int, default=1, help="GPUs (default: 1)")
    begin.add_argument("--image", help="container image with bash, git, make and curl")
    begin.add_argument("--evaluate", choices=EVALUATES, default="here", help="where answers are judged (default: here)")
    begin.add_argument("--detach", action="store_true", help="do not wait: the same command goes on later")
    begin.add_argument("recipe", help="recipe name or file")
    shown = verbs.add_parser("status", help="jobs and machines")
    shown.add_argument("--on", choices=list(PROVIDERS))
    log = verbs.add_parser("logs", help="what a job's machine said")
    log.add_argument("--follow", action="store_true")
    log.add_argument("job")
    ended = verbs.add_parser("stop", help="end a job's machine, and prove it")
    ended.add_argument("--on", choices=list(PROVIDERS), help="of a machine that no job of this computer has")
    ended.add_argument("--forget", action="store_true", help="delete what it sent to the Hub, too")
    ended.add_argument("job")
    return parser.parse_args(argv)


def run_start(arguments: argparse.Namespace, api: Any) -> Answer:
    from scripts.remote.asked import job_row
    from scripts.remote.exchange import Exchange
    from scripts.remote.providers import open_provider
    from scripts.remote.site import Site
    from scripts.remote.starting import Wanted, start

    if not 1 <= arguments.count <= 64:
        raise UserError(f"--count {arguments.count}: from 1 to 64 GPUs")
    wanted = Wanted(
        arguments.recipe, arguments.max_hours, arguments.budget, arguments.gpu, arguments.count, arguments.image,
        arguments.evaluate,
    )  # fmt: skip
    provider = open_provider(arguments.on, api, arguments.price)
    site = Site(provider, Exchange(api, ""), say, arguments.detach)
    try:
        job, code = start(wanted, provider, api, site)
    except KeyboardInterrupt:
        say("the machine goes on by itself: the same command watches it again, `make remote-stop JOB=` ends it")
        raise
    return Answer(code, JobRow.model_validate(job_row(job, None)))


def say(line: str) -> None:
    print(line, flush=True)


def main(argv: list[str] | None = None) -> Answer:
    arguments = parse_arguments(argv)
    from scripts.publishing.hub_errors import connect
    from scripts.remote import asked

    api = connect()
    if arguments.verb == "start":
        return run_start(arguments, api)
    if arguments.verb == "status":
        found = asked.status(arguments.on, api, say)
        asked.say_status(found, say)
        return Answer(0, Jobs.model_validate(found))
    if arguments.verb == "logs":
        shown = asked.logs(arguments.job, arguments.follow, api, say)
        return Answer(0, JobRow.model_validate(asked.job_row(shown, None)))
    code = asked.stop(arguments.job, arguments.on, arguments.forget, api, say)
    return Answer(code, Stopped(job=arguments.job, left=0))


if __name__ == "__main__":
    known = (verb for verb in ("status", "logs", "stop") if verb in sys.argv[1:2])
    run_command(main, next((f"remote-{verb}" for verb in known), "remote"))
