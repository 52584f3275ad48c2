"""Cores and memory are those of the container, not of its host: read from control groups of both versions."""

import os
from pathlib import Path

import pytest

from eval.common import quota


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /sys/fs/cgroup of a machine with 64 cores; returns its folder."""
    monkeypatch.setattr(quota, "CONTROL", tmp_path)
    monkeypatch.setattr(quota, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    return tmp_path


def write(groups: Path, **files: str) -> None:
    """Files of a group, `__` for a slash and `_dot_` for a dot."""
    for name, text in files.items():
        path = groups / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


INSTALLED = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_without_groups_the_affinity_and_the_installed_memory_count(groups: Path) -> None:
    assert (quota.cores(), quota.memory_bytes()) == (64, INSTALLED)


def test_a_quota_of_version_2_counts_rounded_up_and_max_is_none(groups: Path) -> None:
    write(groups, own="0::/", cpu_dot_max="750000 100000", memory_dot_max="8000000000")
    assert (quota.cores(), quota.memory_bytes()) == (8, min(INSTALLED, 8000000000))
    write(groups, cpu_dot_max="max 100000", memory_dot_max="max")
    assert (quota.cores(), quota.memory_bytes()) == (64, INSTALLED)


def test_a_quota_of_version_1_counts_and_minus_one_is_none(groups: Path) -> None:
    write(groups, own="4:memory:/\n1:cpu,cpuacct:/", memory__memory_dot_limit_in_bytes="2000000000")
    write(groups, **{"cpu,cpuacct__cpu_dot_cfs_quota_us": "400000", "cpu,cpuacct__cpu_dot_cfs_period_us": "100000"})
    assert (quota.cores(), quota.memory_bytes()) == (4, 2000000000)
    write(groups, **{"cpu,cpuacct__cpu_dot_cfs_quota_us": "-1"})
    write(groups, memory__memory_dot_limit_in_bytes="9223372036854771712")
    assert (quota.cores(), quota.memory_bytes()) == (64, INSTALLED)


def test_the_smallest_limit_of_all_groups_above_counts(groups: Path) -> None:
    write(groups, own="0::/pod/job", pod__job__cpu_dot_max="800000 100000", pod__cpu_dot_max="300000 100000")
    assert quota.cores() == 3


def test_a_path_of_the_host_that_is_not_mounted_here_falls_back_to_the_top(groups: Path) -> None:
    write(groups, own="1:cpu:/docker/0123456789abcdef", cpu__cpu_dot_cfs_quota_us="200000")
    write(groups, cpu__cpu_dot_cfs_period_us="100000")
    assert quota.cores() == 2


def test_the_affinity_counts_where_it_is_smaller_and_there_is_always_one_core(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    write(groups, own="0::/", cpu_dot_max="750000 100000")
    assert quota.cores() == 1
    write(groups, cpu_dot_max="1000 100000")
    assert quota.cores() == 1


def test_this_machine_has_an_answer() -> None:
    assert 1 <= quota.cores() <= (os.cpu_count() or 1) and 0 < quota.memory_bytes() <= INSTALLED
