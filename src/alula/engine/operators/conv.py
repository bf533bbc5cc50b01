"""Convolution and its transpose over any number of spatial axes.

In: x [N, C, spatial...], w [M, C/group, kernel...] (transposed: [C, M/group, kernel...]), b [M].
Out: y [N, M, spatial...] in the dtype of x.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Dim, Shape, static
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, agree, known, same_dtypes, show
from alula.engine.operators.precision import widened
from alula.engine.operators.record import Inference, Inferred, Operator
from alula.engine.operators.window import (
    Padding,
    Window,
    check_elements,
    output_sizes,
    pad_spatial,
    padding_of,
    window_of,
    windows_of,
)

CONV_ATTRIBUTES: Mapping[str, Any] = MappingProxyType(
    {"auto_pad": "NOTSET", "dilations": (), "group": 1, "kernel_shape": (), "pads": (), "strides": ()}
)
TRANSPOSED_ATTRIBUTES: Mapping[str, Any] = MappingProxyType(
    {**CONV_ATTRIBUTES, "output_padding": (), "output_shape": ()}
)


def convolve(x: Array, w: Array, b: Array | None = None, *, group: int, **attributes: Any) -> Array:
    """Grouped convolution as one matrix product a group over gathered windows (im2col)."""
    _, outputs = conv_geometry(x.shape, w.shape, group, attributes)
    window = window_of(w.shape[2:], attributes)
    sizes = static(outputs)
    padded = pad_spatial(widened(x), padding_of(window, x.shape[2:], sizes))
    windows = windows_of(padded, window, sizes)
    spatial = len(sizes)
    order = (0, 1, *range(2 + spatial, 2 + 2 * spatial), *range(2, 2 + spatial))
    columns = windows.transpose(order).reshape(len(x), group, math.prod(w.shape[1:]), math.prod(sizes))
    y = np.matmul(widened(w).reshape(group, w.shape[0] // group, -1), columns)
    return _biased(y.reshape(len(x), w.shape[0], *sizes), b).astype(x.dtype, copy=False)


def _biased(y: Array, b: Array | None) -> Array:
    return y if b is None else y + widened(b).reshape(-1, *(1,) * (y.ndim - 2))


def infer_conv(at: Inference) -> Inferred:
    """Output of a convolution; checks ranks, channels and kernel."""
    same_dtypes(at, (0, 1, 2))
    x, w = at.shape(0), at.shape(1)
    attributes = dict(at.attributes)
    channels, sizes = conv_geometry(x, w, attributes.pop("group"), attributes)
    _check_bias(at, channels)
    return [(at.dtype(0), (x[0], channels, *sizes))]


def conv_geometry(x: Shape, w: Shape, group: int, attributes: dict[str, Any]) -> tuple[Dim, Shape]:
    """Output channels and spatial sizes of a convolution.

    Raises:
        Mismatch: ranks, channels or kernel do not fit.
    """
    _check_ranks(x, w)
    kernel = _kernel(w, attributes)
    if group < 1 or not agree(w[1] * group, x[1]):
        groups = f" in {group} groups" if group != 1 else ""
        raise Mismatch(f"weight {show(w)}{groups} needs {w[1] * group} input channels", f"input has {x[1]}")
    if isinstance(w[0], int) and w[0] % group:
        raise Mismatch(f"output channels must divide into {group} groups", f"weight has {w[0]}")
    return w[0], output_sizes(window_of(kernel, attributes), x[2:])


def _check_ranks(x: Shape, w: Shape) -> None:
    if len(x) < 3 or len(x) != len(w):  # noqa: PLR2004  batch, channels, one spatial axis
        raise Mismatch("input and weight need one rank of at least 3", f"they are {show(x)} and {show(w)}")


def _kernel(w: Shape, attributes: Mapping[str, Any]) -> tuple[int, ...]:
    kernel = tuple(known(dim) for dim in w[2:])
    if attributes["kernel_shape"] and tuple(attributes["kernel_shape"]) != kernel:
        raise Mismatch(f"kernel_shape says {list(attributes['kernel_shape'])}", f"weight is {show(w)}")
    return kernel


def _check_bias(at: Inference, channels: Dim) -> None:
    if not at.has(2):
        return
    bias = at.shape(2)
    if len(bias) != 1 or not agree(bias[0], channels):
        raise Mismatch(f"bias must be [{channels}]", f"it is {show(bias)}")


def convolve_transposed(x: Array, w: Array, b: Array | None = None, *, group: int, **attributes: Any) -> Array:
    """Transposed convolution: every input element adds its scaled kernel to the output, then the border is cut off."""
    channels, outputs = _transposed_geometry(x.shape, w.shape, group, attributes)
    window = window_of(w.shape[2:], attributes)
    sizes = static(outputs)
    padding = _transposed_padding(window, x.shape[2:], sizes, attributes)
    rows = widened(x).reshape(len(x), group, x.shape[1] // group, math.prod(x.shape[2:]))
    kernels = widened(w).reshape(group, w.shape[0] // group, -1).transpose(0, 2, 1)
    parts = np.matmul(kernels, rows).reshape(len(x), channels, *w.shape[2:], *x.shape[2:])
    full = [before + size + max(after, 0) for size, (before, after) in zip(sizes, padding, strict=True)]
    y = overlapped(parts, window, full)
    cut = [slice(before, before + size) for size, (before, _) in zip(sizes, padding, strict=True)]
    return _biased(y[(slice(None), slice(None), *cut)], b).astype(x.dtype, copy=False)


def overlapped(parts: Array, window: Window, full: Sequence[int]) -> Array:
    """Parts [N, M, kernel..., windows...] added up where windows overlap: [N, M, full...], or larger if they reach on.

    Raises:
        MemoryError: the result would be too large (see `check_elements`).
    """
    inputs = parts.shape[2 + len(full) :]
    reach = [(n - 1) * s + span for n, s, span in zip(inputs, window.strides, window.spans, strict=True)]
    shape = (*parts.shape[:2], *map(max, zip(full, reach, strict=True)))
    check_elements(shape)
    y = np.zeros(shape, parts.dtype)
    for tap in product(*map(range, window.kernel)):
        rows = zip(tap, window.dilations, inputs, window.strides, strict=True)
        places = [slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in rows]
        kernel_tap: tuple[Any, ...] = (slice(None), slice(None), *tap)
        y[(slice(None), slice(None), *places)] += parts[kernel_tap]
    return y


def infer_conv_transposed(at: Inference) -> Inferred:
    """Output of a transposed convolution; checks ranks, channels and kernel."""
    same_dtypes(at, (0, 1, 2))
    x, w = at.shape(0), at.shape(1)
    attributes = dict(at.attributes)
    channels, sizes = _transposed_geometry(x, w, attributes.pop("group"), attributes)
    _check_bias(at, channels)
    return [(at.dtype(0), (x[0], channels, *sizes))]


def _transposed_geometry(x: Shape, w: Shape, group: int, attributes: dict[str, Any]) -> tuple[Dim, Shape]:
    _check_ranks(x, w)
    kernel = _kernel(w, attributes)
    if not agree(w[0], x[1]):
        raise Mismatch(f"weight {show(w)} needs {w[0]} input channels", f"input has {x[1]}")
    if group < 1 or (isinstance(w[0], int) and w[0] % group):
        raise Mismatch(f"input channels must divide into {group} groups", f"weight has {w[0]}")
    sizes = _transposed_sizes(window_of(kernel, attributes), x[2:], attributes)
    if any(isinstance(size, int) and size < 1 for size in sizes):
        raise Mismatch("padding must leave an output", f"its spatial axes would be {show(sizes)}")
    return w[1] * group, sizes


def _transposed_sizes(window: Window, sizes: Sequence[Dim], attributes: dict[str, Any]) -> tuple[Dim, ...]:
    if attributes["output_shape"]:
        return tuple(attributes["output_shape"][-len(sizes) :])
    if window.same:
        return tuple(size * stride for size, stride in zip(sizes, window.strides, strict=True))
    full = _full_sizes(window, sizes, attributes)
    pads = ((0, 0),) * len(sizes) if window.auto == "VALID" else window.pads
    return tuple(size - (before + after) for size, (before, after) in zip(full, pads, strict=True))


def _full_sizes(window: Window, sizes: Sequence[Dim], attributes: dict[str, Any]) -> tuple[Dim, ...]:
    """Sizes before the border is cut off: stride (input - 1) + output_padding + span."""
    extra = attributes["output_padding"] or (0,) * len(sizes)
    rows = zip(sizes, window.strides, window.spans, extra, strict=True)
    return tuple((size - 1) * stride + (span + more) for size, stride, span, more in rows)


def _transposed_padding(
    window: Window, sizes: Sequence[int], outputs: Sequence[int], attributes: dict[str, Any]
) -> Padding:
    if not (window.same or attributes["output_shape"]):
        return ((0, 0),) * len(sizes) if window.auto == "VALID" else window.pads
    full = static(_full_sizes(window, sizes, attributes))
    # Where the output is to be larger than what the kernels reach, zeros follow at the end, as with output_padding.
    totals = [max(have - want, 0) for have, want in zip(full, outputs, strict=True)]
    # ONNX, ConvTranspose: the odd row goes to the end for SAME_UPPER, else to the beginning.
    if window.auto == "SAME_UPPER":
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((total - total // 2, total // 2) for total in totals)


CONV = Operator(
    name="Conv",
    since=(1, 11, 22),
    inputs=("x", "w", "b?"),
    attributes=CONV_ATTRIBUTES,
    infer=infer_conv,
    reference=convolve,
    summary="Convolution over any number of spatial axes, in groups.",
)

CONV_TRANSPOSE = Operator(
    name="ConvTranspose",
    since=(1, 11, 22),
    inputs=("x", "w", "b?"),
    attributes=TRANSPOSED_ATTRIBUTES,
    infer=infer_conv_transposed,
    reference=convolve_transposed,
    summary="Transposed convolution: the gradient of Conv with respect to its input.",
)

OPERATORS = (CONV, CONV_TRANSPOSE)
