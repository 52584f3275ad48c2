"""Backend `pod`: chroot, a dedicated user id, Landlock, seccomp and resource limits. For a container as root.

A rented GPU pod is a default Docker container: namespaces and mounts are refused there. So each worker has a copy of
the sandbox root made of hard links, the fixture is laid out in it, and the command runs inside as a user who owns the
fixture and nothing else, with no capability, no socket and no way to gain a privilege. Every process of that user is
killed afterwards. Host name, clock and user number are those of the root's preloaded library, for repeatable results
only: a program can go around it.

Commands that need /proc, /sys, process substitution or any network do not work here: `LACKS` names them, and a judge
calls them unsupported.

It does NOT protect against bugs of the kernel; it shares process ids and the kernel's other tables with the container,
so a command may learn how many processes exist (through fork's numbers) but not signal, trace or see one. Memory of
all processes together and disk use are looked at ten times a second, not enforced: both can be exceeded for that long.
"""

# Strings and descriptors on purpose: thousands of calls a run, and no link may be followed.
# ruff: noqa: PTH101, PTH102, PTH106, PTH112, PTH114, PTH208
import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import NoReturn

from eval.sandbox import confine, seccomp, trees
from eval.sandbox.execution import Limits, SandboxError
from eval.sandbox.removal import clear
from eval.sandbox.root import Root, environment, visible
from eval.sandbox.stored import Fixture
from eval.sandbox.supervise import Outcome, supervise

LACKS = ("/proc", "/sys", "process substitution", "network")
UNSEEN_BYTES = 4 << 30  # a file that was removed while open is seen in the disk's free space alone
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
DEVICES_NEED = (
    "the pod backend needs the capability MKNOD, which Docker gives by default, and a disk that is not mounted nodev: "
    "name a folder of one as SANDBOX_FOLDER and run `make sandbox-root` again"
)


class Pod:
    """One worker's sandbox: a folder of hard links to the sandbox root, removed at the end."""

    name = "pod"

    def __init__(self, root: Root, uid: int, base: Path) -> None:
        """Prepare for runs as `uid`. SandboxError when the kernel or the container lacks a part."""
        self.uid, self.root = uid, root
        if root.kind != "debian":
            raise SandboxError("the pod backend needs the Debian root: run `make sandbox-root`")
        self._landlock = confine.landlock_version()
        if self._landlock == 0:
            raise SandboxError("the kernel has no Landlock: judge elsewhere, from generations.jsonl")
        self._filter = seccomp.filter_program(frozenset())
        folder = root.top.parent / "workers" / str(uid)  # beside the root: a hard link cannot leave its disk
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        self.tree = str(folder)
        self._link()
        os.mkdir(f"{self.tree}/tmp/new")
        self._empty = os.lstat(f"{self.tree}/tmp/new").st_size
        os.rmdir(f"{self.tree}/tmp/new")
        self._folders: list[str] = []  # of the fixture, still there and empty between two runs
        self.merged: dict[str, int] = {}  # folders that the root and the fixture both have, and what they take
        self._replaced: list[str] = []
        self._laid_out = False

    def _link(self) -> None:
        """The worker's tree, made anew."""
        if os.path.lexists(self.tree):  # of a worker that was killed; what is in it may be nested beyond recursion
            _remove(*os.path.split(self.tree))
        _copy_of_root(self.root.top, Path(self.tree))
        self._devices(Path(self.tree))
        os.chmod(self.tree, 0o1777)
        self._top = os.lstat(self.tree).st_size

    def _devices(self, top: Path) -> None:
        """The harmless devices; an unprivileged container may make these and no others."""
        _remove(str(top), "dev")
        (top / "dev").mkdir(mode=0o755)
        for name, (major, minor) in DEVICES.items():
            try:
                os.mknod(top / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
                os.chmod(top / "dev" / name, 0o666)
            except OSError as error:
                raise SandboxError(f"{top}/dev/{name} could not be made ({error.strerror}): {DEVICES_NEED}") from None
            try:
                os.close(os.open(top / "dev" / name, os.O_RDONLY))
            except OSError as error:
                raise SandboxError(f"{top}/dev/{name} does not work ({error.strerror}): {DEVICES_NEED}") from None

    def fresh(self, fixture: Fixture, tree: trees.Tree, limits: Limits) -> frozenset[str]:
        """The fixture laid out in the root. Returns the paths that belong to the root."""
        self.clear()
        top = self.root.top
        for path, node in tree.items():
            if path and os.path.lexists(top / path):
                lower = top / path
                if node.entry.type == "directory" and lower.is_dir() and not lower.is_symlink():
                    self.merged[path] = os.lstat(f"{self.tree}/{path}").st_size
                elif not any(path.startswith(f"{other}/") for other in self._replaced):
                    self._replaced.append(path)
                    _remove(self.tree, path)
        wanted = {path for path, node in tree.items() if node.entry.type == "directory"}
        for path in reversed([path for path in self._folders if path not in wanted]):
            os.rmdir(f"{self.tree}/{path}")
        trees.lay_out(tree, self.tree, self.uid, frozenset(self._folders))
        self._folders = [path for path in tree if path in wanted and path not in ("", *self.merged)]
        self._skip = frozenset(visible(self.root, tree)) | {"proc", "dev", "sys"}
        self._laid_out = True
        return self._skip

    def run(self, command: str, fixture: Fixture, limits: Limits) -> Outcome:
        """Run `bash -c command` in the tree that `fresh` laid out."""
        variables = environment(fixture)
        self._free_at_start = self._free()

        def enter() -> NoReturn:
            confine.set_limits(limits)
            os.chroot(self.tree)
            os.chdir(fixture.cwd)
            confine.drop_privileges(self.uid)
            confine.restrict_to("/", self._landlock)
            confine.die_with_parent()
            confine.close_descriptors_at_exec()
            confine.install_filter(self._filter)
            os.execve("/bin/bash", ["/bin/bash", "-c", command], variables)

        return supervise(enter, self.uid, limits, self.disk_full)

    def disk_full(self, limits: Limits) -> bool:
        """Whether the run's files take more than their share, are too many, or lie too deep to be counted."""
        if self._free_at_start - self._free() > (limits.disk_mb << 20) + UNSEEN_BYTES:
            raise SandboxError("the disk filled up during a run: files without a name, or somebody else's")
        try:
            return trees.disk_usage(self.tree, self._skip) > limits.disk_mb << 20
        except trees.TooManyEntries:
            return True

    def _free(self) -> int:
        usage = os.statvfs(self.tree)
        return usage.f_bavail * usage.f_frsize

    def clear(self) -> None:
        """Remove what the last run left and put the root's own entries back.

        Folders of the fixture stay, empty, since making and removing them is the slow part on a disk; the next
        `fresh` gives them their owner, mode and time again. Extended attributes are removed here. A folder that once
        held so much that it grew is made anew: its size would tell the next run.
        """
        if not self._laid_out:
            return
        kept = {path: set(os.listdir(self.root.top / path)) for path in ("", *self.merged)}
        kept[""] |= {"dev", "proc", "sys"}
        for path in self._folders:  # parents come first, and a folder counts only where its parent is the real one
            parent, _, name = path.rpartition("/")
            where = f"{self.tree}/{path}"
            if parent in kept and os.path.isdir(where) and not os.path.islink(where):
                if os.lstat(where).st_size > self._empty:
                    continue
                kept[parent].add(name)
                kept[path] = set()
                _remove_attributes(where)
        for path, names in kept.items():
            clear(f"{self.tree}/{path}", names)
        for path in self.merged:
            os.chmod(f"{self.tree}/{path}", (self.root.top / path).stat().st_mode & 0o7777)
        grown = [path for path, size in self.merged.items() if os.lstat(f"{self.tree}/{path}").st_size > size]
        for path in (*self._replaced, *grown):
            _remove(self.tree, path)
            _copy_of_root(self.root.top / path, Path(self.tree, path))
        gone = tuple(f"{path}/" for path in (*self._replaced, *grown))
        self._folders = [path for path in self._folders if path in kept and not f"{path}/".startswith(gone)]
        self.merged, self._replaced, self._laid_out = {}, [], False
        if os.lstat(self.tree).st_size > self._top:
            self._link()
            self._folders = []

    def close(self) -> None:
        """Remove the hard links."""
        _remove(*os.path.split(self.tree))


def _copy_of_root(source: Path, target: Path) -> None:
    """The root or a part of it, by hard links, which cost no space; by copies where the disk has no links.

    Nobody can write to the shared files: root owns them, no mode allows it. SandboxError when neither works.
    """
    said = ""
    for how in ("-al", "-a"):
        done = subprocess.run(["cp", how, str(source), str(target)], capture_output=True, text=True)
        if done.returncode == 0:
            return
        said = done.stderr.strip().split("\n")[0][:200]
        if os.path.lexists(target):
            _remove(str(target.parent), target.name)
    raise SandboxError(f"the sandbox root could be neither linked nor copied: {said}")


def _remove(top: str, path: str) -> None:
    """Remove one entry below `top`, whatever it is."""
    where = Path(top, path)
    if where.is_dir() and not where.is_symlink():
        clear(str(where))
        where.rmdir()
    else:
        where.unlink(missing_ok=True)


def _remove_attributes(folder: str) -> None:
    """Remove what a user may attach to a folder: user attributes and access lists."""
    try:
        names = os.listxattr(folder)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return
    for name in names:
        if name.startswith(("user.", "system.posix_acl")):
            os.removexattr(folder, name)
