"""Ensembles of decision trees (ai.onnx.ml).

In: rows of features [N, F]. Out: float scores [N, targets], and for classifiers labels [N].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal, show
from alula.engine.operators.features import DOMAIN, transformed
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.window import check_elements

_LEAF, _MEMBER = -1, 6
# The tests of a node, in the order of TreeEnsemble's numbers.
_TESTS = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
_MODES = {
    "BRANCH_LEQ": 0, "BRANCH_LT": 1, "BRANCH_GTE": 2, "BRANCH_GT": 3, "BRANCH_EQ": 4, "BRANCH_NEQ": 5, "LEAF": _LEAF,
}  # fmt: skip
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@dataclass(frozen=True)
class Forest:
    """All trees in one table of nodes, leaves included.

    Attributes:
        modes: the test of each node, -1 for a leaf.
        branches: [2, nodes], where to go if the test fails, and if it holds.
        missing: whether a NaN passes the test.
        members: the set of each node that tests membership.
        weights: [nodes, targets], what a leaf adds; `given` says which of them it has.
    """

    features: Array
    modes: Array
    splits: Array
    branches: Array
    missing: Array
    members: Mapping[int, Array]
    roots: Array
    weights: Array
    given: Array

    def leaves(self, x: Array, root: int) -> Array:
        """The leaf of one tree in which each row ends.

        Raises:
            Mismatch: a path leads round in a circle.
        """
        at = np.full(len(x), root)
        for _ in range(len(self.modes) + 1):
            inner = np.flatnonzero(self.modes[at] != _LEAF)
            if not inner.size:
                return at
            nodes = at[inner]
            passed = self._passes(x[inner, self.features[nodes]], nodes)
            at[inner] = self.branches[passed.astype(np.int64), nodes]
        raise Mismatch("every path of a tree must end in a leaf", f"one of the tree at node {root} does not")

    def _passes(self, values: Array, nodes: Array) -> Array:
        passed = np.isnan(values) & self.missing[nodes]
        for mode in np.unique(self.modes[nodes]):
            those = np.flatnonzero(self.modes[nodes] == mode)
            if mode == _MEMBER:
                hits = [value in self.members[node] for value, node in zip(values[those], nodes[those], strict=True)]
                passed[those] |= np.asarray(hits, np.bool_)
            else:
                passed[those] |= _TESTS[mode](values[those], self.splits[nodes[those]])
        return passed

    def scores(self, x: Array, aggregate: str) -> tuple[Array, Array]:
        """The trees' weights put together, [N, targets], and where any tree gave one."""
        if aggregate not in _AGGREGATES:
            raise Refusal(f"aggregate_function must be one of {', '.join(_AGGREGATES)}", f"it is {aggregate}")
        lowest = {"MIN": np.inf, "MAX": -np.inf}.get(aggregate, 0.0)
        total = np.full((len(x), self.weights.shape[1]), lowest)
        seen = np.zeros(total.shape, np.bool_)
        for root in self.roots.tolist():
            ends = self.leaves(x, root)
            seen |= self.given[ends]
            if aggregate in ("MIN", "MAX"):
                better = np.minimum if aggregate == "MIN" else np.maximum
                total = np.where(self.given[ends], better(total, self.weights[ends]), total)
            else:
                total += self.weights[ends]
        if aggregate == "AVERAGE":
            total /= len(self.roots)
        return np.where(seen, total, 0.0), seen


def _weights(nodes: int, targets: int, places: Array, columns: Array, values: Array) -> tuple[Array, Array]:
    check_elements((nodes, targets))
    weights, given = np.zeros((nodes, targets)), np.zeros((nodes, targets), np.bool_)
    np.add.at(weights, (places, columns), values)
    given[places, columns] = True
    return weights, given


def forest_of_leaves(attributes: Mapping[str, Any]) -> Forest:
    """The forest of a TreeEnsemble, whose leaves stand in a table of their own: they follow the nodes here."""
    modes = np.asarray(attributes["nodes_modes"], np.int64)
    inner, leaves = len(modes), len(attributes["leaf_weights"])
    sides = []
    for side in ("false", "true"):
        ids = np.asarray(attributes[f"nodes_{side}nodeids"], np.int64)
        sides.append(np.where(np.asarray(attributes[f"nodes_{side}leafs"]) != 0, ids + inner, ids))
    branches = np.stack(sides)
    rest = np.zeros(leaves, np.int64)
    targets = np.asarray(attributes["leaf_targetids"], np.int64)
    weights, given = _weights(
        inner + leaves, attributes["n_targets"], inner + np.arange(leaves), targets, attributes["leaf_weights"]
    )
    missing = attributes["nodes_missing_value_tracks_true"] or np.zeros(inner, np.int64)
    return _checked(Forest(
        features=np.concatenate([np.asarray(attributes["nodes_featureids"], np.int64), rest]),
        modes=np.concatenate([modes, np.full(leaves, _LEAF)]),
        splits=np.concatenate([np.asarray(attributes["nodes_splits"], np.float64), rest]),
        branches=np.concatenate([branches, np.stack([rest, rest])], 1),
        missing=np.concatenate([np.asarray(missing, np.bool_), rest.astype(np.bool_)]),
        members=_members(modes, attributes["membership_values"]),
        roots=np.asarray(attributes["tree_roots"], np.int64),
        weights=weights,
        given=given,
    ))  # fmt: skip


def _members(modes: Array, values: Array | None) -> dict[int, Array]:
    """The sets of the nodes that test membership, in their order, each ended by a NaN."""
    nodes = np.flatnonzero(modes == _MEMBER).tolist()
    flat = np.asarray(() if values is None else values, np.float64).reshape(-1)
    sets = np.split(flat, np.flatnonzero(np.isnan(flat)) + 1)[: len(nodes)]
    if len(sets) < len(nodes) or any(not part.size for part in sets):
        raise Mismatch("membership_values must have a set for each node that tests one", f"there are {len(nodes)}")
    return {node: part[~np.isnan(part)] for node, part in zip(nodes, sets, strict=True)}


def forest_of_nodes(attributes: Mapping[str, Any], kind: str, targets: int) -> Forest:
    """The forest of the older operators, whose nodes are named by tree and number; `kind` is target or class."""
    trees, numbers = attributes["nodes_treeids"] or (), attributes["nodes_nodeids"] or ()
    place = {key: index for index, key in enumerate(zip(trees, numbers, strict=True))}
    count = len(place)
    modes = np.asarray([_mode(mode) for mode in attributes["nodes_modes"] or ()], np.int64)
    sides = [_branch(place, modes, trees, attributes[f"nodes_{side}nodeids"] or ()) for side in ("false", "true")]
    ends = zip(attributes[f"{kind}_treeids"] or (), attributes[f"{kind}_nodeids"] or (), strict=True)
    places = np.asarray([_place(place, key) for key in ends], np.int64)
    given = numbers_of(attributes, f"{kind}_weights")
    columns = np.asarray(attributes[f"{kind}_ids"] or (), np.int64)
    inner = np.setdiff1d(np.arange(count), np.concatenate(sides)) if count else np.zeros(0, np.int64)
    weights, seen = _weights(count, targets, places, columns, given)
    return _checked(Forest(
        features=np.asarray(attributes["nodes_featureids"] or (), np.int64),
        modes=modes,
        splits=numbers_of(attributes, "nodes_values"),
        branches=np.stack([np.maximum(side, 0) for side in sides]),
        missing=np.asarray(attributes["nodes_missing_value_tracks_true"] or np.zeros(count), np.bool_),
        members={},
        roots=inner,
        weights=weights,
        given=seen,
    ))  # fmt: skip


def _mode(mode: str) -> int:
    if mode not in _MODES:
        raise Mismatch(f"nodes_modes must be among {', '.join(_MODES)}", f"one is {mode}")
    return _MODES[mode]


def _branch(place: Mapping[tuple[int, int], int], modes: Array, trees: Sequence[int], ids: Sequence[int]) -> Array:
    """Where each node's branch leads; -1 for leaves, which have none."""
    rows = zip(modes.tolist(), trees, ids, strict=True)
    return np.asarray([-1 if mode == _LEAF else _place(place, (tree, id_)) for mode, tree, id_ in rows], np.int64)


def _place(place: Mapping[tuple[int, int], int], key: tuple[int, int]) -> int:
    if key not in place:
        raise Mismatch("branches and leaves must be nodes", f"tree {key[0]} has no node {key[1]}")
    return place[key]


def numbers_of(attributes: Mapping[str, Any], name: str) -> Array:
    """Numbers given as a list, or as a tensor for those of double precision."""
    tensor = attributes[f"{name}_as_tensor"]
    return np.asarray(attributes[name] or () if tensor is None else tensor, np.float64)


def _checked(forest: Forest) -> Forest:
    count = len(forest.modes)
    same = {len(array) for array in (forest.features, forest.splits, forest.missing, forest.branches[0])}
    if same != {count}:
        raise Mismatch(f"{count} nodes need as many features, values and branches", f"there are {sorted(same)}")
    for ids in (forest.branches, forest.roots):
        if ids.size and (ids.min() < 0 or ids.max() >= count):
            raise Mismatch(f"nodes must be in [0, {count})", f"they reach from {ids.min()} to {ids.max()}")
    return forest


def tree_ensemble(x: Array, **attributes: Any) -> Array:
    """The sum, mean, smallest or largest of what the trees' leaves give to each target."""
    forest = forest_of_leaves(attributes)
    scores, _ = forest.scores(rows_of(x), _named(_AGGREGATES, attributes["aggregate_function"]))
    return transformed(scores, _named(_TRANSFORMS, attributes["post_transform"])).astype(x.dtype)


def _named(names: Sequence[str], number: int) -> str:
    if not 0 <= number < len(names):
        raise Refusal(f"must be one of {', '.join(names)}", f"it is number {number}")
    return names[number]


def rows_of(x: Array) -> Array:
    """X as floats.

    Raises:
        Mismatch: it is no matrix.
    """
    if x.ndim != 2:  # noqa: PLR2004  rows of features
        raise Mismatch("input must be rows of features", f"it is {show(x.shape)}")
    return x.astype(np.float64) if x.dtype.kind != "f" else x


def tree_regressor(x: Array, **attributes: Any) -> Array:
    """As TreeEnsemble, with a base value for each target."""
    forest = forest_of_nodes(attributes, "target", attributes["n_targets"] or 1)
    scores, _ = forest.scores(rows_of(x), attributes["aggregate_function"])
    return transformed(scores + base_values(attributes, scores.shape[1]), attributes["post_transform"])


def base_values(attributes: Mapping[str, Any], count: int) -> Array:
    """What each score starts from; 0 where that is not said."""
    base = numbers_of(attributes, "base_values")
    return base if base.size in (1, count) else np.zeros(count)


def _infer_ensemble(at: Inference) -> Inferred:
    return [(at.dtype(0), (at.shape(0)[0], at.attributes["n_targets"] or 1))]


def _infer_regressor(at: Inference) -> Inferred:
    return [(DType.FLOAT32, (at.shape(0)[0], at.attributes["n_targets"] or 1))]


OLD_NODES = MappingProxyType({
    "base_values": None, "base_values_as_tensor": None, "nodes_falsenodeids": None, "nodes_featureids": None,
    "nodes_hitrates": None, "nodes_hitrates_as_tensor": None, "nodes_missing_value_tracks_true": None,
    "nodes_modes": None, "nodes_nodeids": None, "nodes_treeids": None, "nodes_truenodeids": None, "nodes_values": None,
    "nodes_values_as_tensor": None, "post_transform": "NONE",
})  # fmt: skip

TREE_ENSEMBLE = Operator(
    name="TreeEnsemble",
    domain=DOMAIN,
    since=(5,),
    inputs=("x",),
    attributes=MappingProxyType({
        "aggregate_function": 1, "leaf_targetids": REQUIRED, "leaf_weights": REQUIRED, "membership_values": None,
        "n_targets": None, "nodes_falseleafs": REQUIRED, "nodes_falsenodeids": REQUIRED, "nodes_featureids": REQUIRED,
        "nodes_hitrates": None, "nodes_missing_value_tracks_true": None, "nodes_modes": REQUIRED,
        "nodes_splits": REQUIRED, "nodes_trueleafs": REQUIRED, "nodes_truenodeids": REQUIRED, "post_transform": 0,
        "tree_roots": REQUIRED,
    }),
    infer=_infer_ensemble,
    reference=tree_ensemble,
    summary="What the leaves of decision trees give, put together.",
)  # fmt: skip

TREE_REGRESSOR = Operator(
    name="TreeEnsembleRegressor",
    domain=DOMAIN,
    since=(1, 3),
    inputs=("x",),
    attributes=MappingProxyType({
        **OLD_NODES, "aggregate_function": "SUM", "n_targets": None, "target_ids": None, "target_nodeids": None,
        "target_treeids": None, "target_weights": None, "target_weights_as_tensor": None,
    }),
    infer=_infer_regressor,
    reference=tree_regressor,
    summary="The older form of TreeEnsemble.",
)  # fmt: skip

OPERATORS = (TREE_ENSEMBLE, TREE_REGRESSOR)
