"""Domains of somebody else's: what of their code, data and suites may be believed. Raises Refused.

    place = Place.of(Path("~/text2sql"))        the repository that the publisher names, `make publish DOMAIN=FOLDER`
    check_suite(folder, suite, place)           the suite is committed: here, or beside a domain that it lets in
    check_guests(suite, metrics, place)         each domain's code is what the suite consented to, and is committed
    guest_requests(suite)                       what its tests ask, for the search for rows of a test in training data

A suite names every domain that takes part, with the digest of its code. A folder's code and data count as that
repository has them at merged HEAD (committed.py), an installed package's by the digest of its files. Nobody but the
publisher, on the command line, says which other repository may be believed: a run folder cannot.

Not protected against: code that the publisher consented to and did not read.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eval.common.errors import Refused, UserError
from eval.common.reading import read_bytes
from eval.config.parts import wholes
from eval.config.suite_file import Suite
from eval.contracts.domains import data_of
from eval.contracts.guests import Guest, guests
from eval.run.digests import file_sha256
from eval.run.metrics import Metrics
from scripts.publishing.committed import (
    SERVED,
    SUITES,
    committed_bytes,
    committed_served,
    committed_suites,
    head,
    relative,
    repository_of,
)
from scripts.publishing.verify_data import AGAIN


@dataclass(frozen=True)
class Place:
    """A folder that the publisher names, and the git repository around it."""

    folder: Path
    root: Path

    @classmethod
    def of(cls, folder: Path) -> "Place":
        """UserError where there is no such folder, or no repository around it."""
        folder = folder.expanduser().resolve()
        if not folder.is_dir():
            raise UserError(f"--domain {folder} is not a folder: name the one that holds the domain and its suite")
        return cls(folder, repository_of(folder))

    def holds(self, path: Path) -> bool:
        """Whether merged HEAD has a file with the bytes it has on the disk."""
        content = committed_bytes(None, path, self.root)
        return content is not None and path.is_file() and read_bytes(path) == content

    def is_of(self, suite: Suite) -> bool:
        """Whether this is the folder of a domain that the suite lets in, so that its card names it."""
        return any(guests()[name].domain.folder.resolve() == self.folder for name in suite.domains)

    def suites(self) -> set[str]:
        """Digests of the committed YAML files directly in the folder."""
        return {file_sha256(path) for path in sorted(self.folder.glob("*.yaml")) if self.holds(path)}


def check_suite(folder: Path, suite: Suite, place: Place | None, served: bool = False) -> None:
    """Refused unless the run's suite is committed: in this repository, or where the publisher says, beside a domain
    that it lets in. Any other folder with a suite (of tests, of served forms) would be a way around.

    Gates, review policy and limits are the suite's: a run folder must not bring its own. Of a suite about one half
    (eval/config/parts.py) the whole one has to be committed: nothing but that line is added to it. `served`: a suite
    that asks a form for no worse than what was approved, under which variants alone are published; no sweep chooses
    among those, so that half of its items is a verdict that somebody picked.
    """
    text, ours = read_bytes(folder / "suite.yaml"), SERVED if served else SUITES
    digests = {hashlib.sha256(content).hexdigest() for content in (text, *(() if served else wholes(text)))}
    known = committed_served() if served else committed_suites()
    named = place.suites() if place is not None and place.is_of(suite) else set()
    if any(digest in known or digest in named for digest in digests):
        return
    where = f"{ours} or in {place.folder}, whose domain it names" if place else ours
    raise Refused(
        f"{folder / 'suite.yaml'} is not one of the suites committed in {where}: commit it there, or evaluate again "
        "under one that is"
    )


def check_guests(suite: Suite, metrics: Metrics, place: Place | None) -> list[str]:
    """What the card says of each domain. Refused where the code that measured is not what was consented to."""
    taking_part = [guests()[name] for name in suite.domains]
    recorded = metrics.provenance.get("domains") or []
    if recorded != [guest.record() for guest in taking_part]:
        raise Refused(f"metrics.json: other domains took part in the evaluation than are here now: {AGAIN}")
    notes = []
    for guest in taking_part:
        if suite.domains[guest.name].sha256 is None:
            raise Refused(
                f"suite {suite.name}: domain {guest.name} has no sha256: read its code, then write `sha256: "
                f"{guest.sha256}` beside its folder in the suite, commit it and evaluate again"
            )
        notes.append(
            f"Domain `{guest.name}`, whose code is not this repository's, made the scores: {_origin(guest, place)}."
        )
    return notes


def _origin(guest: Guest, place: Place | None) -> str:
    code = f"code `{str(guest.sha256)[:12]}`"
    if guest.read is None:
        return f"{guest.source}, {code}"
    if place is None or guest.domain.folder.resolve() != place.folder:
        raise Refused(
            f"domain {guest.name} is a folder outside this repository: `make publish DOMAIN={guest.source}` says that "
            "what it has committed may be believed"
        )
    for file, content in guest.read.files.items():
        if committed_bytes(None, place.folder / file, place.root) != content:
            raise Refused(
                f"{place.folder / file} is not as {place.root.name} has committed and merged it: commit it, {AGAIN}"
            )
    name = relative(place.folder, place.root) or place.root.name
    return f"folder {name}, {code}, commit {head(place.root)[:12]}"


def guest_requests(suite: Suite) -> Iterator[tuple[str, str, str]]:
    """File, id of the row, and what it asks, of every row of each guest's tasks, asked in this evaluation or not.

    UserError for data that cannot be read.
    """
    for guest in (guests()[name] for name in suite.domains):
        for task in guest.domain.tasks:
            content = _data(guest, data_of(task.name))
            try:
                rows = [] if content is None else task.rows(content)
            except ValueError as error:
                raise UserError(f"domain {guest.name}: {task.data} {error}: mend this test set") from None
            for place, row in enumerate(rows):
                yield f"{guest.domain.folder.name}/{task.data}", str(row.get("id", place)), task.request(row)


def _data(guest: Guest, path: Path | None) -> bytes | None:
    """A task's data as the guest's repository has it at HEAD, else as the disk has it; None where there is none."""
    if path is None:
        return None
    committed = None if guest.package else committed_bytes(None, path, repository_of(guest.domain.folder))
    return read_bytes(path) if committed is None and path.is_file() else committed
