"""Models of the onnx library as alula's graphs: a second importer, small and independent of the one in src.

In: ModelProto. Out: Graph in its newest form; models of one node for problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, Node, Value
from alula.engine.operators.upgrade import upgrade_node


def node_of(proto: onnx.NodeProto) -> Node:
    """A node as the file has it."""
    attributes = {attribute.name: _attribute(attribute) for attribute in proto.attribute}
    return Node(
        proto.op_type, tuple(proto.input), tuple(proto.output), MappingProxyType(attributes), proto.name, proto.domain
    )


def _attribute(attribute: onnx.AttributeProto) -> Attribute:
    value: Any = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value


def graph_of(model: onnx.ModelProto) -> Graph:
    """A model as a graph, every node upgraded to its newest form."""
    version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    constants: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

    def constant(array: Array) -> str:
        name = f"made.{len(constants)}"
        constants[name] = array
        return name

    nodes = tuple(node for proto in model.graph.node for node in upgrade_node(node_of(proto), version, constant))
    inputs = tuple(_value(info) for info in model.graph.input if info.name not in constants)
    return Graph(
        name=model.graph.name,
        nodes=nodes,
        inputs=inputs,
        outputs=tuple(info.name for info in model.graph.output),
        constants=constants,
        values={value.name: value for value in inputs},
    )


def _value(info: onnx.ValueInfoProto) -> Value:
    kind = info.type.tensor_type
    dtype = DType(helper.tensor_dtype_to_np_dtype(kind.elem_type).name)
    dims = tuple(symbol(dim.dim_param) if dim.dim_param else dim.dim_value for dim in kind.shape.dim)
    return Value(info.name, dtype, dims)


def one_node_model(
    op: str,
    inputs: Sequence[Array | None],
    attributes: Mapping[str, Any],
    *,
    opset: int = 22,
    outputs: int = 1,
) -> onnx.ModelProto:
    """A model of one node with inputs x0, x1, ... (None for one left out) and outputs y0, y1, ..."""
    names = ["" if array is None else f"x{index}" for index, array in enumerate(inputs)]
    results = [f"y{index}" for index in range(outputs)]
    plain = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in attributes.items()
    }
    node = helper.make_node(op, names, results, **plain)
    ends = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, inputs, strict=True)
        if array is not None
    ]
    made = [onnx.ValueInfoProto(name=name) for name in results]
    graph = helper.make_graph([node], "problem", ends, made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def feeds_of(inputs: Sequence[Array | None]) -> dict[str, Array]:
    """What `one_node_model` wants to be fed."""
    return {f"x{index}": np.asarray(array) for index, array in enumerate(inputs) if array is not None}
