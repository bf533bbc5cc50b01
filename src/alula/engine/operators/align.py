"""Broadcasting as it was before operator set 7: the second input's axes begin at one of the first's.

In: a node with `axis`. Out: the node in today's form, behind an `Align` that gives the second input trailing ones.
"""

from __future__ import annotations

from collections.abc import Callable

from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.operators.common import Mismatch, show, with_input, without
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator

OPSET_OF_NUMPY_BROADCASTING = 7


def align(b: Array, a: Array, *, axis: int) -> Array:
    """B with as many axes of 1 behind as it takes to stand at `axis` of a; a view."""
    return b.reshape(b.shape + (1,) * _behind(b.ndim, a.ndim, axis))


def _behind(own: int, other: int, axis: int) -> int:
    first = axis + other if axis < 0 else axis
    return max(0, other - first - own)


def _infer_align(at: Inference) -> Inferred:
    a, b, axis = at.shape(1), at.shape(0), at.attributes["axis"]
    if not -len(a) <= axis <= len(a):
        raise Mismatch(f"axis must be one of {show(a)}", f"it is {axis}")
    return [(at.dtype(0), (*b, *(1,) * _behind(len(b), len(a), axis)))]


ALIGN = Operator(
    name="Align",
    domain=INTERNAL,
    since=(1,),
    inputs=("b", "a"),
    attributes={"axis": REQUIRED},
    infer=_infer_align,
    reference=align,
    view=True,
    summary="b with axes of 1 behind, so that it stands at an axis of a.",
)


def aligned(node: Node, axis: int) -> tuple[Node, Node]:
    """The second input aligned with an axis of the first, and the node that reads it."""
    name = f"{node.output}.aligned"
    made = Node("Align", (node.inputs[1], node.inputs[0]), (name,), {"axis": axis}, f"{node.label} (align)", INTERNAL)
    return made, with_input(node, 1, name)


def upgrade_broadcast(node: Node, version: int, constant: Callable[[Array], str]) -> Node | tuple[Node, ...]:
    """Before 7, broadcasting had to be asked for, and could begin at any axis."""
    del constant
    plain = without(node, "broadcast", "axis")
    if version < OPSET_OF_NUMPY_BROADCASTING and "axis" in node.attributes:
        return aligned(plain, node.integer("axis"))
    return plain if "broadcast" in node.attributes else node


def upgrade_slope(node: Node, version: int, constant: Callable[[Array], str]) -> Node | tuple[Node, ...]:
    """Before 7, a slope of one axis was one number a channel: PRelu-6."""
    del constant
    return aligned(node, 1) if version < OPSET_OF_NUMPY_BROADCASTING else node


OPERATORS = (ALIGN,)
