"""What this machine is and how much of it this process may use.

In: files under /proc and /sys (paths can be given, for tests). Out: processor flags, thread budget, memory size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def machine() -> str:
    """The processor architecture, such as `x86_64` or `aarch64`."""
    return os.uname().machine


def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """The processor's flags as the kernel spells them; empty where /proc does not tell."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()


def memory_bytes() -> int:
    """Physical memory of the machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def usable_threads(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """How many threads this process may keep busy: the affinity mask, cut by the cgroup's quota; at least 1."""
    masked = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(cgroups, own)
    return max(1, min(masked, quota) if quota else masked)


def cgroup_quota(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """The processor quota of this process's control group and all above it, in whole processors rounded up.

    Reads `cpu.max` (version 2) or `cpu.cfs_quota_us` (version 1), after the Linux kernel's cgroup documentation.

    Returns:
        0 where there is no quota.
    """
    quotas = [quota for folder in _groups(cgroups, own) if (quota := _quota_of(folder))]
    return min(quotas, default=0)


def _groups(cgroups: Path, own: Path) -> Iterator[Path]:
    """The folders of this process's groups, from the innermost outward."""
    try:
        lines = own.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups
        inner = root / group.lstrip("/")
        yield inner
        yield from (folder for folder in inner.parents if folder == root or root in folder.parents)


def _quota_of(folder: Path) -> int:
    try:
        if (folder / "cpu.max").exists():
            limit, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return max(0, -(-int(limit) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return 0
