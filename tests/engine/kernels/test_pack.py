"""Changes of layout between plain tensors and channel blocks."""

from __future__ import annotations

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, to_blocks, undefined_symbols

from alula.engine.kernels.pack import Pack, Unpack
from alula.engine.kernels.target import Target

ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
SHAPES = [(1, 3, 9, 9), (2, 33, 1, 1), (1, 16, 4, 4), (2, 5, 1, 3), (1, 20, 23, 31), (3, 32, 2, 1), (1, 7, 70, 70)]


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """Every element different."""
    return np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)


@ON_ALL
@pytest.mark.parametrize("shape", SHAPES)
def test_packing_moves_every_channel_to_its_lane(shape: tuple[int, ...], target: Target) -> None:
    """Rule: element [n, c, p] stands at [n, c // B, p, c % B], lanes beyond C are 0."""
    plain = numbered(shape)
    want = to_blocks(plain, target.lanes)
    got = np.full_like(want, np.nan)
    kernel = Pack(shape[0], shape[1], shape[2] * shape[3], target.lanes)

    run_kernel(kernel, target, [plain], [got], pieces=3)

    np.testing.assert_array_equal(got, want)


@ON_ALL
@pytest.mark.parametrize("shape", SHAPES)
def test_unpacking_drops_the_lanes_beyond_the_last_channel(shape: tuple[int, ...], target: Target) -> None:
    """Rule: what stands in padding lanes, NaN here, never reaches a plain tensor."""
    plain = numbered(shape)
    blocked = to_blocks(plain, target.lanes, np.nan)
    got = np.full_like(plain, -1)
    kernel = Unpack(shape[0], shape[1], shape[2] * shape[3], target.lanes)

    run_kernel(kernel, target, [blocked], [got], pieces=3)

    np.testing.assert_array_equal(got, plain)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: masked edges compile to instructions only."""
    for pixels in (1, 37):
        assert undefined_symbols(Pack(1, 21, pixels, target.lanes), target) == set()
        assert undefined_symbols(Unpack(1, 21, pixels, target.lanes), target) == set()


def test_a_large_map_of_few_channels_is_shared_out() -> None:
    """Rule: a picture of three channels keeps more than one worker busy."""
    assert Pack(1, 3, 224 * 224, 16).units >= 2
