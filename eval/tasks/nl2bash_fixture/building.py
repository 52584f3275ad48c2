"""One file tree for each authored sample: the paths its gold names, filled so that a wrong command shows.

The tree follows from the row's gold and id alone. Relative paths lie in the working directory /home/user/project;
`~` is /home/user; absolute paths are made where they are, writable by the command.
"""

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.provenance import text_sha256
from eval.sandbox.pool import Sandbox
from eval.sandbox.stored import HOME, Fixture, derive, store, with_base
from eval.sandbox.trees import NOW
from eval.tasks.nl2bash_fixture.contents import edited, make_content
from eval.tasks.nl2bash_fixture.folders import NEWER_AGE, Item, Plan, fill_folder, twin_of
from eval.tasks.nl2bash_fixture.operands import read_gold
from eval.tasks.nl2bash_fixture.reading import Operand, Reading
from eval.tasks.nl2bash_fixture.repository import CWD, base_repository, name_parts, needs_clean
from eval.tasks.nl2bash_fixture.surroundings import surround
from eval.tasks.nl2bash_fixture.unobservable import changes_asked, why_unobservable

DAY = 86400
VARIANTS = 2
MODES = (0o644, 0o640, 0o600, 0o664)
# What the sandbox root's user may not read: a walk over the folders above would end with an error. Readable instead.
READABLE = {
    "etc/ssl/private": Item(mode=0o755, age=300),
    "var/spool/cron/crontabs": Item(mode=0o755, age=300),
    **{f"var/lib/dpkg/{name}": Item(b"", age=300) for name in ("lock", "lock-frontend", "triggers/Lock")},
    "var/log/btmp": Item(b"", age=300),
}


def gold_of(row: Mapping[str, Any]) -> str:
    """The gold command of a row of data/nl2bash."""
    return str(row["messages"][-1]["content"])


def unsupported_reason(row: Mapping[str, Any]) -> str | None:
    """Why this row cannot be judged by running it; None when it can."""
    return why_unobservable(row["id"], read_gold(gold_of(row)))


def changes_asked_of(row: Mapping[str, Any]) -> str | None:
    """A command that changes the files that the row's gold is to change; None when none can be run here."""
    return changes_asked(row["id"], read_gold(gold_of(row)))


def fixture_for(row: Mapping[str, Any], sandbox: Sandbox, variant: int = 0) -> Fixture:
    """The file tree of one row. Each `variant` has other contents; odd ones also show what one tree alone cannot.

    Two trees of a row, 0 and 1, are a fairer second look than edits that know nothing of it: sorted files stay sorted,
    repositories stay whole.

    `sandbox` is used only to build the repository behind the git rows, once. Rows with an `unsupported_reason` get a
    tree as well; it may lack what they need.
    """
    reading = read_gold(gold_of(row))
    seed = f"{row['id']}\0{variant}"
    plan = plan_for(reading, seed, variant)
    around, variables = surround(reading, chooser(seed, "around"), variant)
    plan |= around
    name = f"nl2bash-{row['id']}-{variant}"
    if "git" not in reading.utilities:
        return store(name, CWD, with_base(lambda top: write_plan(plan, top), CWD), HOME, variables)

    def edit(top: Path) -> None:
        name_parts(top, reading, chooser(seed, "git"))
        write_plan(plan, top)

    return derive(base_repository(sandbox, not needs_clean(reading), variant), name, edit)


def chooser(seed: str, name: str) -> random.Random:
    """Random choices that depend on the row and on what is made, not on what was made before."""
    return random.Random(text_sha256(f"{seed}\0{name}"))


def place_of(path: str) -> str:
    """A path of a gold as a path below the tree's top."""
    path = HOME + path[1:] if path == "~" or path.startswith("~/") else path
    return os.path.normpath(os.path.join(CWD, path))[1:]  # noqa: PTH118


def plan_for(reading: Reading, seed: str, variant: int) -> Plan:
    """Every path of the tree but the repository's and the system's."""
    plan: Plan = {}
    if "git" not in reading.utilities:
        plan |= {f"{CWD[1:]}/{name}": item for name, item in unrelated(chooser(seed, "unrelated")).items()}
    absent = {place_of(operand.path) for operand in reading.operands if operand.kind == "absent"}
    for operand in sorted(reading.operands, key=lambda operand: operand.kind not in ("folder", "target", "kept")):
        made = make_operand(operand, reading, seed, variant, plan)
        where = place_of(operand.path)
        for path, item in made.items():
            plan[f"{where}/{path}".rstrip("/")] = item
    for path, item in READABLE.items():
        if any(path.startswith(f"{place_of(o.path)}/") for o in reading.operands if o.kind == "folder"):
            plan[path] = item
    gone = [path for path in plan if path in absent or any(path.startswith(f"{name}/") for name in absent)]
    for path in gone:
        del plan[path]
    return plan


def unrelated(rng: random.Random) -> Plan:
    """A few files that no gold names, so that a command on the wrong path shows something."""
    empty = Reading("")
    return {
        "overview.rst": Item(make_content("text", empty, rng), age=33),
        "misc/extra.dat": Item(make_content("table", empty, rng), age=61),
        "misc/more/spare.bin": Item(bytes(range(200)), mode=0o600, age=150),
    }


def make_operand(operand: Operand, reading: Reading, seed: str, variant: int, plan: Plan) -> Plan:
    """What is at one path of the gold: "" is the path itself, others lie below it."""
    rng = chooser(seed, operand.path)
    kind = operand.kind
    if kind == "folder":
        age = rng.choice((5.3, 11.9, 22.4))
        if operand.twin:
            root = place_of(operand.twin) + "/"
            first = {path.removeprefix(root): item for path, item in plan.items() if path.startswith(root)}
            return twin_of(first, rng) | {"": Item(mode=0o755, age=age)}
        mode = 0o750 if 0o755 in reading.new_modes else 0o755
        return fill_folder(reading, rng) | {"": Item(mode=mode, age=age)}
    if kind in ("target", "kept"):
        inside: Plan = {"": Item(mode=0o755, age=8), "already-here.txt": Item(b"I was here before\n", age=8)}
        if kind == "kept" and variant % 2:  # what must not be overwritten
            moved = next(other.path for other in reading.operands if other.kind not in ("kept", "absent"))
            inside[moved.rsplit("/", 1)[-1]] = Item(b"an older copy\n", age=70)
        return inside
    if kind in ("absent", "accounts") or (kind == "fresh" and not variant % 2):
        return {}
    if operand.twin and kind == "edited":
        content = edited(plan[place_of(operand.twin)].content or b"", rng)
    else:
        content = make_content("text" if kind == "fresh" else kind, reading, rng)
    modes = [mode for mode in MODES if mode not in reading.new_modes and (kind != "reference" or mode != 0o644)]
    age = NEWER_AGE if kind == "reference" else 1.2 + rng.randrange(90)
    mode = 0o644 if "+x" in reading.gold or "g+w" in reading.gold else rng.choice(modes)
    return {"": Item(content, mode=mode, age=age)}


def write_plan(plan: Plan, top: Path) -> None:
    """Create every path of a plan below `top`; what is there already is replaced."""
    made: list[tuple[str, Item]] = []
    for path, item in sorted(plan.items()):
        where = f"{top}/{path}"
        os.makedirs(os.path.dirname(where), exist_ok=True)  # noqa: PTH103, PTH120
        if item.target is not None:
            os.symlink(item.target, where)  # noqa: PTH211
        elif item.content is None:
            os.makedirs(where, exist_ok=True)  # noqa: PTH103
        else:
            with open(where, "wb") as stream:  # noqa: PTH123
                stream.write(item.content)
        made.append((where, item))
    for where, item in reversed(made):  # the times of folders last: filling a folder changes them
        if item.target is None:
            os.chmod(where, item.mode)  # noqa: PTH101
        seconds = NOW - item.age * DAY
        os.utime(where, (seconds, seconds), follow_symlinks=False)
