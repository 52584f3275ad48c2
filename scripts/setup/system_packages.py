"""Install what a command needs from the operating system, where it is missing and root asks.

    python -m scripts.setup.system_packages sandbox   what running commands needs
    python -m scripts.setup.system_packages tests     what `make test` needs; `make demo` installs none of it

The programs and their packages: eval/common/programs.py. An ordinary user, and a machine without apt, get one line that
names them, and exit code 2. Nothing outside the standard library is imported: this runs before there is a .venv, with
whatever Python there is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess

from eval.common.errors import UserError, run_command
from eval.common.programs import CHROMIUM, how_to_install, missing, sandbox_need

APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300")
NO_BROWSER = (
    "no Chromium that runs, and apt has none here (Ubuntu's is a snap): install Google Chrome "
    "(https://www.google.com/chrome) or any Chromium, as `chromium` on the PATH, then run this again"
)
NOT_ROOT = (
    "`make test` needs root: its tests become other users and close sandboxes as root does. Run it with sudo or in a "
    "container; single tests run with .venv/bin/python -m pytest FILE"
)


def install(packages: list[str]) -> None:
    """Install packages by apt, for root. UserError with one line where that is not possible."""
    if not packages:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise UserError(f"{' '.join(packages)} missing: {how_to_install(packages)}")
    print(f"system packages: installing {' '.join(packages)}", flush=True)
    said = apt("install", "--no-install-recommends", *packages)
    if said:  # its lists are not there, or older than the mirror: only now fetch them
        apt("update")
        said = apt("install", "--no-install-recommends", *packages)
    if said and CHROMIUM.package in packages and CHROMIUM.package in said:
        raise UserError(NO_BROWSER)
    if said:
        raise UserError(f"apt-get could not install {' '.join(packages)}: {said}")


def apt(*arguments: str) -> str:
    """Run apt-get without a question; why it failed, in a line, or nothing."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([*APT, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
    return errors[0].removeprefix("E: ") if errors else f"exit code {done.returncode}"


def prepare(need: str) -> None:
    """Have everything for a need of the command line. UserError with one line that says what is missing."""
    if need == "tests" and os.geteuid() != 0:
        raise UserError(NOT_ROOT)
    need = sandbox_need() if need == "sandbox" else need
    install(missing(need))
    if still := missing(need):  # installed, and does not start
        raise UserError(
            NO_BROWSER if still == [CHROMIUM.package] else f"{' '.join(still)}: installed, and does not run"
        )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.setup.system_packages", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("need", choices=("sandbox", "tests"))
    prepare(parser.parse_args(argv).need)


if __name__ == "__main__":
    run_command(main)
