"""The system-call filter, assembled here as classic BPF: no library, no compiler.

A denylist. A refused call answers EPERM and the program goes on, as on a locked-down machine. It closes what a shell
command never needs and what has broken sandboxes before: namespaces, mounts, ptrace, io_uring, keyrings, bpf, clocks,
terminal injection, System V IPC and message queues (which outlive their process), memory files (which no limit counts).
Sockets are allowed by family.

It does NOT protect against bugs in the calls that remain, nor against timing channels.
Sources: linux/seccomp.h, linux/filter.h, asm/unistd_64.h (x86-64 only).
"""

import errno
import struct

ARCH_X86_64 = 0xC000003E
X32_BIT = 0x40000000
NAMESPACE_FLAGS = 0x7E020080  # CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16

_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

CLONE, CLONE3, SOCKET, IOCTL, PERSONALITY, MKNOD, MKNODAT = 56, 435, 41, 16, 135, 133, 259
# Terminal injection, and file attributes that outlive a folder's emptying (chattr, project quotas).
DENIED_IOCTLS = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "FS_IOC_SETFLAGS": 0x40086602, "FS_IOC_FSSETXATTR": 0x401C5820}

# Refused whatever the arguments: name -> x86-64 number.
DENIED = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "open_tree_attr": 467, "statmount": 457, "listmount": 458,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    "process_madvise": 440, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "io_setup": 206,
    "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320,
    "reboot": 169, "swapon": 167, "swapoff": 168, "sethostname": 170, "setdomainname": 171, "acct": 163,
    "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305,
    "quotactl": 179, "quotactl_fd": 443, "nfsservctl": 180, "syslog": 103, "iopl": 172, "ioperm": 173,
    "modify_ldt": 154, "vhangup": 153, "lookup_dcookie": 212, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "fanotify_init": 300, "memfd_secret": 447, "memfd_create": 319, "move_pages": 279, "mbind": 237,
    "set_mempolicy": 238, "migrate_pages": 256, "uselib": 134, "vmsplice": 278,
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semctl": 66, "semop": 65, "semtimedop": 220,
    "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241,
}  # fmt: skip


def filter_program(families: frozenset[int]) -> bytes:
    """The BPF program (an array of struct sock_filter) that lets sockets of `families` be created, and no others."""
    refuse = _RETURN, 0, 0, _ERRNO | errno.EPERM
    program: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),  # seccomp_data.arch: a 32-bit call would have other numbers
        (_EQUAL, 1, 0, ARCH_X86_64),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        (_AT_LEAST, 0, 1, X32_BIT),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in sorted(DENIED.values()):
        program += [(_EQUAL, 0, 1, number), refuse]
    # glibc falls back to clone, whose flags can be seen; those of clone3 are behind a pointer.
    program += [(_EQUAL, 0, 1, CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    program += _argument(CLONE, 0, [(_ANY_BIT, 0, 1, NAMESPACE_FLAGS), refuse])
    for call, position in ((MKNOD, 1), (MKNODAT, 2)):
        devices = [(_AND, 0, 0, 0o170000)]
        for kind in (0o020000, 0o060000):
            devices += [(_EQUAL, 0, 1, kind), refuse]
        program += _argument(call, position, devices)
    ioctls = [step for number in DENIED_IOCTLS.values() for step in ((_EQUAL, 0, 1, number), refuse)]
    program += _argument(IOCTL, 1, ioctls)
    allowed = [(_EQUAL, 0, 1, family) for family in sorted(families)]
    wanted = [step for test in allowed for step in (test, (_RETURN, 0, 0, _ALLOW))]
    unsupported = _RETURN, 0, 0, _ERRNO | (errno.EAFNOSUPPORT if families else errno.EPERM)
    program += _argument(SOCKET, 0, [*wanted, unsupported])
    query = [(_EQUAL, 1, 0, 0xFFFFFFFF), (_EQUAL, 0, 1, 0), (_RETURN, 0, 0, _ALLOW), refuse]
    program += _argument(PERSONALITY, 0, query)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in program)


def _argument(call: int, position: int, tests: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Tests on the low half of one argument of `call`; afterwards the call's number is loaded again."""
    body = [(_LOAD, 0, 0, 16 + 8 * position), *tests, (_LOAD, 0, 0, 0)]
    return [(_EQUAL, 0, len(body), call), *body]
