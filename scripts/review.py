"""Record a person's decision about a run, bound to the exact bytes that were evaluated.

    python -m scripts.review --run RUN --page                              read and decide in a browser
    python -m scripts.review --run RUN                                     what was measured, where to read it
    python -m scripts.review --run RUN --decision approve --reviewer NAME [--comment TEXT] [--sign [--key FILE]]
    python -m scripts.review --run RUN --decision reject --reviewer NAME [--comment TEXT]

What a review is, and what it binds: publishing/approval.py. The page: scripts/review_page.py.
"""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.report.escaped_text import visible
from eval.report.rendering import edited_report
from eval.run.files import read_metrics
from eval.run.folder import resolve_run
from eval.run.metrics import Verdict
from eval.run.records import Record
from scripts.publishing.approval import (
    REVIEW,
    Choice,
    changed_since,
    evidence_digest,
    make_review,
    present_digests,
    read_review,
    verify_signature,
    write_review,
)
from scripts.publishing.signing import default_key
from scripts.review_page import decide_in_browser


def show(folder: Path) -> None:
    """Print what a reviewer needs: verdict, reasons, where the report is, the review so far, how to decide."""
    metrics = read_metrics(folder / "metrics.json")
    print(f"run      {folder.name}\nverdict  {metrics.verdict}")
    for reason in metrics.reasons:
        print(f"         {reason}")
    reports = [folder / name for name in ("report.html", "report.md") if (folder / name).is_file()]
    print(f"report   {reports[0] if reports else 'missing: run `make report`'}")
    with suppress(UserError):  # a broken run can still be shown, and rejected
        if edited := edited_report(folder):
            print(f"         WARNING: {edited} is not what the run's files give; `make report`, and read that")
    if (folder / REVIEW).is_file():
        review = read_review(folder)
        changed = changed_since(review, folder)
        stale = f", but {', '.join(changed)} changed since" if changed else ""
        print(f"review   {review.decision} by {review.shown_reviewer}, {review.time}{stale}")
        if review.override:
            print(f"         OVERRIDES the verdict {review.verdict}: {visible(review.override)}")
        if review.signature:
            print(f"         signed by {verify_signature(folder)}")
    print(f"evidence {evidence_digest(present_digests(folder))}")
    choices = "approve|reject" if metrics.verdict == "ship" else "reject"
    print(f"decide   make review RUN={folder.name} DECISION={choices} REVIEWER=NAME COMMENT=TEXT")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.review", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="name or path of a run; the newest by default")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--decision", choices=("approve", "reject"), help="without it, only show")
    what.add_argument("--page", action="store_true", help="read the report and decide in a browser")
    parser.add_argument("--reviewer", default="", help="who decides")
    parser.add_argument("--comment", default="", help="why")
    parser.add_argument("--override", default="", help="why something that is not a ship may be published all the same")
    parser.add_argument("--sign", action="store_true", help="sign the review with an SSH key")
    parser.add_argument("--key", type=Path, help="the key to sign with (default: git's own)")
    arguments = parser.parse_args(argv)
    folder = resolve_run(arguments.run)
    key = signing_key(arguments.key) if arguments.sign or arguments.key else None
    if arguments.page:
        return decide_in_browser(folder, arguments.reviewer, key)
    if arguments.decision is None:
        show(folder)
        return answer(folder)
    review = make_review(folder, arguments.decision, arguments.reviewer, arguments.comment, arguments.override, key)
    write_review(folder, review)
    signed = ", signed" if review.signature else ""
    print(f"{review.decision} by {review.reviewer} recorded in {folder / REVIEW}{signed}")
    if review.override:
        print(f"OVERRIDE: the verdict is {review.verdict}; model card and publication.json will say so")
    return answer(folder, files=[folder / REVIEW])


class Reviewed(Record):
    """A run's verdict and a person's decision on it; `changed_since` names files that are not what was reviewed."""

    run: str
    verdict: Verdict | None
    decision: Choice | None
    reviewer: str | None
    time: str | None
    changed_since: list[str]


def answer(folder: Path, files: Sequence[Path] = ()) -> Answer:
    """What a program is told of a run's review, made or not."""
    review = read_review(folder) if (folder / REVIEW).is_file() else None
    try:
        verdict: Verdict | None = read_metrics(folder / "metrics.json").verdict
    except UserError:  # whatever is broken can still be rejected
        verdict = None
    result = Reviewed(
        run=folder.name,
        verdict=verdict,
        decision=review and review.decision,
        reviewer=review and review.shown_reviewer,
        time=review and review.time,
        changed_since=changed_since(review, folder) if review else [],
    )
    return Answer(0, result, verdict=verdict, files=files)


def signing_key(given: Path | None) -> Path:
    key = given.expanduser() if given else default_key()
    if key is None:
        raise UserError("no key to sign with: give KEY=, or set git's gpg.format to ssh and user.signingkey to a file")
    return key


if __name__ == "__main__":
    run_command(main)
