"""Which kernel runs a softmax.

In: a Softmax or LogSoftmax on plain rows. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.softmax import Softmax

_EXP_FLOPS = 20


def select_softmax(at: Selection) -> tuple[KernelCall, ...] | None:
    """Softmax, or its logarithm, along one axis of a plain tensor."""
    value = at.value(0)
    if value.dtype is not DType.FLOAT32 or value.block or at.result().block:
        return None
    shape = static(value.shape or ())
    axis = at.node.integer("axis", -1) % max(1, len(shape))
    if not shape or not math.prod(shape):
        return None
    # Before opset 13 the axis was the first of all that are summed over.
    end = len(shape) if at.node.integer("coerced") else axis + 1
    kernel = Softmax(
        math.prod(shape[:axis]), math.prod(shape[axis:end]), math.prod(shape[end:]), at.node.op == "LogSoftmax"
    )
    return (KernelCall(kernel, (value.name,), (at.node.output,), math.prod(shape) * _EXP_FLOPS),)
