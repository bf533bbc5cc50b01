"""A recurrent layer becomes matrix products over all steps at once, and what has to go step by step.

    LSTM(x, #w, #r, #b)   becomes   MatMul(x, #w^T) -> Add(#b) -> RecurrentCore(#r) -> Unsqueeze

In: a node with constant float32 weights, static shapes and usual activations. Out: one core a direction; others stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Attribute, Node, Value
from alula.engine.operators.cells import KINDS
from alula.engine.passes.splice import Splice

_LENGTHS, _FIRST_STATE, _PEEPHOLES = 4, 5, 7
_RANK = 3


def split_recurrent(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Both directions, put together as the layer gives them."""
    layer = _layer_of(editor, node)
    return None if layer is None else layer.split()


def _layer_of(editor: GraphEditor, node: Node) -> _Layer | None:
    if node.domain or node.op not in KINDS or not _is_usual(node):
        return None
    value = editor.value(node.input(0))
    w, r = editor.constant(node.input(1)), editor.constant(node.input(2))
    b = editor.constant(node.input(3)) if node.input(3) else np.zeros(())
    if w is None or r is None or b is None or not w.ndim == r.ndim == _RANK:
        return None
    if value.shape is None or not is_static(value.shape) or len(value.shape) != _RANK:
        return None
    bias = b if node.input(3) else np.zeros((len(w), 2 * w.shape[1]), np.float32)
    layer = _Layer(Splice(editor), node, static(value.shape), w, r, bias)
    floats = value.dtype is DType.FLOAT32 and all(array.dtype == np.float32 for array in (w, r, bias))
    return layer if floats and layer.fits else None


def _is_usual(node: Node) -> bool:
    """Whether activations are the usual ones, and nothing limits or masks them."""
    usual = KINDS[node.op].activations * (2 if node.text("direction") == "bidirectional" else 1)
    names = node.attributes.get("activations", ())
    given = tuple(str(name).lower() for name in names) if isinstance(names, tuple) else ()
    if given and given[: len(usual)] != tuple(name.lower() for name in usual):
        return False
    return not (node.real("clip") or node.integer("input_forget") or node.input(_LENGTHS) or node.input(_PEEPHOLES))


@dataclass(frozen=True)
class _Layer:
    """A layer that can be split; `shape` is the input's."""

    splice: Splice
    node: Node
    shape: tuple[int, ...]
    w: Array
    r: Array
    b: Array

    @property
    def layout(self) -> int:
        """1 where the batch comes before the steps."""
        return self.node.integer("layout")

    @property
    def batch(self) -> int:
        """How many samples there are."""
        return self.shape[0] if self.layout else self.shape[1]

    @property
    def fits(self) -> bool:
        """Whether weights and states have the shapes of the standard; wrong ones are for the reference to explain."""
        count = 2 if self.node.text("direction") == "bidirectional" else 1
        hidden, rows = self.r.shape[2], KINDS[self.node.op].gates * self.r.shape[2]
        wanted = ((count, rows, self.shape[2]), (count, rows, hidden), (count, 2 * rows))
        state = (self.batch, count, hidden) if self.layout else (count, self.batch, hidden)
        names = filter(None, self.node.inputs[_FIRST_STATE:])
        values = [self.splice.editor.value(name) for name in names]
        return (self.w.shape, self.r.shape, self.b.shape) == wanted and all(
            value.shape == state and value.dtype is DType.FLOAT32 for value in values
        )

    def split(self) -> Rewrite:
        """The nodes in the place of the layer."""
        x = self.node.input(0)
        if self.layout:
            x = self._node("Transpose", (x,), perm=(1, 0, 2))
        results = [self._direction(x, way) for way in range(len(self.w))]
        rename = {}
        for index, name in enumerate(self.node.outputs):
            if name:
                rename[name] = self._together([result[index] for result in results], index)
        return Rewrite((self.node,), tuple(self.splice.nodes), self.splice.constants, tuple(self.splice.values), rename)

    def _direction(self, x: str, way: int) -> list[str]:
        """The core's outputs: all steps, then the last states."""
        rows, hidden = self.r.shape[1:]
        bias, kept = self._biases(way)
        product = self._node("MatMul", (x, self.splice.constant("input weights", self.w[way].T.copy())))
        gates = self._node("Add", (product, self.splice.constant("gate biases", bias)))
        steps = self.shape[1] if self.layout else self.shape[0]
        self._learn(gates, (steps, self.batch, rows))
        self._learn(product, (steps, self.batch, rows))
        weights = (self.splice.constant("recurrence", self.r[way]), self.splice.constant("recurrence bias", kept))
        states = [self._first_state(_FIRST_STATE + index, way) for index in range(KINDS[self.node.op].states)]
        outputs = [self.splice.editor.fresh(f"{self.node.label}.{part}") for part in ("y", "h", "c")[: 1 + len(states)]]
        backward = self.node.text("direction") == "reverse" or way == 1
        attributes: dict[str, Attribute] = {
            "kind": self.node.op, "backward": int(backward),
            "linear_before_reset": self.node.integer("linear_before_reset"),
        }  # fmt: skip
        core = Node("RecurrentCore", (gates, *weights, *states), tuple(outputs), attributes, self.node.name, INTERNAL)
        self.splice.nodes.append(core)
        self._learn(outputs[0], (steps, self.batch, hidden))
        for name in outputs[1:]:
            self._learn(name, (self.batch, hidden))
        return outputs

    def _biases(self, way: int) -> tuple[Array, Array]:
        """The biases that can be added at once, and those that a GRU adds behind its product."""
        rows = self.r.shape[1]
        from_input, recurrent = self.b[way, :rows], self.b[way, rows:].copy()
        kept = np.zeros_like(recurrent)
        if self.node.integer("linear_before_reset"):
            behind = slice(2 * self.r.shape[2], None)
            kept[behind], recurrent[behind] = recurrent[behind], 0
        return from_input + recurrent, kept

    def _first_state(self, index: int, way: int) -> str:
        """[batch, hidden] of one direction; zeros where none is given."""
        hidden, name = self.r.shape[2], self.node.input(index)
        if not name:
            return self.splice.constant("state", np.zeros((self.batch, hidden), np.float32))
        at = self.splice.constant("direction", np.asarray(way, np.int64))
        state = self._node("Gather", (name, at), axis=1 if self.layout else 0)
        self._learn(state, (self.batch, hidden))
        return state

    def _together(self, parts: list[str], index: int) -> str:
        """Both directions along an axis of their own, where the layer has it."""
        hidden = self.r.shape[2]
        steps = self.shape[1] if self.layout else self.shape[0]
        axis = (2 if index == 0 else 1) if self.layout else (1 if index == 0 else 0)
        shape = [steps, self.batch, hidden] if index == 0 else [self.batch, hidden]
        if self.layout and index == 0:
            shape = [self.batch, steps, hidden]
            parts = [self._node("Transpose", (part,), perm=(1, 0, 2)) for part in parts]
            for part in parts:
                self._learn(part, tuple(shape))
        at = self.splice.constant("axis", np.asarray([axis], np.int64))
        rows = [self._node("Unsqueeze", (part, at)) for part in parts]
        for row in rows:
            self._learn(row, (*shape[:axis], 1, *shape[axis:]))
        if len(rows) == 1:
            return rows[0]
        joined = self._node("Concat", tuple(rows), axis=axis)
        self._learn(joined, (*shape[:axis], len(rows), *shape[axis:]))
        return joined

    def _node(self, op: str, inputs: tuple[str, ...], **attributes: int | tuple[int, ...]) -> str:
        name = self.splice.node(op, inputs, f"{self.node.label}.{op.lower()}", **attributes)
        if op == "Transpose" and inputs[0] == self.node.input(0):
            self._learn(name, (self.shape[1], self.shape[0], self.shape[2]))
        return name

    def _learn(self, name: str, shape: tuple[int, ...]) -> None:
        self.splice.values.append(Value(name, DType.FLOAT32, shape))
