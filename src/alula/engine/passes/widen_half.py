"""Models in 16-bit floats compute in float32, and round where their inputs and outputs say so.

    x f16 -> Conv(x, %w f16) -> Relu -> y f16   becomes   x f16 -> Cast f32 -> Conv(x, %w f32) -> Relu -> Cast f16 -> y

In: a graph whose dtypes are known. Out: the graph with every node in float32 that read or made float16 or bfloat16.
For results that means fewer roundings than the file asks for, never more; numbers beyond 65504 stay finite inside.
Constants take twice the bytes. ONNX Runtime computes float16 on processors the same way: its transformer
InsertCastTransformer puts such casts around nodes and takes away those that meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.errors import AlulaError
from alula.base.tensors import DType
from alula.engine.graph.graph import Graph, nested_graphs, without_unmentioned
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.graph.onnx_dtypes import ONNX_NUMBERS
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known, Partial

_SHORT = (DType.FLOAT16, DType.BFLOAT16)
_SHORT_NUMBERS = frozenset(ONNX_NUMBERS[dtype] for dtype in _SHORT)
# Attributes that name the element type of a result or of what is between.
_NAMED = ("dtype", "output_dtype", "output_datatype", "precision", "softmax_precision", "stash_type")
_CAST = ("", "Cast")
# A table of embeddings is as large as the model, and a run reads a few of its rows: they are widened, not the table.
_PICKS = frozenset({("", "Gather"), ("", "GatherND"), ("", "GatherElements")})


def widen_half(graph: Graph) -> Graph:
    """Widen what can be computed in float32.

    A Cast to 16 bits that the model asks for still rounds where its result is shown or cast again; where it only feeds
    operators in 16 bits, it goes. Left as they are: nodes that hold graphs or read sequences, those that look at bits,
    and whatever does not give float32 from float32; they read and make 16 bits behind casts.
    """
    if not any(value.dtype in _SHORT for value in graph.values.values()):
        return graph
    work = _Work(graph)
    for node in graph.nodes:
        work.visit(node)
    return work.finished()


@dataclass
class _Work:
    """The graph being rebuilt; owned by one run of the pass.

    Attributes:
        wide: for values of 16 bits, the same in float32, where it has been made.
        short: for values of 16 bits, the rounded ones, where they have been made.
    """

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    wide: dict[str, str] = field(default_factory=dict)
    short: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants: dict[str, Array] = dict(self.graph.constants)
        self.values: dict[str, Value] = dict(self.graph.values)
        self.values.update((value.name, value) for value in self.graph.inputs)
        given = [*self.graph.constants, *(value.name for value in self.graph.inputs)]
        self.short.update((name, name) for name in given if self._is_short(name))

    def visit(self, node: Node) -> None:
        """Widen the node, or let it read and make 16 bits."""
        names = [name for name in (*node.inputs, *node.outputs) if name]
        if not any(map(self._is_short, names)):
            self.nodes.append(node)
        elif node.kind == _CAST and self._is_short(node.output):
            self._cast(node)
        elif (node.kind == _CAST and node.inputs[0] in self.short) or not self._widen(node):
            self._keep(node)

    def finished(self) -> Graph:
        """The new graph; its outputs have the types they had."""
        for name in self.graph.outputs:
            if self._is_short(name):
                self._rounded(name)
        changed = replace(self.graph, nodes=tuple(self.nodes), constants=self.constants, values=self.values)
        return without_unmentioned(changed)

    def _is_short(self, name: str) -> bool:
        """Whether the value has 16 bits in the file."""
        value = self.graph.values.get(name)
        return value is not None and value.dtype in _SHORT and not value.kind

    def _keep(self, node: Node) -> None:
        inputs = tuple(self._rounded(name) if self._is_short(name) else name for name in node.inputs)
        self.nodes.append(replace(node, inputs=inputs))
        self.short.update((name, name) for name in node.outputs if self._is_short(name))

    def _widen(self, node: Node) -> bool:
        """Write the node in float32, if it is one that then gives float32."""
        picks = node.kind in _PICKS and node.inputs[0] in self.graph.constants
        if picks or nested_graphs(node) or not all(map(self._is_tensor, filter(None, (*node.inputs, *node.outputs)))):
            return False
        attributes = _widened_attributes(node.attributes)
        if not self._fits(replace(node, attributes=attributes)):
            return False
        inputs = tuple(self._widened(name) if self._is_short(name) else name for name in node.inputs)
        outputs = tuple(self._made_wide(name) if self._is_short(name) else name for name in node.outputs)
        self.nodes.append(replace(node, inputs=inputs, outputs=outputs, attributes=attributes, name=node.label))
        return True

    def _cast(self, node: Node) -> None:
        """A rounding that the model asks for."""
        source = node.inputs[0]
        dtype = DType.FLOAT32 if self._is_short(source) else self.values[source].dtype
        readers = self.graph.consumers.get(node.output, ())
        looked_at = any(reader.kind == _CAST or nested_graphs(reader) for reader in readers)
        if looked_at or node.output in self.graph.outputs or dtype is DType.STRING or not readers:
            inputs = (self._widened(source),) if self._is_short(source) else node.inputs
            self.nodes.append(replace(node, inputs=inputs))
            self.short[node.output] = node.output
        elif dtype is DType.FLOAT32:
            self.wide[node.output] = self._widened(source) if self._is_short(source) else source
        else:
            self.nodes.append(_cast_to(DType.FLOAT32, source, self._made_wide(node.output), node.name))

    def _is_tensor(self, name: str) -> bool:
        value = self.values.get(name)
        return value is not None and not value.kind and value.dtype is not DType.STRING

    def _fits(self, node: Node) -> bool:
        """Whether a node gives float32 from float32 wherever it gave 16 bits, and else what it gave."""
        known = [self._known(name) if name else None for name in node.inputs]
        try:
            inferred: Partial | None = infer_node(node, known)
        except AlulaError:
            return False
        if inferred is None or len(inferred) < len(node.outputs):
            return False
        pairs = [
            (self.values[name].dtype, dtype) for name, (dtype, _) in zip(node.outputs, inferred, strict=True) if name
        ]
        return all(found is (DType.FLOAT32 if dtype in _SHORT else dtype) for dtype, found in pairs)

    def _known(self, name: str) -> Known:
        value, constant = self.values[name], self.graph.constants.get(name)
        if not self._is_short(name):
            return Known(value, constant)
        value = replace(self.graph.values[name], dtype=DType.FLOAT32)
        return Known(value, None if constant is None else constant.astype(np.float32))

    def _made_wide(self, name: str) -> str:
        """The name of a result in float32: its own, but where that is the model's output."""
        made = self._fresh(f"{name}.wide") if name in self.graph.outputs else name
        self.wide[name] = made
        self.values[made] = replace(self.graph.values[name], name=made, dtype=DType.FLOAT32)
        return made

    def _widened(self, name: str) -> str:
        """The name of a value in float32; it is made where it is first asked for."""
        if name not in self.wide:
            made = self.wide[name] = self._fresh(f"{name}.wide")
            self.values[made] = replace(self.graph.values[name], name=made, dtype=DType.FLOAT32)
            if name in self.constants:
                self.constants[made] = self.constants[name].astype(np.float32)
            else:
                self.nodes.append(_cast_to(DType.FLOAT32, self.short[name], made))
        return self.wide[name]

    def _rounded(self, name: str) -> str:
        """The name of a value in 16 bits; it is made where it is first asked for."""
        if name not in self.short:
            made = self.short[name] = name if name in self.graph.outputs else self._fresh(f"{name}.short")
            self.values[made] = replace(self.graph.values[name], name=made)
            self.nodes.append(_cast_to(self.graph.values[name].dtype, self.wide[name], made))
        return self.short[name]

    def _fresh(self, name: str) -> str:
        while name in self.values:
            name += "_"
        return name


def _cast_to(dtype: DType, source: str, made: str, name: str = "") -> Node:
    return Node("Cast", (source,), (made,), MappingProxyType({"to": ONNX_NUMBERS[dtype]}), name or f"{made} ({dtype})")


def _widened_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Attributes that name 16 bits, or hold an array of them, in float32."""
    changes: dict[str, Any] = {
        name: ONNX_NUMBERS[DType.FLOAT32]
        for name in _NAMED
        if isinstance(attributes.get(name), int) and attributes[name] in _SHORT_NUMBERS
    }
    value = attributes.get("value")
    if isinstance(value, np.ndarray) and value.dtype.name in {dtype.value for dtype in _SHORT}:
        changes["value"] = value.astype(np.float32)
    return MappingProxyType({**attributes, **changes}) if changes else attributes
