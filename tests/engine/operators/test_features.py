"""Operators of ai.onnx.ml and ai.onnx.preview.training against the standard's evaluator or onnxruntime."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from support.problem import EXTREMES, floats, ints, reals

from alula.base.errors import ShapeError, UnsupportedError
from alula.engine.graph.nodes import Array, Node
from alula.engine.importers.onnx import read_onnx
from alula.engine.operators import classify, features, training, trees
from alula.engine.operators.evaluate import evaluate, evaluate_graph
from alula.engine.operators.record import REQUIRED, Operator
from alula.engine.sessions.reference import prepare_reference

_ML, _TRAINING = features.DOMAIN, training.DOMAIN
_RECORDS = (*classify.OPERATORS, *features.OPERATORS, *trees.OPERATORS, *training.OPERATORS)
_VERSIONS = {_ML: 5, _TRAINING: 1}


def _strings(*texts: str) -> Array:
    return np.asarray(texts, object)


def _model(op: str, domain: str, inputs: tuple[Array, ...], attributes: Mapping[str, Any], outputs: int) -> Any:
    plain = {k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in attributes.items()}
    names = [f"x{index}" for index in range(len(inputs))]
    node = helper.make_node(op, names, [f"y{index}" for index in range(outputs)], domain=domain, **plain)
    ends = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, inputs, strict=True)
    ]
    made = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "features", ends, made)
    # These were withdrawn at version 5 of their domain.
    version = 3 if op.startswith("TreeEnsemble") else _VERSIONS[domain]
    sets = [helper.make_opsetid("", 21), helper.make_opsetid(domain, version)]
    return helper.make_model(graph, opset_imports=sets, ir_version=10)


def _ours(model: Any, feeds: Mapping[str, Array]) -> list[Array]:
    graph = prepare_reference(read_onnx(model.SerializeToString()))
    found = evaluate_graph(graph, feeds)
    return [found[name] for name in graph.outputs]


def _compare(got: list[Array], wanted: list[Any]) -> None:
    for mine, theirs in zip(got, map(np.asarray, wanted), strict=True):
        assert mine.shape == theirs.shape
        if theirs.dtype.kind in "OSU":
            assert mine.tolist() == theirs.tolist()
        else:
            assert mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


_X = reals(5, 3)
_WORDS = _strings("a", "b", "z", "a")
_BY_ORT: tuple[tuple[str, tuple[Array, ...], dict[str, Any]], ...] = (
    ("ArrayFeatureExtractor", (_X, ints(2, 0)), {}),
    ("ArrayFeatureExtractor", (floats(3, 4, 5), ints(2)), {}),
    ("Binarizer", (_X,), {"threshold": 0.5}),
    ("Scaler", (_X,), {"offset": [1.0, 2.0, 3.0], "scale": [0.5, 1.0, 2.0]}),
    ("Scaler", (np.asarray([[3, 4]], np.int64),), {"offset": [1.0], "scale": [0.5]}),
    ("Normalizer", (_X,), {"norm": "L1"}),
    ("Normalizer", (_X,), {"norm": "L2"}),
    ("Imputer", (np.asarray([[1, np.nan], [np.nan, 2]], np.float32),),
     {"imputed_value_floats": [7.0, 8.0], "replaced_value_float": float("nan")}),
    ("Imputer", (np.asarray([[1, -1], [-1, 2]], np.int64),), {"imputed_value_int64s": [9], "replaced_value_int64": -1}),
    ("LabelEncoder", (_WORDS,), {"keys_strings": ["a", "b"], "values_int64s": [3, 4], "default_int64": 7}),
    ("LabelEncoder", (_WORDS,), {"keys_strings": ["a", "b"], "values_floats": [3.5, 4.5]}),
    ("LabelEncoder", (ints(1, 2, 3),), {"keys_int64s": [1, 3], "values_strings": ["one", "three"]}),
    ("LabelEncoder", (EXTREMES,), {"keys_floats": [1.0, float("nan")], "values_floats": [5.0, 6.0]}),
    ("CategoryMapper", (_WORDS,), {"cats_strings": ["a", "b"], "cats_int64s": [3, 4]}),
    ("CategoryMapper", (ints(3, 9),), {"cats_strings": ["a", "b"], "cats_int64s": [3, 4], "default_string": "?"}),
    ("OneHotEncoder", (_WORDS,), {"cats_strings": ["a", "b", "c"]}),
    ("OneHotEncoder", (np.asarray([[1, 5]], np.int64),), {"cats_int64s": [5, 1]}),
    ("FeatureVectorizer", (_X, reals(5, 2)), {"inputdimensions": [3, 2]}),
    ("LinearRegressor", (_X,),
     {"coefficients": [1.0, -2.0, 0.5, 0.1, 0.2, 0.3], "intercepts": [0.5, -0.5], "targets": 2}),
    ("LinearRegressor", (_X,), {"coefficients": [1.0, -2.0, 0.5]}),
)  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "attributes"), _BY_ORT)
def test_features_agree_with_onnxruntime(op: str, inputs: tuple[Array, ...], attributes: dict[str, Any]) -> None:
    """Unknown labels, NaN as a key, and single numbers for all columns included."""
    model = _model(op, _ML, inputs, attributes, 1)
    feeds = {f"x{index}": array for index, array in enumerate(inputs)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    got = _ours(model, feeds)

    _compare(got, session.run(None, feeds))


def _old_trees(count: int, seed: int) -> dict[str, Any]:
    """Full trees of depth 2 over 3 features, two targets a leaf."""
    random = np.random.default_rng(seed)
    branches = random.choice(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
    leaves = [(tree, node, target) for tree in range(count) for node in range(3, 7) for target in range(2)]
    return {
        "nodes_treeids": [tree for tree in range(count) for _ in range(7)],
        "nodes_nodeids": list(range(7)) * count,
        "nodes_featureids": random.integers(0, 3, 7 * count).tolist(),
        "nodes_modes": ([str(branches)] * 3 + ["LEAF"] * 4) * count,
        "nodes_values": random.uniform(-2, 2, 7 * count).astype(np.float32).tolist(),
        "nodes_truenodeids": [1, 3, 5, 0, 0, 0, 0] * count,
        "nodes_falsenodeids": [2, 4, 6, 0, 0, 0, 0] * count,
        "nodes_missing_value_tracks_true": random.integers(0, 2, 7 * count).tolist(),
        "target_treeids": [leaf[0] for leaf in leaves],
        "target_nodeids": [leaf[1] for leaf in leaves],
        "target_ids": [leaf[2] for leaf in leaves],
        "target_weights": random.uniform(-1, 1, len(leaves)).astype(np.float32).tolist(),
        "n_targets": 2,
    }


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("base", [None, [0.5, -0.25]])
def test_trees_agree_with_onnxruntime(aggregate: str, base: list[float] | None) -> None:
    """Four trees of several targets; NaN takes the branch that the node says."""
    attributes = {**_old_trees(4, 3), "aggregate_function": aggregate} | ({"base_values": base} if base else {})
    rows = np.concatenate([reals(20, 3), np.full((1, 3), np.nan, np.float32)])
    model = _model("TreeEnsembleRegressor", _ML, (rows,), attributes, 1)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    got = _ours(model, {"x0": rows})

    _compare(got, session.run(None, {"x0": rows}))


def _classes(weighted: int, *, positive: bool) -> dict[str, Any]:
    """The same trees, one class a leaf, of which only the first `weighted` have weights."""
    old = _old_trees(4, 5)
    nodes = {name: value for name, value in old.items() if name.startswith("nodes_")}
    leaves = range(0, len(old["target_ids"]), 2)
    ids = [at // 2 % weighted for at in leaves]
    weights = [old["target_weights"][at] for at in leaves]
    return {
        **nodes,
        "class_treeids": [old["target_treeids"][at] for at in leaves],
        "class_nodeids": [old["target_nodeids"][at] for at in leaves],
        "class_ids": ids,
        "class_weights": [abs(weight) / 2 for weight in weights] if positive else weights,
    }


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("labels", [{"classlabels_int64s": [4, 7, 9]}, {"classlabels_strings": ["a", "b", "c"]}])
def test_classes_of_trees_agree_with_onnxruntime(post: str, labels: dict[str, Any]) -> None:
    """Labels of both kinds, and each transformation of the scores."""
    attributes = {**_classes(3, positive=False), **labels, "post_transform": post}
    rows = reals(20, 3)
    model = _model("TreeEnsembleClassifier", _ML, (rows,), attributes, 2)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    _compare(_ours(model, {"x0": rows}), session.run(None, {"x0": rows}))


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("base", [{}, {"base_values": [0.3]}])
def test_two_classes_of_which_one_has_weights_agree_with_onnxruntime(
    post: str, base: dict[str, Any], *, positive: bool
) -> None:
    """Positive weights are chances and their border is 1/2; others are decisions and their border is 0."""
    attributes = {**_classes(1, positive=positive), **base, "classlabels_int64s": [4, 7], "post_transform": post}
    rows = reals(20, 3)
    model = _model("TreeEnsembleClassifier", _ML, (rows,), attributes, 2)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    _compare(_ours(model, {"x0": rows}), session.run(None, {"x0": rows}))


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("labels", [{"classlabels_ints": [4, 7]}, {"classlabels_strings": ["a", "b"]}])
def test_linear_classes_agree_with_onnxruntime(post: str, labels: dict[str, Any]) -> None:
    """As exporters of logistic regression write it: coefficients for each of the classes."""
    weights = {"coefficients": [1.0, -2.0, 0.5, -1.0, 2.0, 0.5], "intercepts": [0.1, -0.1]}
    model = _model("LinearClassifier", _ML, (_X,), {**weights, **labels, "post_transform": post}, 2)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    _compare(_ours(model, {"x0": _X}), session.run(None, {"x0": _X}))


@pytest.mark.parametrize(("op", "kinds", "attributes"), [
    ("Adagrad", 3, {"norm_coefficient": 0.01, "decay_factor": 0.1, "epsilon": 1e-5}),
    ("Adam", 4, {"norm_coefficient": 0.01, "alpha": 0.8, "beta": 0.99, "norm_coefficient_post": 0.02}),
    ("Momentum", 3, {"norm_coefficient": 0.01, "alpha": 0.9, "beta": 0.5, "mode": "standard"}),
    ("Momentum", 3, {"norm_coefficient": 0.01, "alpha": 0.9, "beta": 0.5, "mode": "nesterov"}),
])  # fmt: skip
@pytest.mark.parametrize("count", [0, 4])
def test_optimisers_agree_with_the_standard(op: str, kinds: int, attributes: dict[str, Any], count: int) -> None:
    """Two parameters at once; the first step differs from later ones."""
    states = [np.abs(reals(size, kind + 2)) for kind in range(kinds) for size in (3, 4)]
    tensors: list[Array] = [state[:, :2] for state in states]
    inputs: tuple[Array, ...] = (np.asarray(0.1, np.float32), np.asarray(count, np.int64), *tensors)
    model = _model(op, _TRAINING, inputs, attributes, 2 * (kinds - 1))
    feeds = {f"x{index}": array for index, array in enumerate(inputs)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = ReferenceEvaluator(model).run(None, feeds)

    _compare(_ours(model, feeds), [np.asarray(array, np.float32) for array in wanted])


@pytest.mark.parametrize("operator", _RECORDS, ids=lambda operator: operator.name)
def test_records_have_the_standards_attributes(operator: Operator) -> None:
    """Names and defaults; one that differs would change every model that leaves it out."""
    schema = onnx.defs.get_schema(operator.name, operator.since[-1], operator.domain)

    assert set(operator.attributes) == set(schema.attributes)
    for name, attribute in schema.attributes.items():
        default = helper.get_attribute_value(attribute.default_value) if attribute.default_value.type else None
        wanted = REQUIRED if attribute.required else default.decode() if isinstance(default, bytes) else default
        assert operator.attributes[name] == (pytest.approx(wanted) if isinstance(wanted, float) else wanted), name


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Node("LabelEncoder", ("x",), ("y",), {"keys_floats": (1.0,)}, domain=_ML), "needs one kind of values"),
        (Node("OneHotEncoder", ("x",), ("y",), {"cats_int64s": (7,), "zeros": 0}, domain=_ML), "must be categories"),
        (Node("Imputer", ("x",), ("y",), {}, domain=_ML), "needs imputed_value_floats"),
    ],
)
def test_features_that_make_no_sense_are_refused(node: Node, message: str) -> None:
    """The attribute that is missing is named."""
    with pytest.raises(ShapeError, match=message):
        evaluate(node, [_X])


def test_a_tree_that_leads_round_in_a_circle_is_refused() -> None:
    """Attack: a branch back to the root would run for ever."""
    attributes = {**_old_trees(1, 1), "aggregate_function": "SUM"}
    attributes["nodes_truenodeids"] = (1, 1, 1, 0, 0, 0, 0)
    attributes["nodes_falsenodeids"] = (2, 2, 2, 0, 0, 0, 0)
    attributes = {name: tuple(value) if isinstance(value, list) else value for name, value in attributes.items()}
    node = Node("TreeEnsembleRegressor", ("x",), ("y",), attributes, domain=_ML)

    with pytest.raises(ShapeError, match="must end in a leaf"):
        evaluate(node, [_X])


def test_an_unknown_norm_is_refused() -> None:
    """Only three norms have a meaning."""
    with pytest.raises(UnsupportedError, match="it is L3"):
        evaluate(Node("Normalizer", ("x",), ("y",), {"norm": "L3"}, domain=_ML), [_X])
