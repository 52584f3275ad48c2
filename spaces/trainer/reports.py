"""Evaluated runs, the report of one, and a decision about exactly the bytes that were shown.

    shown = show(name)                              its report, verdict and the digest of everything that is decided on
    decide(name, shown.seen, "approve", user, comment)     UserError or Refused, and then nothing is written

What a review is and what it binds: scripts/publishing/approval.py, as for `make review`.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from eval.common.errors import UserError
from eval.common.reading import read_bytes
from eval.report.rendering import edited_report
from eval.run.digests import json_sha256
from eval.run.files import read_metrics
from eval.run.folder import RESULTS, list_runs, locked
from eval.run.metrics import Verdict
from scripts.publishing.approval import (
    Review,
    earlier_decision,
    make_review,
    policy_of,
    present_digests,
    write_review,
)
from scripts.review_page import CHOICES

MOST_RUNS = 100  # in the list
_deciding = threading.Lock()  # the run's own lock keeps out other processes, not other requests of this one


@dataclass(frozen=True)
class Shown:
    """What a reviewer sees of a run."""

    run: str
    verdict: Verdict | None
    reasons: list[str]
    report: str  # HTML; empty when there is none
    seen: str  # digest of the digests of what the decision is about
    review: str  # what was decided before, in a sentence; empty before the first review
    approvable: bool


def evaluated_runs(results: Path = RESULTS) -> list[str]:
    """Names of runs with a verdict, newest first."""
    return [run.name for run in list_runs(results) if (run / "metrics.json").is_file()][:MOST_RUNS]


def folder_of(name: str, results: Path = RESULTS) -> Path:
    """The folder of a run of the list. UserError for anything else: a name is no path."""
    if name not in evaluated_runs(results):
        raise UserError(f"no evaluated run {name[:100]!r}: choose one of the list")
    return results / name


def show(name: str, results: Path = RESULTS) -> Shown:
    """Everything of one run, as its files are now."""
    folder = folder_of(name, results)
    digests = present_digests(folder)
    reasons: list[str] = []
    verdict: Verdict | None = None
    try:
        metrics = read_metrics(folder / "metrics.json")
        verdict, reasons = metrics.verdict, metrics.reasons
        if edited := edited_report(folder):
            reasons = [f"{edited} is not what the run's files give: `make report`, and read that", *reasons]
    except UserError as error:  # a broken run can still be shown, and rejected
        reasons = [str(error)]
    report = read_bytes(folder / "report.html").decode("utf-8", "replace") if "report.html" in digests else ""
    if json_sha256(present_digests(folder)) != json_sha256(digests):
        raise UserError(f"{name} is being written to: show it again in a moment")
    approvable = verdict == "ship" and not policy_of(folder).require_signature
    return Shown(name, verdict, reasons, report, json_sha256(digests), earlier_decision(folder), approvable)


def decide(name: str, seen: str, decision: str, reviewer: str, comment: str, results: Path = RESULTS) -> Review:
    """Record a decision of `reviewer` about the bytes that `seen` is the digest of.

    Raises UserError when they are not those on disk, and Refused for an approval of anything but a ship. An override of
    the verdict, and a signature, are given on the command line alone.
    """
    folder = folder_of(name, results)
    choice = CHOICES.get(decision)
    if choice is None:
        raise UserError("a decision is approve or reject")
    with _deciding, locked(folder):
        if not seen or seen != json_sha256(present_digests(folder)):
            raise UserError(f"{name} changed since it was shown: show it again and read it again")
        review = make_review(folder, choice, reviewer, comment)
        write_review(folder, review)
    return review
