"""What can be computed before running is computed, and every other value gets its dtype and shape.

    ConstantOfShape(#shape) -> Conv(x, %w)   becomes   Conv(x, #w)
    Reshape(x, Concat(Gather(Shape(x)), -1))   becomes   Reshape(x, #shape)
    ReduceSum(x [0, 3], #axes)   becomes   #zeros: a value without elements is known before it is computed

In: a graph in the newest forms with static inputs. Out: the graph with folded nodes gone and `values` complete.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, is_static, static
from alula.engine.graph.graph import Graph, without_unmentioned
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.chance import RANDOM
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known, Partial
from alula.engine.operators.sizes import sizes_of
from alula.engine.passes.resolve_cast_like import cast_by_name

# Folding may make a model larger; beyond this many bytes in total, nodes stay for the run.
MOST_GROWTH = 512 << 20
# Weights that a file describes by one number (ConstantOfShape, Expand) may be as large as real ones.
MOST_INFLATED = 4 << 30
_INFLATE = frozenset({"ConstantOfShape", "Expand"})
_SHAPE_ONLY = frozenset({"Shape", "Size", "EyeLike"})


def fold_constants(graph: Graph) -> Graph:
    """Walk once through the nodes in order.

    Raises:
        ShapeError: shapes or dtypes do not fit.
        UnsupportedError: an operator is used in a form that alula does not have.
    """
    work = _Work(graph)
    for node in graph.nodes:
        work.visit(node)
    work.publish()
    changed = replace(graph, nodes=tuple(work.nodes), constants=work.constants, values=work.values)
    return without_unmentioned(changed)


@dataclass
class _Work:
    """The graph being rebuilt; owned by one run of the pass."""

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    grown: int = 0
    inflated: int = 0
    # Elements of shapes with symbols, and the values whose own shapes are inferred: what a file says may be wrong.
    sizes: dict[str, Array] = field(default_factory=dict)
    inferred: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.constants: dict[str, Array] = dict(self.graph.constants)
        self.values: dict[str, Value] = dict(self.graph.values)
        self.values.update((value.name, value) for value in self.graph.inputs)
        self.values.update((name, _described(name, array)) for name, array in self.constants.items())
        self.inferred.update(value.name for value in self.graph.inputs)

    def visit(self, node: Node) -> None:
        """Fold the node, or keep it and learn what it makes."""
        if any(name and name not in self.values for name in node.inputs):
            # Behind a node whose results depend on data not even dtypes are known; guessing one would refuse the node.
            self.nodes.append(node)
            return
        # Types are known here that were not before the walk, so that a constant can take one and be folded.
        node = cast_by_name(node, self.values.get(node.input(1))) or node
        known = tuple(self._known(name) for name in node.inputs)
        inferred = infer_node(node, known)
        if inferred and all(_is_empty(shape) for _, shape in inferred):
            self._learn(node, [np.zeros(static(shape or ()), numpy_dtype(dtype)) for dtype, shape in inferred])
            return
        arrays = self._arguments(node)
        if arrays is not None and self._affordable(node, inferred):
            self._learn(node, evaluate(node, arrays))
            return
        self.nodes.append(node)
        if inferred is not None:
            for name, (dtype, shape) in zip(node.outputs, inferred, strict=False):
                if name:
                    self.values[name] = Value(name, dtype, shape)
                    self.inferred.add(name)
            if self.inferred.issuperset(name for name in node.inputs if name and name not in self.constants):
                self._learn_sizes(node, known)

    def _learn_sizes(self, node: Node, known: Sequence[Known | None]) -> None:
        """Only shapes are inferred from these: symbols stand for numbers that a run may have otherwise."""
        sizes = sizes_of(node, known)
        if sizes is not None:
            self.sizes[node.output] = sizes

    def publish(self) -> None:
        """Outputs of the model are made by nodes: a constant one by an Identity of the array."""
        sources = {name: self._moved(name) for name in dict.fromkeys(self.graph.outputs) if name in self.constants}
        if sources:
            makers = [Node("Identity", (source,), (name,)) for name, source in sources.items()]
            readers = [replace(n, inputs=tuple(sources.get(name, name) for name in n.inputs)) for n in self.nodes]
            self.nodes = [*makers, *readers]

    def _moved(self, name: str) -> str:
        """A new name for a constant, so that its own is free."""
        source = f"{name}.constant"
        while source in self.values:
            source += "_"
        self.constants[source] = self.constants.pop(name)
        self.values[source] = _described(source, self.constants[source])
        return source

    def _known(self, name: str) -> Known | None:
        if not name:
            return None
        value = self.values.get(name) or Value(name, DType.FLOAT32, None)
        return Known(value, self._array(name), self.sizes.get(name))

    def _array(self, name: str) -> Array | None:
        """The elements of a value; those of an input that has none are known too."""
        value = self.values.get(name)
        if name not in self.constants and value is not None and not value.kind and _is_empty(value.shape):
            return np.zeros(static(value.shape or ()), numpy_dtype(value.dtype))
        return self.constants.get(name)

    def _arguments(self, node: Node) -> Sequence[Array | None] | None:
        """The arrays to evaluate the node with; None where it has to wait for the run."""
        if node.op in _SHAPE_ONLY and not node.domain:
            x = self.values.get(node.inputs[0])
            known = x is not None and x.shape is not None and is_static(x.shape)
            return [_stand_in(x)] if x is not None and known else None
        arrays = [self._array(name) if name else None for name in node.inputs]
        unknown = any(name and array is None for name, array in zip(node.inputs, arrays, strict=True))
        return None if unknown or (node.op in RANDOM and not node.domain) else arrays

    def _affordable(self, node: Node, inferred: Partial | None) -> bool:
        """Whether the results fit into what folding may add; unknown sizes are for the run."""
        if inferred is None:
            return False
        size = 0
        for dtype, shape in inferred:
            if shape is None or not is_static(shape):
                return False
            size += dtype.itemsize * math.prod(static(shape))
        inflates = node.op in _INFLATE
        if size + (self.inflated if inflates else self.grown) > (MOST_INFLATED if inflates else MOST_GROWTH):
            return False
        self.inflated += size * inflates
        self.grown += size * (not inflates)
        return True

    def _learn(self, node: Node, arrays: Sequence[Array]) -> None:
        for name, array in zip(node.outputs, arrays, strict=False):
            if name:
                self.constants[name] = array
                self.values[name] = _described(name, array)


def _described(name: str, array: Array) -> Value:
    shape: Shape = array.shape
    return Value(name, DType(array.dtype.name), shape)


def _is_empty(shape: Shape | None) -> bool:
    return shape is not None and is_static(shape) and not math.prod(static(shape))


def _stand_in(value: Value) -> Array:
    """An array of the dtype and shape of a value that takes no memory."""
    return np.broadcast_to(np.zeros((), numpy_dtype(value.dtype)), static(value.shape or ()))
