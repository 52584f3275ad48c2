"""What the sandbox takes and gives: limits, one execution, and a file-system change as data."""

from dataclasses import dataclass
from typing import Any, Literal

from eval.common.errors import MachineError

EntryType = Literal["file", "directory", "link", "fifo", "other"]
ChangeKind = Literal["added", "removed", "changed"]


class SandboxError(MachineError):
    """The sandbox itself is broken or missing. Never a property of the command: score such items `invalid`."""


@dataclass(frozen=True)
class Limits:
    """What one run may use. A run that reaches a limit of time, output, memory or disk is killed."""

    wall_seconds: float = 5.0
    cpu_seconds: int = 5  # a process
    memory_mb: int = 512  # address space of a process; resident memory of all processes together
    processes: int = 64
    file_mb: int = 64  # one file
    disk_mb: int = 256  # all files together
    output_bytes: int = 1 << 20  # stdout and stderr each
    open_files: int = 256  # a process


@dataclass(frozen=True)
class Entry:
    """One path of a file tree. `digest` is the sha256 of a file's content; of an archive, of what it contains."""

    type: EntryType
    mode: int
    digest: str | None
    target: str | None
    size: int


@dataclass(frozen=True)
class Change:
    """One path that differs after a run. `path` is absolute, as the command saw it.

    `lost`: of a file that was rewritten, short digests of the lines that are gone, one for each, sorted. None where it
    is not known: the path was not a file before and after, or is too large. `grew`: text was added at its end, no more.
    """

    path: str
    kind: ChangeKind
    before: Entry | None
    after: Entry | None
    lost: tuple[str, ...] | None = None
    grew: bool = False


@dataclass(frozen=True)
class Execution:
    """One finished run. `exit` is None when a limit of ours killed it; `limits_hit` then says which."""

    exit: int | None
    stdout: bytes
    stderr: bytes
    changes: tuple[Change, ...]
    limits_hit: tuple[str, ...]
    seconds: float
    backend: str

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON; bytes that are not UTF-8 come back from `from_json` unchanged."""
        changes = tuple(
            {**vars(change), "before": _plain(change.before), "after": _plain(change.after)} for change in self.changes
        )
        return {**vars(self), "stdout": to_text(self.stdout), "stderr": to_text(self.stderr), "changes": changes}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Execution":
        """The inverse of `to_json`."""
        fields = dict(data)
        fields["stdout"], fields["stderr"] = to_bytes(data["stdout"]), to_bytes(data["stderr"])
        fields["changes"] = tuple(map(_change, data["changes"]))
        fields["limits_hit"] = tuple(data["limits_hit"])
        return Execution(**fields)


def to_text(output: bytes) -> str:
    """Bytes as text; each byte that is not UTF-8 becomes one lone surrogate, so nothing is lost."""
    return output.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The inverse of `to_text`."""
    return text.encode("utf-8", "surrogateescape")


def _plain(entry: Entry | None) -> dict[str, Any] | None:
    return None if entry is None else {**vars(entry)}


def _change(data: dict[str, Any]) -> Change:
    lost = None if data["lost"] is None else tuple(data["lost"])
    return Change(data["path"], data["kind"], _entry(data["before"]), _entry(data["after"]), lost, data["grew"])


def _entry(data: dict[str, Any] | None) -> Entry | None:
    return None if data is None else Entry(**data)
