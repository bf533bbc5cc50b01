"""One node with its inputs: the form of a problem, and arrays to write problems with.

In: an operator, arrays, attributes. Out: a `Problem`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from alula.engine.graph.nodes import Array

# What they give has a size that only the elements tell: inference knows its dtype, and a plan cannot lay it out.
SIZED_BY_DATA = frozenset({"NonMaxSuppression", "NonZero", "Unique"})


@dataclass(frozen=True)
class Problem:
    """One node.

    `judge` says who knows the answer: `onnx` the standard's reference, `ort` onnxruntime, where the former is wrong,
    slow or lacks the form.
    """

    op: str
    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any]
    opset: int
    outputs: int
    judge: Literal["onnx", "ort"]

    def __str__(self) -> str:
        shapes = "_".join("x".join(map(str, x.shape)) if x is not None else "none" for x in self.inputs)
        rest = "_".join(f"{k}={v}" for k, v in self.attributes.items() if not isinstance(v, np.ndarray))
        return f"{self.op}-{self.opset}-{shapes}-{rest}".replace(" ", "")


def problem(
    op: str,
    *inputs: Array | None,
    opset: int = 22,
    outputs: int = 1,
    judge: Literal["onnx", "ort"] = "onnx",
    **attributes: Any,
) -> Problem:
    """A problem; attributes as keywords."""
    return Problem(op, inputs, attributes, opset, outputs, judge)


def reals(*shape: int, low: float = -3.0, high: float = 3.0) -> Array:
    """Numbers that depend on the shape only."""
    seed = zlib.crc32(repr((shape, low)).encode())
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def positive(*shape: int) -> Array:
    """Numbers in [0.1, 3]."""
    return reals(*shape, low=0.1)


def wholes(*shape: int) -> Array:
    """int32 in [-9, 9], 0 left out."""
    numbers = np.random.default_rng(len(shape)).integers(1, 10, shape)
    signs = np.random.default_rng(7).choice([-1, 1], shape)
    return np.asarray(numbers * signs, np.int32)


def bools(*shape: int) -> Array:
    """True and False."""
    return reals(*shape) > 0


def ints(*values: int) -> Array:
    """int64 in one axis."""
    return np.asarray(values, np.int64)


def number(value: float, dtype: Any = np.float32) -> Array:
    """A scalar."""
    return np.asarray(value, dtype)


def floats(*values: float) -> Array:
    """float32 in one axis."""
    return np.asarray(values, np.float32)


EXTREMES = floats(-np.inf, -100.0, -20.0, -1.0, -0.5, -1e-30, 0.0, 1e-30, 0.5, 1.0, 20.0, 100.0, np.inf, np.nan)
X3 = reals(2, 3, 7)
X4 = reals(2, 4, 9, 8)
X5 = reals(1, 2, 5, 6, 4)
