"""The sandbox root: the tools and system files a command sees. `make sandbox-root` builds it from Debian packages.

Where it could not be built, the host's own /usr stands in, read-only and recorded as such: results then depend on the
host's tool versions and on its clock, and only the `namespaces` backend can run.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from eval.sandbox.execution import SandboxError
from eval.sandbox.local_disk import why_not_local
from eval.sandbox.manifest import check_root
from eval.sandbox.stored import Fixture
from eval.sandbox.trees import Tree

FOLDER = Path(".cache/sandbox-root")
LOCAL = Path("/var/tmp")  # where it goes when the repository is on a network volume; outlives a restart of the machine
RECIPE = [Path("eval/fixtures/packages.txt"), Path("eval/fixtures/fixed_clock.c"), Path("eval/fixtures/root_setup.sh")]
SEARCH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Root:
    """`kind` is debian or host; `digest` names what is in it."""

    top: Path
    kind: str
    digest: str


def recipe_digest() -> str:
    """Digest of the files that say how the root is built."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in RECIPE)).hexdigest()


def root_folder() -> Path:
    """Where the root is built, and the workers' copies of it: FOLDER, or a local disk where that is none.

    The variable SANDBOX_FOLDER names another place. SandboxError when somebody else owns the one on the local disk.
    """
    if named := os.environ.get("SANDBOX_FOLDER"):
        return Path(named)
    devices = os.geteuid() == 0  # an ordinary user's workers run in namespaces, which bring their own
    local = LOCAL / f"securecli-tuner-{os.geteuid()}-{recipe_digest()[:12]}"
    if not why_not_local(FOLDER, devices) or why_not_local(local, devices):
        return FOLDER
    if local.is_symlink() or (local.exists() and local.stat().st_uid != os.geteuid()):
        raise SandboxError(f"{local} belongs to somebody else: remove it, or name another folder as SANDBOX_FOLDER")
    return local


def find_root(folder: Path | None = None) -> Root:
    """The built root, by default the one in `root_folder()`.

    SandboxError when there is none, one built from another recipe, or one that is not as built.
    """
    folder = folder or root_folder()
    if not (folder / "root.json").exists():
        raise SandboxError(f"no sandbox root in {folder}: run `make sandbox-root`")
    about = json.loads((folder / "root.json").read_text(encoding="utf-8"))
    if about["recipe"] != recipe_digest():
        raise SandboxError(f"the sandbox root in {folder} was built from another recipe: run `make sandbox-root`")
    check_root(folder, about.get("manifest"))
    return Root((folder / "root").resolve(), about["kind"], about["digest"])


def environment(fixture: Fixture) -> dict[str, str]:
    """Every environment variable a command gets; nothing of the harness's own."""
    return {"HOME": fixture.home, "USER": "user", "LOGNAME": "user", "SHELL": "/bin/bash", "PATH": SEARCH,
            "LANG": "C.UTF-8", "TZ": "UTC", "TERM": "dumb", "PWD": fixture.cwd, **dict(fixture.variables)}  # fmt: skip


def visible(root: Root, tree: Tree) -> list[str]:
    """Paths of the root that show through beside a fixture, parents merged where both have a folder.

    /proc and /dev are left out: each backend makes its own.
    """
    found: list[str] = []
    _visible(root.top, "", tree, found)
    return [path for path in found if path not in ("proc", "dev", "sys")]


def _visible(folder: Path, prefix: str, tree: Tree, found: list[str]) -> None:
    with os.scandir(folder) as listing:
        for child in sorted(listing, key=lambda entry: entry.name):
            path = prefix + child.name
            node = tree.get(path)
            if node is None:
                found.append(path)
            elif node.entry.type == "directory" and child.is_dir(follow_symlinks=False):
                _visible(folder / child.name, path + "/", tree, found)
