"""What is plugged in: tasks, backends, trackers and gate kinds, from where, and what failed to load. One line each.

    python -m scripts.plugins [--suite SUITE]       with the domains that a suite lets in from folders

Ours, then what installed packages offer under the entry points `securecli_tuner.tasks`, `.backends`, `.trackers` and
`.gates`. Each is imported here, to see whether it can be used; an evaluation imports what its suite names and no other.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import run_command
from eval.config import gate_rules
from eval.config.suite_file import load_suite, resolve_suite
from eval.contracts import domains
from eval.contracts.guests import guests, let_in_folder
from eval.contracts.plugins import Group, Plugin, Table, listing
from eval.model import backends
from eval.run.records import Record
from scripts.tracking import trackers

# Of every group, the table of ours.
TABLES: Mapping[Group, Table] = {
    "tasks": domains.OURS,
    "backends": backends.OURS,
    "trackers": trackers.OURS,
    "gates": gate_rules.OURS,
}


def lines(rows: list[Plugin]) -> list[str]:
    """One line for each: group, name, source, digest of a package, and what is wrong with it."""
    width = max((len(row.name) for row in rows), default=0)
    found = []
    for row in rows:
        digest = f", SHA-256 {row.sha256}" if row.sha256 else ""
        failed = f"; FAILED: {row.error}" if row.error else ""
        found.append(f"{row.group.removesuffix('s'):<7}  {row.name:<{width}}  {row.source}{digest}{failed}")
    return found


def at_folder(folder: Path) -> Plugin:
    """The domain in a folder; it is imported to see whether it can be used."""
    guest = let_in_folder(folder)
    return Plugin("tasks", guest.name, guest.source, guest.sha256)


class Pluggable(Record):
    """One thing that is plugged in; `error` is empty when it can be used."""

    group: str
    name: str
    source: str
    sha256: str | None
    error: str


class Plugged(Record):
    """All of them, ours first."""

    plugins: list[Pluggable]


def answer(rows: list[Plugin]) -> Answer:
    """One line for each, or each for a program."""
    print("\n".join(lines(rows)))
    return Answer(0, Plugged(plugins=[Pluggable(**dataclasses.asdict(row)) for row in rows]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.plugins", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--suite", help="suite name or file: list the domains that it lets in, too")
    parser.add_argument(
        "--domain", metavar="FOLDER", help="the domain in this folder and the digest of its code, no more"
    )
    arguments = parser.parse_args(argv)
    suite = arguments.suite
    if arguments.domain:
        return answer([at_folder(Path(arguments.domain).expanduser().resolve())])
    rows = [row for group, table in TABLES.items() for row in listing(group, table)]
    if suite:
        load_suite(resolve_suite(suite))
        known = {(row.name, row.source) for row in rows}
        let_in = [Plugin("tasks", guest.name, guest.source, guest.sha256) for guest in guests().values()]
        rows += [row for row in let_in if (row.name, row.source) not in known]
    return answer(rows)


if __name__ == "__main__":
    run_command(main)
