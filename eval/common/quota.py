"""What this process may use of its machine: cores and memory after affinity and control groups have had their say.

    cores()           4 on a pod with a quota of four of its host's 128 cores
    memory_bytes()    the smallest limit that holds, else the machine's memory

`os.cpu_count()` and /proc/meminfo describe the host, also inside a container. The limits of every group from this
process's own up to the root count; both versions of control groups are read (cgroups(7)).
"""

import os
from collections.abc import Iterator
from pathlib import Path

CONTROL = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def cores() -> int:
    """Whole cores that may be kept busy, at least one: the affinity mask, or a smaller quota, rounded up."""
    allowed = len(os.sched_getaffinity(0))
    quotas = [-(-quota // period) for quota, period in _cpu_quotas() if quota > 0 and period > 0]
    return max(1, min([allowed, *quotas]))


def memory_bytes() -> int:
    """Memory that may be used. A group without a limit has a very large one in version 1, and `max` in version 2."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    names = {"": "memory.max", "memory": "memory.limit_in_bytes"}
    texts = [_text(folder / names[kind]) for kind, folder in _groups() if kind in names]
    return min([installed, *(int(text) for text in texts if text.isdecimal() and int(text) > 0)])


def _cpu_quotas() -> Iterator[tuple[int, int]]:
    """(quota, period) in microseconds of every group that has one."""
    for kind, folder in _groups():
        if kind == "":
            words = _text(folder / "cpu.max").split()
        elif "cpu" in kind.split(","):
            words = [_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        else:
            continue
        if len(words) == 2 and all(word.isdecimal() for word in words):  # not `max`, not -1
            yield int(words[0]), int(words[1])


def _groups() -> Iterator[tuple[str, Path]]:
    """(controllers, folder) of this process's groups and all above them; version 2 has no controllers: "".

    Inside a container the path may be the host's, of which only the top is mounted: what is not there is skipped.
    """
    for line in _text(OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        tops = [CONTROL, CONTROL / "unified"] if controllers == "" else [CONTROL / controllers]
        own = Path(path.lstrip("/"))
        for top in tops:
            for group in (own, *own.parents):
                yield controllers, top / group


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
