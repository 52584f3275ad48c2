"""Is a folder on a disk of this machine, where a sandbox root belongs?

A root is 16,500 files, linked for each worker, with device files. On a network volume every link is a question to a
server, and device files are mostly off (`nodev`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "panfs", "smb3",
    "smbfs", "vboxsf", "virtiofs", "wekafs",
))  # fmt: skip
LOCAL_FUSE = frozenset(("fuseblk", "fuse.fuse-overlayfs", "fuse.fuse-overlay"))  # a local disk, a container's own


def why_not_local(folder: Path, devices: bool) -> str | None:
    """Why a sandbox root should not lie in `folder`, which may not exist yet; None when it may.

    `devices`: its device files have to work, as they must for the pod backend.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()).resolve()
    kind = file_system(there)
    if kind in NETWORK or (kind.startswith("fuse") and kind not in LOCAL_FUSE):
        return f"it is on a network volume ({kind})"
    if devices and os.statvfs(there).f_flag & os.ST_NODEV:
        return f"device files do not work on its file system ({kind}, mounted nodev)"
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        return "it cannot be written"
    return None


def file_system(folder: Path) -> str:
    """Type of the file system that holds an existing folder without links, by the kernel's table; "" if unknown."""
    found = ""
    longest = -1
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields, _, kinds = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields.split(" ")[4])
        if folder.is_relative_to(point) and len(point) >= longest:  # of two mounts on one place, the later is seen
            found, longest = kinds.split(" ")[0], len(point)
    return found
