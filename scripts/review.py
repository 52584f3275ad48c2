"""Record a person's decision about a run, bound to the exact bytes that were evaluated.

    python -m scripts.review --run RUN                                     what was measured, where to read it
    python -m scripts.review --run RUN --decision approve --reviewer NAME [--comment TEXT]
    python -m scripts.review --run RUN --decision reject --reviewer NAME [--comment TEXT]

review.json holds the digest of every file in REVIEWED, and of what is there of REVIEWED_IF_THERE; publishing compares
them with the disk again. Only a `ship` can be approved; anything can be rejected. A second review replaces the first
and keeps it in `previous`.

Not protected against: someone who can write to the run folder can write a review under any name. The file
says what was decided about which bytes; who may decide is a matter of access to the machine or the CI.
"""

import argparse
import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from eval.errors import Refused, UserError, run_command
from eval.files import first_problem, read_json, read_metrics, write_json
from eval.provenance import file_sha256
from eval.records import Record, Verdict
from eval.run_folder import resolve_run

REVIEW = "review.json"
REVIEWED = (
    "metrics.json",
    "scores.jsonl",
    "generations.jsonl",
    "samples.jsonl",
    "adapter.sha256",
    "recipe.yaml",
    "data.json",
    "suite.yaml",
    "report.md",
)
REVIEWED_IF_THERE = ("executions.jsonl", "observations.jsonl")  # what running the answers showed
LONGEST_NAME = 100


class Review(Record):
    """review.json."""

    schema_version: Literal[1] = 1
    decision: Literal["approve", "reject"]
    reviewer: str
    comment: str
    time: str
    verdict: Verdict | None
    digests: dict[str, str]
    previous: list[dict[str, Any]]


def present_digests(folder: Path) -> dict[str, str]:
    """Digest of each reviewed file that is there, by name."""
    names = (*REVIEWED, *REVIEWED_IF_THERE)
    return {name: file_sha256(folder / name) for name in names if (folder / name).is_file()}


def changed_since(review: Review, folder: Path) -> list[str]:
    """Names of reviewed files whose bytes are not, or no longer, those the review saw; missing ones too."""
    now = present_digests(folder)
    names = dict.fromkeys((*REVIEWED, *review.digests, *now))
    return [name for name in names if name not in now or review.digests.get(name) != now[name]]


def read_review(folder: Path) -> Review:
    """The run's review. UserError when it is missing or broken."""
    try:
        return Review.model_validate(read_json(folder / REVIEW))
    except ValidationError as error:
        raise UserError(f"{folder / REVIEW}: {first_problem(error)}; review again") from None


def require_approval(folder: Path, verdict: Verdict) -> Review:
    """The review, once it approves exactly the bytes on disk and this verdict; Refused otherwise."""
    if not (folder / REVIEW).is_file():
        raise Refused(f"{folder.name} is not reviewed: `make review` first")
    review = read_review(folder)
    if review.decision != "approve":
        raise Refused(f"{folder.name} was rejected by {review.reviewer}")
    if changed := changed_since(review, folder):
        raise Refused(f"{folder / changed[0]} is not what {review.reviewer} reviewed: `make review` again")
    if review.verdict != verdict:
        raise Refused(f"{folder / REVIEW} is about a {review.verdict}, metrics.json about a {verdict}")
    return review


def make_review(folder: Path, decision: Literal["approve", "reject"], reviewer: str, comment: str) -> Review:
    """The review of a run as it is on disk now; not written yet.

    Raises Refused for approving anything but a ship, UserError for an approval with a file missing.
    """
    reviewer = reviewer.strip()
    if not reviewer or len(reviewer) > LONGEST_NAME or not reviewer.isprintable():
        raise UserError(f"--reviewer must be a name of 1 to {LONGEST_NAME} printable characters")
    digests = present_digests(folder)
    verdict: Verdict | None = None
    if decision == "approve":
        verdict = read_metrics(folder / "metrics.json").verdict
        if verdict != "ship":
            raise Refused(f"the verdict of {folder.name} is {verdict}: only a ship can be approved")
        missing = [name for name in REVIEWED if name not in digests]
        if missing:
            raise UserError(f"{folder / missing[0]} is missing: run `make eval` before approving")
    elif "metrics.json" in digests:
        try:
            verdict = read_metrics(folder / "metrics.json").verdict
        except UserError:
            verdict = None  # a broken run can still be rejected; its digests say which bytes were broken
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Review(
        decision=decision,
        reviewer=reviewer,
        comment=comment,
        time=time,
        verdict=verdict,
        digests=digests,
        previous=earlier_reviews(folder),
    )


def earlier_reviews(folder: Path) -> list[dict[str, Any]]:
    """Reviews so far, oldest first. An unreadable one is kept as the digest of its bytes."""
    if not (folder / REVIEW).is_file():
        return []
    try:
        last = read_review(folder)
    except UserError:
        return [{"unreadable_sha256": file_sha256(folder / REVIEW)}]
    return [*last.previous, last.model_dump(exclude={"previous"})]


def show(folder: Path) -> None:
    """Print what a reviewer needs: verdict, reasons, where the report is, the review so far, how to decide."""
    metrics = read_metrics(folder / "metrics.json")
    print(f"run      {folder.name}\nverdict  {metrics.verdict}")
    for reason in metrics.reasons:
        print(f"         {reason}")
    reports = [folder / name for name in ("report.html", "report.md") if (folder / name).is_file()]
    print(f"report   {reports[0] if reports else 'missing: run `make report`'}")
    if (folder / REVIEW).is_file():
        review = read_review(folder)
        changed = changed_since(review, folder)
        stale = f", but {', '.join(changed)} changed since" if changed else ""
        print(f"review   {review.decision} by {review.reviewer}, {review.time}{stale}")
    choices = "approve|reject" if metrics.verdict == "ship" else "reject"
    command = f"python -m scripts.review --run {folder.name} --decision {choices} --reviewer NAME"
    print(f"decide   {command} --comment TEXT")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.review", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="name or path of a run; the newest by default")
    parser.add_argument("--decision", choices=("approve", "reject"), help="without it, only show")
    parser.add_argument("--reviewer", default="", help="who decides")
    parser.add_argument("--comment", default="", help="why")
    arguments = parser.parse_args(argv)
    folder = resolve_run(arguments.run)
    if arguments.decision is None:
        show(folder)
        return 0
    review = make_review(folder, arguments.decision, arguments.reviewer, arguments.comment)
    write_json(folder / REVIEW, review.model_dump())
    print(f"{review.decision} by {review.reviewer} recorded in {folder / REVIEW}")
    return 0


if __name__ == "__main__":
    run_command(main)
