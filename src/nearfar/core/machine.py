"""What this process may use of the machine: memory and cores, as limits of containers and the system say.

Total memory and the number of processors are the wrong answers in a container, on a shared machine and under `taskset`; the least of
all limits is the right one. Linux tells everything (control groups of both versions, whose limits hold for all groups above a process
too); elsewhere the system's own figures are taken, and where it tells nothing, that is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
ASSUMED = 4 * 2**30  # where the system does not tell


@dataclass(frozen=True)
class Available:
    """Bytes that a process could still take, and what says so."""

    bytes: int
    source: str


def available_memory(proc: Path = PROC, cgroup: Path = CGROUP) -> Available:
    """The least of what the system and every control group above this process leave."""
    found = [
        Available(room, f"limit of the container less what it uses ({path})") for room, path in _rooms(proc, cgroup)
    ]
    for line in _read(proc / "meminfo").splitlines():
        words = line.split()
        if words and words[0] == "MemAvailable:":
            found.append(Available(int(words[1]) * 1024, "what the system has available (MemAvailable)"))
    if found:
        return min(found, key=lambda a: a.bytes)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return Available(total // 2, "half of the machine's memory: this system does not tell what is free")
    return Available(ASSUMED, "assumed: this system does not tell")


def usable_cores(proc: Path = PROC, cgroup: Path = CGROUP) -> int:
    """Whole cores that this process may use: of its affinity and of the quotas of its control groups, the least; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Threads beyond a quota do not share it: they are stopped, all of them, until the next period.
    quota = cpu_quota(proc, cgroup)
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def cpu_quota(proc: Path = PROC, cgroup: Path = CGROUP) -> float | None:
    """Cores' worth of time that the control groups grant, the least of them all; None without a limit."""
    return min(_quotas(proc, cgroup), default=None)


def memory_limit(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """Bytes that the control groups grant, used or not, the least of them all; None without a limit."""
    return min((most for _, most in _limits(proc, cgroup)), default=None)


def _limits(proc: Path, cgroup: Path) -> Iterator[tuple[Path, int]]:
    """The files that limit memory, of either version, and the bytes that they grant."""
    for group in _groups("memory", proc, cgroup):
        for name in ("memory.max", "memory.limit_in_bytes"):
            most = _number(group / name)
            if most is not None and most < 1 << 60:  # version 1 says "no limit" by a huge number
                yield group / name, most


def _rooms(proc: Path, cgroup: Path) -> Iterator[tuple[int, Path]]:
    for path, most in _limits(proc, cgroup):
        newer = path.name == "memory.max"
        used = _number(path.with_name("memory.current" if newer else "memory.usage_in_bytes"))
        if used is None:
            continue
        # Pages of files that nobody reads any more are given back when memory is short.
        statistics = _read(path.with_name("memory.stat")).splitlines()
        kept = dict(line.split() for line in statistics if len(line.split()) == 2)
        cache = int(kept.get("inactive_file" if newer else "total_inactive_file", 0))
        yield max(0, most - max(0, used - cache)), path


def _quotas(proc: Path, cgroup: Path) -> Iterator[float]:
    for group in _groups("cpu", proc, cgroup):
        words = _read(group / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit():
            yield int(words[0]) / int(words[1])
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota is not None and period:
            yield quota / period


def _groups(controller: str, proc: Path, cgroup: Path) -> Iterator[Path]:
    """The folders of this process's group and of all above it, of either version; inside a container the path may not be seen."""
    for line in _read(proc / "self" / "cgroup").splitlines() or ["0::/"]:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        root = cgroup / controller if names else cgroup
        place = root / path.lstrip("/")
        while place != root and root in place.parents:
            if place.is_dir():
                yield place
            place = place.parent
        yield root


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
