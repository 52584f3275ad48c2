"""How an ordinary user starts a sandbox: as root of a user namespace, with the subordinate ids that /etc/subuid gives.

Workers need to be root over a hundred user ids, not over the machine. Most distributions give every user 65,536 ids of
nobody's (subuid(5)), and util-linux's `unshare` maps them. A command that got out would be one of those, not the user.
"""

import os
import subprocess
from pathlib import Path

from eval.sandbox.execution import SandboxError

NAMESPACE = ("unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--")
LAST_ID = 65_000  # more than any user id of the sandbox: pool.LAST_UID plus supervise.KEEPER
SYSTEM_STATE = Path("/run/securecli-tuner")
SHARED = Path("/tmp")  # not TMPDIR, which may be closed to others


def as_root() -> tuple[str, ...]:
    """What to write before a program that must be root over the sandbox's ids: nothing for root itself."""
    return () if os.geteuid() == 0 else NAMESPACE


def require_root() -> None:
    """SandboxError with the reason when this user can neither be root nor make such a namespace."""
    if os.geteuid() == 0:
        return
    script = f"test -n \"$(awk '$1 <= {LAST_ID} && {LAST_ID} < $1 + $3' /proc/self/uid_map)\" && mount -t tmpfs x /tmp"
    try:
        done = subprocess.run([*NAMESPACE, "sh", "-c", script], capture_output=True, text=True)
    except FileNotFoundError:
        raise SandboxError("the sandbox needs root or `unshare` of util-linux: use sudo") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["too few subordinate ids in /etc/subuid"]
        raise SandboxError(f"no user namespace for an ordinary user here ({said[0]}): use sudo, or see docs/sandbox.md")


def state_folder() -> Path:
    """Where user ids are claimed and workers mount: one of the machine for root, else one of the user.

    The ids have to pass through it, so it cannot be in a closed folder. SandboxError when somebody else made it.
    """
    if os.geteuid() == 0:
        SYSTEM_STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
        return SYSTEM_STATE
    folder = SHARED / f"securecli-tuner-{os.geteuid()}"
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise SandboxError(f"{folder} belongs to somebody else: remove it")
    folder.chmod(0o711)  # whatever the umask made of it
    return folder
