"""The traceback of an exception that nobody foresaw, in a file: .cache/errors/<UTC time>-<command>-<process>.log

Without credentials: the value of every environment variable whose name sounds like one is replaced, and so is what
`REDACTORS` know (scripts/ adds its patterns). Local variables are not written. Where the repository cannot be written
the log goes to the machine's temporary folder. The newest KEPT logs stay.
"""

import datetime
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from eval.common.places import ROOT

FOLDER = ROOT / ".cache" / "errors"
KEPT = 50
LONGEST_LOG = 1 << 20  # characters: a message may quote all of a large input
SENSITIVE = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH|COOKIE", re.IGNORECASE)
SHORTEST_SECRET = 6  # characters; a shorter value stands in half of all texts
CREDENTIALS = re.compile(
    r"\b(?:hf_|rpa_|gh[pousr]_|github_pat_|sk-|AKIA|wandb_v\d_)[A-Za-z0-9_-]{12,}"
    r"|\b[Bb]earer\s+\S+"
    r"|(?<=[?&])(?:sig|signature|token|X-Amz-[A-Za-z-]+)=[^&\s'\"]+",
)
REDACTORS: list[Callable[[str], str]] = []


def redact(text: str) -> str:
    """The text without credentials: values from the environment, and what looks like one."""
    held = {value for name, value in os.environ.items() if SENSITIVE.search(name) and len(value) >= SHORTEST_SECRET}
    for value in sorted(held, key=len, reverse=True):
        text = text.replace(value, "[removed]")
        for written in (repr(value)[1:-1], ascii(value)[1:-1]):  # as a message quotes it
            text = text.replace(written, "[removed]")
    text = CREDENTIALS.sub("[removed]", text)
    for redactor in REDACTORS:
        text = redactor(text)
    return text


def message(error: BaseException) -> str:
    """What an exception says, in one line without credentials; a message is code too, and may fail itself."""
    try:
        return redact(" ".join(str(error).split()))
    except Exception as broken:
        return f"its message cannot be printed ({type(broken).__name__})"


def origin(error: BaseException) -> str:
    """`eval/gates/decide.py:93`: the last line of ours that was running; of a library when none was."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT) and ".venv" not in frame.filename]
    for frame in reversed(ours or frames):
        path = Path(frame.filename)
        return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{frame.lineno}"
    return "an unknown place"


def write_log(error: BaseException) -> str:
    """Write the traceback; returns where, or why it could not be written."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # the message of an exception is code too
        text = f"{type(error).__name__}, whose message cannot be printed ({type(broken).__name__})\n"
    try:
        text = redact(text[:LONGEST_LOG])
    except Exception as broken:  # rather no text than one with a credential in it
        text = f"{type(error).__name__} at {origin(error)}; its text could not be redacted ({type(broken).__name__})\n"
    now = datetime.datetime.now(datetime.UTC)
    name = f"{now:%Y%m%dT%H%M%S.%fZ}-{_command()}-{os.getpid()}.log"
    for folder in (FOLDER, Path(tempfile.gettempdir()) / f"securecli-errors-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
        except OSError:
            continue
        _prune(folder)
        return str((folder / name).relative_to(ROOT) if folder.is_relative_to(ROOT) else folder / name)
    return "no file: neither .cache/errors nor the temporary folder can be written"


def _command() -> str:
    """What is running, as part of a file name."""
    started = Path(sys.argv[0])
    name = started.parent.name if started.stem == "__main__" else started.stem
    return re.sub(r"[^A-Za-z0-9_-]", "", name)[:40] or "python"


def _prune(folder: Path) -> None:
    for old in sorted(folder.glob("*.log"))[:-KEPT]:
        old.unlink(missing_ok=True)
