"""A review: a person's decision, bound to the digests of everything that was evaluated. review.json.

    review = make_review(folder, "approve", "Ada", "read it all")     not written yet
    review = require_approval(folder, verdict)                        Refused unless it approves the bytes on disk

It holds the digest of every file in REVIEWED, and of what is there of REVIEWED_IF_THERE; publishing compares them with
the disk again. Only a `ship` can be approved, unless the suite allows an override and a reason is given; anything can
be rejected. A second review replaces the first and keeps it in `previous`, without its signature.

Not protected against: someone who can write to the run folder can write a review under any name. Where the suite asks
for a signature they need a listed key too (signing.py); elsewhere the file says what was decided about which bytes, and
who may decide is a matter of access to the machine or the CI.
"""

import datetime
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from eval.common.errors import Refused, UserError
from eval.config.suite_file import ReviewPolicy, load_suite
from eval.report.rendering import edited_report
from eval.run.digests import file_sha256, manifest_text, text_sha256
from eval.run.files import first_problem, read_json, read_metrics, write_json
from eval.run.folder import locked
from eval.run.generated import JUDGED_ON
from eval.run.metrics import Verdict
from eval.run.records import Record
from eval.run.secret_patterns import find_secrets, redact
from eval.run.variant import MODEL_MANIFEST
from scripts.publishing.names import name_problem
from scripts.publishing.signing import git_settings, sign, verify

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
    "environment.json",
    "report.md",
)
# What running the answers showed, the page that was read, the machine that judged where another generated, and of a
# variant its model, which publishing asks for.
REVIEWED_IF_THERE = ("executions.jsonl", "observations.jsonl", "report.html", JUDGED_ON, MODEL_MANIFEST)
LONGEST_NAME = 100
LONGEST_COMMENT = 4000
Choice = Literal["approve", "reject"]


class Review(Record):
    """review.json."""

    schema_version: Literal[1] = 1
    decision: Choice
    reviewer: str
    comment: str
    time: str
    verdict: Verdict | None
    override: str | None = None  # why something that is not a ship may be published all the same
    git_user: str | None = None  # whom git on that machine is set up for
    digests: dict[str, str]
    previous: list[dict[str, Any]]
    signature: str | None = None  # of everything above

    @property
    def shown_reviewer(self) -> str:
        """The reviewer as errors may show it: the file can be written by hand, and logs are read by others."""
        return "".join(letter for letter in redact(self.reviewer)[:LONGEST_NAME] if letter.isprintable())

    def message(self) -> bytes:
        """What a signature is about: every field but the signature, in one fixed form."""
        return json.dumps(self.model_dump(exclude={"signature"}), sort_keys=True, separators=(",", ":")).encode()


def present_digests(folder: Path) -> dict[str, str]:
    """Digest of each reviewed file that is there, by name."""
    names = (*REVIEWED, *REVIEWED_IF_THERE)
    return {name: file_sha256(folder / name) for name in names if (folder / name).is_file()}


def evidence_digest(digests: dict[str, str]) -> str:
    """One digest of everything that a review binds: what a person types where they approve away from the files.

    It is that of the reviewed files' list as `sha256sum` prints it, sorted by name.
    """
    return text_sha256(manifest_text(digests))


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
        raise UserError(f"{folder / REVIEW}: {redact(first_problem(error))}; review again") from None


def earlier_decision(folder: Path) -> str:
    """What was decided before, and whether it still holds, in a sentence; empty before the first review."""
    if not (folder / REVIEW).is_file():
        return ""
    try:
        review = read_review(folder)
    except UserError as error:
        return str(error)
    changed = ", ".join(changed_since(review, folder))
    said = f"Already decided: {review.decision} by {review.shown_reviewer}, {review.time}"
    return f"{said}{f', but {changed} changed since' if changed else ''}. A new decision replaces it."


def require_approval(folder: Path, verdict: Verdict) -> Review:
    """The review, once it approves exactly the bytes on disk and this verdict; Refused otherwise."""
    if not (folder / REVIEW).is_file():
        raise Refused(f"{folder.name} is not reviewed: `make review` first")
    review = read_review(folder)
    if review.decision != "approve":
        raise Refused(f"{folder.name} was rejected by {review.shown_reviewer}")
    if changed := changed_since(review, folder):
        raise Refused(f"{folder / changed[0]} is not what {review.shown_reviewer} reviewed: `make review` again")
    if review.verdict != verdict:
        raise Refused(f"{folder / REVIEW} is about a {review.verdict}, metrics.json about a {verdict}")
    if verdict != "ship" and not (review.override or "").strip():
        raise Refused(f"the verdict of {folder.name} is {verdict}, and its review gives no reason to override it")
    return review


def verify_signature(folder: Path) -> str | None:
    """Who signed the run's review, by the file of allowed signers; None for an unsigned one.

    Raises Refused for a signature of another key, purpose or text; UserError when nothing can be verified.
    """
    review = read_review(folder)
    return None if review.signature is None else verify(review.message(), review.signature)


def policy_of(folder: Path) -> ReviewPolicy:
    """What the run's own suite asks of its review; the defaults for a run without a readable suite."""
    try:
        return load_suite(folder / "suite.yaml").review
    except UserError:
        return ReviewPolicy()


def make_review(
    folder: Path, decision: Choice, reviewer: str, comment: str, override: str = "", key: Path | None = None
) -> Review:
    """The review of a run as it is on disk now, signed when `key` is given; not written yet.

    Raises Refused for approving anything but a ship without an override that the suite allows, and for a text that
    holds a credential; UserError for an approval with a file missing, or one that must be signed and has no key.
    """
    reviewer, comment, override = reviewer.strip(), comment.strip(), override.strip()
    if not reviewer or len(reviewer) > LONGEST_NAME:
        raise UserError(f"--reviewer must be a name of 1 to {LONGEST_NAME} characters")
    if problem := name_problem(reviewer):
        raise UserError(f"--reviewer {problem}: give it in the letters of one writing system")
    if max(len(comment), len(override)) > LONGEST_COMMENT:
        raise UserError(f"a comment or reason has at most {LONGEST_COMMENT} characters")
    refuse_credentials({"reviewer": reviewer, "comment": comment, "override": override})
    digests = present_digests(folder)
    verdict: Verdict | None = None
    if decision == "approve":
        metrics = read_metrics(folder / "metrics.json")
        if metrics.logs is not None:
            raise UserError(
                f"{folder.name} is a verdict over logs, which is never published: there is nothing to approve"
            )
        verdict = metrics.verdict
        check_override(folder, verdict, override)
        missing = [name for name in REVIEWED if name not in digests]
        if missing:
            raise UserError(f"{folder / missing[0]} is missing: run `make eval` before approving")
        refuse_edited_report(folder)
        if key is None and policy_of(folder).require_signature:
            raise UserError(
                "the suite asks for a signed approval: sign with SIGN=1, and KEY= for another key than git's"
            )
    elif override:
        raise UserError("a rejection overrides nothing: leave OVERRIDE out")
    elif "metrics.json" in digests:
        try:
            verdict = read_metrics(folder / "metrics.json").verdict
        except UserError:
            verdict = None  # a broken run can still be rejected; its digests say which bytes were broken
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    review = Review(
        decision=decision,
        reviewer=reviewer,
        comment=comment,
        time=time,
        verdict=verdict,
        override=override or None,
        git_user=git_user(),
        digests=digests,
        previous=earlier_reviews(folder),
    )
    return review if key is None else review.model_copy(update={"signature": sign(review.message(), key)})


def refuse_edited_report(folder: Path) -> None:
    """Refused when a page or figure of the report is not what the run's files give: edited, or of an old rendering."""
    if name := edited_report(folder):
        raise Refused(f"{folder / name} is not what the run's files give: `make report`, and read it again")


def refuse_credentials(fields: dict[str, str]) -> None:
    """Refused when a text that the review would hold looks like a credential: the card shows it to everyone."""
    for name, text in fields.items():
        if found := find_secrets(name, text):
            raise Refused(f"the {name} holds what looks like a {found[0].kind}: remove it, revoke it, and review again")


def check_override(folder: Path, verdict: Verdict, override: str) -> None:
    """Nobody approves what is not a ship, but with a reason, where the suite says that a person may."""
    if verdict == "ship":
        if override:
            raise UserError(
                f"the verdict of {folder.name} is ship, so there is nothing to override: leave OVERRIDE out"
            )
    elif not policy_of(folder).allow_override:
        raise Refused(f"the verdict of {folder.name} is {verdict}: only a ship can be approved")
    elif not override:
        raise Refused(
            f"the verdict of {folder.name} is {verdict}: only a ship can be approved without OVERRIDE='reason'"
        )


def git_user() -> str | None:
    """`Name <address>` that git on this machine is set up for."""
    name, address = git_settings("user.name", "user.email").values()
    return f"{name} <{address}>".strip() if name or address else None


def earlier_reviews(folder: Path) -> list[dict[str, Any]]:
    """Reviews so far, oldest first, without signatures. An unreadable one is kept as the digest of its bytes.

    With its signature, an approval that was taken back could be put together again out of the rejection.
    """
    if not (folder / REVIEW).is_file():
        return []
    try:
        last = read_review(folder)
    except UserError:
        return [{"unreadable_sha256": file_sha256(folder / REVIEW)}]
    reviews = [*last.previous, last.model_dump(exclude={"previous"})]
    return [{name: value for name, value in review.items() if name != "signature"} for review in reviews]


def write_review(folder: Path, review: Review) -> None:
    with locked(folder):
        write_json(folder / REVIEW, review.model_dump())
