"""Operators that draw random numbers.

In: shapes, probabilities, a seed. Out: arrays of numbers. They come from the Mersenne twister as numpy's `RandomState`
has it, whose streams numpy promises never to change: the same seed gives the same numbers at each run and everywhere,
though not those of another engine. Without a seed the system's entropy starts it, and every run draws anew.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.numpy_dtypes import dtype_of, numpy_dtype
from alula.engine.graph.onnx_dtypes import ONNX_NUMBERS
from alula.engine.operators.common import Mismatch, show, without
from alula.engine.operators.convert import dtype_numbered
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.window import check_elements

_FLOAT32, _INT32 = ONNX_NUMBERS[DType.FLOAT32], ONNX_NUMBERS[DType.INT32]
Draw = Callable[..., Array]


def _twister(seed: float | None) -> np.random.RandomState:
    return np.random.RandomState(None if seed is None else int(seed) & 0xFFFFFFFF)


def dropout(
    x: Array, ratio: Array | None = None, training: Array | None = None, *, seed: int | None
) -> tuple[Array, Array]:
    """In training, each element is 0 with probability `ratio` (0.5), the others grow by 1 / (1 - ratio); else x.

    The second output says which elements were kept. Srivastava et al., "Dropout", 2014.
    """
    chance = 0.5 if ratio is None else float(ratio.reshape(()))
    if training is None or not training.any() or not chance:
        return x, np.ones(x.shape, np.bool_)
    if not 0 <= chance < 1:
        raise Mismatch("ratio must be in [0, 1)", f"it is {chance}")
    kept = np.asarray(_twister(seed).uniform(size=x.shape) >= chance)
    return np.asarray(x.astype(np.float64) * kept / (1 - chance)).astype(x.dtype), kept


def _upgrade_dropout(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    del version, constant
    return without(node, "ratio", "is_test")


def _normal(shape: tuple[int, ...], *, mean: float, scale: float, seed: float | None) -> Array:
    return np.asarray(_twister(seed).normal(mean, scale, shape))


def _uniform(shape: tuple[int, ...], *, low: float, high: float, seed: float | None) -> Array:
    return np.asarray(_twister(seed).uniform(low, high, shape))


def _of_shape(draw: Draw) -> Callable[..., Array]:
    def reference(*, shape: tuple[int, ...], dtype: int, **attributes: Any) -> Array:
        check_elements(shape)
        return draw(tuple(shape), **attributes).astype(numpy_dtype(dtype_numbered(dtype)))

    return reference


def _like(draw: Draw) -> Callable[..., Array]:
    def reference(x: Array, *, dtype: int | None, **attributes: Any) -> Array:
        return draw(x.shape, **attributes).astype(numpy_dtype(dtype_numbered(dtype) if dtype else dtype_of(x)))

    return reference


def bernoulli(x: Array, *, dtype: int | None, seed: float | None) -> Array:
    """1 with the probability that x gives, else 0."""
    hits = _twister(seed).uniform(size=x.shape) < x.astype(np.float64)
    return np.asarray(hits).astype(numpy_dtype(dtype_numbered(dtype) if dtype else dtype_of(x)))


def multinomial(x: Array, *, dtype: int, sample_size: int, seed: float | None) -> Array:
    """Classes drawn from rows of logarithms of weights that need not be normalised: [batch, classes]."""
    check_elements((len(x), sample_size))
    wide = x.astype(np.float64)
    weights = np.exp(wide - wide.max(1, keepdims=True)).cumsum(1)
    draws = _twister(seed).uniform(size=(len(x), sample_size)) * weights[:, -1:]
    found = [np.searchsorted(row, points, "right") for row, points in zip(weights, draws, strict=True)]
    return np.asarray(found, numpy_dtype(dtype_numbered(dtype))).reshape(len(x), sample_size)


def _infer_of_shape(at: Inference) -> Inferred:
    shape = at.attributes["shape"]
    if any(dim < 0 for dim in shape):
        raise Mismatch("sizes must be at least 0", f"they are {list(shape)}")
    return [(dtype_numbered(at.attributes["dtype"]), tuple(shape))]


def _infer_like(at: Inference) -> Inferred:
    number = at.attributes["dtype"]
    return [(dtype_numbered(number) if number else at.dtype(0), at.shape(0))]


def _infer_multinomial(at: Inference) -> Inferred:
    x = at.shape(0)
    if len(x) != 2:  # noqa: PLR2004  batch and classes
        raise Mismatch("input needs batch and classes", f"it is {show(x)}")
    return [(dtype_numbered(at.attributes["dtype"]), (x[0], at.attributes["sample_size"]))]


def _random(name: str, draw: Draw, summary: str, **attributes: Any) -> Operator:
    return Operator(
        name=name, since=(1, 22), inputs=(), infer=_infer_of_shape, reference=_of_shape(draw), summary=summary,
        attributes=MappingProxyType({"dtype": _FLOAT32, "seed": None, "shape": REQUIRED, **attributes}),
    )  # fmt: skip


def _random_like(name: str, draw: Draw, summary: str, **attributes: Any) -> Operator:
    return Operator(
        name=name, since=(1, 22), inputs=("x",), infer=_infer_like, reference=_like(draw), summary=summary,
        attributes=MappingProxyType({"dtype": None, "seed": None, **attributes}),
    )  # fmt: skip


DROPOUT = Operator(
    name="Dropout",
    since=(1, 6, 7, 10, 12, 13, 22),
    inputs=("x", "ratio?", "training_mode?"),
    outputs=("y", "mask"),
    attributes=MappingProxyType({"seed": None}),
    infer=lambda at: [(at.dtype(0), at.shape(0)), (DType.BOOL, at.shape(0))],
    reference=dropout,
    upgrade=_upgrade_dropout,
    summary="x itself; in training, elements left out at random.",
)

BERNOULLI = Operator(
    name="Bernoulli",
    since=(15, 22),
    inputs=("x",),
    attributes=MappingProxyType({"dtype": None, "seed": None}),
    infer=_infer_like,
    reference=bernoulli,
    summary="1 with the probability that x gives, else 0.",
)

MULTINOMIAL = Operator(
    name="Multinomial",
    since=(7, 22),
    inputs=("x",),
    attributes=MappingProxyType({"dtype": _INT32, "sample_size": 1, "seed": None}),
    infer=_infer_multinomial,
    reference=multinomial,
    summary="Classes drawn by the logarithms of their weights.",
)

OPERATORS = (
    DROPOUT,
    BERNOULLI,
    MULTINOMIAL,
    _random("RandomNormal", _normal, "Numbers of a normal distribution.", mean=0.0, scale=1.0),
    _random("RandomUniform", _uniform, "Numbers evenly distributed between low and high.", low=0.0, high=1.0),
    _random_like("RandomNormalLike", _normal, "Numbers of a normal distribution, as many as x has.", mean=0.0,
                 scale=1.0),
    _random_like("RandomUniformLike", _uniform, "Numbers evenly distributed, as many as x has.", low=0.0, high=1.0),
)  # fmt: skip

# What passes must neither compute beforehand nor merge: two such nodes, or two runs of one, give different numbers.
RANDOM = frozenset(operator.name for operator in OPERATORS)
