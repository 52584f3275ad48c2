"""System calls that confine a process: privileges, Landlock, seccomp, resource limits, mounts. Linux on x86-64.

Each function does one thing to the calling process and raises OSError when the kernel refuses: a sandbox that could
not be closed must not run. Python's own library covers the rest. Sources: linux/prctl.h, linux/landlock.h.
"""

import ctypes
import errno
import os
import resource
import struct

from eval.sandbox.execution import Limits

_LIBC = ctypes.CDLL(None, use_errno=True)

NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
READ_ONLY, NO_SUID, NO_DEVICES, BIND, RECURSIVE, PRIVATE, REMOUNT, DETACH = 1, 2, 4, 4096, 16384, 1 << 18, 32, 2

_SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _CAPBSET_DROP = 1, 4, 22, 24
_SET_SUBREAPER, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _AMBIENT_CLEAR = 36, 38, 47, 4
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT, _CLOSE_RANGE = 444, 445, 446, 436
_PATH_BENEATH = 1
# LANDLOCK_ACCESS_FS_*: bits 0 to 12 exist since ABI 1, refer 2, truncate 3, device ioctls 5.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_MAKE_CHAR, _MAKE_BLOCK, _DEVICE_IOCTL = 1 << 6, 1 << 11, 1 << 15
_BIND_AND_CONNECT_TCP = 3  # ABI 4
_NO_ABSTRACT_SOCKETS_NO_SIGNALS = 3  # ABI 6


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, first: int = 0, second: int = 0) -> None:
    unsigned = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    _check(_LIBC.prctl(option, *unsigned), f"prctl {option}")


def unshare(flags: int) -> None:
    """Leave the parent's namespaces named by `flags`."""
    _check(_LIBC.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(_LIBC.mount(*arguments), f"mount {target}")


def unmount(target: str) -> None:
    """Detach a mount at once, whoever still uses it."""
    _check(_LIBC.umount2(target.encode(), DETACH), f"umount {target}")


def adopt_orphans() -> None:
    """Descendants whose parent dies become children of this process, so that it can wait for every one of them."""
    _prctl(_SET_SUBREAPER, 1)


def die_with_parent() -> None:
    """The kernel kills this process when the thread that forked it ends. Cleared by a change of user id."""
    _prctl(_SET_PDEATHSIG, 9)


def set_limits(limits: Limits) -> None:
    """Resource limits of this process and its descendants; hard limits, so that nobody raises them again."""
    memory = limits.memory_mb << 20
    table = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: limits.file_mb << 20,
        resource.RLIMIT_NPROC: limits.processes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_STACK: 8 << 20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 256,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    for kind, value in table.items():
        _, hard = resource.getrlimit(kind)  # a container may already allow less, and lets nobody raise it
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    # One more second than the soft limit: a program that ignores SIGXCPU is killed.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))


def drop_privileges(uid: int) -> None:
    """Become `uid` for good: no groups, no capability in any set, no way to gain one by executing a file."""
    capability = 0
    while drop_from_bounding_set(capability):
        capability += 1
    become(uid)


def drop_from_bounding_set(capability: int) -> bool:
    """No program executed from now on can get this capability. False when the kernel has none of that number."""
    try:
        _prctl(_CAPBSET_DROP, capability)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


def become(uid: int) -> None:
    """Change user and group ids, drop all groups, and forbid new privileges. The kernel clears the capabilities."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _prctl(_CAP_AMBIENT, _AMBIENT_CLEAR)
    _prctl(_SET_NO_NEW_PRIVS, 1)


def install_filter(program: bytes) -> None:
    """Install a seccomp filter (seccomp.filter_program) on this process. Needs no_new_privs."""
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    _prctl(_SET_SECCOMP, 2, ctypes.addressof(header))


def landlock_version() -> int:
    """Landlock's ABI version, 0 where the kernel has none (or gVisor stands in for one)."""
    return max(0, int(_LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def restrict_to(folder: str, version: int) -> None:
    """Landlock: nothing outside `folder`, no device nodes, no TCP, and no signals or abstract sockets to outside.

    `version` is what landlock_version() said; rights younger than it are left to the other layers.
    """
    handled = sum(bits for since, bits in _FILE_RIGHTS.items() if since <= version)
    network = _BIND_AND_CONNECT_TCP if version >= 4 else 0
    scoped = _NO_ABSTRACT_SOCKETS_NO_SIGNALS if version >= 6 else 0
    attributes = struct.pack("=QQQ", handled, network, scoped)[: 8 if version < 4 else 16 if version < 6 else 24]
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    create = (_LANDLOCK_CREATE, buffer, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    ruleset = _check(_LIBC.syscall(*create), "landlock_create_ruleset")
    inside = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    allowed = handled & ~(_MAKE_CHAR | _MAKE_BLOCK | _DEVICE_IOCTL)
    rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, inside), 12)
    _check(_LIBC.syscall(_LANDLOCK_ADD, ruleset, _PATH_BENEATH, rule, ctypes.c_uint32(0)), "landlock_add_rule")
    _check(_LIBC.syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0)), "landlock_restrict_self")
    os.close(inside)
    os.close(ruleset)


def close_descriptors_at_exec() -> None:
    """Mark every descriptor above 2 so that the program about to be executed does not get it."""
    _check(_LIBC.syscall(_CLOSE_RANGE, ctypes.c_uint(3), ctypes.c_uint(0xFFFFFFFF), ctypes.c_uint(4)), "close_range")
