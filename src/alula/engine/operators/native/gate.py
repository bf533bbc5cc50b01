"""Which kernel runs the gate of squeeze-and-excitation.

In: a ChannelGate with layouts decided. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.gate import Gate, pack_gate


def select_gate(at: Selection) -> tuple[KernelCall, ...] | None:
    """Constant weights; x and y both in blocks or both plain."""
    value, result, node = at.value(0), at.result(), at.node
    w1, b1, w2, b2 = (at.constant(index) for index in range(1, 5))
    if value.dtype is not DType.FLOAT32 or value.block != result.block or w1 is None or w2 is None:
        return None
    if any(node.input(index) and at.constant(index) is None for index in (2, 4)):
        return None
    lanes = at.target.lanes
    if value.block not in {0, lanes}:
        return None
    batch, channels = static(value.shape or ())[:2]
    outputs, hidden = w2.shape
    kernel = Gate(
        channels, hidden, outputs, node.formula("squeeze"), node.formula("excite"), lanes, batch, bool(value.block)
    )
    if not kernel.units or not hidden or not channels:
        return None
    reads = (value.name, pack_gate(w1, b1, lanes), pack_gate(w2, b2, lanes))
    flops = 2 * batch * hidden * (channels + outputs)
    return (KernelCall(kernel, reads, (result.name,), flops),)
