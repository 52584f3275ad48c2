"""Emptying a folder of whatever a command left in it, however deep it is nested.

clear(top, {"keep"})     removes everything in `top` but what is called keep
"""

# Strings and descriptors on purpose: no link may be followed, and no path may get long.
import os
from collections.abc import Container
from itertools import count


def clear(top: str, keep: Container[str] = frozenset()) -> None:
    """Remove everything in the folder `top` but the names in `keep`, however deep it is nested.

    Subfolders are first moved into one folder: no path gets long, nothing recurses, and `top` itself does not grow.
    """
    base = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    opened = [base]
    try:
        listed = _listed(base)
        folders = _remove_files({name: folder for name, folder in listed.items() if name not in keep}, base)
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
                for subfolder in _remove_files(_listed(folder), folder):
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


def _listed(folder: int) -> dict[str, bool]:
    """Every name in a folder, and whether it is a folder itself: the list says so, no file is asked."""
    with os.scandir(folder) as entries:
        return {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}


def _remove_files(listed: dict[str, bool], parent: int) -> list[str]:
    """Of what is listed, remove all but the folders, and return these."""
    for name, is_folder in listed.items():
        if not is_folder:
            os.unlink(name, dir_fd=parent)
    return [name for name, is_folder in listed.items() if is_folder]
