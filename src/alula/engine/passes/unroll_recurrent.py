"""A recurrent layer that its kernel does not have, written step by step.

    GRU(x, w, r, b, lengths)   becomes   MatMul(x, Transpose(w)) -> for each step: Gather, MatMul(h, Transpose(r)),
                                         gates, Where(step < lengths, new, old) -> Concat

In: a float32 layer of static shape and few steps whose weights are computed, or which has lengths, peepholes, a clip or
other activations. Out: nodes that have kernels; what has parameters of its own among the activations stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.operators.cells import KINDS
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch

# A step is some ten nodes, which all steps share the code of; the plan still grows with them.
_MOST_STEPS = 128
_RANK = 3
_WEIGHTS, _LENGTHS, _FIRST_STATE, _PEEPHOLES = (1, 2), 4, 5, 7
_FUNCTIONS = MappingProxyType(
    {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
)


def unroll_recurrent(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Both directions, put together as the layer gives them."""
    if node.domain or node.op not in KINDS:
        return None
    functions = _functions(node)
    if functions is None or not _fits(editor, node):
        return None
    return _Layer(editor, Sketch(editor, node), node, functions).written()


def _ways(node: Node) -> int:
    return 2 if node.text("direction") == "bidirectional" else 1


def _functions(node: Node) -> tuple[str, ...] | None:
    """The operators of all activations, direction by direction; None where one has parameters."""
    usual = KINDS[node.op].activations * _ways(node)
    given = node.attributes.get("activations", ())
    names = tuple(map(str, given)) if isinstance(given, tuple) and given else usual
    found = [_FUNCTIONS.get(name.lower(), "") for name in names[: len(usual)]]
    return tuple(found) if len(found) == len(usual) and all(found) else None


def _fits(editor: GraphEditor, node: Node) -> bool:
    """Whether all inputs have the types and shapes of the standard; wrong ones are for the reference to explain."""
    x, w, r = (static_shape(editor, name) for name in node.inputs[:3])
    if x is None or w is None or r is None or not len(x) == len(w) == len(r) == _RANK:
        return False
    if node.text("direction", "forward") not in {"forward", "reverse", "bidirectional"}:
        return False
    ways, hidden, rows, layout = _ways(node), r[2], KINDS[node.op].gates * r[2], node.integer("layout")
    steps, batch = (x[1], x[0]) if layout else x[:2]
    state = (batch, ways, hidden) if layout else (ways, batch, hidden)
    wanted = [x, (ways, rows, x[2]), (ways, rows, hidden), (ways, 2 * rows), (batch,), state, state, (ways, 3 * hidden)]
    for place, (name, shape) in enumerate(zip(node.inputs, wanted, strict=False)):
        kind = DType.INT32 if place == _LENGTHS else DType.FLOAT32
        if name and (static_shape(editor, name) != shape or editor.value(name).dtype is not kind):
            return False
    return steps <= _MOST_STEPS


@dataclass(frozen=True)
class _Way:
    """One direction: [steps, batch, gates x hidden] of the input, [hidden, gates x hidden], biases, activations."""

    gates: str
    weights: str
    bias: str
    functions: tuple[str, ...]
    peepholes: tuple[str, ...]


@dataclass(frozen=True)
class _Layer:
    """The nodes being written; owned by one rewrite."""

    editor: GraphEditor
    at: Sketch
    node: Node
    functions: tuple[str, ...]

    @property
    def layout(self) -> int:
        """1 where the batch comes before the steps."""
        return self.node.integer("layout")

    @property
    def steps(self) -> int:
        """How many there are."""
        return self.at.shape(self.node.inputs[0])[1 if self.layout else 0]

    @property
    def state(self) -> tuple[int, int]:
        """[batch, hidden]."""
        return self.at.shape(self.node.inputs[0])[0 if self.layout else 1], self.at.shape(self.node.inputs[2])[2]

    def written(self) -> Rewrite:
        """All steps of all directions, and which values stand for the node's outputs."""
        x = self.node.inputs[0]
        x = self.at.transpose(x, (1, 0, 2)) if self.layout else x
        found = [self._direction(x, way) for way in range(_ways(self.node))]
        batch, hidden = self.state
        rows = [self.at.reshape(rows, (self.steps, 1, batch, hidden)) for rows, _ in found]
        results = [self._joined(rows, 1, (2, 0, 1, 3))]
        columns = zip(*(states for _, states in found), strict=True)
        stacked = [[self.at.reshape(one, (1, batch, hidden)) for one in column] for column in columns]
        results += [self._joined(column, 0, (1, 0, 2)) for column in stacked]
        return self.at.finish_all({name: made for name, made in zip(self.node.outputs, results, strict=False) if name})

    def _joined(self, parts: list[str], axis: int, batch_first: tuple[int, ...]) -> str:
        whole = self._concat(parts, axis)
        return self.at.transpose(whole, batch_first) if self.layout else whole

    def _concat(self, parts: list[str], axis: int) -> str:
        if len(parts) == 1:
            return parts[0]
        shape = list(self.at.shape(parts[0]))
        shape[axis] = sum(self.at.shape(part)[axis] for part in parts)
        return self.at.node("Concat", parts, shape, axis=axis)

    def _direction(self, x: str, way: int) -> tuple[str, tuple[str, ...]]:
        """All steps [steps, batch, hidden], and the last states."""
        lengths, backward = self.node.input(_LENGTHS), self.node.text("direction") == "reverse" or way == 1
        turned = self._turned(x) if backward and lengths else x
        one = self._way(turned, way)
        places = [_FIRST_STATE + index for index in range(KINDS[self.node.op].states)]
        states = tuple(self._first_state(place, way) for place in places)
        rows = [""] * self.steps
        for step in range(self.steps):
            place = self.steps - 1 - step if backward and not lengths else step
            gates = self._picked(one.gates, place)
            after = _CELLS[self.node.op](self, one, gates, states)
            states, rows[place] = self._alive(step, states, after)
        flat = [self.at.reshape(row, (1, *self.state)) for row in rows]
        y = self._concat(flat, 0)
        return (self._turned(y) if backward and lengths else y), states

    def _alive(self, step: int, before: tuple[str, ...], after: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        """The states and the row of a step: behind its length a sample keeps its state, and gives zeros."""
        if not self.node.input(_LENGTHS):
            return after, after[0]
        lengths = self.at.reshape(self.node.inputs[_LENGTHS], (self.state[0], 1))
        number = self.at.constant(np.asarray(step, np.int32))
        alive = self.at.node("Less", (number, lengths), (self.state[0], 1), dtype=DType.BOOL)
        pairs = zip(after, before, strict=True)
        kept = tuple(self.at.node("Where", (alive, *pair), self.state, dtype=DType.FLOAT32) for pair in pairs)
        return kept, self.at.node("Where", (alive, after[0], self.number(0)), self.state, dtype=DType.FLOAT32)

    def _turned(self, name: str) -> str:
        """Steps in reverse order, each sample within its own length."""
        lengths = self.at.node("Cast", (self.node.inputs[_LENGTHS],), self.state[:1], dtype=DType.INT64, to=7)
        return self.at.node("ReverseSequence", (name, lengths), self.at.shape(name), time_axis=0, batch_axis=1)

    def _way(self, x: str, way: int) -> _Way:
        w, r = (self._matrix(self.node.inputs[place], way) for place in _WEIGHTS)
        rows, each = self.at.shape(r)[1], len(KINDS[self.node.op].activations)
        gates, recurrent = self.at.node("MatMul", (x, w), (*self.at.shape(x)[:2], rows)), ""
        if self.node.input(3):
            both = self._picked(self.node.inputs[3], way)
            gates, recurrent = self.binary("Add", gates, self.cut(both, 0, rows)), self.cut(both, rows, 2 * rows)
        name = self.node.input(_PEEPHOLES)
        hidden = self.state[1]
        whole = self._picked(name, way) if name else ""
        peepholes = tuple(self.cut(whole, part * hidden, (part + 1) * hidden) for part in range(3 if name else 0))
        return _Way(gates, r, recurrent, self.functions[way * each : (way + 1) * each], peepholes)

    def _matrix(self, name: str, way: int) -> str:
        """Weights of one direction, turned so that they stand on the right of a product."""
        array = self.editor.constant(name)
        if array is not None:
            return self.at.constant(array[way].T)
        return self.at.transpose(self._picked(name, way), (1, 0))

    def _picked(self, name: str, index: int) -> str:
        number = self.at.constant(np.asarray(index, np.int64))
        return self.at.node("Gather", (name, number), self.at.shape(name)[1:], axis=0)

    def _first_state(self, place: int, way: int) -> str:
        """[batch, hidden] of one direction; zeros where none is given."""
        name = self.node.input(place)
        if not name:
            return self.at.constant(np.zeros(self.state, np.float32))
        number = self.at.constant(np.asarray(way, np.int64))
        return self.at.node("Gather", (name, number), self.state, axis=1 if self.layout else 0)

    def cut(self, name: str, start: int, end: int) -> str:
        """Elements [start, end) of the last axis."""
        shape = self.at.shape(name)
        if (start, end) == (0, shape[-1]):
            return name
        numbers = [self.at.constant(np.asarray([number], np.int64)) for number in (start, end, -1)]
        return self.at.node("Slice", (name, *numbers), (*shape[:-1], end - start))

    def number(self, value: float) -> str:
        """A constant."""
        return self.at.constant(np.asarray(value, np.float32))

    def binary(self, op: str, a: str, b: str) -> str:
        """One of both, element by element."""
        return self.at.node(op, (a, b), np.broadcast_shapes(self.at.shape(a), self.at.shape(b)))

    def product(self, h: str, weights: str, bias: str) -> str:
        """The state's share in gates."""
        made = self.at.node("MatMul", (h, weights), (self.state[0], self.at.shape(weights)[1]))
        return self.binary("Add", made, bias) if bias else made

    def active(self, function: str, x: str) -> str:
        """An activation of what is within the clip."""
        clip = self.node.real("clip")
        if clip > 0:
            x = self.at.node("Clip", (x, self.number(-clip), self.number(clip)), self.at.shape(x))
        return self.at.node(function, (x,), self.at.shape(x))


def _rnn(at: _Layer, way: _Way, gates: str, states: tuple[str, ...]) -> tuple[str, ...]:
    return (at.active(way.functions[0], at.binary("Add", gates, at.product(states[0], way.weights, way.bias))),)


def _gru(at: _Layer, way: _Way, gates: str, states: tuple[str, ...]) -> tuple[str, ...]:
    (h,), hidden = states, at.state[1]
    split, end = 2 * hidden, 3 * hidden
    both, last = at.cut(way.weights, 0, split), at.cut(way.weights, split, end)
    bias, last_bias = (at.cut(way.bias, 0, split), at.cut(way.bias, split, end)) if way.bias else ("", "")
    inner = at.active(way.functions[0], at.binary("Add", at.cut(gates, 0, split), at.product(h, both, bias)))
    update, reset = at.cut(inner, 0, hidden), at.cut(inner, hidden, split)
    if at.node.integer("linear_before_reset"):
        held = at.binary("Mul", reset, at.product(h, last, last_bias))
    else:
        held = at.product(at.binary("Mul", reset, h), last, last_bias)
    new = at.active(way.functions[1], at.binary("Add", at.cut(gates, split, end), held))
    fresh = at.binary("Mul", at.binary("Sub", at.number(1), update), new)
    return (at.binary("Add", fresh, at.binary("Mul", update, h)),)


def _lstm(at: _Layer, way: _Way, gates: str, states: tuple[str, ...]) -> tuple[str, ...]:
    (h, c), hidden, (f, g, h_of) = states, at.state[1], way.functions
    whole = at.binary("Add", gates, at.product(h, way.weights, way.bias))
    i, o, forget, new = (at.cut(whole, part * hidden, (part + 1) * hidden) for part in range(4))
    p_i, p_o, p_f = way.peepholes or ("", "", "")
    i = at.active(f, _seen(at, i, p_i, c))
    left = at.node.integer("input_forget")
    forget = at.binary("Sub", at.number(1), i) if left else at.active(f, _seen(at, forget, p_f, c))
    c = at.binary("Add", at.binary("Mul", forget, c), at.binary("Mul", i, at.active(g, new)))
    o = at.active(f, _seen(at, o, p_o, c))
    return at.binary("Mul", o, at.at.node(h_of, (c,), at.state)), c


def _seen(at: _Layer, gate: str, peephole: str, c: str) -> str:
    """A gate that also looks at the cell's state."""
    return at.binary("Add", gate, at.binary("Mul", peephole, c)) if peephole else gate


_CELLS: MappingProxyType[str, Callable[[_Layer, _Way, str, tuple[str, ...]], tuple[str, ...]]] = MappingProxyType(
    {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}
)
