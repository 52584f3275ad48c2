"""Emptying a folder of whatever a command left in it, however deep it is nested.

clear(top, {"keep"})     removes everything in `top` but what is called keep
"""

# Strings and descriptors on purpose: no link may be followed, and no path may get long.
# ruff: noqa: PTH208
import os
import stat
from collections.abc import Container
from itertools import count


def clear(top: str, keep: Container[str] = frozenset()) -> None:
    """Remove everything in the folder `top` but the names in `keep`, however deep it is nested.

    Subfolders are first moved into one folder: no path gets long, nothing recurses, and `top` itself does not grow.
    """
    base = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    opened = [base]
    try:
        folders: list[str] = []
        listed = os.listdir(base)
        for name in listed:
            if name not in keep:
                _remove(name, base, folders)
        if not folders:
            return
        aside = next(name for name in (f".removing-{number}" for number in count()) if name not in listed)
        os.mkdir(aside, mode=0o700, dir_fd=base)
        opened.append(os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=base))
        waiting = [(base, name) for name in folders]
        serial = count()
        while waiting:
            parent, name = waiting.pop()
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                for inner in os.listdir(folder):
                    found: list[str] = []
                    _remove(inner, folder, found)
                    for subfolder in found:
                        moved = str(next(serial))
                        os.rename(subfolder, moved, src_dir_fd=folder, dst_dir_fd=opened[1])
                        waiting.append((opened[1], moved))
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=parent)
        os.rmdir(aside, dir_fd=base)
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def _remove(name: str, folder: int, folders: list[str]) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        folders.append(name)
    else:
        os.unlink(name, dir_fd=folder)
