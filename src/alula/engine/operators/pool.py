"""Pooling: the largest or the mean element of each window.

In: x [N, C, spatial...]. Out: y [N, C, spatial...] in the dtype of x; MaxPool also int64 positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, static
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, show
from alula.engine.operators.precision import widened
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.window import (
    Window,
    output_sizes,
    overhang,
    pad_spatial,
    padding_of,
    window_of,
    windows_of,
)

_WINDOW: Mapping[str, Any] = MappingProxyType(
    {"auto_pad": "NOTSET", "ceil_mode": 0, "dilations": (), "kernel_shape": REQUIRED, "pads": (), "strides": ()}
)


def _checked_window(shape: Shape, attributes: Mapping[str, Any]) -> Window:
    kernel = attributes["kernel_shape"]
    if len(shape) != len(kernel) + 2:
        raise Mismatch(f"kernel_shape {list(kernel)} needs an input of rank {len(kernel) + 2}", f"it is {show(shape)}")
    return window_of(kernel, dict(attributes))


def _infer_pool(at: Inference) -> Inferred:
    x = at.shape(0)
    shape = (*x[:2], *output_sizes(_checked_window(x, at.attributes), x[2:]))
    return [(at.dtype(0), shape), (DType.INT64, shape)]


def max_pool(x: Array, *, storage_order: int, **attributes: Any) -> tuple[Array, Array]:
    """The largest element of each window and its flat position in x; the first of equals, NaN before all."""
    window = _checked_window(x.shape, attributes)
    sizes = static(output_sizes(window, x.shape[2:]))
    padding = padding_of(window, x.shape[2:], sizes)
    wide = widened(x)
    lowest = -np.inf if wide.dtype.kind == "f" else np.iinfo(wide.dtype).min
    windows = windows_of(_padded(wide, window, sizes, lowest), window, sizes)
    flat = windows.reshape(*x.shape[:2], *sizes, -1)
    best = flat.argmax(-1)
    y = np.take_along_axis(flat, best[..., None], -1)[..., 0].astype(x.dtype, copy=False)
    starts = np.asarray([before for before, _ in padding])
    return y, _positions(best, window, x.shape, starts, column_major=bool(storage_order))


def _padded(x: Array, window: Window, sizes: tuple[int, ...], value: float) -> Array:
    padding = padding_of(window, x.shape[2:], sizes)
    padded = pad_spatial(x, padding, value)
    return pad_spatial(padded, tuple((0, more) for more in overhang(window, padded.shape[2:], sizes)), value)


def _positions(best: Array, window: Window, shape: tuple[int, ...], starts: Array, *, column_major: bool) -> Array:
    """Positions in the whole of x, spatial axes in row- or column-major order."""
    outputs = np.indices(best.shape[2:])
    taps = np.unravel_index(best, window.kernel)
    place = np.zeros(best.shape, np.int64)
    axes = range(len(window.kernel))
    step = 1
    for axis in axes if column_major else reversed(axes):
        inside = outputs[axis] * window.strides[axis] + taps[axis] * window.dilations[axis] - starts[axis]
        place += inside * step
        step *= shape[axis + 2]
    planes = np.arange(shape[0] * shape[1]).reshape(shape[0], shape[1], *(1,) * len(window.kernel))
    return place + planes * step


def average_pool(x: Array, *, count_include_pad: int, **attributes: Any) -> Array:
    """The mean of each window; padding counts if asked for, what ceil_mode hangs over never does."""
    window = _checked_window(x.shape, attributes)
    sizes = static(output_sizes(window, x.shape[2:]))
    axes = tuple(range(-len(sizes), 0))
    wide = widened(x)
    total = windows_of(_padded(wide, window, sizes, 0), window, sizes).sum(axes, dtype=wide.dtype)
    padding = padding_of(window, x.shape[2:], sizes)
    counted = pad_spatial(np.ones((1, 1, *x.shape[2:]), wide.dtype), padding, 1 if count_include_pad else 0)
    more = tuple((0, rows) for rows in overhang(window, counted.shape[2:], sizes))
    count = windows_of(pad_spatial(counted, more), window, sizes).sum(axes, dtype=wide.dtype)
    return np.asarray(total / count, x.dtype)


def _infer_global(at: Inference) -> Inferred:
    x = at.shape(0)
    if len(x) < 2:  # noqa: PLR2004  batch and channels
        raise Mismatch("input needs batch and channels", f"it is {show(x)}")
    return [(at.dtype(0), (*x[:2], *(1,) * (len(x) - 2)))]


def _spatial(x: Array) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def global_average(x: Array) -> Array:
    """The mean over all spatial axes, which stay as axes of 1."""
    wide = widened(x)
    total = wide.sum(_spatial(x), keepdims=True, dtype=wide.dtype)
    return np.asarray(total / wide.dtype.type(math.prod(x.shape[2:])), x.dtype)


def lp_pool(x: Array, *, p: float, **attributes: Any) -> Array:
    """The p-norm of each window; padding counts as 0."""
    window = _checked_window(x.shape, attributes)
    sizes = static(output_sizes(window, x.shape[2:]))
    axes = tuple(range(-len(sizes), 0))
    return np.asarray(_root(windows_of(_padded(_power(x, p), window, sizes, 0), window, sizes).sum(axes), p), x.dtype)


def _power(x: Array, p: float) -> Array:
    """|x| to the p, in floats of at least 32 bits."""
    return np.asarray(np.abs(widened(x)) ** widened(x).dtype.type(p))


def _root(x: Array, p: float) -> Array:
    return np.asarray(x ** x.dtype.type(1 / p))


MAX_POOL = Operator(
    name="MaxPool",
    since=(1, 8, 10, 11, 12, 22),
    inputs=("x",),
    outputs=("y", "indices"),
    attributes=MappingProxyType({**_WINDOW, "storage_order": 0}),
    infer=_infer_pool,
    reference=max_pool,
    summary="The largest element of each window, and where it stands.",
)

AVERAGE_POOL = Operator(
    name="AveragePool",
    since=(1, 7, 10, 11, 19, 22),
    inputs=("x",),
    attributes=MappingProxyType({**_WINDOW, "count_include_pad": 0}),
    infer=lambda at: _infer_pool(at)[:1],
    reference=average_pool,
    summary="The mean of each window.",
)

GLOBAL_AVERAGE_POOL = Operator(
    name="GlobalAveragePool",
    since=(1, 22),
    inputs=("x",),
    infer=_infer_global,
    reference=global_average,
    summary="The mean over all spatial axes.",
)

GLOBAL_MAX_POOL = Operator(
    name="GlobalMaxPool",
    since=(1, 22),
    inputs=("x",),
    infer=_infer_global,
    reference=lambda x: widened(x).max(_spatial(x), keepdims=True).astype(x.dtype, copy=False),
    summary="The largest element over all spatial axes.",
)

# Version 1 had p as a float; the reference takes either.
LP_POOL = Operator(
    name="LpPool",
    since=(1, 2, 11, 18, 22),
    inputs=("x",),
    attributes=MappingProxyType({**_WINDOW, "p": 2}),
    infer=lambda at: _infer_pool(at)[:1],
    reference=lp_pool,
    summary="The p-norm of each window.",
)

GLOBAL_LP_POOL = Operator(
    name="GlobalLpPool",
    since=(1, 2, 22),
    inputs=("x",),
    attributes=MappingProxyType({"p": 2}),
    infer=_infer_global,
    reference=lambda x, *, p: _root(_power(x, p).sum(_spatial(x), keepdims=True), p).astype(x.dtype),
    summary="The p-norm over all spatial axes.",
)

OPERATORS = (MAX_POOL, AVERAGE_POOL, LP_POOL, GLOBAL_AVERAGE_POOL, GLOBAL_MAX_POOL, GLOBAL_LP_POOL)
