"""Writing at places that indices say, over or onto what is there.

In: int32 or int64 indices and updates; y already holds a copy of the tensor. Out: y, with the updates.

Updates are carried out in their order, so that the last of several for one place stays, and sums round alike however
the work is shared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from alula.base.tensors import DType
from alula.engine.kernels.cut import decompose
from alula.engine.kernels.gather import slice_offset
from alula.engine.kernels.indices import load_index
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.lanes import Lanes, element_name, full_width, widths_of
from alula.engine.kernels.loops import Groups
from alula.engine.kernels.target import Target

ScatterKind = Literal["none", "add", "mul", "max", "min"]
_GROUP = 256


def _join(lanes: Lanes, kind: ScatterKind, old: str, new: str) -> str:
    if kind in {"max", "min"}:
        return lanes.extreme(kind, old, new)
    return lanes.arithmetic(kind, old, new)


def _update(lanes: Lanes, kind: ScatterKind, source: str, place: str) -> None:
    """One register of updates; of elements that are only moved the type does not matter."""
    value = lanes.load(source)
    lanes.store(value if kind == "none" else _join(lanes, kind, lanes.load(place), value), place)


@dataclass(frozen=True)
class ScatterSlices:
    """y[index[c, 0], index[c, 1], ...] takes updates[c]. Operands: indices, updates, y.

    Attributes:
        kind: what a slice does with what is there; `none` replaces it.
        dtype: of the elements; for `none` any type of their size.
        count: index tuples.
        extents: of the axes of y that the tuples walk through.
        inner: elements of a slice.
        index_size: bytes of an index, 4 or 8.
    """

    kind: ScatterKind
    dtype: DType
    count: int
    extents: tuple[int, ...]
    inner: int
    index_size: int

    family = "scatter slices"
    scratch = 0

    @property
    def units(self) -> int:
        """Groups of neighbouring elements of every slice."""
        return Groups(self.inner, _GROUP).count

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("i", "u", "y"), target)
        wide, element = Lanes(f, self.dtype, full_width(f, self.dtype)), element_name(self.dtype)
        groups = Groups(self.inner, _GROUP)

        def group(unit: Index, _: Carried) -> Carried:
            column = f.mul(unit, _GROUP)

            def one(c: Index, _: Carried) -> Carried:
                at = slice_offset(f, "%i", c, self.extents, self.index_size)
                source = f.at("%u", f.add(f.mul(c, self.inner), column), element)
                place = f.at("%y", f.add(f.mul(at, self.inner), column), element)
                groups.emit(f, unit, lambda count: _row(wide, self.kind, (source, place), count))
                return []

            f.loop(0, self.count, 1, one)
            return []

        f.loop("%lo", "%hi", 1, group)
        return module(f)


def _row(wide: Lanes, kind: ScatterKind, places: tuple[str, str], count: int) -> None:
    for start, width in widths_of(count, wide.count):
        source, place = (wide.f.at(pointer, start, wide.element) for pointer in places)
        _update(wide.of(width), kind, source, place)


@dataclass(frozen=True)
class ScatterElements:
    """y[i but index[i] along the axis] takes updates[i]. Operands: indices, updates, y.

    Attributes:
        kind: what an element does with what is there; `none` replaces it.
        dtype: of the elements; for `none` any type of their size.
        shape: of indices and updates; nowhere larger than y but along the axis.
        strides: of y, in elements.
        axis: the one that indices say.
        extent: of y along it.
        index_size: bytes of an index, 4 or 8.
    """

    kind: ScatterKind
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    axis: int
    extent: int
    index_size: int

    family = "scatter elements"
    scratch = 0

    @property
    def units(self) -> int:
        """Indices of the axes before the axis: what they write lies apart."""
        return math.prod(self.shape[: self.axis])

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("i", "u", "y"), target)
        one, element = Lanes(f, self.dtype, 1), element_name(self.dtype)
        walks = [0 if axis == self.axis else stride for axis, stride in enumerate(self.strides)]
        loops = list(zip(self.shape, walks, strict=True))
        inside = math.prod(self.shape[self.axis :])

        def unit(outer: Index, _: Carried) -> Carried:
            base = decompose(f, outer, loops[: self.axis])
            first = f.mul(outer, inside)

            def update(at: Index, _: Carried) -> Carried:
                here = f.add(first, at)
                index = load_index(f, "%i", here, self.index_size, self.extent)
                place = f.add(f.add(base, decompose(f, at, loops[self.axis :])), f.mul(index, self.strides[self.axis]))
                _update(one, self.kind, f.at("%u", here, element), f.at("%y", place, element))
                return []

            f.loop(0, inside, 1, update)
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)
