"""What follows a convolution or a matrix product element by element is done on its registers.

    FusedConv(x) -> Elementwise(., z) <max(r0 + r1, 0)>   becomes   FusedConv(x, z) {epilogue=<max(r0 + r1, 0)>}

In: an Elementwise of float32. Out: one of its producers with a longer epilogue, at the place of the Elementwise.
"""

from __future__ import annotations

from dataclasses import replace

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.passes.compose import Applied, compose
from alula.engine.passes.fuse_chain import ELEMENTWISE, MOST_INPUTS, MOST_STEPS

_PRODUCERS = frozenset({(INTERNAL, name) for name in ("FusedConv", "FusedConvTranspose", "FusedMatMul")})
_FIRST_EXTRA = 3


def fuse_epilogue(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Merge the node into the producer that stands last, since the others' results are there by then."""
    if node.kind != ELEMENTWISE or not node.formula("formula").is_single or not _fit_as_extras(editor, node):
        return None
    producers = [producer for producer in map(editor.producer_of, node.inputs) if _takes(editor, producer)]
    for producer in sorted(filter(None, producers), key=editor.position_of, reverse=True):
        merged = _merged(producer, node)
        if merged is not None:
            return Rewrite(drop=(producer, node), add=(merged,))
    return None


def _fit_as_extras(editor: GraphEditor, node: Node) -> bool:
    """Whether all inputs are computed float32 values of the output's own shape."""
    shape = editor.value(node.output).shape
    if shape is None or not is_static(shape):
        return False
    values = [editor.value(name) for name in node.inputs]
    computed = all(editor.constant(name) is None for name in node.inputs)
    return computed and all(value.shape == shape and value.dtype is DType.FLOAT32 for value in values)


def _takes(editor: GraphEditor, producer: Node | None) -> bool:
    return producer is not None and producer.kind in _PRODUCERS and editor.uses_of(producer.output) == 1


def _merged(producer: Node, node: Node) -> Node | None:
    """The producer with the node's formula behind its own epilogue; None where that would be too long."""
    result = producer.output
    epilogue = Applied(producer.formula("epilogue"), (result, *producer.inputs[_FIRST_EXTRA:]))
    # The result itself is register 0 of the new epilogue; `at` must differ from it.
    renamed = Applied(node.formula("formula"), tuple("" if name == result else name for name in node.inputs))
    whole = compose(renamed, "", epilogue)
    if len(whole.names) > MOST_INPUTS or len(whole.formula.steps) > MOST_STEPS:
        return None
    inputs = (*producer.inputs[:2], producer.input(2), *whole.names[1:])
    return replace(producer.with_attributes(epilogue=whole.formula), inputs=inputs, outputs=(node.output,))
