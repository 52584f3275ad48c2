"""The operating system's programs that the project calls and a small Debian lacks: their packages, and what needs them.

    missing("sandbox")            packages to install before a command can be run
    how_to_install(packages)      what to tell somebody who lacks them

What every Debian has (coreutils, util-linux, apt) needs no row, nor do git and make, with which one comes here.
`python -m scripts.setup.system_packages` installs; tests/test_programs.py finds a call of a program that has no row.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

SECONDS = 120.0  # a browser says its version in less than one, on a machine that does something else too


@dataclass(frozen=True)
class Program:
    """One program, by any of its names, and the Debian package that brings the first of them.

    `starts`: being there is not enough, it has to say its version (Ubuntu's chromium-browser is a script that only
    says that it is none).
    """

    names: tuple[str, ...]
    package: str
    use: str
    starts: bool = False

    def find(self) -> str | None:
        """Path of the first of its names that can be used."""
        here = map(shutil.which, self.names)
        return next((path for path in here if path and (not self.starts or says_version(path))), None)


BROWSERS = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
MMDEBSTRAP = Program(("mmdebstrap",), "mmdebstrap", "it builds the small Debian that commands run in")
BUBBLEWRAP = Program(("bwrap",), "bubblewrap", "commands run in it")
NEWUIDMAP = Program(("newuidmap",), "uidmap", "an ordinary user's sandbox needs its subordinate ids")
SSH_KEYGEN = Program(("ssh-keygen",), "openssh-client", "it signs reviews and checks signatures")
CHROMIUM = Program(BROWSERS, "chromium", "tests draw the report and the review page in it", starts=True)
CURL = Program(("curl",), "curl", "tests run the first script of a rented machine, which fetches the code with it")
PROGRAMS = (MMDEBSTRAP, BUBBLEWRAP, NEWUIDMAP, SSH_KEYGEN, CHROMIUM, CURL)

NEEDS = {
    "sandbox": (MMDEBSTRAP, BUBBLEWRAP),
    "sandbox of an ordinary user": (MMDEBSTRAP, BUBBLEWRAP, NEWUIDMAP),
    "signatures": (SSH_KEYGEN,),
    "tests": PROGRAMS,
}


def sandbox_need() -> str:
    """The need of whoever asks: an ordinary user's sandbox takes one program more than root's."""
    return "sandbox" if os.geteuid() == 0 else "sandbox of an ordinary user"


def missing(need: str) -> list[str]:
    """Packages of the programs of a need (a key of NEEDS) that cannot be used on this machine."""
    return [program.package for program in NEEDS[need] if program.find() is None]


def how_to_install(packages: Iterable[str]) -> str:
    """What to tell somebody who lacks these packages, as the end of a sentence."""
    names = " ".join(packages)
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"install {names} (on Debian or Ubuntu: {sudo}apt-get install {names}), then run this again"


def says_version(program: str) -> bool:
    """Whether a program starts at all."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
