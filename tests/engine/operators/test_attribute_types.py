from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from alula.base.errors import GraphError
from alula.engine.graph.nodes import INTERNAL, INTERNAL_ATTRIBUTES, Node
from alula.engine.operators.attribute_types import type_of_attribute
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.record import Operator
from alula.engine.operators.table import OPERATORS

_SCHEMAS = {(schema.domain, schema.name): schema for schema in onnx.defs.get_all_schemas()}
_WORDS = {
    "INT": "an integer",
    "FLOAT": "a number",
    "STRING": "a string",
    "INTS": "integers",
    "FLOATS": "numbers",
    "STRINGS": "strings",
    "TENSOR": "a tensor",
    "SPARSE_TENSOR": "a tensor",
    "GRAPH": "a graph",
    "TYPE_PROTO": "a type",
}
# ONNX gives two operators' attributes of these names different types.
_BOTH = {"nodes_hitrates": "numbers or a tensor", "nodes_modes": "strings or a tensor", "seed": "a number"}


@pytest.mark.parametrize(
    "operator",
    [each for each in OPERATORS.values() if each.domain != INTERNAL],
    ids=lambda each: f"{each.domain}.{each.name}".lstrip("."),
)
def test_types_of_attributes_are_those_of_the_standard(operator: Operator) -> None:
    """What the standard takes must not be refused, nor anything else be taken."""
    schema = _SCHEMAS.get((operator.domain, operator.name))
    known = schema.attributes if schema is not None else {}

    for name, default in operator.attributes.items():
        if name in known:
            expected = _BOTH.get(name, _WORDS[str(known[name].type).rpartition(".")[2]])
            assert type_of_attribute(name, default) == expected, name
        else:
            assert schema is None or name in INTERNAL_ATTRIBUTES or name == "captures"


@pytest.mark.parametrize(
    ("op", "name", "value"),
    [
        ("Softmax", "axis", 1.5),
        ("Softmax", "axis", (1,)),
        ("Conv", "strides", 2),
        ("Conv", "strides", (1.0, 2.0)),
        ("Conv", "auto_pad", 3),
        ("Gemm", "alpha", "1"),
        ("LSTM", "activations", (1, 2)),
        ("Constant", "value", 3),
        ("ConstantOfShape", "value", (1,)),
        ("If", "then_branch", np.zeros(3)),
    ],
)
def test_attributes_of_another_type_are_refused(op: str, name: str, value: Any) -> None:
    """Attack: passes and kernels count on the types that the standard gives."""
    node = Node(op, ("x",), ("y",), {name: value})

    with pytest.raises(GraphError, match=f"as attribute {name}, it is"):
        attributes_of(OPERATORS["", op], node)


def test_integers_do_for_numbers() -> None:
    """Some exporters write whole factors without a point."""
    assert attributes_of(OPERATORS["", "Gemm"], Node("Gemm", ("a", "b"), ("y",), {"alpha": 2}))["alpha"] == 2.0
