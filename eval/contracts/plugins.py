"""Finds what is plugged in: ours by name, and what installed packages offer under an entry point.

    find("backends", "hf", OURS)        the object; UserError in one line when there is none, or it cannot be imported
    origin("backends", "hf", OURS)      from where, without importing it; UserError when there is none, or two
    listing("backends", OURS)           everything there is, from where, and what failed to load

Ours are named in the table that each caller holds (`name -> module:attribute`) and cannot be replaced: a package that
offers the same name is listed with that as its error. Listing imports what it lists; finding imports what is asked for
and nothing else, so that an installed package has no say in a run that does not name it.

    [project.entry-points."securecli_tuner.backends"]
    mine = "my_package.backend:load"
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from eval.common.errors import UserError
from eval.common.reading import read_bytes
from eval.contracts.from_source import from_source

Group = Literal["tasks", "backends", "trackers", "gates"]
PREFIX = "securecli_tuner"
OURS = "this repository"
Table = Mapping[str, str]  # name -> module:attribute


@dataclass(frozen=True)
class Plugin:
    """One thing that is plugged in.

    `source`: ours, or a package with its version. `sha256`: of the package's files, None for ours, which git knows.
    `error`: why it cannot be used, in one line; empty when it can.
    """

    group: Group
    name: str
    source: str
    sha256: str | None = None
    error: str = ""

    def record(self) -> dict[str, str | None]:
        """What an evaluation writes down of it."""
        return {"group": self.group, "name": self.name, "source": self.source, "sha256": self.sha256}


def find(group: Group, name: str, ours: Table) -> Any:
    """The object of this name: ours, else an installed package's. UserError when there is none or it fails to load."""
    if name in ours:
        return _load(ours[name])
    entry = _offered(group, name, ours)
    from_source(entry.dist)
    try:
        return entry.load()
    except Exception as error:  # a package of somebody else's may fail in any way
        said = f"{group.removesuffix('s')} {name} of {source_of(entry)} cannot be loaded: {line_of(error)}"
        raise UserError(f"{said}: install what it needs, or name another") from error


def origin(group: Group, name: str, ours: Table) -> Plugin:
    """Where the object of this name comes from; nothing is imported. UserError when there is none, or two."""
    if name in ours:
        return Plugin(group, name, OURS)
    entry = _offered(group, name, ours)
    return Plugin(group, name, source_of(entry), package_sha256(entry.dist))


def _offered(group: Group, name: str, ours: Table) -> EntryPoint:
    offered = [entry for entry in _entries(group) if entry.name == name]
    if not offered:
        known = ", ".join(names(group, ours))
        raise UserError(f"no {group.removesuffix('s')} {name}: there are {known}; `make plugins` says from where")
    if len(offered) > 1:
        packages = " and ".join(sorted(source_of(entry) for entry in offered))
        raise UserError(f"{group.removesuffix('s')} {name} is offered by {packages}: uninstall all but one")
    return offered[0]


def listing(group: Group, ours: Table) -> list[Plugin]:
    """Ours, then what packages offer, each loaded once to see whether it can be."""
    found = []
    for name, place in sorted(ours.items()):
        found.append(Plugin(group, name, OURS, error=_error(lambda place=place: _load(place))))
    entries = sorted(_entries(group), key=lambda entry: (entry.name, source_of(entry)))
    for entry in entries:
        others = [source_of(other) for other in entries if other.name == entry.name and other is not entry]
        if entry.name in ours:
            error = f"{entry.name} is a name of {OURS}, which counts"
        elif others:
            error = f"{entry.name} is offered by {' and '.join(others)}, too: uninstall all but one"
        else:
            from_source(entry.dist)
            error = _error(entry.load)
        found.append(Plugin(group, entry.name, source_of(entry), package_sha256(entry.dist), error))
    return found


def source_of(entry: EntryPoint) -> str:
    """The package and version that offers an entry point."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"


def package_sha256(package: Distribution | None) -> str | None:
    """Digest over the files of an installed package, by path and content; None when it does not list them.

    Bytecode is left out, since every machine writes its own, and is not run either (`from_source`).
    Of a package that is installed for editing that is a pointer to its folder, not the code.
    """
    files = sorted(str(file) for file in (package.files or ()) if not str(file).endswith(".pyc")) if package else []
    if package is None or not files:
        return None
    paths = ((name, Path(str(package.locate_file(name)))) for name in files)
    return contents_sha256((name, read_bytes(path) if path.is_file() else b"") for name, path in paths)


def contents_sha256(files: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over files, each by its name and content, in the order given."""
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


def names(group: Group, ours: Table) -> list[str]:
    """The names of everything there is, in order; nothing is imported."""
    return sorted({*ours, *(entry.name for entry in _entries(group))})


def _entries(group: Group) -> list[EntryPoint]:
    return list(entry_points(group=f"{PREFIX}.{group}"))


def _load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def _error(load: Any) -> str:
    try:
        load()
    except Exception as error:
        return line_of(error)
    return ""


def line_of(error: Exception) -> str:
    """Kind and first line of an exception."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
