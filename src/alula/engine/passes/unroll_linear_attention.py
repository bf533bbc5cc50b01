"""Attention with a state of fixed size, written step by step.

    LinearAttention(q, k, v)   becomes   for each step: S + k v^T, MatMul(q, S) * scale -> Concat

In: a float32 LinearAttention of static shapes and few steps. Out: nodes that have kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch

# A step is some eight nodes, which all steps share the code of; the plan still grows with them.
_MOST_STEPS = 128
_PACKED = 3
_PAST, _DECAY, _BETA = 3, 4, 5
_RULES = {"linear": (False, False), "gated": (True, False), "delta": (False, True), "gated_delta": (True, True)}


def unroll_linear_attention(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace one node."""
    if node.kind != ("", "LinearAttention"):
        return None
    names = [name for name in node.inputs if name]
    shapes = {name: static_shape(editor, name) for name in names}
    if not all(shapes.values()) or any(editor.value(name).dtype is not DType.FLOAT32 for name in names):
        return None
    sizes = _sizes([shapes.get(name) or () for name in (*node.inputs, "", "", "")], node)
    return None if sizes is None else _Steps(Sketch(editor, node), node, sizes).written()


@dataclass(frozen=True)
class _Sizes:
    """[batch, steps, heads x depth] queries, [batch, steps, groups x depth] keys, [.., groups x width] values."""

    batch: int
    steps: int
    heads: int
    groups: int
    depth: int
    width: int


def _sizes(shapes: list[tuple[int, ...]], node: Node) -> _Sizes | None:
    """The extents, if all inputs fit together and the rule takes them; others are for the reference to explain."""
    q, k, v, past, decay, beta = shapes[:6]
    heads, groups = node.integer("q_num_heads"), node.integer("kv_num_heads")
    rule = _RULES.get(node.text("update_rule", "gated_delta"))
    if rule != (bool(decay), bool(beta)) or min(heads, groups) < 1 or heads % groups:
        return None
    if not len(q) == len(k) == len(v) == _PACKED or q[1] > _MOST_STEPS or q[2] % heads or v[2] % groups:
        return None
    sizes = _Sizes(q[0], q[1], heads, groups, q[2] // heads, v[2] // groups)
    front = (sizes.batch, sizes.steps)
    state = (sizes.batch, groups, sizes.depth, sizes.width)
    if k != (*front, groups * sizes.depth) or v[:2] != front or past not in {(), state}:
        return None
    gates = {(*front, 1), (*front, groups), (*front, groups * sizes.depth), ()}
    return sizes if decay in gates and beta in {(*front, 1), (*front, groups), ()} else None


@dataclass(frozen=True)
class _Steps:
    """The nodes being written; owned by one rewrite."""

    at: Sketch
    node: Node
    sizes: _Sizes

    def written(self) -> Rewrite:
        """All steps, and which values stand for the node's outputs."""
        at, sizes = self.at, self.sizes
        group = (sizes.batch, sizes.steps, sizes.groups)
        q = at.reshape(self.node.inputs[0], (*group, sizes.heads // sizes.groups, sizes.depth))
        k = at.reshape(self.node.inputs[1], (*group, 1, sizes.depth))
        v = at.reshape(self.node.inputs[2], (*group, 1, sizes.width))
        gates, strengths = self._gates(), self._by_group(self.node.input(_BETA))
        shape = (sizes.batch, sizes.groups, sizes.depth, sizes.width)
        state = self.node.input(_PAST) or at.constant(np.zeros(shape, np.float32))
        rows = []
        for step in range(sizes.steps):
            if gates:
                state = self._binary("Mul", state, self._step(gates, step))
            key, wanted = self._step(k, step), self._step(v, step)
            if strengths:
                found = at.node("MatMul", (key, state), at.shape(wanted))
                wanted = self._binary("Mul", self._step(strengths, step), self._binary("Sub", wanted, found))
            column = at.reshape(key, (*shape[:3], 1))
            state = self._binary("Add", state, self._binary("Mul", column, wanted))
            rows.append(self._row(self._step(q, step), state))
        y = at.node("Concat", rows, (sizes.batch, sizes.steps, at.shape(rows[0])[2]), axis=1)
        y = self._binary("Mul", y, at.constant(np.asarray(self._scale(), np.float32)))
        results = dict(zip(self.node.outputs, (y, state), strict=False))
        return at.finish_all({name: made for name, made in results.items() if name})

    def _scale(self) -> float:
        return self.node.real("scale") or 1 / math.sqrt(self.sizes.depth)

    def _row(self, query: str, state: str) -> str:
        """What the queries of a step read from the state, [batch, 1, heads x width]."""
        sizes = self.sizes
        shape = (*self.at.shape(query)[:3], sizes.width)
        return self.at.reshape(
            self.at.node("MatMul", (query, state), shape), (sizes.batch, 1, sizes.heads * sizes.width)
        )

    def _gates(self) -> str:
        """exp(decay) by step, for the rows of the state."""
        decay = self.node.input(_DECAY)
        return self._by_group(self.at.node("Exp", (decay,), self.at.shape(decay))) if decay else ""

    def _by_group(self, name: str) -> str:
        """[batch, steps, n] as [batch, steps, groups or 1, depth or 1, 1]."""
        if not name:
            return ""
        batch, steps, count = self.at.shape(name)
        groups = min(count, self.sizes.groups)
        return self.at.reshape(name, (batch, steps, groups, count // groups, 1))

    def _step(self, name: str, step: int) -> str:
        batch, _, *rest = self.at.shape(name)
        return self.at.node("Gather", (name, self.at.constant(np.asarray(step, np.int64))), (batch, *rest), axis=1)

    def _binary(self, op: str, a: str, b: str) -> str:
        return self.at.node(op, (a, b), np.broadcast_shapes(self.at.shape(a), self.at.shape(b)))
