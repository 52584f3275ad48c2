"""The system-call filter, assembled here as classic BPF: no library, no compiler.

A denylist. A refused call answers EPERM and the program goes on, as on a locked-down machine. It closes what a shell
command never needs and what has broken sandboxes before: namespaces, mounts, ptrace, io_uring, keyrings, bpf, clocks,
terminal injection, System V IPC and message queues (which outlive their process), memory files and shared anonymous
memory (which no limit counts), disk space beyond a file's end (the same), and whatever an inode carries beside content,
mode and extended attributes: flags, versions, quotas, encryption. Sockets are allowed by family.

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

CLONE, CLONE3, SOCKET, SOCKETPAIR, IOCTL, PERSONALITY, MKNOD, MKNODAT = 56, 435, 41, 53, 16, 135, 133, 259
MMAP, FALLOCATE, SETSOCKOPT, PRCTL = 9, 285, 54, 157
SET_DUMPABLE = 4  # hides what a process has mapped from its own user, as whom a container's root looks
BUFFER_SIZES = {"SO_SNDBUF": 7, "SO_RCVBUF": 8, "SO_SNDBUFFORCE": 32, "SO_RCVBUFFORCE": 33}
SHARED_ANONYMOUS = 0x21  # MAP_SHARED | MAP_ANONYMOUS
PLAIN, PUNCH_HOLE = 0, 3  # modes of fallocate(2): grow a file, which RLIMIT_FSIZE bounds; give space back
DENIED_IOCTLS = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C}
# The ioctls of file systems, by their letter, are refused but for these, which only read: an inode's attributes outlive
# the emptying of a folder (chattr, chattr -v, project quotas, encryption). FICLONE (cp) has another letter.
FILE_SYSTEM_LETTERS = {"f": 0x6600, "v": 0x7600, "X": 0x5800}
READING_IOCTLS = {"FS_IOC_GETFLAGS": 0x80086601, "FS_IOC_FIEMAP": 0xC020660B, "FS_IOC_GETVERSION": 0x80087601,
                  "FS_IOC_FSGETXATTR": 0x801C581F}  # fmt: skip

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
    "file_setattr": 469,
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
    program += _argument(IOCTL, 1, _ioctls(refuse))
    # Memory that a process holds without having it mapped; /dev/zero, the other way to it, is supervise.py's.
    shared = [(_AND, 0, 0, SHARED_ANONYMOUS), (_EQUAL, 0, 1, SHARED_ANONYMOUS), refuse]
    program += _argument(MMAP, 3, shared)
    modes = [step for mode in (PLAIN, PUNCH_HOLE) for step in ((_EQUAL, 0, 1, mode), (_RETURN, 0, 0, _ALLOW))]
    program += _argument(FALLOCATE, 1, [*modes, (_RETURN, 0, 0, _ERRNO | errno.EOPNOTSUPP)])
    # "Done", and nothing is: so a socket holds no more than memory.py takes it to.
    sizes = [step for size in BUFFER_SIZES.values() for step in ((_EQUAL, 0, 1, size), (_RETURN, 0, 0, _ERRNO))]
    program += _argument(SETSOCKOPT, 2, sizes)
    program += _argument(PRCTL, 0, [(_EQUAL, 0, 1, SET_DUMPABLE), (_RETURN, 0, 0, _ERRNO)])
    allowed = [(_EQUAL, 0, 1, family) for family in sorted(families)]
    wanted = [step for test in allowed for step in (test, (_RETURN, 0, 0, _ALLOW))]
    unsupported = _RETURN, 0, 0, _ERRNO | (errno.EAFNOSUPPORT if families else errno.EPERM)
    for call in (SOCKET, SOCKETPAIR):  # a datagram pair can send to any name: it is as much of a socket
        program += _argument(call, 0, [*wanted, unsupported])
    query = [(_EQUAL, 1, 0, 0xFFFFFFFF), (_EQUAL, 0, 1, 0), (_RETURN, 0, 0, _ALLOW), refuse]
    program += _argument(PERSONALITY, 0, query)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in program)


def _ioctls(refuse: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Tests on the request of an ioctl: some are refused, and of a file system's all but a few."""
    steps = [step for number in DENIED_IOCTLS.values() for step in ((_EQUAL, 0, 1, number), refuse)]
    for number in READING_IOCTLS.values():
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    steps.append((_AND, 0, 0, 0xFF00))
    return steps + [step for letter in FILE_SYSTEM_LETTERS.values() for step in ((_EQUAL, 0, 1, letter), refuse)]


def _argument(call: int, position: int, tests: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Tests on the low half of one argument of `call`; afterwards the call's number is loaded again."""
    body = [(_LOAD, 0, 0, 16 + 8 * position), *tests, (_LOAD, 0, 0, 0)]
    return [(_EQUAL, 0, len(body), call), *body]
