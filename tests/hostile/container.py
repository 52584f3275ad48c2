"""An emulation of a default unprivileged Docker container, for testing the pod backend on a machine without Docker.

    python -m tests.hostile.container COMMAND...

Own process, mount, IPC and host-name spaces; the default capability set; and the default seccomp profile as far as it
matters here: what Docker refuses without CAP_SYS_ADMIN and its like answers EPERM, clone3 answers ENOSYS.
The network is not separated, so that attempts to reach it stay meaningful. Source: moby, profiles/seccomp/default.json.
"""

import os
import struct
import sys

from eval.sandbox import confine, seccomp

# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE
# SETFCAP, by number.
KEPT = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}
REFUSED = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "unshare": 272, "setns": 308, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "add_key": 248,
    "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "init_module": 175, "finit_module": 313, "delete_module": 176,
    "kexec_load": 246, "kexec_file_load": 320, "reboot": 169, "swapon": 167, "swapoff": 168, "sethostname": 170,
    "setdomainname": 171, "acct": 163, "settimeofday": 164, "clock_settime": 227, "quotactl": 179, "iopl": 172,
    "ioperm": 173, "lookup_dcookie": 212, "open_by_handle_at": 304, "fanotify_init": 300, "kcmp": 312,
    "process_madvise": 440, "vhangup": 153, "syslog": 103, "nfsservctl": 180, "uselib": 134, "pidfd_getfd": 438,
    "move_pages": 279, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239, "ustat": 136, "sysfs": 139,
}  # fmt: skip


def docker_filter() -> bytes:
    """The profile as a BPF program."""
    load, equal, any_bit, answer = 0x20, 0x15, 0x45, 0x06
    refuse = answer, 0, 0, 0x00050001
    program = [(load, 0, 0, 0)]
    for number in sorted(REFUSED.values()):
        program += [(equal, 0, 1, number), refuse]
    program += [(equal, 0, 1, seccomp.CLONE3), (answer, 0, 0, 0x00050026)]
    program += [(equal, 0, 4, seccomp.CLONE), (load, 0, 0, 16), (any_bit, 0, 1, seccomp.NAMESPACE_FLAGS), refuse]
    program += [(load, 0, 0, 0), (answer, 0, 0, 0x7FFF0000)]
    return b"".join(struct.pack("=HBBI", *step) for step in program)


def main(command: list[str]) -> None:
    confine.unshare(0x00020000 | 0x20000000 | 0x08000000 | 0x04000000)  # mounts, processes, IPC, host name
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    confine.mount("none", "/", "none", confine.RECURSIVE | confine.PRIVATE)
    confine.mount("proc", "/proc", "proc", 0)
    for capability in range(64):
        if capability not in KEPT and not confine.drop_from_bounding_set(capability):
            break
    confine.install_filter(docker_filter())
    os.execvp(command[0], command)  # as root the new program gets exactly the bounding set


if __name__ == "__main__":
    main(sys.argv[1:])
