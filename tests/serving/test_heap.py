from __future__ import annotations

import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_bodies_after_the_first_take_no_new_pages() -> None:
    """Freed memory is used again: sixteen bodies of 600 kB at a time would else be 2,344 new pages in each round.

    Page faults are counted by the kernel; in a process of its own, for the setting holds for a whole process.
    """
    code = (
        "import resource\n"
        "from alula.serving.heap import keep_freed_memory\n"
        "assert keep_freed_memory()\n"
        "bodies = [bytearray(600_000) for _ in range(16)]\n"
        "del bodies\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20):\n"
        "    bodies = [bytearray(600_000) for _ in range(16)]\n"
        "    del bodies\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )

    faults = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    assert faults < 2344
