"""The geometry of sliding windows, shared by convolution and pooling.

In: kernel sizes and the attributes of ONNX. Out: output sizes, paddings, and windows as views.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alula.engine.graph.dims import Dim
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal
from alula.engine.operators.record import UnknownShape

_AUTO = ("NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER")
Padding = tuple[tuple[int, int], ...]
# The most elements that a reference works on at once: far above any real layer, far below what would end the process.
_MOST_ELEMENTS = 1 << 32


@dataclass(frozen=True)
class Window:
    """A kernel that slides over spatial axes; one entry an axis.

    Attributes:
        pads: rows added before and after each axis; only where `auto` says NOTSET.
        auto: ONNX's auto_pad.
        ceil: whether a last window that hangs over the end counts.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Padding
    auto: str = "NOTSET"
    ceil: bool = False

    @property
    def spans(self) -> tuple[int, ...]:
        """Input rows that one window reaches over, dilation included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def same(self) -> bool:
        """Whether the padding is whatever makes the output as large as input / stride."""
        return self.auto in ("SAME_UPPER", "SAME_LOWER")


def window_of(kernel: Sequence[int], attributes: dict[str, Any]) -> Window:
    """The window that attributes `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode` describe.

    Raises:
        Mismatch: a list has another length than the kernel, or a number is out of range.
    """
    rank = len(kernel)
    strides = _list("strides", attributes.get("strides"), rank, 1)
    dilations = _list("dilations", attributes.get("dilations"), rank, 1)
    pads = _list("pads", attributes.get("pads"), 2 * rank, 0)
    auto = attributes.get("auto_pad", "NOTSET")
    if auto not in _AUTO:
        raise Mismatch(f"auto_pad must be one of {', '.join(filter(None, _AUTO))}", f"it is {auto}")
    for name, values in (("kernel_shape", kernel), ("strides", strides), ("dilations", dilations)):
        if any(value < 1 for value in values):
            raise Mismatch(f"{name} must be positive", f"it is {list(values)}")
    if any(pad < 0 for pad in pads):
        raise Refusal("pads must not be negative", f"they are {list(pads)}")
    pairs = tuple(zip(pads[:rank], pads[rank:], strict=True))
    return Window(tuple(kernel), strides, dilations, pairs, auto, bool(attributes.get("ceil_mode", 0)))


def _list(name: str, values: Sequence[int] | None, length: int, default: int) -> tuple[int, ...]:
    if not values:
        return (default,) * length
    if len(values) != length:
        raise Mismatch(f"{name} needs {length} numbers", f"it has {len(values)}")
    return tuple(values)


def output_sizes(window: Window, sizes: Sequence[Dim]) -> tuple[Dim, ...]:
    """Output size of each spatial axis, for input sizes that may be symbolic.

    Raises:
        Mismatch: the window does not fit into the padded input.
        UnknownShape: the size depends on a symbol in a way that cannot be written down.
    """
    return tuple(_output_size(window, axis, size) for axis, size in enumerate(sizes))


def _output_size(window: Window, axis: int, size: Dim) -> Dim:
    stride, span = window.strides[axis], window.spans[axis]
    before, after = (0, 0) if window.auto == "VALID" else window.pads[axis]
    if window.same:
        return (size + (stride - 1)) // stride
    room = size + (before + after - span)
    count = (room + (stride - 1 if window.ceil else 0)) // stride + 1
    if isinstance(count, int) and count < 1:
        found = f"axis {axis + 2} has {size} and {before + after} of padding"
        raise Mismatch(f"the window spans {span} elements", found)
    if not window.ceil or after + stride <= span:  # then the last window always starts before the padding at the end
        return count
    if not isinstance(count, int) or not isinstance(size, int):
        raise UnknownShape
    return count - 1 if (count - 1) * stride >= size + before else count


def padding_of(window: Window, sizes: Sequence[int], outputs: Sequence[int]) -> Padding:
    """The padding of each axis, as given or as auto_pad asks for; what ceil_mode hangs over is not in it."""
    if window.auto == "VALID":
        return ((0, 0),) * len(sizes)
    if not window.same:
        return window.pads
    rows = zip(sizes, outputs, window.strides, window.spans, strict=True)
    totals = [max((count - 1) * stride + span - size, 0) for size, count, stride, span in rows]
    if window.auto == "SAME_UPPER":
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((total - total // 2, total // 2) for total in totals)


def overhang(window: Window, padded: Sequence[int], outputs: Sequence[int]) -> tuple[int, ...]:
    """Rows that the last window reads behind the padded input, for each axis."""
    rows = zip(padded, outputs, window.strides, window.spans, strict=True)
    return tuple(max((count - 1) * stride + span - size, 0) for size, count, stride, span in rows)


def check_elements(shape: Sequence[int]) -> None:
    """Stop before memory is taken that a hostile stride, pad or kernel asks for.

    Raises:
        MemoryError: an array of this shape would have more than 2**32 elements.
    """
    if math.prod(shape) > _MOST_ELEMENTS:
        msg = f"the node asks for {math.prod(shape)} elements"
        raise MemoryError(msg)


def windows_of(x: Array, window: Window, outputs: Sequence[int]) -> Array:
    """All windows of a padded [N, C, spatial...] input, as a view [N, C, outputs..., kernel...]."""
    axes = tuple(range(2, x.ndim))
    check_elements((*x.shape[:2], *outputs, *window.kernel))
    view = np.lib.stride_tricks.sliding_window_view(x, window.spans, axis=axes)
    starts = [slice(0, (count - 1) * stride + 1, stride) for count, stride in zip(outputs, window.strides, strict=True)]
    taps = [slice(None, None, dilation) for dilation in window.dilations]
    return view[(slice(None), slice(None), *starts, *taps)]


def pad_spatial(x: Array, padding: Padding, value: float = 0) -> Array:
    """[N, C, spatial...] with a border."""
    if not any(map(any, padding)):
        return x
    check_elements((*x.shape[:2], *(size + sum(border) for size, border in zip(x.shape[2:], padding, strict=True))))
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)
