"""Reading at places that indices say: rows along an axis, single elements, slices.

In: a dense tensor of any element type and int32 or int64 indices. Out: what stands there, dense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from alula.engine.kernels.cut import decompose
from alula.engine.kernels.indices import copy_bytes, load_index, pieces_of
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.target import Target


@dataclass(frozen=True)
class Gather:
    """y[o, c, :] = x[o, index[c], :]. Operands: x [outer, extent, inner bytes], indices [count], y.

    Attributes:
        index_size: bytes of an index, 4 or 8.
    """

    outer: int
    extent: int
    count: int
    inner: int
    index_size: int

    family = "gather"
    scratch = 0

    @property
    def units(self) -> int:
        """Stretches of indices of all outer positions."""
        return self.outer * pieces_of(self.count, self.inner)[1]

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "i", "y"), target)
        each, pieces = pieces_of(self.count, self.inner)

        def unit(index: Index, _: Carried) -> Carried:
            outer, piece = f.div(index, pieces), f.mod(index, pieces)
            x = f.at("%x", f.mul(outer, self.extent * self.inner), "i8")
            y = f.at("%y", f.mul(outer, self.count * self.inner), "i8")
            low = f.mul(piece, each)

            def one(c: Index, _: Carried) -> Carried:
                at = load_index(f, "%i", c, self.index_size, self.extent)
                copy_bytes(f, f.at(x, f.mul(at, self.inner), "i8"), f.at(y, f.mul(c, self.inner), "i8"), self.inner)
                return []

            f.loop(low, f.least(f.add(low, each), self.count), 1, one)
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)


@dataclass(frozen=True)
class GatherElements:
    """y[i] = x[i but index[i] along the axis]. Operands: x, indices, y.

    Attributes:
        shape: of indices and output; nowhere larger than x but along the axis.
        strides: of x, in elements.
        axis: the one that indices say.
        extent: of x along it.
        element: bytes of an element.
        index_size: bytes of an index, 4 or 8.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    axis: int
    extent: int
    element: int
    index_size: int

    family = "gather elements"
    scratch = 0

    @property
    def units(self) -> int:
        """Rows of the last axis."""
        return math.prod(self.shape[:-1])

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "i", "y"), target)
        kind, columns = f"i{8 * self.element}", self.shape[-1]
        walks = [0 if axis == self.axis else stride for axis, stride in enumerate(self.strides)]

        def unit(row: Index, _: Carried) -> Carried:
            base = decompose(f, row, list(zip(self.shape[:-1], walks[:-1], strict=True)))
            first = f.mul(row, columns)

            def one(column: Index, _: Carried) -> Carried:
                place = f.add(first, column)
                at = load_index(f, "%i", place, self.index_size, self.extent)
                source = f.add(f.add(base, f.mul(column, walks[-1])), f.mul(at, self.strides[self.axis]))
                value = f.op(f"load {kind}, ptr {f.at('%x', source, kind)}, align 1")
                f.line(f"store {kind} {value}, ptr {f.at('%y', place, kind)}, align 1")
                return []

            f.loop(0, columns, 1, one)
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)


@dataclass(frozen=True)
class GatherSlices:
    """y[b, c] = x[b, index[b, c, 0], index[b, c, 1], ...]. Operands: x, indices, y.

    Attributes:
        batch: leading axes that x and indices share, as one.
        count: index tuples a batch.
        extents: of the axes of x that the tuples walk through.
        inner: bytes of a slice.
        index_size: bytes of an index, 4 or 8.
    """

    batch: int
    count: int
    extents: tuple[int, ...]
    inner: int
    index_size: int

    family = "gather slices"
    scratch = 0

    @property
    def units(self) -> int:
        """Stretches of index tuples."""
        return pieces_of(self.batch * self.count, self.inner)[1]

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "i", "y"), target)
        total = self.batch * self.count
        each, _ = pieces_of(total, self.inner)

        def one(at: Index, _: Carried) -> Carried:
            tuple_ = slice_offset(f, "%i", at, self.extents, self.index_size)
            start = f.mul(f.div(at, self.count), math.prod(self.extents))
            source = f.at("%x", f.mul(f.add(start, tuple_), self.inner), "i8")
            copy_bytes(f, source, f.at("%y", f.mul(at, self.inner), "i8"), self.inner)
            return []

        f.loop(f.mul("%lo", each), f.least(f.mul("%hi", each), total), 1, one)
        return module(f)


def slice_offset(f: Function, pointer: str, at: Index, extents: tuple[int, ...], size: int) -> Index:
    """The number of the slice that index tuple `at` names, slices counted in their order."""
    offset: Index = 0
    first = f.mul(at, len(extents))
    for place, extent in enumerate(extents):
        offset = f.add(f.mul(offset, extent), load_index(f, pointer, f.add(first, place), size, extent))
    return offset
