"""Is this machine fit to be set up? Asked before the first byte is downloaded; each reason is one line.

    refuse_unfit(Path(".venv"))     UserError: system, processor, C library, driver, disk
    how_to_get_python()             how this system gets a Python that fits

Served are Linux on x86-64 with glibc 2.28 or newer (Debian 10, Ubuntu 20.04), which the pinned wheels need; tried on
Debian 12 and 13, meant for Ubuntu 22.04 and 24.04 (docs/runpod.md). Nothing outside the standard library is imported:
this runs before there is a .venv, with whatever Python there is.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

from eval.common.errors import UserError
from scripts.setup.torch_build import nvidia_driver, too_old

OS_RELEASE = Path("/etc/os-release")
OLDEST_GLIBC = (2, 28)  # of manylinux_2_28, the tag of torch's wheels
GIB = 1 << 30
# The finished environment measured 4.0 GiB without a GPU; with CUDA's libraries it is estimated at 9. What else a demo
# makes (base model, sandbox root, one run) is 1 GiB.
ROOM_CPU, ROOM_GPU = 6 * GIB, 12 * GIB
ROOM_TEMPORARY = 1 * GIB


def refuse_unfit(venv: Path) -> None:
    """UserError where the set-up could not end well; says nothing otherwise."""
    refuse_platform()
    driver = nvidia_driver()
    if not os.environ.get("UV_TORCH_BACKEND") and (problem := too_old(driver)):
        raise UserError(problem)
    if not any(venv.glob("lib/python3.*/site-packages/torch/version.py")):  # there: what follows is small
        refuse_full_disks(venv, ROOM_GPU if driver else ROOM_CPU)


def refuse_platform() -> None:
    """UserError on anything but Linux with glibc on x86-64."""
    system, processor = platform.system(), platform.machine()
    if system != "Linux":
        raise UserError(
            f"{'macOS' if system == 'Darwin' else system} cannot run this: commands are judged in a sandbox of Linux "
            "on x86-64; use such a machine (a virtual machine, a rented one, or docker --platform linux/amd64)"
        )
    if processor not in ("x86_64", "amd64"):
        raise UserError(
            f"the processor is {processor}, and the sandbox and the pinned packages are for x86-64: rent or start a "
            "machine of that kind"
        )
    name, version = libc()
    if name != "glibc" or version < OLDEST_GLIBC:
        here = f"glibc {version[0]}.{version[1]}" if name == "glibc" else "another (Alpine's musl?)"
        raise UserError(
            f"the C library is {here}, and torch's packages need glibc {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or newer: "
            "use Debian 12 or 13, or Ubuntu 22.04 or 24.04"
        )


def libc() -> tuple[str, tuple[int, int]]:
    """Name and version of the C library: ("glibc", (2, 36)); ("", (0, 0)) for one that does not say."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        major, minor = version.split(".")[:2]
        return name, (int(major), int(minor))
    except (OSError, ValueError):
        return "", (0, 0)


def refuse_full_disks(venv: Path, needed: int) -> None:
    """UserError for a disk without room for `needed` bytes of packages, or for what is unpacked on the way.

    uv keeps its own copy of every package and links it where cache and environment share a disk; where they do not,
    each disk needs the room.
    """
    cache = Path(os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    wanted = [
        ("the environment", Path(os.environ.get("VENV") or venv), needed, "VENV=FOLDER"),
        ("uv's cache", cache, needed, "UV_CACHE_DIR=FOLDER"),
        ("temporary files", Path(tempfile.gettempdir()), ROOM_TEMPORARY, "TMPDIR=FOLDER"),
    ]
    for what, folder, room, elsewhere in wanted:
        there = existing(folder)
        free = shutil.disk_usage(there).free
        if free < room:
            raise UserError(
                f"{free / GIB:.1f} GB free in {there}, and {what} may need {room / GIB:.0f} GB: free some, or put it "
                f"on another disk with {elsewhere}"
            )


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    full = folder.absolute()
    return next(path for path in (full, *full.parents) if path.exists())


def how_to_get_python(release: Path = OS_RELEASE) -> str:
    """How the system gets a Python that fits, as the end of a sentence.

    Ubuntu 22.04 has a python3.11 of its own, which is a release candidate and not taken; older systems have none.
    """
    system = os_release(release)
    anywhere = "pip install uv && uv python install 3.11, then PYTHON=$(uv python find 3.11)"
    if system.get("ID") == "ubuntu" and system.get("VERSION_ID") in ("20.04", "22.04"):
        sudo = "" if os.geteuid() == 0 else "sudo "
        return (
            f"on this Ubuntu {system['VERSION_ID']}: {sudo}apt-get install software-properties-common && {sudo}"
            f"add-apt-repository -y ppa:deadsnakes/ppa && {sudo}apt-get install python3.11 python3.11-venv; without "
            f"root: {anywhere}"
        )
    if system.get("ID") in ("debian", "ubuntu") and system.get("VERSION_ID") not in ("10", "11", "18.04"):
        return "on Debian or Ubuntu: apt-get install python3.11 python3.11-venv, or 3.12, or 3.13"
    return anywhere


def os_release(file: Path = OS_RELEASE) -> dict[str, str]:
    """The fields of os-release(5); none where there is no such file."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}
