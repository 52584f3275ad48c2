"""Build the sandbox root: a small Debian with the tools the commands use, as `make sandbox-root` does.

    python -m scripts.sandbox_root            build it into .cache/sandbox-root, if the recipe changed
    python -m scripts.sandbox_root --force    build it again

Needs the network and Debian (or Ubuntu). Root installs mmdebstrap and bubblewrap where they are missing
(scripts/system_packages.py); an ordinary user is told to, and builds as root of a user namespace: the same bytes. The
recipe is eval/fixtures/packages.txt, fixed_clock.c and root_setup.sh. root.json records every installed version; its
digest is part of the identity under which executions are cached. Where it cannot be built, the host's own /usr stands
in, read-only and recorded as such (`--host` asks for that at once): results then depend on the host and on its clock.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from eval.errors import UserError, run_command
from eval.files import write_json
from eval.programs import missing, sandbox_need
from eval.sandbox.as_root import NAMESPACE, require_root
from eval.sandbox.manifest import write_manifest
from eval.sandbox.root import FOLDER, RECIPE, recipe_digest
from scripts.system_packages import prepare

SUITE = "bookworm"
BUILD_ONLY = ("tcc",)
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")
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
    """Build into a new folder, then put it in place. UserError with the log's last line when mmdebstrap fails."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh, log = folder / "building", folder / "build.log"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [
        "mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join([*wanted_packages(), *BUILD_ONLY])}",
        *[f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT],
        # root_setup.sh cleans, apt's settings in /tmp included; without them mmdebstrap would empty the host's lists.
        "--skip=cleanup/apt",
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
    put_in_place(folder, fresh, "debian", installed(fresh))


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.sandbox_root", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--force", action="store_true", help="build even if the recipe did not change")
    parser.add_argument("--host", action="store_true", help="use the host's /usr instead of building")
    arguments = parser.parse_args()
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise UserError("the sandbox needs Linux on x86-64")
    about = FOLDER / "root.json"
    built = about.exists() and recipe_digest() in about.read_text(encoding="utf-8")
    if built and not (arguments.force or arguments.host or missing(sandbox_need())):
        print(f"sandbox-root: up to date in {FOLDER}")
        return
    prepare("sandbox")
    if os.geteuid() != 0:
        require_root()
        os.execvp(NAMESPACE[0], [*NAMESPACE, sys.executable, "-m", "scripts.sandbox_root", *sys.argv[1:]])
    if arguments.host:
        use_host(FOLDER)
        return
    try:
        build(FOLDER)
    except UserError as error:
        print(f"sandbox-root: {error}", file=sys.stderr)
        print("sandbox-root: the host's /usr stands in; the pod backend and exact repeatability need the Debian root")
        use_host(FOLDER)


if __name__ == "__main__":
    run_command(main)
