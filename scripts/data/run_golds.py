"""The stage `golds`: does the right command of a row do anything, run in a file tree that is made for it?

    with open_sandbox() as sandbox:
        problems = ran(rows, sandbox, strict=False)      one (reason, detail) a row; ("", "not run: ...") where kept

The tree is that of our own golds (eval/tasks/nl2bash/fixture): the paths that the command names, filled. A command
fails when it ends badly with a complaint about how it is written: an option that does not exist, a missing operand.
It does nothing when it prints and changes nothing, in both trees. That is a fault of rows whose trees are made for
them; of other people's rows (`find -perm 777`, `grep keyword`) it is mostly the tree's: only `strict` leaves them out.
Everything runs in the sandbox and nowhere else.

Not said of a row: that its command is right. What needs a network, another user, a process, a variable, a tool that
the sandbox lacks, or a path that the tree came without is not run, and kept; so is what only changes its own shell.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from eval.common.errors import is_machines
from eval.sandbox import Execution, Fixture, Limits, Sandbox
from eval.tasks.nl2bash.fixture import VARIANTS, fixture_for, unsupported_reason
from scripts.data.sources import Example
from scripts.data.stages import FINE, Problem

BATCH = 40  # rows whose trees are built before they run
PATIENT = Limits(wall_seconds=20)
MISSING_TOOL = 127, 126
DEVICES = re.compile(r"/(?:proc|sys)(?:/|\b)|/dev(?!/(?:null|zero|stdin|stdout|stderr|u?random)\b)(?:/|\b)")
VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w{0,60})")
SET = frozenset({"HOME", "PATH", "PWD", "USER", "SHELL", "IFS", "RANDOM", "HOSTNAME", "0"})
OF_THE_SHELL = re.compile(
    r"(?:cd|set|unset|alias|unalias|export|shopt|history|umask|[A-Za-z_]\w{0,60}=\S*$|\w{1,60}=[$`])"
)
NOTHING = "its command does nothing in a tree made for it"
FAILS = "its command fails in a tree made for it"
FILLED_IN = re.compile(r"\bxargs\b|\$\(|`")  # operands that another command finds: none, in a tree without such files
LACKS_OPERAND = b"missing operand"
NOT_THE_ROWS_FAULT = re.compile(
    rb"No such file|cannot access|Permission denied|not permitted|Network|resolve|[Cc]onnection|does not exist"
    rb"|not found|Is a directory|Not a directory|No such process|Read-only|invalid user|invalid group|unknown user"
    rb"|File exists"
)
ITS_OWN = re.compile(
    rb"(invalid option|unrecognized option|unknown option|unknown predicate|missing operand|missing argument"
    rb"|syntax error|unexpected\b|[Uu]sage:|requires an argument|paths must precede|unterminated|extra operand"
    rb"|invalid (?:argument|number|mode|character|date|predicate)|unmatched|not a valid|must specify)"
)


def ran(rows: Sequence[Example], sandbox: Sandbox, strict: bool) -> Iterator[Problem]:
    """What running each row's command shows, batch by batch, in their order."""
    for start in range(0, len(rows), BATCH):
        for reason, detail in of_batch(rows[start : start + BATCH], sandbox):
            yield ("", reason) if reason == NOTHING and not strict else (reason, detail)


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
        done = sandbox.run_many(tasks, PATIENT)
        errors = [one for one in done if not isinstance(one, Execution)]
        if errors and len(errors) == len(done):  # one tree that cannot be set up is its row's; all are the sandbox's
            raise errors[0]
        for place, one in zip(places, done, strict=True):
            found[place] = (
                problem_of(rows[place].gold, one)
                if isinstance(one, Execution)
                else ("", "not run: no tree can be made")
            )
    return [found[place] for place in range(len(rows))]


def assigned(name: str, command: str) -> bool:
    """Whether a command gives a variable its value itself."""
    return bool(re.search(rf"(?:\b{name}=|\b(?:for|read|select)\b[^;|]{{0,80}}\b{name}\b)", command))


def tree_for(row: Example, sandbox: Sandbox, variant: int) -> Fixture | str:
    """The tree of a row, or why there is none."""
    if not row.commands:
        return "no command"
    if DEVICES.search(row.gold):
        return "needs the machine's own devices"
    if any(name not in SET and not assigned(name, row.gold) for name in VARIABLE.findall(row.gold)):
        return "needs a variable"
    if OF_THE_SHELL.match(row.gold):
        return "changes its shell alone"
    as_ours: dict[str, Any] = {"id": row.id, "messages": [{"role": "assistant", "content": row.gold}]}
    try:
        return unsupported_reason(as_ours) or fixture_for(as_ours, sandbox, variant)
    except Exception as error:  # of code that reads the golds of this repository, and was not written for everybody's
        if is_machines(error):
            raise
        return "no tree can be made"


def problem_of(command: str, execution: Execution) -> Problem:
    """What one run says of its row."""
    if execution.limits_hit:
        return FINE[0], f"not run: over a limit ({execution.limits_hit[0]})"
    if execution.exit in MISSING_TOOL:
        return FINE[0], "not run: a tool is missing"
    said = ITS_OWN.search(execution.stderr)
    emptied = said is not None and said[1] == LACKS_OPERAND and FILLED_IN.search(command) is not None
    if said and execution.exit and not emptied:
        return FAILS, said[1].decode()
    if execution.stdout.strip() or execution.changes:
        return FINE
    if emptied or NOT_THE_ROWS_FAULT.search(execution.stderr):
        return FINE[0], "not run: the tree lacks something"
    return NOTHING, f"exit {execution.exit}"
