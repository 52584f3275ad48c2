"""One arm's log, by path: a file, or a folder of files of one format. The content says which format it is.

log = read_log(Path("out/base"), "A", "base")
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from eval.common.errors import UserError
from eval.logs import lm_eval_samples
from eval.logs.documents import Opened
from eval.logs.inspect_logs import InspectLogs
from eval.logs.lm_eval_samples import LmEvalSamples
from eval.logs.plain_rows import PlainRows
from eval.logs.promptfoo_results import PromptfooResults
from eval.logs.rows import Log, Part, few, refuse
from eval.run.digests import file_sha256
from eval.run.records import printable

SUFFIXES = (".eval", ".json", ".jsonl", ".csv")
MOST_FILES = 2_000  # of one arm
MOST_ENTRIES = 100_000  # of its folders
LARGEST_ARM = 1 << 30  # bytes of all its files


class Reader(Protocol):
    """A format. `name`: as reports call it."""

    name: str

    def knows(self, opened: Opened) -> bool:
        """Whether the content is of this format, from as little of it as shows that."""
        ...

    def read(self, opened: Opened) -> Part:
        """Everything it says. UserError, in one line, for what is broken."""
        ...


READERS: tuple[Reader, ...] = (LmEvalSamples(), PromptfooResults(), InspectLogs(), PlainRows())
FORMATS = ", ".join(reader.name for reader in READERS)


def read_log(path: Path, letter: str, name: str) -> Log:
    """Everything that one arm's files say. UserError when there is none, or they do not belong together."""
    files = files_of(path, letter)
    if (size := sum(file.stat().st_size for file in files)) > LARGEST_ARM:
        raise UserError(f"{letter} ({name}) has {size:,} bytes, and at most {LARGEST_ARM:,} are read: split it by task")
    log = Log(letter, name, "", {})
    holder: dict[str, str] = {}
    for file in files:
        opened = Opened(file, alone=sum(one.suffix == file.suffix for one in files) == 1)
        with named(file):
            reader = reader_of(opened)
        if log.format not in ("", reader.name):
            raise refuse(file, f"it is of {reader.name}, and others of {log.said} of {log.format}", "one arm, one kind")
        log.format = reader.name
        with named(file):
            part = reader.read(opened)
        for task in sorted(part.whole):
            if task in holder:
                said = f"task {task} is in {holder[task]} and {file.name}"
                raise UserError(f"{log.said}: {said}: keep one evaluation of each task")
            holder[task] = file.name
        log.files[_called(path, file, log.files)] = file_sha256(file)
        log.items += part.items
        log.versions |= part.versions
        log.higher |= part.higher
    refuse_twice(log)
    return log


@contextmanager
def named(file: Path) -> Iterator[None]:
    """A read that fails does not say of which file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(file)
        raise


def reader_of(opened: Opened) -> Reader:
    """The format of a file. UserError when it is none that is known."""
    if not opened.start.strip():
        raise refuse(opened.path, "it is empty", f"give a log of {FORMATS}")
    for reader in READERS:
        if reader.knows(opened):
            return reader
    raise refuse(opened.path, f"not a log of {FORMATS}", "docs/logs.md says what each looks like")


def files_of(path: Path, letter: str) -> list[Path]:
    """The files of an arm, in the order of their names; of one file of samples also the results beside it."""
    try:
        if not path.is_dir():
            if not path.exists():
                raise UserError(f"{letter}={path}: there is no such file or folder: check the path")
            return [path, *lm_eval_samples.companion(path)]
    except ValueError:
        raise UserError(f"{letter}={str(path)!a} is no path: check the name") from None
    found = sorted(_below(path))
    if not found or len(found) > MOST_FILES:
        said = f"more than {MOST_FILES}" if found else "no"
        raise UserError(f"{letter}={path}: {said} files that end in {', '.join(SUFFIXES)}: name the log itself")
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Files with the ending of a log; links to folders are not followed."""
    entries = 0
    for place, _, names in os.walk(folder):
        entries += 1 + len(names)
        if entries > MOST_ENTRIES:
            raise UserError(f"{folder} holds more than {MOST_ENTRIES:,} files: name the log itself")
        yield from (Path(place) / name for name in names if name.endswith(SUFFIXES))


def _called(path: Path, file: Path, taken: Mapping[str, str]) -> str:
    """A file's name; where another of the arm has it, with its folders."""
    return printable(file.name if file.name not in taken else file.relative_to(path).as_posix())


def refuse_twice(log: Log) -> None:
    """UserError for a log without items, or with one there twice."""
    seen: set[tuple[str, str, int]] = set()
    twice: dict[str, None] = {}
    for item in log.items:
        key = (item.task, item.id, item.repeat)
        if key in seen:
            twice[f"{item.task}/{item.id}"] = None
        seen.add(key)
    if twice:
        raise UserError(f"{log.said} holds items twice: {few(list(twice))}: keep one evaluation of each")
    if not log.items:
        raise UserError(f"{log.said} holds no items: give the per-sample log (lm-evaluation-harness: --log_samples)")


def names_of(a: Path, b: Path) -> tuple[str, str]:
    """The last parts of both paths, as many as tell them apart. UserError when they are the same place."""
    first, second = (Path(os.path.realpath(path)) for path in (a, b))  # a loop of links is said when it is opened
    if first == second:
        raise UserError(f"A and B are both {a}: A is the baseline's log, B the candidate's")
    for count in range(1, 1 + max(len(first.parts), len(second.parts))):
        one, other = (printable("/".join(path.parts[-count:])) for path in (first, second))
        if one != other:
            return one, other
    return printable(first.name), printable(second.name)
