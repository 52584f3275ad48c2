"""Backend `namespaces`: a dedicated user id plus bubblewrap with every namespace. For a laptop, a VM or a CI machine.

The command sees a fresh tmpfs as `/`, the sandbox root's /usr, /etc and /var read-only, its own /proc, /dev, process
ids, host name, IPC and an empty network. bubblewrap runs as an unprivileged user of its own in a user namespace with
no capability, so a mistake of ours in its arguments costs no root.

It does NOT protect against bugs of the kernel, timing and cache channels, or a machine-wide shortage of memory: the
sum over processes is looked at ten times a second, not enforced by the kernel.
"""

# Strings and descriptors on purpose: thousands of calls a run, and no link may be followed.
# ruff: noqa: PTH102, PTH112, PTH114, PTH115, PTH211
import os
from pathlib import Path
from typing import NoReturn

from eval.common.programs import BUBBLEWRAP, how_to_install
from eval.sandbox import confine, seccomp, trees
from eval.sandbox.execution import Limits, SandboxError
from eval.sandbox.root import Root, environment, visible
from eval.sandbox.stored import Fixture
from eval.sandbox.supervise import Outcome, supervise

FAMILIES = frozenset({seccomp.AF_UNIX, seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK})
USER_ID = "1000"  # inside; the name is in the sandbox root's /etc/passwd
SHARED_MEMORY = str(16 << 20)


class Namespaces:
    """One worker's sandbox: everything it mounts lives in a mount namespace of its own and dies with it."""

    name = "namespaces"
    merged: tuple[str, ...] = ()  # the fixture's folders are its own here

    def __init__(self, root: Root, uid: int, base: Path) -> None:
        """Prepare `base` (made if missing) for runs as `uid`. SandboxError when a part is missing or refused."""
        self.uid, self.root, self.base = uid, root, base
        self.program = BUBBLEWRAP.find() or ""
        if not self.program:
            raise SandboxError(f"bubblewrap is missing: {how_to_install([BUBBLEWRAP.package])}")
        base.mkdir(parents=True, exist_ok=True)
        self.tree, self.lower = f"{base}/tree", f"{base}/root"
        try:
            confine.unshare(confine.NEW_MOUNTS)
            confine.mount("none", "/", "none", confine.RECURSIVE | confine.PRIVATE)
            confine.mount("sandbox", str(base), "tmpfs", confine.NO_SUID | confine.NO_DEVICES, "mode=0711,size=1m")
            for folder in (self.tree, self.lower):
                Path(folder).mkdir(mode=0o711)
            confine.mount(str(root.top), self.lower, "none", confine.BIND | confine.RECURSIVE)
            if root.kind == "host":
                confine.mount("/usr", f"{self.lower}/usr", "none", confine.BIND | confine.RECURSIVE)
        except OSError as error:
            raise SandboxError(f"no mounts here ({error}): the namespaces backend needs root on a VM") from None
        self._filter = os.memfd_create("seccomp")
        os.write(self._filter, seccomp.filter_program(FAMILIES))
        self._status, self._options = os.memfd_create("status"), os.memfd_create("options")
        self._mounted = False

    def fresh(self, fixture: Fixture, tree: trees.Tree, limits: Limits) -> frozenset[str]:
        """A new empty tmpfs of `limits.disk_mb` with the fixture in it. Returns the paths that belong to the root."""
        self.clear()
        size = f"size={limits.disk_mb}m,nr_inodes={trees.MAX_ENTRIES},mode=1777"
        confine.mount("sandbox", self.tree, "tmpfs", confine.NO_SUID | confine.NO_DEVICES, size)
        self._mounted = True
        trees.lay_out(tree, self.tree, self.uid)
        self._visible = visible(self.root, tree)
        for path in self._visible:
            where, source = f"{self.tree}/{path}", f"{self.lower}/{path}"
            if os.path.islink(source):
                os.symlink(os.readlink(source), where)
            elif os.path.isdir(source):
                os.mkdir(where)
            else:
                os.close(os.open(where, os.O_CREAT | os.O_WRONLY, 0o644))
        for special in ("proc", "dev"):
            os.mkdir(f"{self.tree}/{special}", 0o755)
        return frozenset(self._visible) | {"proc", "dev"}

    def run(self, command: str, fixture: Fixture, limits: Limits) -> Outcome:
        """Run `bash -c command` in the tree that `fresh` laid out. SandboxError when bubblewrap could not start it."""
        for descriptor, content in (
            (self._options, "\0".join(self._arguments(fixture)).encode()),
            (self._status, b""),
            (self._filter, None),
        ):
            os.lseek(descriptor, 0, os.SEEK_SET)
            if content is not None:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, content)
                os.lseek(descriptor, 0, os.SEEK_SET)
        arguments = ["bwrap", "--args", str(self._options), "/bin/bash", "-c", command]

        def enter() -> NoReturn:
            confine.set_limits(limits)
            confine.become(self.uid)
            confine.die_with_parent()
            confine.close_descriptors_at_exec()
            for descriptor in (self._filter, self._status, self._options):
                os.set_inheritable(descriptor, True)
            os.execve(self.program, arguments, environment(fixture))

        outcome = supervise(enter, self.uid, limits, self.disk_full)
        if outcome.exit is not None and b'"exit-code"' not in os.pread(self._status, 4096, 0):
            said = outcome.stderr.decode(errors="replace").strip().splitlines()
            raise SandboxError(f"bubblewrap did not start the command: {said[0] if said else 'no reason given'}")
        return outcome

    def _arguments(self, fixture: Fixture) -> list[str]:
        """bubblewrap's options; they go through a file, so that `ps` inside shows no path of this machine."""
        mounts = []
        for path in self._visible:
            source = f"{self.lower}/{path}"
            if not os.path.islink(source):
                mounts += ["--ro-bind", source, f"/{path}"]
        return [
            "--unshare-user", "--unshare-all", "--disable-userns", "--cap-drop", "ALL",
            "--uid", USER_ID, "--gid", USER_ID, "--hostname", "sandbox", "--die-with-parent", "--new-session",
            "--bind", self.tree, "/", *mounts, "--proc", "/proc", "--dev", "/dev",
            "--size", SHARED_MEMORY, "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
            "--chdir", fixture.cwd, "--seccomp", str(self._filter), "--json-status-fd", str(self._status),
        ]  # fmt: skip

    def disk_full(self, limits: Limits) -> bool:
        """Whether the run's file system has no room left. The kernel enforces this limit; here it is only noticed."""
        usage = os.statvfs(self.tree)
        return usage.f_bfree * usage.f_frsize < 1 << 16 or usage.f_ffree == 0

    def clear(self) -> None:
        """Drop the run's file system with everything in it."""
        if self._mounted:
            confine.unmount(self.tree)
            self._mounted = False

    def close(self) -> None:
        """Mounts end with this process; only the empty folder is left to remove."""
        self.clear()
        if self.root.kind == "host":
            confine.unmount(f"{self.lower}/usr")
        confine.unmount(self.lower)
        confine.unmount(str(self.base))
        self.base.rmdir()
