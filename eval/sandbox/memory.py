"""How much memory the processes of one user hold, by what the kernel tells root about them, and how much is left.

Resident memory alone is not it. A process whose first thread ended shows none, though the others go on. Sockets buffer
what nobody reads, in the kernel. Shared memory stays when a process lets go of its pages: the one kind that the system
call filter cannot refuse, a mapping of /dev/zero, therefore counts as too much by itself.

It does NOT count: page tables, pipes and names in the kernel's caches, which the kernel or a resource limit bounds.
"""

# Strings on purpose: this looks at every process ten times a second.
# ruff: noqa: PTH115, PTH123, PTH208
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

TOO_MUCH = 1 << 62  # bytes
PAGE = os.sysconf("SC_PAGESIZE")
SHARED_ZEROS = b"/dev/zero"
FIELDS = (b"\nVmRSS:", b"\nVmSwap:")


def held_bytes(uid: int) -> int:
    """Memory of all processes of `uid`: resident and swapped, shared pages once for each, and socket buffers."""
    total = 0
    networks: dict[str, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it has ended
                total += _process_bytes(f"/proc/{name}", uid, networks)
    return total + sum(networks.values())


def _process_bytes(process: str, uid: int, networks: dict[str, int]) -> int:
    """Memory of one process, 0 for another user's; adds the sockets of its network where it is not this one's."""
    status = _read(f"{process}/status")
    if f"\nUid:\t{uid}\t".encode() not in status:
        return 0
    for thread in (process, *_others(process, status)):
        status = _read(f"{thread}/status")
        if FIELDS[0] not in status:
            continue  # this thread has ended; the process has not
        try:
            maps, network = _mappings(thread, uid)
        except PermissionError:  # a program that hides itself from its own user
            return TOO_MUCH
        if SHARED_ZEROS in maps:
            return TOO_MUCH
        if network not in networks:
            own = network == os.readlink("/proc/self/ns/net")
            networks[network] = 0 if own else _socket_bytes(_read(f"{thread}/net/sockstat"))
        return sum(_number(status, field) << 10 for field in FIELDS)
    return 0


def _mappings(thread: str, uid: int) -> tuple[bytes, str]:
    """What a thread has mapped, and the name of its network. Root of a container may only look as the user it is."""
    try:
        return _read(f"{thread}/maps"), os.readlink(f"{thread}/ns/net")
    except PermissionError:
        os.setegid(uid)
        os.seteuid(uid)
        try:
            return _read(f"{thread}/maps"), os.readlink(f"{thread}/ns/net")
        finally:
            os.seteuid(0)
            os.setegid(0)


def _others(process: str, status: bytes) -> Iterator[str]:
    """The other threads of a process whose first one ended."""
    if b"\nState:\tZ" in status:
        yield from (f"{process}/task/{thread}" for thread in os.listdir(f"{process}/task"))


def _socket_bytes(counts: bytes) -> int:
    """What the sockets of a network may hold: none says what it does. Buffers have their default size (seccomp.py), but
    for TCP, which grows them and says how much it uses in all networks together. Source: /proc/net/sockstat."""
    words = counts.split()
    used, stream = (int(words[words.index(name) + 2]) for name in (b"sockets:", b"TCP:"))
    pages = int(words[words.index(b"mem") + 1])
    by_default, grown = _most(("core/wmem_default", "core/rmem_default")), _most(("ipv4/tcp_wmem", "ipv4/tcp_rmem"))
    return used * by_default + min(stream * grown, pages * PAGE)


@cache
def _most(names: tuple[str, ...]) -> int:
    """Sum of the largest values of some settings of /proc/sys/net, in bytes."""
    return sum(int(_read(f"/proc/sys/net/{name}").split()[-1]) for name in names)


def _number(status: bytes, field: bytes) -> int:
    start = status.find(field)
    return int(status[start + len(field) :].split(None, 1)[0]) if start >= 0 else 0


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def available_share() -> float:
    """Share of the machine's memory that is available."""
    fields = dict(line.split(b":") for line in _read("/proc/meminfo").splitlines())
    available, total = (int(fields[name].split()[0]) for name in (b"MemAvailable", b"MemTotal"))
    return available / total
