"""Packages of somebody else's run from the source that was digested, never from bytecode that lies beside it.

    from_source(entry.dist)         from now on, for every module of that package that is not imported yet
    only_source({"name"})           the same for modules of these names and below

Python prefers the bytecode in `__pycache__` to the source where its header claims to belong to it, and a wheel may
bring any bytecode. No digest holds it: its bytes differ from machine to machine.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader, SourcelessFileLoader
from importlib.metadata import Distribution
from types import CodeType, ModuleType


class SourceOnly(SourceFileLoader):
    """Compiles the source every time."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class Finder(MetaPathFinder):
    """Finds modules of packages that were named, as Python does, and has them run from source."""

    def __init__(self) -> None:
        self.packages: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self.packages:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourcelessFileLoader):
            raise ImportError(f"{spec.origin} is bytecode without a source, which nobody can read")
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader, spec.cached = SourceOnly(fullname, spec.loader.path), None
        return spec


_finder = Finder()


def from_source(package: Distribution | None) -> None:
    """Run the modules of a package from source from now on; those imported already stay as they are."""
    if package is None:
        return
    files = [file for file in package.files or () if file.parts and ".." not in file.parts]
    tops = {file.parts[0].partition(".")[0] for file in files if file.suffix in (".py", ".pyc", ".so")}
    only_source(tops)


def only_source(tops: set[str]) -> None:
    """Run modules of these names, and what is below them, from source from now on."""
    _finder.packages |= tops
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
