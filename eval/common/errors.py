"""What can go wrong, and the exit code each kind ends with.

    ProjectError
    ├── UserError      2  bad input or a machine that is not fit: one line, no traceback
    └── Refused        1  the input is fine and the answer is no (no-ship, digest differs, not approved)

    OSError, MemoryError, anything else: 2, one line. Exit 1 is an answer, so that no accident may end with it.

A message is one line that says what is wrong, where, and what to do. An exception that nobody foresaw keeps its
traceback in a log file (eval/common/error_log.py), which the line names. Commands wrap their main function once, with
`run_command`; what fails before that, while modules are imported, meets `guard_imports`.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, TextIO

from eval.common.answer import Answer, Document, open_document
from eval.common.wrong_use import told_by

SHIP, NO_SHIP, CANNOT_EVALUATE, INCONCLUSIVE = 0, 1, 2, 3
INTERRUPTED, BROKEN_PIPE = 130, 141  # as a shell reports SIGINT and SIGPIPE
LONGEST_MESSAGE = 400  # characters of an unforeseen exception's own message on the terminal
NO_HOME = "Could not determine home directory."  # Path.expanduser, of ~nobody/x
ADVICE = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some space, then run the same command again",
    errno.EROFS: "the file system is read-only; use a folder that can be written",
    errno.EACCES: "change its permissions, or run as the user it belongs to",
    errno.EPERM: "change its permissions, or run as the user it belongs to",
    errno.EFBIG: "the file would exceed the size limit of this process; raise it with ulimit -f",
    errno.EMFILE: "too many files are open; raise the limit with ulimit -n",
    errno.ELOOP: "replace the link by what it should name",
}
# What comes of the machine, whichever path or row it meets.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
                  errno.EIO}  # fmt: skip


class ProjectError(Exception):
    """A failure that is explained to the user in one line."""

    exit_code = CANNOT_EVALUATE


class UserError(ProjectError):
    """Bad input, a missing file or a machine that cannot do what was asked."""


class MachineError(UserError):
    """A machine that cannot do what was asked, whatever it is asked with."""


class Refused(ProjectError):
    """Everything was readable, and the answer is no."""

    exit_code = NO_SHIP


def run_command(main: Callable[[], int | None], command: str | None = None) -> NoReturn:
    """Run `main` and end the process: its return value is the exit code, errors become one line.

    Under `--json` the answer is one JSON document (eval/common/answer.py); `command` is what it calls itself, by
    default the module's name.
    """
    for name in ("stdout", "stderr"):
        _print_anywhere(name)
    threading.excepthook = _thread_failed
    document = open_document(command)
    try:
        with told_by(_wrong_use):
            ended = main()
        answer = ended if isinstance(ended, Answer) else Answer(ended or 0)
        sys.stdout.flush()  # a full disk or a closed pipe shows here, not after the exit code was chosen
    except SystemExit as ended_early:
        if isinstance(ended_early.__context__, BrokenPipeError):  # so ends rich, where the reader has enough
            answer = Answer(BROKEN_PIPE)
        elif document is None:
            raise
        else:  # --help
            answer = Answer(ended_early.code if isinstance(ended_early.code, int) else CANNOT_EVALUATE)
    except BaseException as error:  # not Exception: libraries written in Rust panic with a BaseException
        answer = report(error)
    _end(answer, document)


def _wrong_use(said: str) -> NoReturn:
    raise UserError(said)


def _end(answer: Answer, document: Document | None) -> NoReturn:
    """Write what is left to write, the document last, and end with the answer's code."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # what was printed before cannot go out either: the exit code stays
        _discard(sys.stdout)
    if document is not None:
        try:
            document.write(answer)
        except BrokenPipeError:
            answer = Answer(BROKEN_PIPE)
        except OSError as error:  # a full disk takes the answer back
            answer = report(error)
        except (TypeError, ValueError) as error:
            _end(report(error), document)
    sys.exit(int(answer))


def report(error: BaseException) -> Answer:
    """Print one line about a failure on stderr; returns the exit code it ends with."""
    if isinstance(error, BrokenPipeError) and _nobody_reads(sys.stdout):  # `head` has seen enough
        _discard(sys.stdout)
        return Answer(BROKEN_PIPE)
    if isinstance(error, OSError) and error.filename is None and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EIO):
        _discard(sys.stdout)  # what is buffered cannot be written, and would fail again at the exit
    if isinstance(error, KeyboardInterrupt):
        prefix, line, code = "", "interrupted: run the same command again to continue", INTERRUPTED
    else:
        prefix, line = "error: ", explain(error)
        code = error.exit_code if isinstance(error, ProjectError) else CANNOT_EVALUATE
    line = " ".join(line.split())
    try:
        print(prefix + line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # stderr is closed or full: the exit code alone has to say it
        _discard(sys.stderr)
    return Answer(code, error=line)


def is_machines(error: Exception) -> bool:
    """Whether code that failed on a row did so for a reason that is not the row's: this machine's disk, memory or
    sandbox. Counted against rows, a full disk would leave them out."""
    return isinstance(error, MachineError | MemoryError) or (
        isinstance(error, OSError) and error.errno in OF_THE_MACHINE
    )


def explain(error: BaseException) -> str:
    """What is wrong, where, and what to do. An exception that nobody foresaw is written to a log, which is named."""
    if isinstance(error, ProjectError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        advice = ADVICE.get(error.errno or 0, "check the path")
        return f"{named}: {error.strerror}: {advice}"
    if isinstance(error, RuntimeError) and str(error) == NO_HOME:
        return "a path begins with ~ and a name that no user of this machine has: write the path out, from / on"
    from eval.common.error_log import message, origin, write_log

    log = write_log(error)
    if isinstance(error, MemoryError):
        return f"out of memory at {origin(error)}: give it a smaller input or more memory; traceback in {log}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{error.strerror} at {origin(error)}: {ADVICE[error.errno]}; traceback in {log}"
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed: run `make setup`; traceback in {log}"
    said = message(error)[:LONGEST_MESSAGE]
    return f"unforeseen {type(error).__name__} at {origin(error)}: {said or 'no message'}; traceback in {log}"


def guard_imports() -> None:
    """Let an exception outside `run_command`, while modules are imported, end like one inside it."""
    sys.excepthook = _ended


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> NoReturn:
    _end(report(error), open_document())


def _thread_failed(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        report(arguments.exc_value)


def _print_anywhere(name: str) -> None:
    """A terminal that knows ASCII only gets escapes in place of other letters; a closed stream takes everything."""
    if getattr(sys, name) is None:
        setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    if reconfigure := getattr(getattr(sys, name), "reconfigure", None):
        reconfigure(errors="backslashreplace")


def _nobody_reads(stream: TextIO) -> bool:
    """Whether what a stream writes to is a pipe whose reader is gone."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _discard(stream: TextIO) -> None:
    """Send what is still buffered nowhere, so that Python's own flush at the exit does not fail again."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
