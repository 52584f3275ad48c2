"""Build the sandbox root: a small Debian with the tools the commands use, as `make sandbox-root` does.

    python -m scripts.sandbox_root            build it into .cache/sandbox-root, if the recipe changed
    python -m scripts.sandbox_root --force    build it again

Needs root, the network and Debian (or Ubuntu); installs mmdebstrap and bubblewrap when they are missing. The recipe is
eval/fixtures/packages.txt, fixed_clock.c and root_setup.sh. root.json records every installed version; its digest is
part of the identity under which executions are cached. Where it cannot be built, `--host` records that the host's own
/usr stands in, read-only.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from eval.errors import UserError, run_command
from eval.records import write_json
from eval.sandbox.root import FOLDER, RECIPE, recipe_digest

SUITE = "bookworm"
TOOLS = {"mmdebstrap": "mmdebstrap", "bwrap": "bubblewrap"}
BUILD_ONLY = ("tcc",)
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")


def install_tools() -> None:
    """Install what is missing through apt. UserError where that is not possible."""
    missing = [package for program, package in TOOLS.items() if not shutil.which(program)]
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise UserError(f"{names} missing: install them (on Debian: apt-get install {names}), then run this again")
    print(f"sandbox-root: installing {names}")
    quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "-q"], check=False, **quiet)  # type: ignore[call-overload]
    done = subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], **quiet)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise UserError(f"apt-get could not install {names}: see its message above")


def wanted_packages() -> list[str]:
    """The packages of eval/fixtures/packages.txt."""
    lines = RECIPE[0].read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def build(folder: Path) -> None:
    """Build into a new folder, then put it in place. UserError with the log's last line when mmdebstrap fails."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh, log = folder / "building", folder / "build.log"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [
        "mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join([*wanted_packages(), *BUILD_ONLY])}",
        *[f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT],
        f"--customize-hook=copy-in {RECIPE[1]} {RECIPE[2]} /tmp",
        '--customize-hook=chroot "$1" sh /tmp/root_setup.sh',
        SUITE, str(fresh),
    ]  # fmt: skip
    print(f"sandbox-root: {len(wanted_packages())} packages and what they need (about 2 minutes; log: {log})")
    with log.open("wb") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        shutil.rmtree(fresh, ignore_errors=True)
        raise UserError(f"mmdebstrap failed: {lines[-1] if lines else 'no output'} (all of it in {log})")
    # mmdebstrap empties /run last of all; who is logged in lives there.
    shutil.copy2(fresh / "var/log/wtmp", fresh / "run/utmp")
    packages = installed(fresh)
    digest = hashlib.sha256("\n".join([recipe_digest(), *packages]).encode()).hexdigest()
    final, old = folder / "root", folder / "old"
    (folder / "root.json").unlink(missing_ok=True)
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)  # whoever uses it at this moment keeps a complete one
    fresh.rename(final)
    about = {"kind": "debian", "suite": SUITE, "digest": digest, "recipe": recipe_digest(), "packages": packages}
    write_json(folder / "root.json", about)
    print(f"sandbox-root: {len(packages)} packages, digest {digest[:16]}, in {final}")
    shutil.rmtree(old, ignore_errors=True)


def installed(top: Path) -> list[str]:
    """`name version` of every package in the root, sorted."""
    query = ["dpkg-query", f"--admindir={top}/var/lib/dpkg", "--show", "--showformat=${Package} ${Version}\\n"]
    return sorted(subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.sandbox_root", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--force", action="store_true", help="build even if the recipe did not change")
    arguments = parser.parse_args()
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise UserError("the sandbox needs Linux on x86-64")
    if os.geteuid() != 0:
        raise UserError("building the sandbox root needs root: sudo make sandbox-root")
    install_tools()
    about = FOLDER / "root.json"
    if not arguments.force and about.exists() and recipe_digest() in about.read_text(encoding="utf-8"):
        print(f"sandbox-root: up to date in {FOLDER}")
        return
    build(FOLDER)


if __name__ == "__main__":
    run_command(main)
