"""Classifiers of ai.onnx.ml: scores of classes, and the label of the best.

In: rows of features [N, F]. Out: labels [N], int64 or strings, and float32 scores [N, classes].
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch
from alula.engine.operators.features import DOMAIN, transformed
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.trees import OLD_NODES, base_values, forest_of_nodes, numbers_of, rows_of

_TWO = 2


def _labels(attributes: Mapping[str, Any], kind: str) -> Array:
    words, numbers = attributes["classlabels_strings"], attributes[f"classlabels_{kind}"]
    if not words and not numbers:
        raise Mismatch(f"needs classlabels_strings or classlabels_{kind}", "both are left out")
    return np.asarray(words, object) if words else np.asarray(numbers, np.int64)


def tree_classifier(x: Array, **attributes: Any) -> tuple[Array, Array]:
    """The class with the largest sum of leaves' weights.

    Of two classes, class 0 alone may have weights: then they speak for the second, and say how likely it is where all
    are positive (1/2 is the border), else on which side of 0 the row lies. These are onnxruntime's rules, the standard
    is silent.
    """
    labels = _labels(attributes, "int64s")
    forest = forest_of_nodes(attributes, "class", len(labels))
    scores, _ = forest.scores(rows_of(x), "SUM")
    if len(labels) == _TWO and set(attributes["class_ids"] or ()) == {0}:
        one = scores[:, 0] + base_values(attributes, 1)[0]
        positive = bool((numbers_of(attributes, "class_weights") >= 0).all())
        return labels[(one > (0.5 if positive else 0)).astype(np.int64)], _both(one, positive, attributes)
    scores = scores + base_values(attributes, len(labels))
    return labels[scores.argmax(1)], transformed(scores, attributes["post_transform"])


def _both(one: Array, positive: bool, attributes: Mapping[str, Any]) -> Array:  # noqa: FBT001
    """The scores of two classes from the one that the trees give."""
    if attributes["post_transform"] == "LOGISTIC":
        return transformed(np.stack([-one, one], 1), "LOGISTIC")
    return np.stack([1 - one if positive else -one, one], 1).astype(np.float32)


def linear_classifier(x: Array, **attributes: Any) -> tuple[Array, Array]:
    """The class with the largest score, x times the coefficients [classes, F] plus intercepts."""
    labels = _labels(attributes, "ints")
    weights = np.asarray(attributes["coefficients"], np.float32).reshape(len(labels), -1)
    scores = rows_of(x).astype(np.float32) @ weights.T + np.asarray(attributes["intercepts"] or (0.0,), np.float32)
    return labels[scores.argmax(1)], transformed(scores, attributes["post_transform"])


def _infer(kind: str) -> Any:
    def infer(at: Inference) -> Inferred:
        labels = _labels(at.attributes, kind)
        rows = at.shape(0)[0]
        dtype = DType.STRING if labels.dtype == object else DType.INT64
        return [(dtype, (rows,)), (DType.FLOAT32, (rows, len(labels)))]

    return infer


TREE_CLASSIFIER = Operator(
    name="TreeEnsembleClassifier",
    domain=DOMAIN,
    since=(1, 3),
    inputs=("x",),
    outputs=("labels", "scores"),
    attributes=MappingProxyType({
        **OLD_NODES, "class_ids": None, "class_nodeids": None, "class_treeids": None, "class_weights": None,
        "class_weights_as_tensor": None, "classlabels_int64s": None, "classlabels_strings": None,
    }),
    infer=_infer("int64s"),
    reference=tree_classifier,
    summary="The class that decision trees give the largest weight.",
)  # fmt: skip

LINEAR_CLASSIFIER = Operator(
    name="LinearClassifier",
    domain=DOMAIN,
    since=(1,),
    inputs=("x",),
    outputs=("labels", "scores"),
    attributes=MappingProxyType({
        "classlabels_ints": None, "classlabels_strings": None, "coefficients": REQUIRED, "intercepts": None,
        "multi_class": 0, "post_transform": "NONE",
    }),
    infer=_infer("ints"),
    reference=linear_classifier,
    summary="The class with the largest linear score.",
)  # fmt: skip

OPERATORS = (TREE_CLASSIFIER, LINEAR_CLASSIFIER)
