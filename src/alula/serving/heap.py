"""The process's heap, told to keep what it may need again at the next request.

In: nothing. Out: glibc's allocator, set up for large blocks that come and go.
"""

from __future__ import annotations

import ctypes

# glibc's malloc.h and mallopt(3). Setting either stops glibc from adjusting both as it runs.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The largest that glibc takes on 64 bits; larger blocks get pages of their own and give them back when freed.
_MOST_FROM_HEAP_BYTES = 32 << 20
# Free memory at the end of a heap that is not given back.
_MOST_KEPT_BYTES = 32 << 20


def keep_freed_memory() -> bool:
    """Keep some freed memory for the next body or picture, in the whole process; call it before threads start.

    By default glibc gives the end of its heap back as soon as a few large blocks are freed, and gets it again for the
    next ones: the kernel then clears each page anew, which costs a body of 600 kB more than receiving it
    (`docs/decisions/0003-http-server.md`).

    Returns:
        Whether the C library has these settings; another one than glibc is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST_FROM_HEAP_BYTES) and mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT_BYTES))
