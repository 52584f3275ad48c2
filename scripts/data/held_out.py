"""Which held-out rows of other people can be judged by running them: decided once, when the rows are written.

    for reason in not_executed(rows, sandbox):      "" for a row whose answers can be run, else why not

A row's tree is made from its right command alone, which may say too little. So the judge is asked two things of every
row: the right command in braces has to be accepted, and a command that does nothing has to be rejected. A row for which
either fails has no score by execution, in either arm, and test.jsonl says why (`not_executed`).
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from eval.contracts.task import Asked, Judged
from eval.sandbox import Sandbox
from eval.tasks.nl2bash.execution import COMMANDS
from scripts.data.run_golds import BATCH, of_batch
from scripts.data.sources import Example
from scripts.data.stages import FINE

NOT_KNOWN = "its right command in braces is not accepted"
NOT_TOLD = "doing nothing is not rejected"


def not_executed(rows: Sequence[Example], sandbox: Sandbox) -> Iterator[str]:
    """Of each row why it has no score by execution, batch by batch. SandboxError when the sandbox is broken."""
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        said = [reason or detail for reason, detail in of_batch(batch, sandbox)]
        shows = [place for place, reason in enumerate(said) if reason == FINE[0]]
        asked = [question for place in shows for question in questions(batch[place])]
        judged = COMMANDS.judge(asked, "robust", sandbox)
        for number, place in enumerate(shows):
            said[place] = verdict_on(*judged[2 * number : 2 * number + 2])
        yield from (reason.removeprefix("not run: ") for reason in said)


def questions(row: Example) -> tuple[Asked, Asked]:
    """The right command written otherwise, and one that does nothing."""
    document = as_task_row(row)
    braced, nothing = f"{{ {row.gold}\n}}", ":"
    return Asked(document, row.request, row.gold, braced), Asked(document, row.request, row.gold, nothing)


def verdict_on(right: Judged, nothing: Judged) -> str:
    """Why the judge is of no use for a row; empty when it is."""
    if right.verdict != "accept":
        return f"{NOT_KNOWN} ({right.rule})"
    return "" if nothing.verdict == "reject" else f"{NOT_TOLD} ({nothing.rule})"


def as_task_row(row: Example) -> dict[str, Any]:
    """A row as tasks of commands read it."""
    return dict(json.loads(row.written()))


def test_line(row: Example, cluster: str, reason: str) -> str:
    """A line of test.jsonl. `cluster`: rows that share it are not independent. Reports show each source alone."""
    document = as_task_row(row) | {"category": row.source, "cluster": cluster}
    return json.dumps(document | ({"not_executed": reason} if reason else {}), ensure_ascii=False)


def counted(reasons: Sequence[str]) -> dict[str, Any]:
    """How many held-out rows are run, and why the others are not."""
    why = Counter(reason for reason in reasons if reason)
    return {"rows": len(reasons), "executed": len(reasons) - why.total(), "not_executed": dict(why.most_common())}
