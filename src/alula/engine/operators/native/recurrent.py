"""Which kernel runs the steps of a recurrent layer.

In: a RecurrentCore over plain float32 with constant weights. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.graph.nodes import Array
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.recurrent import GATES, Recurrence, pack_recurrence, tile_width


def select_recurrence(at: Selection) -> tuple[KernelCall, ...] | None:
    """One sample of the batch a unit; empty tensors are left to the reference."""
    node, gates, r, bias = at.node, at.value(0), at.constant(1), at.constant(2)
    values = [at.values[name] for name in (*node.inputs, *node.outputs) if name]
    if any(value.dtype is not DType.FLOAT32 or value.block for value in values) or r is None or bias is None:
        return None
    kind, after = node.text("kind"), bool(node.integer("linear_before_reset"))
    states = 2 if kind == "LSTM" else 1
    if not all(node.inputs[3 : 3 + states]) or not all(node.outputs) or len(node.outputs) != 1 + states:
        return None
    shape, hidden = static(gates.shape or ()), r.shape[1]
    given = [at.values[name].shape for name in node.inputs[3 : 3 + states]]
    if not math.prod(shape) or r.shape[0] != shape[2] or any(state != (shape[1], hidden) for state in given):
        return None
    if not after and bias.any():
        return None
    width = tile_width(kind, at.target.lanes)
    kernel = Recurrence(kind, shape[0], shape[1], hidden, width, bool(node.integer("backward")), after)
    biases: list[str | Array] = [bias[2 * hidden :].copy()] if after else []
    reads = (node.inputs[0], *node.inputs[3 : 3 + states], pack_recurrence(r, kind, width), *biases)
    flops = 2 * shape[0] * shape[1] * hidden * hidden * GATES[kind]
    return (KernelCall(kernel, reads, node.outputs, flops),)
