"""Dtypes and shapes of a node's outputs.

In: a node in its newest form, and what is known of its inputs. Out: dtype and shape of each output, or None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from alula.base.errors import GraphError, LimitError, ShapeError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.evaluate import known_operator
from alula.engine.operators.explain import MISFITS, describe_known, explained
from alula.engine.operators.record import Inference, Known, Partial, UnknownShape

# More than any machine has that alula is for; passes and kernels may count in it.
MOST_BYTES = 1 << 36


def infer_node(node: Node, known: Sequence[Known | None]) -> Partial | None:
    """Infer the outputs of one node.

    Args:
        node: in its newest form (see `upgrade_node`).
        known: one entry for each input, None where an optional one is left out.

    Returns:
        Dtype and shape of each output, no shape where it depends on data; None where they cannot be known yet.

    Raises:
        ShapeError: the inputs do not fit the operator or each other, or a result would have a negative size.
        UnsupportedError: the operator, or this form of it, is not known.
        GraphError: a required attribute or input is missing, or there are too many inputs.
        LimitError: a result is larger than any memory.
    """
    operator = known_operator(node)
    place = f"{node.label} ({node.op})"
    attributes = attributes_of(operator, node)
    check_inputs(node, [entry is not None for entry in known])
    try:
        inferred = operator.infer(Inference(node, tuple(known), attributes, infer_graph))
    except UnknownShape:
        return None
    except MISFITS as error:
        raise explained(node, [describe_known(entry) for entry in known], error) from error
    results = list(inferred)[: len(node.outputs)]
    _check_results(place, node, results)
    return results


def check_inputs(node: Node, present: Sequence[bool]) -> None:
    """Refuse a node that lacks an input, or has too many.

    Args:
        node: in its newest form.
        present: for each input, whether it is there.

    Raises:
        UnsupportedError: the operator is not known.
        GraphError: a required input is missing, or there are too many.
    """
    operator, place = known_operator(node), f"{node.label} ({node.op})"
    if len(present) > len(operator.inputs) and operator.inputs[-1:] and operator.inputs[-1][-1] != "*":
        raise GraphError(place, f"takes at most {len(operator.inputs)} inputs", f"it has {len(present)}")
    for index, name in enumerate(operator.inputs):
        if name[-1] not in "?*" and not (index < len(present) and present[index]):
            raise GraphError(place, f"needs input {name}", "it is left out")
    variadic = bool(operator.inputs) and operator.inputs[-1].endswith("*") and not operator.nested
    if variadic and not operator.domain and not all(present[len(operator.inputs) - 1 :]):
        raise GraphError(place, "needs all of its inputs", "one is left out")


def _check_results(place: str, node: Node, results: Sequence[tuple[DType, Shape | None]]) -> None:
    """Refuse what no node can give: too few results, or sizes that nothing has."""
    if len(results) < len(node.outputs):
        found = f"{len(node.outputs)} are asked for"
        raise UnsupportedError(place, f"gives {len(results)} outputs", found)
    for dtype, shape in results:
        if any(isinstance(dim, int) and dim < 0 for dim in shape or ()):
            raise ShapeError(place, "needs sizes of 0 or more", f"its result would be {list(shape or ())}")
        size = dtype.itemsize * math.prod(dim for dim in shape or () if isinstance(dim, int))
        if size > MOST_BYTES:
            raise LimitError(place, f"one value may take {MOST_BYTES} bytes", f"it would take {size}")


def infer_graph(graph: Graph, inputs: Mapping[str, Known]) -> list[Value]:
    """What is known of the outputs of a graph, in their order.

    Args:
        graph: all nodes in their newest form.
        inputs: what is known of its inputs by name; of others, what the graph itself says.

    Raises:
        UnknownShape: not even the dtype of an output is known.
        AlulaError: as `infer_node`.
    """
    values = {value.name: Known(value) for value in graph.inputs} | dict(inputs)
    for name, array in graph.constants.items():
        values[name] = Known(Value(name, dtype_of(array), array.shape), array)
    for node in graph.nodes:
        if any(name and name not in values and name not in graph.values for name in node.inputs):
            # Behind a node whose results depend on data not even dtypes are known; guessing one would refuse the node.
            continue
        known = [values.get(name, Known(graph.value(name))) if name else None for name in node.inputs]
        for name, (dtype, shape) in zip(node.outputs, infer_node(node, known) or (), strict=False):
            values[name] = Known(Value(name, dtype, shape))
    if any(name not in values and name not in graph.values for name in graph.outputs):
        raise UnknownShape
    return [values[name].value if name in values else graph.value(name) for name in graph.outputs]
