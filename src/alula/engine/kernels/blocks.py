"""Channel blocks: vectors of channels, and the check that a kernel meets its target.

In: arrays by channel. Out: the same by block.
"""

from __future__ import annotations

import numpy as np

from alula.base.errors import InternalError
from alula.engine.graph.nodes import Array
from alula.engine.kernels.target import Target


def pack_channels(values: Array, block: int) -> Array:
    """A vector of C channels as float32 [ceil(C / block), block], zeros behind the last."""
    flat = np.asarray(values, np.float32).reshape(-1)
    return np.pad(flat, (0, -flat.size % block)).reshape(-1, block)


def check_block(family: str, block: int, target: Target) -> None:
    """Verify that a block is one register of the target.

    Raises:
        InternalError: it is not.
    """
    if block != target.block:
        raise InternalError(f"{family} kernel", f"blocks of {target.block} for {target.name}", f"got {block}")
