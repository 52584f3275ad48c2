"""One comment on a pull request that each run of the workflow writes anew, instead of adding another.

    number = upsert(github, 12, body)       the comment's id; found again by a mark that nobody sees
    numbers = pull_requests(github, sha, branch)

A write whose answer was lost may have happened: before the next try the comment is looked for again, so that there are
never two. Only a comment that a bot wrote is taken for ours: who quotes one does not lose theirs.
"""

from typing import Any

from eval.common.errors import UserError
from scripts.ci.github import TRIES, GitHub, Unanswered, pause

MARK = "<!-- securecli-tuner: verdicts -->"
LONGEST = 65_000  # characters; GitHub takes 65,536


def pull_requests(github: GitHub, commit: str, branch: str) -> list[int]:
    """Numbers of the open pull requests whose branch is at this commit."""
    found = github.read_all(f"/commits/{commit}/pulls")
    return sorted(row["number"] for row in found if row["state"] == "open" and row["head"]["ref"] == branch)


def ours(github: GitHub, number: int) -> dict[str, Any] | None:
    """The comment that an earlier run left; the first one where there are several."""
    for comment in github.read_all(f"/issues/{number}/comments"):
        if comment["user"]["type"] == "Bot" and str(comment["body"]).startswith(MARK):
            return dict(comment)
    return None


def upsert(github: GitHub, number: int, text: str) -> int:
    """Write the comment, or write it anew; its id. UserError when GitHub does not take it."""
    body = f"{MARK}\n{text}"
    if len(body) > LONGEST:
        body = body[:LONGEST] + "\n\n(cut: the job's summary has all of it)"
    last = Unanswered("")
    for attempt in range(TRIES):
        if attempt:
            pause(attempt - 1, last)
        there = ours(github, number)
        if there and there["body"].rstrip() == body.rstrip():
            return int(there["id"])
        try:
            if there:
                return int(github.write_once("PATCH", f"/issues/comments/{there['id']}", {"body": body})["id"])
            return int(github.write_once("POST", f"/issues/{number}/comments", {"body": body})["id"])
        except Unanswered as why:
            last = why
    raise UserError(f"GitHub did not take the comment ({last}; tried {TRIES} times): run the job again")
