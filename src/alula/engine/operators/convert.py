"""Elements converted from one type to another, or read anew as another type.

In: x of any dtype, strings included. Out: x in another dtype, of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.numpy_dtypes import dtype_of, largest, numpy_dtype
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES, ONNX_NUMBERS
from alula.engine.graph.primitives import INTEGERS, REALS
from alula.engine.operators.common import Mismatch, Refusal
from alula.engine.operators.formula import cast_elements
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator

_ROUND_MODES = ("up", "down", "nearest")
# Floats of 8 bits with a sign; for them `saturate` decides what becomes of numbers out of range.
_FLOAT8 = (DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ)
_BITS = {DType.FLOAT4E2M1: 4, DType.INT4: 4, DType.UINT4: 4, DType.INT2: 2, DType.UINT2: 2}


def dtype_numbered(number: int) -> DType:
    """The dtype behind ONNX's number.

    Raises:
        Refusal: there is none.
    """
    if number not in ONNX_DTYPES:
        raise Refusal(f"`to` must be one of {', '.join(map(str, ONNX_DTYPES.values()))}", f"it is ONNX type {number}")
    return ONNX_DTYPES[number]


def convert(x: Array, dtype: DType, *, saturate: int = 1, round_mode: str = "up") -> Array:
    """X in another dtype.

    Floats round to the nearest, halves to even, and are cut towards zero for integers (see `cast_elements` for what has
    no place in those); integers keep their low bits; anything but 0 is true. Floats of 8 bits
    take their largest number for what is out of range, or with saturate=0 infinity or NaN. `round_mode` concerns
    float8_e8m0fnu alone (OCP Microscaling Formats, 2023, with the standard's table of special values).

    Raises:
        Mismatch: a string is no number.
        Refusal: `round_mode` is none of up, down, nearest.
    """
    if round_mode not in _ROUND_MODES:
        raise Refusal(f"round_mode must be one of {', '.join(_ROUND_MODES)}", f"it is {round_mode}")
    source = dtype_of(x)
    if source is DType.STRING:
        return x if dtype is DType.STRING else _parsed(x, dtype, saturate, round_mode)
    if dtype is DType.STRING:
        return _printed(x)
    if dtype is DType.BOOL:
        return np.not_equal(_wide(x), 0)
    if dtype is DType.FLOAT8E8M0:
        return _as_power_of_two(np.asarray(_wide(x), np.float32), saturate, round_mode)
    if dtype in _FLOAT8:
        return _as_float8(_wide(x), dtype, saturate)
    if source in REALS and dtype in INTEGERS:
        return cast_elements(_wide(x), dtype)
    return x.astype(numpy_dtype(dtype))


def _wide(x: Array) -> Array:
    """Elements that numpy alone computes with."""
    if x.dtype.kind in "biuf" and x.dtype.isbuiltin == 1:
        return x
    return x.astype(np.int8 if "int" in x.dtype.name else np.float32)


def _as_float8(x: Array, dtype: DType, saturate: int) -> Array:
    numpy_type = numpy_dtype(dtype)
    if not saturate:
        return x.astype(numpy_type)
    most = largest(dtype)
    wide = x if x.dtype.kind == "f" else x.astype(np.float64)
    return wide.clip(-most, most).astype(numpy_type)


def _as_power_of_two(x: Array, saturate: int, round_mode: str) -> Array:
    """The exponent of float32, biased by 127 as float8_e8m0fnu has it; 255 is NaN, signs are ignored."""
    bits = x.view(np.uint32)
    exponent, fraction = ((bits >> 23) & 255).astype(np.int32), bits & 0x7FFFFF
    half = np.uint32(0x400000)
    # A tie goes to the even number, whose exponent is the larger one, but for the smallest of all.
    nearest = (fraction > half) | ((fraction == half) & (exponent > 0))
    exponent = exponent + {"up": fraction > 0, "down": np.False_, "nearest": nearest}[round_mode]
    exponent = np.where(exponent >= 255, 254 if saturate else 255, exponent)  # noqa: PLR2004
    if not saturate and round_mode == "nearest":
        exponent = np.where(x == 0, 255, exponent)
    return np.where(np.isnan(x), 255, exponent).astype(np.uint8).view(numpy_dtype(DType.FLOAT8E8M0))


def _printed(x: Array) -> Array:
    """Numbers as text: the shortest decimal that reads back as the same number."""
    texts = np.empty(x.shape, object)
    special = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}
    for place in np.ndindex(x.shape):
        plain = str(x[place])
        texts[place] = special.get(plain, plain)
    return texts


def _parsed(x: Array, dtype: DType, saturate: int, round_mode: str) -> Array:
    numbers = np.empty(x.shape, np.float64 if "float" in dtype.value else object)
    for place in np.ndindex(x.shape):
        numbers[place] = _number(str(x[place]), dtype)
    if dtype is DType.FLOAT64:
        return numbers
    if "float" in dtype.value:
        return convert(numbers.astype(np.float32), dtype, saturate=saturate, round_mode=round_mode)
    return convert(numbers.astype(np.uint64 if dtype is DType.UINT64 else np.int64), dtype)


def _number(text: str, dtype: DType) -> float:
    try:
        return float(text) if "float" in dtype.value else _whole(text)
    except (ValueError, OverflowError):
        raise Mismatch("strings must be numbers", f"one is {text!r}") from None


def _whole(text: str) -> int:
    """A whole number; the fraction of another one is cut off, True and False are 1 and 0."""
    if text in ("True", "False"):
        return int(text == "True")
    try:
        return int(text)
    except ValueError:
        return int(float(text))


def reinterpret(x: Array, dtype: DType) -> Array:
    """The bits of x read as another type of as many bits.

    Raises:
        Mismatch: the types differ in bits, or one is string.
    """
    source = dtype_of(x)
    _check_bits(source, dtype)
    width = _BITS.get(source)
    if width is None:
        return x.view(numpy_dtype(dtype))
    raw = x.view(np.uint8) & ((1 << width) - 1)
    if dtype in (DType.INT4, DType.INT2):
        sign = 1 << (width - 1)
        return ((raw ^ sign).astype(np.int8) - sign).astype(numpy_dtype(dtype))
    return raw.view(numpy_dtype(dtype)) if dtype is DType.FLOAT4E2M1 else raw.astype(numpy_dtype(dtype))


def _check_bits(source: DType, dtype: DType) -> None:
    bits = [_BITS.get(one, one.itemsize * 8) for one in (source, dtype)]
    if bits[0] != bits[1] or DType.STRING in (source, dtype):
        raise Mismatch(f"{source} needs a type of {bits[0]} bits", f"{dtype} has {bits[1]}")


def _infer_bit_cast(at: Inference) -> Inferred:
    dtype = dtype_numbered(at.attributes["to"])
    _check_bits(at.dtype(0), dtype)
    return [(dtype, at.shape(0))]


def _upgrade_cast(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Before 6, the type was named, not numbered."""
    del constant
    named = node.text("to")
    if version >= 6 or not named:  # noqa: PLR2004
        return node
    aliases = {"FLOAT": "FLOAT32", "DOUBLE": "FLOAT64"}
    wanted = aliases.get(named.upper(), named.upper())
    numbers = {dtype.name: number for dtype, number in ONNX_NUMBERS.items()}
    if wanted not in numbers:
        raise Refusal("`to` must name an element type", f"it is {named}")
    return node.with_attributes(to=numbers[wanted])


_ROUNDING: dict[str, Any] = {"saturate": 1, "round_mode": "up"}

CAST = Operator(
    name="Cast",
    since=(1, 6, 9, 13, 19, 21, 23, 24, 25, 28),
    inputs=("x",),
    attributes=MappingProxyType({"to": REQUIRED, **_ROUNDING}),
    infer=lambda at: [(dtype_numbered(at.attributes["to"]), at.shape(0))],
    reference=lambda x, *, to, **rounding: convert(x, dtype_numbered(to), **rounding),
    lower=lambda b, x, *, to, **_: b.cast(x, dtype_numbered(to)),
    upgrade=_upgrade_cast,
    summary="Another dtype.",
)

CAST_LIKE = Operator(
    name="CastLike",
    since=(15, 19, 21, 23, 24, 25),
    inputs=("x", "like"),
    attributes=MappingProxyType(_ROUNDING),
    infer=lambda at: [(at.dtype(1), at.shape(0))],
    reference=lambda x, like, **rounding: convert(x, dtype_of(like), **rounding),
    summary="The dtype of another input.",
)

BIT_CAST = Operator(
    name="BitCast",
    since=(26,),
    inputs=("x",),
    attributes=MappingProxyType({"to": REQUIRED}),
    infer=_infer_bit_cast,
    reference=lambda x, *, to: reinterpret(x, dtype_numbered(to)),
    summary="The same bits as elements of another type.",
)

OPERATORS = (CAST, CAST_LIKE, BIT_CAST)
