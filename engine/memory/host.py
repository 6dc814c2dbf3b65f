"""The computer around the cards: memory and cores, within the limits of a container."""

from __future__ import annotations

import ctypes
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from engine.hardware import Host
from engine.setup.live import mac_available

ROOT: Final = Path("/")
UNLIMITED: Final = 1 << 60
"""Bytes; the first version of control groups says about 2^63 instead, which is no limit either."""

_MEMINFO: Final = re.compile(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", re.MULTILINE)
_FILE_PAGES: Final = re.compile(r"^(?:in)?active_file (\d+)$", re.MULTILINE)
_FIRST_FILE_PAGES: Final = re.compile(r"^total_(?:in)?active_file (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A control group of Linux. limit: bytes; used: what cannot be taken back; cores: its quota.

    `UNLIMITED`, or more, and infinity stand for no limit.
    """

    limit: int = UNLIMITED
    used: int = 0
    cores: float = math.inf


def host(root: Path = ROOT) -> Host:
    """Return the memory and the cores that this process may use, as of now; takes a few ms.

    root: where the folders proc and sys of Linux lie.
    """
    total, available = _memory(root)
    groups = tuple(_groups(root))
    quota = min((group.cores for group in groups), default=math.inf)
    cores = _allowed_cores()
    return Host(
        total_bytes=min([total, *(group.limit for group in groups)]),
        # Nothing left is not the same as unknown.
        available_bytes=min([available, *(max(1, g.limit - g.used) for g in groups)]),
        cores=cores if math.isinf(quota) else max(1, min(cores, math.ceil(quota))),
    )


def _allowed_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(root: Path) -> tuple[int, int]:
    """Return bytes in all, and bytes that may be taken without swapping; 0 = unknown."""
    if sys.platform == "win32":
        return windows_memory(ctypes.windll.kernel32.GlobalMemoryStatusEx)
    if sys.platform == "darwin":
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), mac_available()
    told = dict(_MEMINFO.findall(_text(root / "proc/meminfo")))
    return int(told.get("MemTotal", 0)) << 10, int(told.get("MemAvailable", 0)) << 10


class MemoryStatus(ctypes.Structure):
    """Windows' MEMORYSTATUSEX; figures in bytes but `load`, in percent."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("total_commit", ctypes.c_uint64),
        ("available_commit", ctypes.c_uint64),
        ("total_virtual", ctypes.c_uint64),
        ("available_virtual", ctypes.c_uint64),
        ("available_extended", ctypes.c_uint64),
    )


def windows_memory(ask: Callable[[object], int]) -> tuple[int, int]:
    """Return bytes in all and bytes available as `ask`, GlobalMemoryStatusEx, tells; 0 = unknown.

    What may be committed bounds what may be taken: Windows promises no more than it can keep.
    """
    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    ask(ctypes.byref(status))
    return status.total, min(status.available, status.available_commit)


def _groups(root: Path) -> Iterator[Group]:
    """Yield this process's control groups and all that they lie in."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        base = root / "sys/fs/cgroup" / controllers
        read = {"": _second, "memory": _first_memory, "cpu": _first_cpu}
        names = [name for name in controllers.split(",") if name in read]
        for folder in _folders(base, path):
            yield from (read[name](folder) for name in names)


def _folders(base: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a group and those above it, up to `base`.

    Inside a container the path may be one of the outside; then only `base` is there.
    """
    group = PurePosixPath(path.lstrip("/"))
    inside = () if ".." in group.parts else (group, *group.parents)
    yield from {base, *(base / part for part in inside if (base / part).is_dir())}


def _second(folder: Path) -> Group:
    """Read a group of version 2; above the `high` mark a process is slowed to a crawl."""
    limit = min(_number(folder / name, UNLIMITED) for name in ("memory.max", "memory.high"))
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return Group(
        limit=limit,
        used=_used(folder, "memory.current", _FILE_PAGES),
        cores=int(quota) / int(period) if quota.isdigit() and period.isdigit() else math.inf,
    )


def _first_memory(folder: Path) -> Group:
    limit = _number(folder / "memory.limit_in_bytes", UNLIMITED)
    return Group(limit=limit, used=_used(folder, "memory.usage_in_bytes", _FIRST_FILE_PAGES))


def _first_cpu(folder: Path) -> Group:
    quota = _number(folder / "cpu.cfs_quota_us", 0)
    period = _number(folder / "cpu.cfs_period_us", 0)
    return Group(cores=quota / period if quota > 0 and period > 0 else math.inf)


def _used(folder: Path, name: str, file_pages: re.Pattern[str]) -> int:
    """Return the bytes of a group but for copies of files, which are given up when needed."""
    files = sum(map(int, file_pages.findall(_text(folder / "memory.stat"))))
    return max(0, _number(folder / name, 0) - files)


def _number(file: Path, otherwise: int) -> int:
    text = _text(file).strip()
    return int(text) if text.isdigit() else otherwise


def _text(file: Path) -> str:
    """Read a file of the kernel; empty where this system has none of it."""
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
