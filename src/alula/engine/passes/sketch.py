"""Several nodes in the place of one: a pass writes them one after the other, with shapes, and gets the rewrite.

In: the editor and the node to replace. Out: a `Rewrite`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.passes.merge_reshapes import is_view


class Sketch:
    """The nodes that will replace `node`; all shapes are static. Owned by one call of a pass."""

    def __init__(self, editor: GraphEditor, node: Node) -> None:
        self._editor = editor
        self._node = node
        self._added: list[Node] = []
        self._dropped: list[Node] = [node]
        self._constants: dict[str, Array] = {}
        self._values: dict[str, Value] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a value, new or old."""
        value = self._values.get(name) or self._editor.value(name)
        return static(value.shape or ())

    def dtype(self, name: str) -> DType:
        """The element type of a value, new or old."""
        return (self._values.get(name) or self._editor.value(name)).dtype

    def array(self, name: str) -> Array | None:
        """The elements of a constant, new or old; None for other values."""
        return self._constants[name] if name in self._constants else self._editor.constant(name)

    def constant(self, array: Array) -> str:
        """A new constant."""
        name = self._editor.fresh(f"{self._node.output}.constant")
        self._constants[name] = np.asarray(array, order="C")
        self._values[name] = Value(name, DType(array.dtype.name), array.shape)
        return name

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        shape: Sequence[int],
        domain: str = "",
        dtype: DType | None = None,
        **attributes: Any,
    ) -> str:
        """A new node; returns the value that it makes, by default of the dtype of its first input."""
        name = self._editor.fresh(self._node.output)
        first = self._values.get(inputs[0]) or self._editor.value(inputs[0])
        self._values[name] = Value(name, dtype or first.dtype, tuple(shape))
        label = f"{self._node.label} ({op.lower()} {len(self._added)})"
        self._added.append(Node(op, tuple(inputs), (name,), MappingProxyType(attributes), label, domain))
        return name

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """The same elements under another shape; an earlier view of a value of that shape is undone instead."""
        if self.shape(name) == tuple(shape):
            return name
        array = self._editor.constant(name)
        if array is not None:
            return self.constant(array.reshape(shape))
        maker = self._editor.producer_of(name)
        if maker is not None and is_view(maker) and self.shape(maker.inputs[0]) == tuple(shape):
            return self._past(maker)
        return self.node("Reshape", (name, self.constant(np.asarray(shape, np.int64))), shape)

    def transpose(self, name: str, order: Sequence[int]) -> str:
        """Axes in another order; an earlier Transpose that did the reverse is undone instead."""
        maker = self._editor.producer_of(name)
        if maker is not None and maker.kind == ("", "Transpose"):
            perm = maker.ints("perm")
            if len(perm) == len(order) and all(perm[axis] == place for place, axis in enumerate(order)):
                return self._past(maker)
        shape = self.shape(name)
        return self.node("Transpose", (name,), [shape[axis] for axis in order], perm=tuple(order))

    def _past(self, maker: Node) -> str:
        """What a node reads; the node goes if nobody else wants its result."""
        if self._editor.uses_of(maker.output) == 1:
            self._dropped.append(maker)
        return maker.inputs[0]

    def finish_all(self, results: Mapping[str, str]) -> Rewrite:
        """The rewrite of a node with several outputs, by their names; those left out must have no reader."""
        return Rewrite(
            drop=tuple(self._dropped),
            add=tuple(self._added),
            constants=self._constants,
            values=tuple(self._values.values()),
            rename=results,
        )

    def finish(self, result: str) -> Rewrite:
        """The rewrite; `result` takes the place of the node's output."""
        if not self._added or self._added[-1].output != result:
            result = self.node("Identity", (result,), self.shape(result))
        last = self._added[-1]
        self._values.pop(result)
        label = last.name if len(self._added) > 1 else self._node.label  # one node is the same under another operator
        named = Node(last.op, last.inputs, (self._node.output,), last.attributes, label, last.domain)
        return Rewrite(
            drop=tuple(self._dropped),
            add=(*self._added[:-1], named),
            constants=self._constants,
            values=tuple(self._values.values()),
        )
