"""Feature engineering of ai.onnx.ml: picking, scaling, encoding, and linear models.

In: rows of features [N, F] (or [F]). Out: rows of features, labels or scores.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import product
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.common import Mismatch, Refusal, same_as, show
from alula.engine.operators.record import Infer, Inference, Inferred, Operator
from alula.engine.operators.text import texts_of

DOMAIN = "ai.onnx.ml"
_NO_NORM = 1e-30  # below it, rows are left alone: the standard's evaluator
_KINDS = (("tensor", None), ("strings", object), ("int64s", np.int64), ("floats", np.float32))


def extract(x: Array, indices: Array) -> Array:
    """Columns of the last axis; a vector counts as one row."""
    return np.atleast_2d(x[..., indices.reshape(-1)])


def _infer_extract(at: Inference) -> Inferred:
    x, count = at.shape(0), product(at.shape(1))
    return [(at.dtype(0), (*(x[:-1] or (1,)), count))]


def scale(x: Array, *, offset: Sequence[float] | None, scale: Sequence[float] | None) -> Array:
    """(x - offset) scale, by column or by one number for all."""
    shift, factor = np.asarray(offset or (0.0,), np.float32), np.asarray(scale or (1.0,), np.float32)
    return np.asarray((x.astype(np.float32) - shift) * factor, np.float32)


def normalise(x: Array, *, norm: str) -> Array:
    """Rows over their largest magnitude, their sum of magnitudes, or their length."""
    wide = np.atleast_2d(x.astype(np.float32))
    norms: Mapping[str, Callable[[], Array]] = {
        "MAX": lambda: np.abs(wide).max(-1, keepdims=True),
        "L1": lambda: np.abs(wide).sum(-1, keepdims=True),
        "L2": lambda: np.sqrt(np.square(wide).sum(-1, keepdims=True)),
    }
    if norm not in norms:
        raise Refusal(f"norm must be one of {', '.join(norms)}", f"it is {norm}")
    return np.asarray(wide / np.maximum(norms[norm](), _NO_NORM), np.float32).reshape(x.shape)


def impute(x: Array, **values: Any) -> Array:
    """Elements of one value (or NaN) replaced by another, by column or by one number for all."""
    kind = "float" if x.dtype.kind == "f" else "int64"
    new, old = values[f"imputed_value_{kind}s"], values[f"replaced_value_{kind}"]
    if not new:
        raise Mismatch(f"needs imputed_value_{kind}s", "it is left out")
    gone = np.isnan(x) if kind == "float" and np.isnan(old) else x == old
    return np.where(gone, np.asarray(new, x.dtype), x)


def encode_labels(x: Array, **attributes: Any) -> Array:
    """The value beside each element's key, or the default."""
    keys, values, default = _pairs(attributes)
    table = {_key(key): value for key, value in zip(keys.tolist(), values.tolist(), strict=True)}
    plain = texts_of(x) if x.dtype.kind in "OSU" else x
    found = np.empty(x.shape, values.dtype)
    for place, element in zip(np.ndindex(x.shape), plain.reshape(-1).tolist(), strict=True):
        found[place] = table.get(_key(element), default)
    return found


def _key(element: Hashable) -> Hashable:
    """NaN is not equal to itself, but it is a key."""
    return "nan" if isinstance(element, float) and element != element else (element,)  # noqa: PLR0124


def _pairs(attributes: Mapping[str, Any]) -> tuple[Array, Array, Any]:
    """Keys, values and the default."""
    found: dict[str, tuple[str, Array]] = {}
    for side in ("keys", "values"):
        given = [(kind, attributes[f"{side}_{kind}"], dtype) for kind, dtype in _KINDS]
        there = [(kind, np.asarray(numbers, dtype)) for kind, numbers, dtype in given if numbers is not None]
        if len(there) != 1:
            raise Mismatch(f"needs one kind of {side}", f"there are {len(there)}")
        found[side] = there[0]
    kind, values = found["values"]
    if kind == "tensor":
        default = attributes["default_tensor"]
        return found["keys"][1].reshape(-1), values.reshape(-1), None if default is None else default.reshape(-1)[0]
    names = {"strings": "default_string", "int64s": "default_int64", "floats": "default_float"}
    return found["keys"][1], values, attributes[names[kind]]


def _infer_labels(at: Inference) -> Inferred:
    return [(dtype_of(_pairs(at.attributes)[1]), at.shape(0))]


def map_categories(x: Array, **attributes: Any) -> Array:
    """The integer beside each string, or the string beside each integer."""
    words, numbers = attributes["cats_strings"] or (), attributes["cats_int64s"] or ()
    if x.dtype.kind in "OSU":
        pairs = {"keys_strings": words, "values_int64s": numbers, "default_int64": attributes["default_int64"]}
    else:
        pairs = {"keys_int64s": numbers, "values_strings": words, "default_string": attributes["default_string"]}
    return encode_labels(x, **{**_NO_LABELS, **pairs})


def _infer_categories(at: Inference) -> Inferred:
    return [(DType.INT64 if at.dtype(0) is DType.STRING else DType.STRING, at.shape(0))]


def one_hot_encode(x: Array, **attributes: Any) -> Array:
    """A new last axis with 1 where the element is the category; unknown ones give 0 everywhere, if that is allowed."""
    words = attributes["cats_strings"] or attributes["cats_int64s"] or ()
    plain = texts_of(x) if x.dtype.kind in "OSU" else x.astype(np.int64)
    categories = np.asarray(words, object if x.dtype.kind in "OSU" else np.int64)
    hits = plain[..., None] == categories
    if not attributes["zeros"] and not hits.any(-1).all():
        raise Mismatch("elements must be categories", "one is not, and zeros is 0")
    return np.asarray(hits, np.float32)


def _infer_one_hot(at: Inference) -> Inferred:
    words = at.attributes["cats_strings"] or at.attributes["cats_int64s"] or ()
    return [(DType.FLOAT32, (*at.shape(0), len(words)))]


def join_features(*arrays: Array, inputdimensions: Sequence[int] | None) -> Array:
    """Rows of several inputs side by side, as float32."""
    rows = [array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(1, -1) for array in arrays]
    cut = inputdimensions or [row.shape[1] for row in rows]
    return np.concatenate([row[:, :count] for row, count in zip(rows, cut, strict=True)], 1).astype(np.float32)


def _infer_join(at: Inference) -> Inferred:
    shapes = [at.shape(index) for index in range(len(at.inputs))]
    widths = at.attributes["inputdimensions"] or [product(x[1:]) if len(x) > 1 else x[0] for x in shapes]
    return [(DType.FLOAT32, (shapes[0][0] if len(shapes[0]) > 1 else 1, sum(widths)))]


def linear_regression(
    x: Array, *, coefficients: Sequence[float] | None, intercepts: Sequence[float] | None, targets: int,
    post_transform: str,
) -> Array:  # fmt: skip
    """X times coefficients [targets, F], plus intercepts."""
    weights = np.asarray(coefficients or (), np.float32).reshape(targets, -1)
    y = np.atleast_2d(x).astype(np.float32) @ weights.T
    return transformed(y if not intercepts else y + np.asarray(intercepts, np.float32), post_transform)


def transformed(scores: Array, name: str) -> Array:
    """Scores [N, C] after a post_transform of the standard.

    Raises:
        Refusal: the name is none of them, or PROBIT.
    """
    if name == "NONE":
        return np.asarray(scores, np.float32)
    if name == "LOGISTIC":
        return np.asarray(1 / (1 + np.exp(-scores)), np.float32)
    if name not in ("SOFTMAX", "SOFTMAX_ZERO"):
        raise Refusal("post_transform must be NONE, LOGISTIC, SOFTMAX or SOFTMAX_ZERO", f"it is {name}")
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    if name == "SOFTMAX_ZERO":  # what is 0 stays 0 and takes no part
        raised = np.where(scores == 0, 0, raised)
    return np.asarray(raised / raised.sum(-1, keepdims=True), np.float32)


def _infer_regression(at: Inference) -> Inferred:
    x = at.shape(0)
    return [(DType.FLOAT32, (x[0] if len(x) > 1 else 1, at.attributes["targets"]))]


def _floats_of_rows(at: Inference) -> Inferred:
    x = at.shape(0)
    if not x:
        raise Mismatch("input needs an axis of features", f"it is {show(x)}")
    return [(DType.FLOAT32, x)]


_NO_LABELS: Mapping[str, Any] = MappingProxyType({
    "default_float": -0.0, "default_int64": -1, "default_string": "_Unused", "default_tensor": None,
    **{f"{side}_{kind}": None for side in ("keys", "values") for kind, _ in _KINDS},
})  # fmt: skip


def _operator(name: str, reference: Callable[..., Array], infer: Infer, summary: str, **more: Any) -> Operator:
    return Operator(
        name=name, domain=DOMAIN, since=more.get("since", (1,)), inputs=more.get("inputs", ("x",)), infer=infer,
        attributes=MappingProxyType(dict(more.get("attributes", {}))), reference=reference, summary=summary,
    )  # fmt: skip


OPERATORS = (
    _operator("ArrayFeatureExtractor", extract, _infer_extract, "Some columns.", inputs=("x", "indices")),
    _operator("Binarizer", lambda x, *, threshold: (x > threshold).astype(x.dtype), same_as(),
              "1 where above a threshold, else 0.", attributes={"threshold": 0.0}),
    _operator("Scaler", scale, _floats_of_rows, "(x - offset) scale.", attributes={"offset": None, "scale": None}),
    _operator("Normalizer", normalise, _floats_of_rows, "Rows over their norm.", attributes={"norm": "MAX"}),
    _operator("Imputer", impute, same_as(), "One value replaced by another.", attributes={
        "imputed_value_floats": None, "imputed_value_int64s": None, "replaced_value_float": 0.0,
        "replaced_value_int64": 0}),
    _operator("LabelEncoder", encode_labels, _infer_labels, "The value beside each key.", since=(2, 4),
              attributes=_NO_LABELS),
    _operator("CategoryMapper", map_categories, _infer_categories, "Strings to integers or back.", attributes={
        "cats_int64s": None, "cats_strings": None, "default_int64": -1, "default_string": "_Unused"}),
    _operator("OneHotEncoder", one_hot_encode, _infer_one_hot, "1 where the element is the category.", attributes={
        "cats_int64s": None, "cats_strings": None, "zeros": 1}),
    _operator("FeatureVectorizer", join_features, _infer_join, "Rows side by side.", inputs=("x*",),
              attributes={"inputdimensions": None}),
    _operator("LinearRegressor", linear_regression, _infer_regression, "A linear model.", attributes={
        "coefficients": None, "intercepts": None, "post_transform": "NONE", "targets": 1}),
)  # fmt: skip
