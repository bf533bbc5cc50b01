"""Node attributes as JSON and back, for the steps of a plan that run on the host.

In: attributes. Out: values that `json` writes without loss, and attributes again. A tagged object stands for what
JSON lacks: {"float": "nan"}, {"bytes": base64}, {"tuple": [...]}, {"array": {...}}, {"strings": {...}},
{"type": [...]}, {"formula": {...}}, {"graph": {...}}.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.errors import GraphError, InternalError, PlanFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, FormulaBuilder, Inexpressible, Operand, Register, Step
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, ValueType
from alula.engine.graph.numpy_dtypes import EXTENDED, numpy_dtype
from alula.engine.program.graphs import (
    check_nested,
    decode_graph,
    decode_strings,
    decode_type,
    encode_graph,
    encode_strings,
    encode_type,
)

Json = Any

# What a hostile file could make us take is bounded by its size; ranks are bounded by numpy, inputs by sense.
_RANKS = 32
_EXTENDED = frozenset(dtype.value for dtype in EXTENDED)
_INPUTS = 1 << 12
_FAILURES = (
    TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError, binascii.Error,
    InternalError, Inexpressible, GraphError,
)  # fmt: skip


def encode_attributes(attributes: Mapping[str, Attribute], where: str) -> dict[str, Json]:
    """Attributes as JSON values.

    Raises:
        UnsupportedError: one holds what plan files cannot.
    """
    return {name: _encode(value, f"{where}, attribute {name}") for name, value in attributes.items()}


def decode_attributes(encoded: Mapping[str, Json], where: str = "attributes") -> Mapping[str, Attribute]:
    """The attributes that `encode_attributes` was given.

    Raises:
        PlanFileError: the values are no attributes.
    """
    try:
        attributes = MappingProxyType({name: _decode(value) for name, value in encoded.items()})
        check_nested(attributes)
    except _FAILURES as error:
        raise PlanFileError(where, "encoded attributes", f"{type(error).__name__}: {error}") from error
    return attributes


def _encode(value: object, where: str) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, (int, float, str)):
        return value
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, where) for item in value]}
    if isinstance(value, Formula):
        types = {"types": [kind.value for kind in value.types]} if value.types else {}
        return {"formula": {"inputs": value.inputs, **types, "steps": [_encode_step(step) for step in value.steps]}}
    if isinstance(value, np.ndarray):
        return _encode_array(value, where)
    if isinstance(value, ValueType):
        return {"type": encode_type(value)}
    if isinstance(value, Graph):
        return {"graph": encode_graph(value, lambda item: _encode(item, where))}
    raise UnsupportedError(where, "what nodes may hold", f"got {type(value).__name__}")


def _encode_array(array: Array, where: str) -> Json:
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.reshape(-1)):
        return {"strings": encode_strings(array)}
    if array.dtype.kind not in "biuf" and array.dtype.name not in _EXTENDED:
        raise UnsupportedError(where, "arrays of numbers or strings", f"got {array.dtype}")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"array": {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}}


def _encode_step(step: Step) -> Json:
    named = [] if step.to is None else [step.to.value]
    return [step.op, [_encode_operand(operand) for operand in step.operands], *named]


def _encode_operand(operand: Operand) -> Json:
    return {"register": operand.index} if isinstance(operand, Register) else _encode(operand, "formula")


def _decode(value: Json) -> Any:  # noqa: ANN401  an attribute may be many things
    if isinstance(value, (int, float, str)):
        return value
    ((tag, content),) = value.items()
    return _DECODERS[tag](content)


def _decode_float(content: Json) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]


def _decode_tuple(content: Json) -> tuple[Any, ...]:
    if not isinstance(content, list):
        msg = "a tuple is a list"
        raise TypeError(msg)
    return tuple(_decode(item) for item in content)


def _decode_array(content: Json) -> Array:
    kind = DType(content["dtype"])
    if kind is DType.STRING:
        msg = "strings are no array of bytes"
        raise ValueError(msg)
    dtype = numpy_dtype(kind)
    shape = tuple(content["shape"])
    if len(shape) > _RANKS or not all(type(dim) is int and dim >= 0 for dim in shape):
        msg = f"shape {shape}"
        raise ValueError(msg)
    return np.frombuffer(base64.b64decode(content["data"], validate=True), dtype).reshape(shape)


def _decode_formula(content: Json) -> Formula:
    inputs = content["inputs"]
    if type(inputs) is not int or not 0 <= inputs <= _INPUTS:
        msg = f"{inputs!r} inputs"
        raise ValueError(msg)
    types = [DType(name) for name in content.get("types", [])]
    if types and len(types) != inputs:
        msg = f"{inputs} inputs of {len(types)} types"
        raise ValueError(msg)
    builder = FormulaBuilder(inputs, types)
    for op, operands, *named in content["steps"]:
        registers = inputs + len(builder.steps)
        to = DType(named[0]) if named else None
        builder.emit(str(op), *(_decode_operand(operand, registers) for operand in operands), to=to)
    return builder.build()


def _decode_operand(content: Json, registers: int) -> Operand:
    if isinstance(content, dict) and "register" in content:
        index = content["register"]
        if type(index) is not int or not 0 <= index < registers:
            msg = f"register {index!r} of {registers}"
            raise ValueError(msg)
        return Register(index)
    number = _decode(content)
    if not isinstance(number, (int, float)):
        msg = f"operand {number!r}"
        raise TypeError(msg)
    return number


_DECODERS: Mapping[str, Callable[[Json], Any]] = MappingProxyType(
    {
        "float": _decode_float,
        "bytes": lambda content: base64.b64decode(content, validate=True),
        "tuple": _decode_tuple,
        "array": _decode_array,
        "strings": decode_strings,
        "type": decode_type,
        "formula": _decode_formula,
        "graph": lambda content: decode_graph(content, _decode),
    }
)
