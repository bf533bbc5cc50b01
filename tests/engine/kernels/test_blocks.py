"""Channel blocks."""

from __future__ import annotations

import numpy as np
import pytest

from alula.base.errors import InternalError
from alula.engine.kernels.blocks import check_block, pack_channels
from alula.engine.kernels.call import Kernel
from alula.engine.kernels.depthwise import Depthwise
from alula.engine.kernels.global_pool import GlobalPool
from alula.engine.kernels.pack import Pack, Unpack
from alula.engine.kernels.pool import Pool
from alula.engine.kernels.target import TARGETS


def test_a_vector_of_channels_is_filled_up_with_zeros() -> None:
    """Rule: a packed vector has whole blocks, in the order of the channels."""
    packed = pack_channels(np.arange(1, 6).reshape(5, 1, 1), 4)

    assert packed.tolist() == [[1, 2, 3, 4], [5, 0, 0, 0]]


def test_code_for_another_block_is_not_made() -> None:
    """Rule: a kernel whose blocks are not the target's registers would read the wrong channels."""
    kernels: list[Kernel] = [
        Depthwise(3, 5, 5, 3, 3, 3, 3, block=4),
        Pool(3, 5, 5, 3, 3, 3, 3, block=4),
        GlobalPool("max", 3, 25, block=4),
        Pack(1, 3, 25, 4),
        Unpack(1, 3, 25, 4),
    ]

    for kernel in kernels:
        with pytest.raises(InternalError, match="blocks of 16"):
            kernel.emit("kernel", TARGETS[0])
    check_block("any", 16, TARGETS[0])
