"""The folder of somebody else's domain: its files are read once, digested, and run from a copy of what was read.

    read = read_folder(Path("~/text2sql"))      files by name, and their digest
    domain = domain_in(read, "text2sql")        runs domain.py from a private copy that holds these files and no others

What a domain does can depend on any file beside its code: a database, a word list, bytecode that says something else
than its source. So everything below the folder is digested, and a file that is not digested is not there for the code.
Left out is what a suite, a recipe or publishing holds by a digest of its own: rows, suites, recipes and pages at the
folder's top; and what nobody commits: hidden files and bytecode.
"""

import atexit
import importlib.util
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from eval.common.errors import UserError
from eval.common.reading import read_bytes
from eval.contracts import plugins
from eval.contracts.from_source import SourceOnly, only_source
from eval.contracts.task import Domain

MODULE, ATTRIBUTE = "domain.py", "DOMAIN"
HELD_ELSEWHERE = (".jsonl", ".yaml", ".yml", ".md")  # endings of files at the folder's top
MANIFEST = "MANIFEST.json"  # of the rows
BYTECODE = "__pycache__"
LARGEST_BYTES, MOST_FILES = 64 << 20, 2000  # code, a database, word lists: not models and their checkpoints


@dataclass(frozen=True)
class GuestFolder:
    """A folder as it was when it was read. `files`: content by path below the folder, in order."""

    path: Path
    files: Mapping[str, bytes]

    @cached_property
    def sha256(self) -> str:
        """Over the files, by path and content."""
        return plugins.contents_sha256(self.files.items())


def read_folder(path: Path) -> GuestFolder:
    """Every file that code in the folder can read. UserError for more than belongs beside code."""
    files: dict[str, bytes] = {}
    size = 0
    for file in _files(path):
        size += file.stat().st_size
        if size > LARGEST_BYTES or len(files) >= MOST_FILES:
            raise UserError(
                f"{path} holds more than {LARGEST_BYTES >> 20} MB or {MOST_FILES} files beside its rows: all of them "
                "are digested as part of the domain; keep models, runs and other data elsewhere"
            )
        files[file.relative_to(path).as_posix()] = read_bytes(file)
    return GuestFolder(path, files)


def _files(path: Path) -> Iterator[Path]:
    for entry in sorted(path.iterdir()):
        if entry.name != MANIFEST and (entry.is_dir() or entry.suffix not in HELD_ELSEWHERE):
            yield from _below(entry)


def _below(entry: Path) -> Iterator[Path]:
    if entry.name.startswith(".") or entry.name == BYTECODE or entry.suffix == ".pyc":
        return
    if not entry.is_dir():
        yield entry
    elif not entry.is_symlink():  # git has a link to a folder as a link; what it points to is not below
        for inside in sorted(entry.iterdir()):
            yield from _below(inside)


def domain_in(read: GuestFolder, name: str) -> tuple[Domain, Path]:
    """The domain that the folder's domain.py defines, and the copy that its code runs from.

    Its rows are those of the folder itself. UserError where there is no domain.py, it fails, or defines none.
    """
    path = read.path / MODULE
    if MODULE not in read.files:
        raise UserError(f"domain {name}: {path} is not there: `folder` names the folder that holds {MODULE}")
    copy = _copy(read)
    module_name = "securecli_domain_" + re.sub(r"\W", "_", name)
    only_source({module_name})  # which leaves no bytecode in the copy either
    loader, below = SourceOnly(module_name, str(copy / MODULE)), [str(copy)]
    spec = importlib.util.spec_from_file_location(module_name, loader=loader, submodule_search_locations=below)
    assert spec is not None  # it has a loader
    for imported in [known for known in sys.modules if known.partition(".")[0] == module_name]:
        del sys.modules[imported]  # of an earlier reading
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        loader.exec_module(module)
        domain = getattr(module, ATTRIBUTE)
    except Exception as error:
        raise UserError(f"domain {name}: {path} fails to load: {plugins.line_of(error)}{_hint(read, error)}") from error
    if not isinstance(domain, Domain):
        raise UserError(f"domain {name}: {path} has to define {ATTRIBUTE} = Domain({name!r}, ...)")
    return replace(domain, folder=read.path), copy


def _hint(read: GuestFolder, error: Exception) -> str:
    """What helps where the code asks for a file that is in the folder and not in the copy."""
    missing = Path(str(error.filename)).name if isinstance(error, FileNotFoundError) else ""
    if not missing or not (read.path / missing).is_file():
        return ""
    return f"; {missing} is taken for rows, which the code is not digested with: put it into a folder below"


def _copy(read: GuestFolder) -> Path:
    """A private folder with the files as they were read, for as long as this process runs."""
    copy = Path(tempfile.mkdtemp(prefix="domain-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for name, content in read.files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    return copy
