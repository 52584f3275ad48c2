"""Domains of somebody else's: a folder with a `domain.py`, or an installed package. A suite names each it lets in.

    domains:
      text2sql: {folder: ., sha256: 5f7c...}          # a folder beside the suite file
      my-package: {}                                  # what an installed package offers as a domain

Their code runs when the suite is loaded, with the rights of whoever loads it. `sha256` is over the code and whatever
lies beside it (guest_folder.py), as `make plugins` prints it; publishing asks for it, so that what was read and
consented to is what measured.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eval.common.errors import UserError
from eval.contracts import domains, plugins
from eval.contracts.guest_folder import ATTRIBUTE, MODULE, GuestFolder, domain_in, read_folder
from eval.contracts.task import Domain


@dataclass(frozen=True)
class Guest:
    """A domain that a suite lets in.

    `source`: its folder, or package and version. `sha256`: of its code. `read`: the folder as it was when its code was
    loaded, None for a package. `code`: where that code is.
    """

    name: str
    source: str
    sha256: str | None
    domain: Domain
    read: GuestFolder | None = None
    code: Path | None = None

    @property
    def package(self) -> bool:
        return self.read is None

    @property
    def task_files(self) -> Path:
        """The folder of lm-eval's task files, which need not be there."""
        return (self.code or self.domain.folder) / "tasks"

    def record(self) -> dict[str, str | None]:
        """What an evaluation writes down of it; no path of this machine, since that is published."""
        source = self.source if self.package else f"folder {self.domain.folder.name}"
        return {"group": "tasks", "name": self.name, "source": source, "sha256": self.sha256}


_guests: dict[str, Guest] = {}


def let_in(name: str, folder: Path | None, sha256: str | None) -> Guest:
    """Load a domain and let its tasks take part.

    UserError when it is not there, fails to load, or is not what `sha256` consents to: then nothing of it has run.
    """
    return _seated(_from_folder(folder, name, sha256) if folder is not None else _from_package(name, sha256))


def let_in_folder(folder: Path) -> Guest:
    """Let the tasks of the domain in a folder take part, whatever its name. UserError as for `let_in`."""
    return _seated(_from_folder(folder, None, None))


def _seated(guest: Guest) -> Guest:
    domains.use(guest.domain)
    _guests[guest.name] = guest
    return guest


def _check_consent(name: str, source: str, found: str | None, consented: str | None) -> None:
    if consented not in (None, found):
        raise UserError(
            f"domain {name}: the suite consented to the code {consented}, and {source} has {found}: read "
            "what changed, then write the new digest into the suite"
        )


def guests() -> Mapping[str, Guest]:
    """The domains of somebody else's that take part, by name."""
    return _guests


def folders_of(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The field of run.json with the folder of each guest that is one; nothing without any."""
    folders = {name: _guests[name].source for name in names if not _guests[name].package}
    return {"domains": folders} if folders else {}


@contextmanager
def visiting() -> Iterator[None]:
    """Ends the part of whoever was let in inside."""
    before = dict(_guests)
    try:
        yield
    finally:
        for name in _guests.keys() - before.keys():
            domains.forget(name)
            del _guests[name]


def _from_folder(folder: Path, name: str | None, consented: str | None) -> Guest:
    """The domain in a folder, which has to be called `name` where one is given."""
    read = read_folder(folder) if folder.is_dir() else GuestFolder(folder, {})
    if MODULE in read.files:
        _check_consent(name or folder.name, str(folder), read.sha256, consented)
    if name in _guests and _guests[name].read == read:
        return _guests[name]
    domain, code = domain_in(read, name or folder.name)
    if name is not None and domain.name != name:
        raise UserError(f"domain {name}: {folder / MODULE} has to define {ATTRIBUTE} = Domain({name!r}, ...)")
    return Guest(domain.name, str(folder), read.sha256, domain, read, code)


def _from_package(name: str, consented: str | None) -> Guest:
    plugin = plugins.origin("tasks", name, domains.OURS)
    _check_consent(name, plugin.source, plugin.sha256, consented)
    domain = plugins.find("tasks", name, domains.OURS)
    if not isinstance(domain, Domain) or domain.name != name:
        raise UserError(f"domain {name}: the entry point of {plugin.source} is not a Domain of that name")
    return Guest(name, plugin.source, plugin.sha256, domain)
