"""Make .venv: with a Python that fits, what it needs of the operating system, uv, and the torch that fits the driver.

    python3 -m scripts.setup.make_venv      any Python from 3.9 on starts it; VENV=FOLDER puts the environment elsewhere

The rest of the packages is installed by the Makefile. Images come with Python 3.10 to 3.13 as `python3`: machine and
version are looked at before anything is fetched (scripts/setup/fit_machine.py), and a Python that fits is found by name
(PYTHON= names another). Nothing outside the standard library is imported.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from eval.common.errors import UserError, run_command
from eval.sandbox.local_disk import why_not_local
from scripts.setup.fit_machine import how_to_get_python, refuse_unfit
from scripts.setup.system_packages import install as install_packages
from scripts.setup.torch_build import install as install_torch

VENV = Path(".venv")
OLDEST, NEWEST = (3, 11), (3, 13)  # of these the pinned packages install without a compiler
NAMES = ("python3", "python", "python3.11", "python3.12", "python3.13")


def version_of(python: str) -> tuple[int, int] | None:
    """Version of a Python by path; None when it does not start."""
    known = known_version(python)
    return known and known[:2]


def known_version(python: str) -> tuple[int, int, str] | None:
    """Version and release level (final, candidate, ...) of a Python by path; None when it does not start."""
    try:
        command = [python, "-c", "import sys; print(*sys.version_info[:2], sys.version_info.releaselevel)"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        major, minor, level = done.stdout.split()
        return int(major), int(minor), level
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def find_python() -> str:
    """Path of a Python that fits: the one PYTHON names, else the first of NAMES. UserError when there is none."""
    named = os.environ.get("PYTHON")
    seen = []
    for name in [named] if named else NAMES:
        path = shutil.which(name)
        known = known_version(path) if path else None
        if path is None or known is None:
            continue
        major, minor, level = known
        if OLDEST <= (major, minor) <= NEWEST and level == "final":
            return path
        seen.append(f"{name} is {major}.{minor}" + ("" if level == "final" else f", a {level} and no release"))
    here = "; ".join(seen) or f"{named or 'python3'} does not start"
    raise UserError(
        f"Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} is needed, and here {here}: install one "
        f"({how_to_get_python()}), or name one with PYTHON=python3.11"
    )


def make(venv: Path = VENV) -> None:
    """An environment that works at `venv`. UserError for one of another Python, or without what makes it."""
    own = str(venv / "bin/python")
    version = version_of(own)
    if version and not OLDEST <= version <= NEWEST:
        made = ".".join(map(str, version))
        raise UserError(f"{venv} was made with Python {made}: remove it (rm -r {venv}), then run this again")
    if version and (venv / "bin/pip").exists():
        return
    python = find_python()
    if subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode != 0:
        found = version_of(python) or OLDEST
        install_packages([f"python{found[0]}.{found[1]}-venv"])
    where = place(venv)
    print(f"setup: {venv} with {python}", flush=True)
    if subprocess.run([python, "-m", "venv", "--clear", str(where)]).returncode != 0:
        raise UserError(f"{python} -m venv {where} failed: its lines above say why")


def place(venv: Path) -> Path:
    """The folder for the environment: `venv`, or the one that the variable VENV names, with a link to it at `venv`."""
    named = os.environ.get("VENV")
    if not named:
        why = None if venv.is_symlink() else why_not_local(venv, devices=False)
        if why:
            print(f"setup: {venv}: {why}; that is slow, and VENV=/root/venv puts it on a local disk", flush=True)
        return Path(os.path.realpath(venv))
    folder = Path(named).absolute()
    if venv.exists() and not venv.is_symlink():
        raise UserError(f"VENV={named}, and {venv} is a folder: remove it (rm -r {venv}), then run this again")
    venv.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    venv.symlink_to(folder)
    return folder


def pinned(name: str) -> str:
    """`name==VERSION` of requirements.txt."""
    found = re.search(rf"^{name}==\S+", Path("requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found.group()


def main() -> None:
    refuse_unfit(VENV)
    make()
    print(
        f"setup: installing {pinned('axolotl')} and the rest into .venv (sizes and minutes: docs/containers.md)",
        flush=True,
    )
    pip = [str(VENV / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", pinned("uv")]
    if subprocess.run(pip).returncode != 0:
        raise UserError(f"{pinned('uv')} could not be installed: pip's lines above say why")
    install_torch(pinned("torch"), VENV / "bin")


if __name__ == "__main__":
    run_command(main)
