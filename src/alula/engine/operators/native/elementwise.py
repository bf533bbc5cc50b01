"""Which kernel runs an elementwise group or a layout change.

In: an Elementwise, Pack, Unpack or Copy node with layouts decided. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.graph.nodes import Array, Value
from alula.engine.kernels.blocks import pack_channels
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.elementwise import elementwise
from alula.engine.kernels.formula import cost
from alula.engine.kernels.pack import Pack, Unpack


def select_elementwise(at: Selection) -> tuple[KernelCall, ...] | None:
    """One loop nest for the whole formula; constants per channel are laid out in blocks."""
    formula, result = at.node.formula("formula"), at.result()
    inputs = [at.values[name] for name in at.node.inputs]
    kernel = elementwise(formula, result, inputs, result.block)
    if kernel is None:
        return None
    reads: list[str | Array] = []
    for value in inputs:
        constant = at.constants.get(value.name)
        if constant is not None and value.block:
            reads.append(pack_channels(constant, value.block))
        else:
            reads.append(value.name)
    flops = cost(formula) * math.prod(static(result.shape or ()))
    return (KernelCall(kernel, tuple(reads), (at.node.output,), flops),)


def select_pack(at: Selection) -> tuple[KernelCall, ...] | None:
    """Plain [N, C, H, W] into blocks."""
    return _reorder(at, at.value(0), at.result().block, Pack)


def select_unpack(at: Selection) -> tuple[KernelCall, ...] | None:
    """Blocks into plain [N, C, H, W]."""
    return _reorder(at, at.result(), at.value(0).block, Unpack)


def _reorder(at: Selection, plain: Value, block: int, kernel: type[Pack | Unpack]) -> tuple[KernelCall, ...] | None:
    if plain.dtype is not DType.FLOAT32 or block != at.target.block:
        return None
    batch, channels, *pixels = static(plain.shape or ())
    return (KernelCall(kernel(batch, channels, math.prod(pixels), block), (at.node.inputs[0],), (at.node.output,)),)
