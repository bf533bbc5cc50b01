from __future__ import annotations

import os
from pathlib import Path

import pytest

from alula.base.hardware import cgroup_quota, cpu_flags, memory_bytes, usable_threads


def test_flags_are_those_of_the_first_processor(tmp_path: Path) -> None:
    """x86 kernels call the line `flags`, ARM ones `Features`."""
    intel, arm = tmp_path / "intel", tmp_path / "arm"
    intel.write_text("processor : 0\nflags\t\t: fpu avx2\n\nprocessor : 1\nflags : fpu\n")
    arm.write_text("processor: 0\nFeatures : fp asimd\n")

    assert cpu_flags(intel) == {"fpu", "avx2"}
    assert cpu_flags(arm) == {"fp", "asimd"}
    assert cpu_flags(tmp_path / "none") == frozenset()


@pytest.mark.parametrize(
    ("text", "quota"), [("150000 100000", 2), ("100000 100000", 1), ("1000 100000", 1), ("max 100000", 0), ("junk", 0)]
)
def test_quota_of_version_2_is_rounded_up(tmp_path: Path, text: str, quota: int) -> None:
    """A quota of one and a half processors keeps two threads busy part of the time."""
    own = tmp_path / "own"
    own.write_text("0::/\n")
    (tmp_path / "cpu.max").write_text(text)

    assert cgroup_quota(tmp_path, own) == quota


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    """A pod's limit stands above the container's own group."""
    own = tmp_path / "own"
    own.write_text("0::/pod/box\n")
    (tmp_path / "pod" / "box").mkdir(parents=True)
    (tmp_path / "pod" / "box" / "cpu.max").write_text("max 100000")
    (tmp_path / "pod" / "cpu.max").write_text("300000 100000")

    assert cgroup_quota(tmp_path, own) == 3


def test_quota_of_version_1_is_read(tmp_path: Path) -> None:
    """Older hosts keep the quota in two files under the cpu controller; -1 means none."""
    own = tmp_path / "own"
    own.write_text("4:cpuset:/\n3:cpu,cpuacct:/box\n")
    folder = tmp_path / "cpu" / "box"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (folder / "cpu.cfs_quota_us").write_text("250000\n")

    assert cgroup_quota(tmp_path, own) == 3
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert cgroup_quota(tmp_path, own) == 0


def test_threads_obey_mask_and_quota(tmp_path: Path) -> None:
    """More threads than processors would wait for each other at every barrier."""
    own = tmp_path / "own"
    own.write_text("0::/\n")
    assert usable_threads(tmp_path, own) == len(os.sched_getaffinity(0))
    (tmp_path / "cpu.max").write_text("50000 100000")

    assert usable_threads(tmp_path, own) == 1


def test_memory_is_that_of_the_machine() -> None:
    """The figure limits what a plan may claim."""
    assert memory_bytes() > 1 << 26
