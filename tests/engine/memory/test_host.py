"""Memory and cores of the computer, read from made-up systems."""

from __future__ import annotations

import ctypes
import sys

import pytest

from engine.hardware import Host
from engine.memory import host as module
from engine.memory.host import host, windows_memory

GIB = 2**30
MEMINFO = f"MemTotal: {32 * GIB >> 10} kB\nMemFree: 7 kB\nMemAvailable: {20 * GIB >> 10} kB\n"

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the folders proc and sys")


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A Linux of 32 GiB, 20 of them available, with 8 cores; files by their path."""
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(8)))

    def make(files):
        for path, text in {"proc/meminfo": MEMINFO, **files}.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(text))
        return host(tmp_path)

    return make


def second(folder="", **values):
    return {f"sys/fs/cgroup{folder}/{name.replace('_', '.')}": v for name, v in values.items()}


@linux
def test_without_a_container_the_kernels_word_counts(system):
    free = Host(total_bytes=32 * GIB, available_bytes=20 * GIB, cores=8)
    assert system({}) == free
    files = {"proc/self/cgroup": "0::/user.slice\n"}
    files |= second("/user.slice", memory_max="max\n", memory_current=9 * GIB, cpu_max="max 100000")
    assert system(files) == free


@linux
def test_a_container_bounds_memory_and_cores(system):
    files = {"proc/self/cgroup": "0::/\n"}
    files |= second(memory_max=8 * GIB, memory_current=3 * GIB, cpu_max="250000 100000\n")
    assert system(files) == Host(total_bytes=8 * GIB, available_bytes=5 * GIB, cores=3)


@linux
def test_copies_of_files_are_no_burden(system):
    stat = f"anon {GIB}\ninactive_file {GIB}\nactive_file {GIB // 2}\nfile_dirty 77\n"
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.stat": stat}
    files |= second(memory_max=8 * GIB, memory_current=3 * GIB)
    assert system(files).available_bytes == 6.5 * GIB


@linux
def test_the_tightest_group_of_all_above_counts(system):
    files = {"proc/self/cgroup": "0::/a/b\n"}
    files |= second("/a", memory_max=4 * GIB, memory_current=1 * GIB, cpu_max="50000 100000")
    files |= second("/a/b", memory_max=6 * GIB, memory_current=GIB // 2, cpu_max="max 100000")
    assert system(files) == Host(total_bytes=4 * GIB, available_bytes=3 * GIB, cores=1)


@linux
def test_a_mark_that_slows_down_is_a_limit(system):
    files = {"proc/self/cgroup": "0::/\n"}
    files |= second(memory_max="max", memory_high=2 * GIB, memory_current=GIB)
    assert system(files).available_bytes == GIB


@linux
def test_a_full_container_is_not_an_unknown_one(system):
    files = {"proc/self/cgroup": "0::/\n"}
    files |= second(memory_max=2 * GIB, memory_current=3 * GIB)
    assert system(files).available_bytes == 1


@linux
@pytest.mark.parametrize("path", ["/docker/0a1b", "/.."])
def test_a_path_of_the_outside_leads_to_the_containers_own_group(system, path):
    files = {"proc/self/cgroup": f"0::{path}\n", "sys/fs/memory.max": GIB}
    assert system(files | second(memory_max=8 * GIB)).total_bytes == 8 * GIB


@linux
def test_the_first_version_of_groups_is_read_too(system):
    stat = f"inactive_file 5\ntotal_inactive_file {GIB}\ntotal_active_file 0\n"
    memory = {"limit_in_bytes": 8 * GIB, "usage_in_bytes": 4 * GIB, "stat": stat}
    files = {f"sys/fs/cgroup/memory/job/memory.{name}": value for name, value in memory.items()}
    files["sys/fs/cgroup/memory/memory.limit_in_bytes"] = 9223372036854771712
    files["sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = 400000
    files["sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us"] = 100000
    files["proc/self/cgroup"] = "5:memory:/job\n4:cpu,cpuacct:/\n3:pids:/job\n"
    assert system(files) == Host(total_bytes=8 * GIB, available_bytes=5 * GIB, cores=4)


@linux
def test_the_first_version_without_limits_has_none(system):
    files = {
        "proc/self/cgroup": "2:memory:/\n1:cpu:/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
        "sys/fs/cgroup/memory/memory.usage_in_bytes": 40 * GIB,
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1,
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000,
    }
    assert system(files) == Host(total_bytes=32 * GIB, available_bytes=20 * GIB, cores=8)


@linux
@pytest.mark.parametrize("text", ["", "no colons", "0::/\n", "0::", "x:y:z\n:::\n", "0::/a\0b"])
def test_a_strange_kernel_limits_nothing(system, text):
    assert system({"proc/self/cgroup": text}).total_bytes == 32 * GIB


@linux
def test_there_is_always_a_core(system):
    files = {"proc/self/cgroup": "0::/\n", **second(cpu_max="0 100000")}
    assert system(files).cores == 1


@linux
def test_a_kernel_that_says_nothing_leaves_memory_unknown(system):
    assert system({"proc/meminfo": ""}) == Host(cores=8)


def test_windows_tells_what_may_be_committed():
    def ask(reference):
        status = ctypes.cast(reference, ctypes.POINTER(module.MemoryStatus)).contents
        assert status.length == 64
        status.total, status.available, status.available_commit = 16 * GIB, 9 * GIB, 6 * GIB
        return 1

    assert windows_memory(ask) == (16 * GIB, 6 * GIB)
    assert windows_memory(lambda _: 0) == (0, 0)


def test_this_computer_is_known():
    found = host()
    assert found.cores >= 1
    assert 0 < found.available_bytes < found.total_bytes
