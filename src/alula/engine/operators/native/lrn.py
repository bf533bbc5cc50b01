"""Which kernel runs a normalisation over neighbouring channels.

In: an LRN on plain rows. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.graph.formula import Formula, FormulaBuilder
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.channel_energy import ChannelEnergy
from alula.engine.kernels.formula import cost

_RANK = 3
_THREE_QUARTERS = 0.75


def select_lrn(at: Selection) -> tuple[KernelCall, ...] | None:
    """x / (bias + alpha / size * energy) ** beta, the window as ONNX places it: the longer half behind."""
    value = at.value(0)
    shape = static(value.shape or ())
    if value.dtype is not DType.FLOAT32 or value.block or len(shape) < _RANK or not math.prod(shape):
        return None
    size = at.node.integer("size")
    alpha, beta, bias = at.node.real("alpha", 1e-4), at.node.real("beta", _THREE_QUARTERS), at.node.real("bias", 1.0)
    formula = _formula(alpha / size, beta, bias)
    before = (size - 1) // 2
    kernel = ChannelEnergy(shape[0], shape[1], math.prod(shape[2:]), before, size - 1 - before, formula)
    flops = math.prod(shape) * (2 * size + cost(formula))
    return (KernelCall(kernel, (value.name,), (at.node.output,), flops),)


def _formula(slope: float, beta: float, bias: float) -> Formula:
    """Register 0 over (bias + slope * register 1) to the power of beta; two roots make the usual 3/4."""
    b = FormulaBuilder(2)
    x, energy = b.arguments()
    base = b.add(b.mul(energy, slope), bias)
    if beta == _THREE_QUARTERS:
        root = b.sqrt(base)
        b.div(x, b.mul(root, b.sqrt(root)))
    else:
        b.mul(x, b.exp(b.mul(b.log(base), -beta)))
    return b.build()
