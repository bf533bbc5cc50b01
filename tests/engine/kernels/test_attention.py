"""Tests of the attention kernel: sizes that do not divide, heads by strides, masks, rows without a softmax."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.kernels import Array, run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.attention import Attention, Strided
from alula.engine.kernels.target import TARGETS, Target

_SIZES = [
    (1, 1, 1, 1, 1, 1), (1, 2, 7, 7, 5, 5), (2, 3, 50, 49, 15, 16), (1, 1, 1, 33, 64, 64), (1, 2, 101, 17, 8, 130),
    (1, 1, 65, 64, 32, 31),
]  # fmt: skip


def _truth(q: Array, k: Array, v: Array, mask: Array | None, *, safe: bool = False) -> Array:
    with np.errstate(all="ignore"):
        scores = q @ k.swapaxes(-1, -2) * np.float32(0.3)
        if mask is not None:
            scores = scores + mask
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        weights = powers / powers.sum(-1, keepdims=True)
    result: Array = (np.where(np.isnan(weights), 0, weights) if safe else weights) @ v
    return result


def _dense(array: Array) -> Strided:
    return Strided(0, *(stride // 4 for stride in array.strides))


def _sides(sizes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    b, h, rows, keys, depth, width = sizes
    random = np.random.default_rng(sum(sizes))
    shapes = ((b, h, rows, depth), (b, h, keys, depth), (b, h, keys, width))
    q, k, v = (random.normal(0, 1, shape).astype(np.float32) for shape in shapes)
    return q, k, v


def _kernel(sizes: tuple[int, ...], arrays: tuple[Array, Array, Array], y: Array, target: Target) -> Attention:
    q, k, v = map(_dense, arrays)
    batch, heads, rows, keys, depth, width = sizes
    return Attention(batch, heads, rows, keys, depth, width, q, k, v, _dense(y), target, scale=0.3)


@pytest.mark.parametrize("target", targets_here(), ids=lambda target: target.name)
@pytest.mark.parametrize("sizes", _SIZES, ids=str)
def test_attention_of_any_size_is_right(sizes: tuple[int, ...], target: Target) -> None:
    """Rows, keys and features that fill no tile, however the units are split; no byte outside is touched."""
    arrays = _sides(sizes)
    y = np.zeros((*arrays[0].shape[:3], sizes[-1]), np.float32)

    run_kernel(_kernel(sizes, arrays, y, target), target, arrays, [y], pieces=3)

    np.testing.assert_allclose(y, _truth(*arrays, None), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", targets_here(), ids=lambda target: target.name)
def test_heads_are_read_and_written_where_they_stand(target: Target) -> None:
    """One buffer [batch, token, q k v, head, feature] as a linear layer writes it; y is [batch, token, all]."""
    b, h, rows, depth = 2, 3, 21, 10
    packed = np.random.default_rng(1).normal(0, 1, (b, rows, 3, h, depth)).astype(np.float32)
    q, k, v = np.moveaxis(packed, (2, 3), (0, 2))
    y = np.zeros((b, rows, h, depth), np.float32)
    steps = (rows * 3 * h * depth, depth, 3 * h * depth, 1)
    first, second, third = (Strided(index * h * depth, *steps) for index in range(3))
    result = Strided(0, *(y.strides[axis] // 4 for axis in (0, 2, 1, 3)))
    kernel = Attention(b, h, rows, rows, depth, depth, first, second, third, result, target, scale=0.3)

    run_kernel(kernel, target, [packed, packed, packed], [y], pieces=2)

    np.testing.assert_allclose(y, _truth(q, k, v, None).transpose(0, 2, 1, 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", targets_here(), ids=lambda target: target.name)
@pytest.mark.parametrize("shape", [(2, 3, 9, 19), (1, 1, 9, 19), (2, 1, 1, 19)], ids=str)
def test_masks_are_added_and_broadcast(shape: tuple[int, ...], target: Target) -> None:
    """Padding has one row for a sample, causal masks one for all."""
    sizes = (2, 3, 9, 19, 8, 8)
    arrays = _sides(sizes)
    mask = np.random.default_rng(2).choice(np.array([0, -np.inf, 1], np.float32), shape)
    mask[..., 0] = 0.5
    y = np.zeros((2, 3, 9, 8), np.float32)
    steps = [0 if dim == 1 else stride // 4 for dim, stride in zip(shape, mask.strides, strict=True)]
    kernel = replace(_kernel(sizes, arrays, y, target), mask=Strided(0, steps[0], steps[1], steps[2]))

    run_kernel(kernel, target, [*arrays, mask], [y], pieces=2)

    np.testing.assert_allclose(y, _truth(*arrays, mask), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", targets_here(), ids=lambda target: target.name)
@pytest.mark.parametrize("safe", [False, True])
def test_a_row_that_is_masked_everywhere_is_nan_or_nothing(safe: bool, target: Target) -> None:  # noqa: FBT001
    """Its softmax is 0 / 0; models that say so make it 0."""
    sizes = (1, 1, 5, 19, 8, 8)
    arrays = _sides(sizes)
    mask = np.zeros((5, 19), np.float32)
    mask[2] = -np.inf
    y = np.zeros((1, 1, 5, 8), np.float32)
    kernel = replace(_kernel(sizes, arrays, y, target), mask=Strided(0, 0, 0, 19), safe=safe)

    run_kernel(kernel, target, [*arrays, mask], [y])

    np.testing.assert_allclose(y, _truth(*arrays, mask, safe=safe), rtol=1e-4, atol=1e-5)
    assert (y[0, 0, 2] == 0).all() if safe else np.isnan(y[0, 0, 2]).all()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_attention_calls_nothing_outside_itself(target: Target) -> None:
    """Where a plan runs there is no linker."""
    arrays = _sides(_SIZES[2])
    y = np.zeros((2, 3, 50, 16), np.float32)

    assert not undefined_symbols(_kernel(_SIZES[2], arrays, y, target), target)
