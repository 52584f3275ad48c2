"""Domains of somebody else's: a folder with a `domain.py`, or an installed package. A suite names each it lets in.

    domains:
      text2sql: {folder: ., sha256: 5f7c...}          # a folder beside the suite file
      my-package: {}                                  # what an installed package offers as a domain

Their code runs when the suite is loaded, with the rights of whoever loads it. `sha256` is over the code, as `make
plugins` prints it; publishing asks for it, so that what was read and consented to is what measured.
"""

import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from eval.common.errors import UserError
from eval.common.reading import read_bytes
from eval.contracts import domains, plugins
from eval.contracts.task import Domain

MODULE, ATTRIBUTE = "domain.py", "DOMAIN"


@dataclass(frozen=True)
class Guest:
    """A domain that a suite lets in. `source`: its folder, or package and version. `sha256`: of its code."""

    name: str
    source: str
    sha256: str | None
    domain: Domain
    package: bool

    def record(self) -> dict[str, str | None]:
        """What an evaluation writes down of it; no path of this machine, since that is published."""
        source = self.source if self.package else f"folder {self.domain.folder.name}"
        return {"group": "tasks", "name": self.name, "source": source, "sha256": self.sha256}


_guests: dict[str, Guest] = {}


def let_in(name: str, folder: Path | None, sha256: str | None) -> Guest:
    """Load a domain and let its tasks take part. UserError when it is not there, fails to load or has other code."""
    return _seated(_from_folder(folder, name) if folder is not None else _from_package(name), sha256)


def let_in_folder(folder: Path) -> Guest:
    """Let the tasks of the domain in a folder take part, whatever its name. UserError as for `let_in`."""
    return _seated(_from_folder(folder), None)


def _seated(guest: Guest, sha256: str | None) -> Guest:
    name = guest.name
    if sha256 is not None and sha256 != guest.sha256:
        raise UserError(
            f"domain {name}: the suite consented to the code {sha256}, and {guest.source} has {guest.sha256}: read "
            "what changed, then write the new digest into the suite"
        )
    domains.use(guest.domain)
    _guests[name] = guest
    return guest


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


def code_sha256(folder: Path) -> str:
    """SHA-256 over the Python and task files below a folder, by path and content."""
    return plugins.contents_sha256(
        (path.relative_to(folder).as_posix(), read_bytes(path)) for path in code_files(folder)
    )


def code_files(folder: Path) -> list[Path]:
    """The files that `code_sha256` is over."""
    return sorted(path for kind in ("*.py", "*.yaml") for path in folder.rglob(kind) if _is_code(path, folder))


def _is_code(path: Path, folder: Path) -> bool:
    """Python, and lm-eval's task files in `tasks/`; a suite or a recipe beside them is none."""
    inside = path.relative_to(folder)
    return path.suffix == ".py" or inside.parts[0] == "tasks"


def _from_folder(folder: Path, name: str | None = None) -> Guest:
    """The domain in a folder, which has to be called `name` where one is given."""
    path = folder / MODULE
    before = code_sha256(folder) if path.is_file() else ""
    if name in _guests and _guests[name].sha256 == before and _guests[name].domain.folder == folder:
        return _guests[name]
    domain = _domain_in(folder, name or folder.name)
    if name is not None and domain.name != name:
        raise UserError(f"domain {name}: {path} has to define {ATTRIBUTE} = Domain({name!r}, ...)")
    return Guest(domain.name, str(folder), before, replace(domain, folder=folder), package=False)


def _domain_in(folder: Path, name: str) -> Domain:
    path = folder / MODULE
    if not path.is_file():
        raise UserError(f"domain {name}: {path} is not there: `folder` names the folder that holds {MODULE}")
    module_name = "securecli_domain_" + re.sub(r"\W", "_", name)
    spec = importlib.util.spec_from_file_location(module_name, path, submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None:
        raise UserError(f"domain {name}: {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
        domain = getattr(module, ATTRIBUTE)
    except Exception as error:
        raise UserError(f"domain {name}: {path} fails to load: {plugins.line_of(error)}") from error
    if not isinstance(domain, Domain):
        raise UserError(f"domain {name}: {path} has to define {ATTRIBUTE} = Domain({name!r}, ...)")
    return domain


def _from_package(name: str) -> Guest:
    domain, plugin = plugins.find("tasks", name, domains.OURS), plugins.origin("tasks", name, domains.OURS)
    if not isinstance(domain, Domain) or domain.name != name:
        raise UserError(f"domain {name}: the entry point of {plugin.source} is not a Domain of that name")
    return Guest(name, plugin.source, plugin.sha256, domain, package=True)
