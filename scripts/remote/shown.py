"""The log of a machine: printed and kept in outputs/remote/<job>/log.txt, without credentials."""

import os
from collections.abc import Callable

from huggingface_hub import get_token

from eval.common.errors import UserError
from eval.common.reading import open_regular
from eval.run.secret_patterns import redact
from scripts.remote.job import Job
from scripts.remote.provider import Machine, Provider

LOG = "log.txt"
LONGEST_LINE = 2000
SECRET_NAMES = ("TOKEN", "KEY", "SECRET", "PASSWORD")


def show_log(job: Job, provider: Provider, machine: Machine, say: Callable[[str], None]) -> None:
    """What is new. A log that cannot be read now is read the next time: nothing depends on it."""
    if job.log_machine != machine.id:
        job.log_machine, job.log_cursor = machine.id, ""
    try:
        lines, cursor = provider.lines(machine, job.log_cursor)
    except UserError:
        return
    if not lines and cursor == job.log_cursor:
        return
    known = secret_values()
    shown = [clean(line, known) for line in lines]
    with (job.folder / LOG).open("a", encoding="utf-8") as log:
        log.writelines(f"{line}\n" for line in shown)
    for line in shown:
        say(line)
    job.save(log_cursor=cursor)


def say_kept(job: Job, seen: int, say: Callable[[str], None]) -> int:
    """What log.txt holds after its first `seen` bytes, whoever wrote it; how many bytes it has."""
    path = job.folder / LOG
    if not path.is_file():
        return seen
    with open_regular(path) as stream:
        stream.seek(seen)
        text = stream.read()
    for line in text.decode("utf-8", errors="replace").splitlines():
        say(line)
    return seen + len(text)


def secret_values() -> list[str]:
    """The credentials of this computer that a machine might repeat."""
    named = [value for name, value in os.environ.items() if any(part in name.upper() for part in SECRET_NAMES)]
    return [value for value in [*named, get_token() or ""] if len(value) >= 8]


def clean(line: str, known: list[str]) -> str:
    """One line of somebody else's, with no credential and nothing that a terminal obeys."""
    text = line.rstrip("\r\n").rsplit("\r", 1)[-1][:LONGEST_LINE]  # of a progress bar the newest state
    for value in known:
        text = text.replace(value, "[removed]")
    return "".join(letter if letter.isprintable() or letter == "\t" else "?" for letter in redact(text))
