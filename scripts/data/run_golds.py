"""The stage `golds`: does the right command of a row do anything, run in a file tree that is made for it?

    with open_sandbox() as sandbox:
        problems = ran(rows, sandbox)       one (reason, detail) a row; ("", "not run: ...") where nothing could be said

The tree is that of our own golds (eval/tasks/nl2bash/fixture): the paths that the command names, filled. A command
fails when it ends above 1 with a complaint of its own; it does nothing when it ends well, prints nothing and changes
nothing, in both trees. Everything runs in the sandbox and nowhere else.

Not said of a row: that its command is right. What needs a network, another user, a process, a tool that the sandbox
lacks, or a path that the tree came without is not run, and kept.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from eval.sandbox import Execution, Fixture, Limits, Sandbox
from eval.tasks.nl2bash.fixture import VARIANTS, fixture_for, unsupported_reason
from scripts.data.sources import Example
from scripts.data.stages import FINE, Problem

BATCH = 40  # rows whose trees are built before they run
PATIENT = Limits(wall_seconds=20)
MISSING_TOOL = 127, 126
NOTHING = "its command does nothing in a tree made for it"
FAILS = "its command fails in a tree made for it"
NOT_THE_ROWS_FAULT = re.compile(
    rb"No such file|cannot access|Permission denied|not permitted|Network|resolve|Connection|does not exist|not found"
    rb"|Is a directory|Not a directory|No such process|Read-only|invalid user|invalid group|unknown user|File exists"
)
ITS_OWN = re.compile(
    rb"(invalid option|unrecognized option|unknown option|unknown predicate|missing operand|missing argument"
    rb"|syntax error|unexpected|[Uu]sage:|requires an argument|paths must precede|unterminated|extra operand"
    rb"|invalid (?:argument|number|mode|character|date|predicate)|unmatched|not a valid|must specify)"
)


def ran(rows: Sequence[Example], sandbox: Sandbox) -> Iterator[Problem]:
    """What running each row's command shows, batch by batch, in their order."""
    for start in range(0, len(rows), BATCH):
        yield from of_batch(rows[start : start + BATCH], sandbox)


def of_batch(rows: Sequence[Example], sandbox: Sandbox) -> list[Problem]:
    """The second tree is made only for commands that did nothing in the first."""
    found: dict[int, Problem] = {}
    for variant in range(VARIANTS):
        tasks: list[tuple[str, Fixture]] = []
        places: list[int] = []
        for place, row in enumerate(rows):
            if place in found and (variant == 0 or found[place][0] != NOTHING):
                continue
            tree = tree_for(row, sandbox, variant)
            if isinstance(tree, str):
                found.setdefault(place, ("", f"not run: {tree}"))
            else:
                tasks.append((row.gold, tree))
                places.append(place)
        for place, execution in zip(places, sandbox.run_many(tasks, PATIENT), strict=True):
            if not isinstance(execution, Execution):
                raise execution
            found[place] = problem_of(execution)
    return [found[place] for place in range(len(rows))]


def tree_for(row: Example, sandbox: Sandbox, variant: int) -> Fixture | str:
    """The tree of a row, or why there is none."""
    if not row.commands:
        return "no command"
    as_ours: dict[str, Any] = {"id": row.id, "messages": [{"role": "assistant", "content": row.gold}]}
    try:
        return unsupported_reason(as_ours) or fixture_for(as_ours, sandbox, variant)
    except Exception:  # of code that reads the golds of this repository, and was not written for everybody's
        return "no tree can be made"


def problem_of(execution: Execution) -> Problem:
    """What one run says of its row."""
    if execution.limits_hit:
        return FINE[0], f"not run: over a limit ({execution.limits_hit[0]})"
    if execution.exit in MISSING_TOOL:
        return FINE[0], "not run: a tool is missing"
    said = ITS_OWN.search(execution.stderr)
    if said and execution.exit:
        return FAILS, said[1].decode()
    if NOT_THE_ROWS_FAULT.search(execution.stderr):
        return FINE[0], "not run: the tree lacks something"
    if execution.stdout.strip() or execution.changes:
        return FINE
    if execution.exit in (0, 1):
        return NOTHING, f"exit {execution.exit}"
    return FAILS, f"exit {execution.exit}"
