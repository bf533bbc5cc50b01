"""The fixed numbers of the `.alula` file and of the block that generated code reads: what writer and reader agree on.

In: nothing. Out: constants. A file is: prelude, header (JSON, padded with spaces to a page border), then page-aligned
parts; offsets of parts count from the end of the header. A file may hold several plans of one model, for different
input shapes: the header has the first one, and an index of the others, whose texts lie in a part of their own.
"""

from __future__ import annotations

import struct
from typing import Final

# The first byte is no ASCII and the last two change when a transfer "repairs" line ends, as in PNG (RFC 2083, 3.1).
MAGIC: Final = b"\x89ALULA\r\n"
VERSION: Final = 2

# magic, version, reserved (0), bytes of the header, bytes of the file, SHA-256 of the header.
PRELUDE: Final = struct.Struct("<8sIIQQ32s")
LARGEST_HEADER: Final = 16 << 20

# Every part begins on a border of this many bytes: AArch64 kernels may use pages of 64 KiB, x86-64 ones use 4 KiB.
PAGES: Final = {"x86_64": 4096, "aarch64": 65536}
ALIGNMENT: Final = 64

# The context block of a run, in slots of 8 bytes: five fixed ones, then input pointers, then output pointers.
SLOT_WEIGHTS: Final = 0
SLOT_ARENA: Final = 1
SLOT_SCRATCH: Final = 2
SLOT_WORKERS: Final = 3
SLOT_BARRIER: Final = 4
SLOT_POINTERS: Final = 5

# The barrier block: a count of arrivals and a generation, on lines that no prefetcher pairs.
BARRIER_BYTES: Final = 256
BARRIER_GENERATION: Final = 128

# A worker's mailbox: a ticket that counts its jobs, the job (function, context, worker number), and on another line
# the ticket of the last job that it has left.
MAILBOX_BYTES: Final = 256
MAILBOX_FUNCTION: Final = 8
MAILBOX_CONTEXT: Final = 16
MAILBOX_WORKER: Final = 24
MAILBOX_DONE: Final = 128


def rounded_up(size: int, border: int = ALIGNMENT) -> int:
    """The smallest multiple of `border` that is not below `size`."""
    return -(-size // border) * border


def machine_of(triple: str) -> str:
    """The architecture at the head of an LLVM target triple, such as `x86_64`."""
    return triple.split("-", 1)[0]


def stored_shape(shape: tuple[int, ...], block: int) -> tuple[int, ...]:
    """How a value lies in memory, row-major.

    With `block` channels a block, [N, C, ...] lies as [N, ceil(C / block), ..., block]; block 0 is the plain shape.
    """
    if not block:
        return shape
    return (shape[0], -(-shape[1] // block), *shape[2:], block)
