"""A person's approval on GitHub, as the run's review.json: who, for which bytes, on which page.

    approve_by_environment(run, digest, environment)     a reviewer of a protected environment
    approve_by_dispatch(run, digest, comment)            who started the publishing workflow by hand
    take_signed(run, digest, text)                       a signed review.json, made by `make review` on the artifact

Each writes what `make review` would have written on the same folder, by the same function, and so refuses what that
refuses: a verdict that is no ship, an edited report, an approval that has to be signed. Beyond that the approval names
the evidence: the digest of the folder is the one that the evaluating job gave, and the approver has typed its first
digits. A click on a page that nobody read, and an approval of another attempt, publish nothing.

Not protected against: somebody who may change this repository's workflows or protected environments; an account that
somebody else uses. Where a suite asks for signed approvals, neither an environment nor a dispatch is one.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eval.common.errors import Refused, UserError
from eval.run.files import first_problem, read_json
from eval.run.folder import locked
from scripts.ci.github import GitHub
from scripts.ci.runner import variable
from scripts.ci.summary import SHORT
from scripts.publishing.approval import (
    REVIEW,
    Review,
    evidence_digest,
    make_review,
    policy_of,
    present_digests,
    verify_signature,
    write_review,
)

PERSON = "User"  # GitHub's type of an account that is no bot and no organisation


def check_evidence(run: Path, digest: str) -> str:
    """The digest of the evidence in a run folder, once it begins with the one that was named. Refused otherwise."""
    here = evidence_digest(present_digests(run))
    if not re.fullmatch(rf"[0-9a-f]{{{SHORT},64}}", digest):
        raise UserError(f"the digest has to be {SHORT} to 64 hexadecimal digits, as the job's summary shows them")
    if not here.startswith(digest):
        raise Refused(f"{run.name} is not what was evaluated: its evidence is {here[:SHORT]}, not {digest[:SHORT]}")
    return here


def refuse_unsigned(run: Path) -> None:
    """Refused where the suite wants a signature, which no click is."""
    if policy_of(run).require_signature:
        raise Refused(
            "the suite asks for a signed approval: download the artifact, `make review RUN= SIGN=1`, and give "
            "review.json to the publishing workflow"
        )


def page() -> str:
    """Address of the workflow run that this is a step of."""
    server, repository = os.environ.get("GITHUB_SERVER_URL", "https://github.com"), variable("GITHUB_REPOSITORY")
    return f"{server}/{repository}/actions/runs/{variable('GITHUB_RUN_ID')}"


def approve_by_environment(run: Path, digest: str, environment: str) -> Review:
    """The review of a reviewer of `environment` who named the evidence in their comment.

    Refused when none did: the environment is not protected, or somebody clicked without reading.
    """
    here = check_evidence(run, digest)
    refuse_unsigned(run)
    with GitHub.of_this_run() as github:
        approvals = github.read(f"/actions/runs/{variable('GITHUB_RUN_ID')}/approvals")
    found = [row for row in approvals if approves(row, environment, here[:SHORT])]
    if not found:
        raise Refused(
            f"nobody approved {environment} with {here[:SHORT]} in the comment: protect that environment with required "
            "reviewers, run this job again, and approve it so"
        )
    return decided(run, found[-1]["user"]["login"], f"approved {environment} on {page()}: {found[-1]['comment']}")


def approves(row: dict[str, Any], environment: str, short: str) -> bool:
    """Whether an entry of a run's approvals is a person's, of this environment, about this evidence."""
    of_it = environment in [one.get("name") for one in row.get("environments") or []]
    by_a_person = (row.get("user") or {}).get("type") == PERSON
    return bool(of_it and by_a_person and row.get("state") == "approved" and short in str(row.get("comment")))


def approve_by_dispatch(run: Path, digest: str, comment: str) -> Review:
    """The review of the person who started this workflow by hand and typed the digest."""
    check_evidence(run, digest)
    refuse_unsigned(run)
    event = read_json(Path(variable("GITHUB_EVENT_PATH")))
    sender = event.get("sender") or {}
    if variable("GITHUB_EVENT_NAME") != "workflow_dispatch" or sender.get("type") != PERSON:
        raise Refused("an approval is a person's: start the publishing workflow by hand, on its page")
    return decided(run, str(sender.get("login")), f"started {page()} by hand with this digest: {comment}")


def decided(run: Path, reviewer: str, comment: str) -> Review:
    review = make_review(run, "approve", reviewer, comment)
    write_review(run, review)
    return review


def take_signed(run: Path, digest: str, text: str) -> Review:
    """A review that somebody made and signed elsewhere, put into the run folder once it is of this evidence.

    Refused for an unsigned one, which names whoever it likes, and for one that is not of a listed key.
    """
    check_evidence(run, digest)
    try:
        review = Review.model_validate(json.loads(text))
    except ValidationError as error:
        raise UserError(f"the review is not as `make review` writes it: {first_problem(error)}") from None
    except (ValueError, RecursionError):
        raise UserError("the review is no JSON: give the whole text of review.json") from None
    if review.signature is None:
        raise Refused(
            "an unsigned review names whoever it likes: sign it, or leave it out and be the reviewer yourself"
        )
    if review.decision != "approve" or review.digests != present_digests(run):
        raise Refused(f"the signed review does not approve these files of {run.name}: `make review` on this artifact")
    with locked(run):
        write_review(run, review)
        try:
            print(f"ci: signed by {verify_signature(run)}", flush=True)
        except (Refused, UserError):
            (run / REVIEW).unlink()
            raise
    return review
