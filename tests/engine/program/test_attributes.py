from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.base.errors import PlanFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.formula import FormulaBuilder
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value, ValueType
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.program.attributes import decode_attributes, encode_attributes

BODY: dict[str, Any] = {
    "name": "body", "inputs": [["x", "float32", [2], ""]], "outputs": ["x"], "constants": {}, "nodes": []
}  # fmt: skip
SCALARS = st.integers() | st.floats() | st.text() | st.binary()
VALUES = (
    SCALARS | st.lists(st.integers()).map(tuple) | st.lists(st.floats()).map(tuple) | st.lists(st.text()).map(tuple)
)


def through_json(value: Any) -> Any:
    """Encode, write, read, decode."""
    encoded = json.dumps(encode_attributes({"a": value}, "node"), allow_nan=False)
    return decode_attributes(json.loads(encoded))["a"]


@given(VALUES)
def test_plain_attributes_come_back_with_their_types(value: object) -> None:
    """1 and 1.0 are different attributes, NaN is one, bytes are no text."""
    assert repr(through_json(value)) == repr(value)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int8", "int64", "uint8", "bool", "bfloat16", "int4", "float8_e5m2"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_arrays_come_back_bit_by_bit(dtype: str, shape: tuple[int, ...]) -> None:
    """Dtype, shape and elements, also of arrays that do not lie in order."""
    array = np.arange(math.prod(shape)).astype(numpy_dtype(DType(dtype))).reshape(shape).T

    back = through_json(array)

    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_strings_and_types_come_back() -> None:
    """Operators on text hold lists of words; Optional holds a type."""
    words = np.array([["a", ""], ["\u4f60", "b"]], object)
    kind = ValueType("optional", of=ValueType("sequence", of=ValueType("tensor", DType.FLOAT32, (2, 3))))

    assert through_json(words).tolist() == words.tolist()
    assert through_json(kind) == kind


def test_graphs_come_back() -> None:
    """A loop that runs on the host holds its body, with constants and graphs inside."""
    x = Value("x", DType.FLOAT32, (2,))
    inner = Graph("inner", (Node("Relu", ("x",), ("y",)),), (x,), ("y",), {}, {"x": x})
    nodes = (
        Node("Add", ("s", "w"), ("a",), {"alpha": 0.5}, "name", "domain"),
        Node("If", ("c", "a"), ("z",), {"then_branch": inner, "else_branch": inner, "captures": ("x",)}),
    )
    inputs = (Value("s", DType.FLOAT32, None, kind="sequence"), Value("c", DType.BOOL, ()))
    weight = np.array([1, 2], numpy_dtype(DType.BFLOAT16))
    body = Graph("body", nodes, inputs, ("z", "s"), {"w": weight}, {value.name: value for value in inputs})

    back = through_json((body,))[0]

    assert back.constants["w"].tolist() == weight.tolist()
    assert replace(back, constants={}) == replace(body, constants={})


def test_graph_nested_without_end_is_refused() -> None:
    """Attack: a plan whose header nests graphs until the stack is full."""
    graph = BODY
    for _ in range(3000):
        graph = {**BODY, "nodes": [["If", "", "", ["x"], ["y"], {"then_branch": {"graph": graph}}]]}

    with pytest.raises(PlanFileError):
        decode_attributes({"body": {"graph": graph}})


def test_formulas_come_back() -> None:
    """Fused elementwise chains stand in attributes; infinities are clamping bounds."""
    builder = FormulaBuilder(2)
    x, y = builder.arguments()
    builder.clamp(builder.mul(x, y), -math.inf, 6.0)

    assert through_json(builder.build()) == builder.build()


def test_typed_formulas_come_back() -> None:
    """Types of inputs, what casts name, and integers that no float holds."""
    builder = FormulaBuilder(2, (DType.INT64, DType.BOOL))
    index, mask = builder.arguments()
    chosen = builder.select(mask, builder.add(index, 2**62 + 1), 0)
    builder.cast(builder.invert(builder.eq(chosen, 3)), DType.BFLOAT16)

    back = through_json(builder.build())

    assert back == builder.build()
    assert str(back) == str(builder.build())


@pytest.mark.parametrize("value", [object(), np.array(["text"]), np.array([1j]), np.array([None]), [1, 2], None])
def test_other_values_are_refused(value: Any) -> None:
    """A plan that could not be read back must not be written."""
    with pytest.raises(UnsupportedError, match="attribute a"):
        encode_attributes({"a": value}, "node")


@pytest.mark.parametrize(
    "encoded",
    [
        None,
        [1],
        {},
        {"float": "huge"},
        {"float": []},
        {"bytes": "not base64!"},
        {"bytes": 3},
        {"tuple": 3},
        {"tuple": [None]},
        {"unknown": 1},
        {"bytes": "", "tuple": []},
        {"array": {"dtype": "object", "shape": [1], "data": ""}},
        {"array": {"dtype": "bfloat16", "shape": [2], "data": "AAA="}},
        {"strings": {"shape": [2], "items": ["a"]}},
        {"strings": {"shape": [1], "items": [1]}},
        {"strings": {"shape": [-1], "items": ["a"]}},
        {"type": ["tensor", "text", None, None]},
        {"type": ["tensor", None, [-1], None]},
        {"type": 3},
        {"graph": {}},
        {"graph": {**BODY, "constants": {"w": 1}}},
        {"graph": {**BODY, "outputs": ["ghost"]}},
        {"graph": {**BODY, "outputs": "x"}},
        {"graph": {**BODY, "inputs": [["x", "float32", None, "map"]]}},
        {"graph": {**BODY, "inputs": [["x", "float32", ["N"], ""]]}},
        {"graph": {**BODY, "nodes": [["Relu", "", "", ["x"], ["x"], {}]]}},
        {"graph": {**BODY, "nodes": [[3, "", "", ["x"], ["y"], {}]]}},
        {"tuple": [{"graph": {**BODY, "outputs": ["ghost"]}}]},
        {"array": {"dtype": "float32", "shape": [1 << 60], "data": ""}},
        {"array": {"dtype": "float32", "shape": [-1], "data": "AAAAAA=="}},
        {"array": {"dtype": "float32", "shape": [True], "data": "AAAAAA=="}},
        {"array": {"dtype": "float32", "shape": [1]}},
        {"formula": {"inputs": -1, "steps": []}},
        {"formula": {"inputs": 1, "steps": [["exec", [1.0]]]}},
        {"formula": {"inputs": 1, "steps": [["add", [1.0]]]}},
        {"formula": {"inputs": 1, "steps": [["neg", [{"register": 1}]]]}},
        {"formula": {"inputs": 1 << 40, "steps": []}},
        {"formula": {"inputs": 1, "types": ["int4"], "steps": [["neg", [{"register": 0}]]]}},
        {"formula": {"inputs": 1, "types": ["int8", "int8"], "steps": []}},
        {"formula": {"inputs": 1, "types": ["complex"], "steps": []}},
        {"formula": {"inputs": 1, "types": ["int8"], "steps": [["exp", [{"register": 0}]]]}},
        {"formula": {"inputs": 1, "types": ["int8"], "steps": [["add", [{"register": 0}, 1e300]]]}},
        {"formula": {"inputs": 2, "types": ["int8", "bool"], "steps": [["add", [{"register": 0}, {"register": 1}]]]}},
        {"formula": {"inputs": 1, "steps": [["cast", [{"register": 0}]]]}},
        {"formula": {"inputs": 1, "steps": [["cast", [{"register": 0}], "object"]]}},
        {"formula": {"inputs": 1, "steps": [["neg", [{"register": 0}], "int8"]]}},
        {"formula": {"inputs": 1, "steps": [["neg", [{"register": -1}]]]}},
        {"formula": {"inputs": 1, "steps": [["neg", ["text"]]]}},
        {"formula": {"inputs": 1, "steps": [[["neg"], [1.0]]]}},
    ],
)
def test_values_that_nobody_encoded_are_refused(encoded: object) -> None:
    """Attack: a header whose attributes make the decoder fail elsewhere or take memory."""
    with pytest.raises(PlanFileError, match="encoded attributes"):
        decode_attributes({"a": encoded})
