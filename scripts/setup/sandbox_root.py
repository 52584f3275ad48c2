"""Build the sandbox root: a small Debian with the tools the commands use, as `make sandbox-root` does.

    python -m scripts.setup.sandbox_root            build it, unless it is there and its recipe is still the same
    python -m scripts.setup.sandbox_root --force    build it again (FORCE=1)

It goes into .cache/sandbox-root, or on a local disk where the repository is on a network volume (eval.sandbox.root).
Needs the network and Debian or Ubuntu, also in an unprivileged container. Debian's keys come from the repository, since
Ubuntu has none. Root installs mmdebstrap and bubblewrap where they are missing (scripts/setup/system_packages.py); an
ordinary user is told to, and builds as root of a user namespace: the same bytes. The recipe is
eval/fixtures/packages.txt, fixed_clock.c and root_setup.sh. root.json records every installed version; its digest is
part of the identity under which executions are cached. Where it cannot be built, the host's own /usr stands in,
read-only and recorded as such (`--host` asks for that at once): results then depend on the host and on its clock. It
stands in until a build succeeds: every later call tries again.
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.programs import missing, sandbox_need
from eval.run.files import write_json
from eval.sandbox.as_root import NAMESPACE, require_root
from eval.sandbox.manifest import write_manifest
from eval.sandbox.root import FOLDER, RECIPE, recipe_digest, root_folder
from scripts.setup.fit_machine import refuse_platform
from scripts.setup.system_packages import prepare

SUITE = "bookworm"
KEYS = Path("eval/fixtures/debian-keys")  # its README says where they come from
ROOM = 1500 << 20  # bytes: twice the root, and the packages while they are unpacked
BUILD_ONLY = ("tcc",)
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")
# mmdebstrap before 1.3.0 (Ubuntu 22.04 has 0.8.4) cannot be told to leave out the host's own copy of Debian's keys.
WITHOUT_SIGNED_BY = (
    'for list in "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*.list; do '
    '[ ! -f "$list" ] || sed -i \'s/ \\[signed-by="[^"]*"\\]//\' "$list"; done'
)
CAP_SYS_ADMIN = 21  # linux/capability.h
HOST_STANDS_IN = (
    "sandbox-root: the host's /usr stands in until a build succeeds; the pod backend and exact repeatability need the "
    "Debian root"
)
HOST_FILES = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tsandbox\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "# no name server\n",
    "timezone": "Etc/UTC\n",
    "gitconfig": "[user]\n\tname = user\n\temail = user@sandbox\n[init]\n\tdefaultBranch = main\n",
}


def wanted_packages() -> list[str]:
    """The packages of eval/fixtures/packages.txt."""
    lines = RECIPE[0].read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def build(folder: Path) -> None:
    """Build into a new folder, then put it in place. UserError with the log's first error when mmdebstrap fails."""
    fresh, log, keys = folder / "building", folder / "build.log", folder / "keys"
    for leftover in (fresh, keys):
        shutil.rmtree(leftover, ignore_errors=True)
    if (free := shutil.disk_usage(folder).free) < ROOM:
        raise UserError(f"{free >> 20} MB free in {folder}, {ROOM >> 20} MB needed: free some, or set SANDBOX_FOLDER")
    copy_keys(keys)
    command = [
        "mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join([*wanted_packages(), *BUILD_ONLY])}",
        *[f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT],
        # Only these keys, whatever the host trusts: an old Ubuntu's own copy of them does not know this release.
        f"--keyring={keys}",
        f"--setup-hook={WITHOUT_SIGNED_BY}",
        *[f"--skip={step}" for step in skipped()],  # an old version does not split them at commas
        f"--customize-hook=copy-in {RECIPE[1]} {RECIPE[2]} /tmp",
        '--customize-hook=chroot "$1" sh /tmp/root_setup.sh',
        SUITE, str(fresh),
    ]  # fmt: skip
    count = len(wanted_packages())
    print(f"sandbox-root: {count} packages and what they need (about 2 minutes; log: {log})", flush=True)
    with log.open("wb") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        said = first_error(log.read_text(encoding="utf-8", errors="replace"))
        raise UserError(f"mmdebstrap failed: {said} (all of it in {log})")
    # mmdebstrap empties /run last of all; who is logged in lives there.
    shutil.copy2(fresh / "var/log/wtmp", fresh / "run/utmp")
    put_in_place(folder, fresh, "debian", installed(fresh))


def copy_keys(folder: Path) -> None:
    """Debian's keys in the binary form that every version of mmdebstrap and apt takes (armour: RFC 4880, 6.2).

    apt reads them as a user of its own, who may not enter the folder that the repository is in.
    """
    folder.mkdir()
    folder.chmod(0o755)
    for armoured in KEYS.glob("*.asc"):
        body = armoured.read_text(encoding="ascii").split("\n\n", 1)[1].split("\n=", 1)[0]
        path = folder / f"{armoured.stem}.gpg"
        path.write_bytes(base64.b64decode(body))
        path.chmod(0o644)


def skipped() -> list[str]:
    """What mmdebstrap is told not to do; a word that its version does not know changes nothing."""
    # root_setup.sh cleans, apt's settings in /tmp included; without them mmdebstrap would empty the host's lists.
    always = ["check/signed-by", "cleanup/apt"]
    # A pod's root may not mount, which versions before 1.3 take for an error where newer ones go without.
    return always if may_mount() else [*always, "check/canmount"]


def may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> CAP_SYS_ADMIN & 1)


def first_error(log: str) -> str:
    """What went wrong first: later errors of mmdebstrap and apt only say that something did."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(("E: ", "Err:", "dpkg: error")):
            return (line + following.rstrip() if following.startswith("  ") else line)[:300]
    return lines[-1].strip()[:300] if lines else "no output"


def use_host(folder: Path) -> None:
    """A root of links and a few files of /etc, over which the namespaces backend binds the host's /usr, read-only."""
    if not Path("/bin").is_symlink():
        raise UserError("this machine has no merged /usr: build the Debian root instead (make sandbox-root on Debian)")
    fresh = folder / "building"
    shutil.rmtree(fresh, ignore_errors=True)
    for name in ("usr", "run", "tmp", "var/log", "etc"):
        (fresh / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (fresh / name).symlink_to(f"usr/{name}")
    for name, text in HOST_FILES.items():
        (fresh / "etc" / name).write_text(text, encoding="utf-8")
    for name in ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "magic", "mime.types", "ssl/openssl.cnf"):
        source = Path("/etc", name)
        if source.is_dir():
            shutil.copytree(source, fresh / "etc" / name, symlinks=True)
        elif source.exists():
            (fresh / "etc" / name).parent.mkdir(exist_ok=True)
            shutil.copy2(source, fresh / "etc" / name)
    packages = installed(Path("/")) if shutil.which("dpkg-query") else [Path("/etc/os-release").read_text()]
    put_in_place(folder, fresh, "host", packages)


def put_in_place(folder: Path, fresh: Path, kind: str, packages: list[str]) -> None:
    """Replace the root by the new one and record what it is."""
    final, old = folder / "root", folder / "old"
    digest = hashlib.sha256("\n".join([kind, recipe_digest(), *packages]).encode()).hexdigest()
    (folder / "root.json").unlink(missing_ok=True)
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)  # whoever uses it at this moment keeps a complete one
    fresh.rename(final)
    about = {"kind": kind, "suite": SUITE, "digest": digest, "recipe": recipe_digest(), "packages": packages}
    about["manifest"] = write_manifest(folder)
    write_json(folder / "root.json", about)
    print(f"sandbox-root: {kind}, {len(packages)} packages, digest {digest[:16]}, in {final}")
    shutil.rmtree(old, ignore_errors=True)


def installed(top: Path) -> list[str]:
    """`name version` of every package in the root, sorted."""
    query = ["dpkg-query", f"--admindir={top}/var/lib/dpkg", "--show", "--showformat=${Package} ${Version}\\n"]
    return sorted(subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.setup.sandbox_root", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--force", action="store_true", help="build even if the recipe did not change")
    parser.add_argument("--host", action="store_true", help="use the host's /usr instead of building")
    arguments = parser.parse_args()
    refuse_platform()
    folder = root_folder()
    if is_built(folder) and not (arguments.force or arguments.host or missing(sandbox_need())):
        print(f"sandbox-root: up to date in {folder}")
        return Answer(0, files=[folder])
    prepare("sandbox")
    if os.geteuid() != 0:
        require_root()
        os.environ["SANDBOX_FOLDER"] = str(folder)  # as root of a namespace this would be another user's
        command = [*NAMESPACE, sys.executable, "-m", "scripts.setup.sandbox_root", *sys.argv[1:]]
        code = subprocess.run(command, check=False).returncode
        return Answer(code, files=[folder], error="the sandbox's root was not built: see stderr" if code else None)
    folder.mkdir(parents=True, exist_ok=True)
    root_folder()  # again, now that it exists: is it ours
    if folder != FOLDER:
        print(f"sandbox-root: on a local disk, in {folder}: {FOLDER} is no place for it")
    if arguments.host:
        use_host(folder)
        return Answer(0, files=[folder])
    try:
        build(folder)
    except UserError as error:
        if is_built(folder):
            raise UserError(f"{error}; the root built before is still there, and used") from None
        print(f"sandbox-root: {error}", file=sys.stderr)
        print(HOST_STANDS_IN)
        use_host(folder)
    return Answer(0, files=[folder])


def is_built(folder: Path) -> bool:
    """Whether the Debian root of this recipe is there; the host's files that stand in for it are not it."""
    try:
        about = json.loads((folder / "root.json").read_text(encoding="utf-8"))
        return (folder / "root").is_dir() and about["kind"] == "debian" and about["recipe"] == recipe_digest()
    except (OSError, ValueError, KeyError, TypeError):
        return False


if __name__ == "__main__":
    run_command(main)
