from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.base.errors import PlanFileError, UnsupportedError
from alula.engine.graph.formula import FormulaBuilder
from alula.engine.program.attributes import decode_attributes, encode_attributes

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


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_arrays_come_back_bit_by_bit(dtype: str, shape: tuple[int, ...]) -> None:
    """Dtype, shape and elements, also of arrays that do not lie in order."""
    array = np.arange(math.prod(shape)).astype(dtype).reshape(shape).T

    back = through_json(array)

    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_formulas_come_back() -> None:
    """Fused elementwise chains stand in attributes; infinities are clamping bounds."""
    builder = FormulaBuilder(2)
    x, y = builder.arguments()
    builder.clamp(builder.mul(x, y), -math.inf, 6.0)

    assert through_json(builder.build()) == builder.build()


@pytest.mark.parametrize("value", [object(), np.array(["text"]), [1, 2], None])
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
        {"array": {"dtype": "bfloat16", "shape": [1], "data": "AAA="}},
        {"array": {"dtype": "float32", "shape": [1 << 60], "data": ""}},
        {"array": {"dtype": "float32", "shape": [-1], "data": "AAAAAA=="}},
        {"array": {"dtype": "float32", "shape": [True], "data": "AAAAAA=="}},
        {"array": {"dtype": "float32", "shape": [1]}},
        {"formula": {"inputs": -1, "steps": []}},
        {"formula": {"inputs": 1, "steps": [["exec", [1.0]]]}},
        {"formula": {"inputs": 1, "steps": [["add", [1.0]]]}},
        {"formula": {"inputs": 1, "steps": [["neg", [{"register": 1}]]]}},
        {"formula": {"inputs": 1, "steps": [["neg", [{"register": -1}]]]}},
        {"formula": {"inputs": 1, "steps": [["neg", ["text"]]]}},
        {"formula": {"inputs": 1, "steps": [[["neg"], [1.0]]]}},
    ],
)
def test_values_that_nobody_encoded_are_refused(encoded: object) -> None:
    """Attack: a header whose attributes make the decoder fail elsewhere or take memory."""
    with pytest.raises(PlanFileError, match="encoded attributes"):
        decode_attributes({"a": encoded})
