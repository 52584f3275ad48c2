"""What a model is, by its files: digests of a local folder's, or a commit of the Hub.

identity = base_identity("models/mine", None, None)     the same bytes are read once, however often it is asked
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from eval.run.digests import file_sha256


def at_revision(model: str) -> tuple[str, str | None]:
    """`org/name@revision` of the Hub as name and revision; a folder is itself, whatever its name holds."""
    if Path(model).is_dir():
        return model, None
    name, _, revision = model.partition("@")
    return name, revision or None


def base_identity(base_model: str, revision: str | None, commit: str | None) -> Any:
    """What a base model is: the digests of a local folder's files, or a Hub commit. None when it is not pinned.

    `commit` is the one that was loaded, as far as the library knows.
    """
    states = file_states(base_model)
    if states is not None:
        # A manifest beside the files may be older than they are: the bytes themselves are read.
        return dict(_digests(base_model, tuple(states.items())))
    pinned = commit or (revision if revision and len(revision) == 40 else None)
    return [base_model, pinned] if pinned else None


@lru_cache(maxsize=8)
def _digests(folder: str, states: tuple[tuple[str, tuple[int, ...]], ...]) -> tuple[tuple[str, str], ...]:
    """Digest by name of a folder's files, once for each state that they were in."""
    return tuple((name, file_sha256(Path(folder) / name)) for name, _ in states if not name.startswith("."))


def file_states(base_model: str) -> dict[str, tuple[int, ...]] | None:
    """What changes when a file of a local base does: its number, size and times of change. None for a Hub model."""
    folder = Path(base_model)
    if not folder.is_dir():
        return None
    states = {path.name: path.stat() for path in sorted(folder.iterdir()) if path.is_file()}
    return {name: (s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in states.items()}
