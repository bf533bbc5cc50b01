"""LayerNormalization put together again, over the last axes or over the channels of pictures.

    x -> ReduceMean -> Sub(x, .) -> d; d -> Pow(#2) -> ReduceMean -> Add(#e) -> Sqrt -> Div(d, .) -> Mul(#s) -> Add(#b)
    becomes   x -> LayerNormalization(#s, #b) {axis=-1, epsilon=e}

    x, k -> Mul -> y; mean, k -> Mul -> Sub(#b, .) -> Add(y), with k = #s / sqrt(...)
    becomes   the same (Keras gathers the factors of x)

    the same with means over axis 1 of [N, C, H, W]
    becomes   x -> Transpose (0, 2, 3, 1) -> LayerNormalization -> Transpose (0, 3, 1, 2)

In: the division, then the product and the sum behind it. Out: one normalisation; it reads its row twice instead of
writing and reading four intermediate values.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Attribute, Node, Value
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.passes.known import static_shape
from alula.engine.passes.match import Fixed, Match, Some, find, is_closed, keeps_shape, made
from alula.engine.passes.normal import (
    NewConstants,
    along,
    axes_of_mean,
    inverse_root,
    mean_of,
    over_root,
    squared,
)

_X = Some("x")
_CENTRED = made("Sub", _X, mean_of(_X, "mean"))
_SPELLINGS = over_root(_CENTRED, mean_of(squared(_CENTRED), "energy"))
_FACTOR = made("Mul", inverse_root(mean_of(squared(_CENTRED), "energy")), Fixed("scale"))
_GATHERED = (
    made(
        "Add",
        made("Mul", _X, _FACTOR),
        made("Sub", Fixed("shift"), made("Mul", mean_of(_X, "mean"), _FACTOR)),
    ),
)
_LAYER_NORM = ("", "LayerNormalization")
_PICTURE = 4
_CHANNEL_LAST, _CHANNEL_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def fuse_layer_norm(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the fragment that ends here, or take a factor or a term into the normalisation before it."""
    if node.domain or node.op not in {"Div", "Mul", "Add"}:
        return None
    match = find(editor, node, _SPELLINGS if node.op != "Add" else _GATHERED)
    if match is not None:
        return _normalised(editor, node, match)
    return None if node.op == "Div" else _affine(editor, node)


def _normalised(editor: GraphEditor, node: Node, match: Match) -> Rewrite | None:
    x = match.values["x"]
    shape = static_shape(editor, x)
    if shape is None or not keeps_shape(editor, x, node.output):
        return None
    axes = axes_of_mean(editor, match.named["mean"], len(shape))
    if axes is None or axes != axes_of_mean(editor, match.named["energy"], len(shape)):
        return None
    constants = NewConstants(editor, node.output)
    parameters = _parameters(editor, match, shape, axes)
    if parameters is None:
        return None
    inputs = (x, *(constants.add(array, part) for array, part in zip(parameters, ("scale", "shift"), strict=False)))
    attributes: dict[str, Attribute] = {"axis": -len(axes), "epsilon": match.numbers["epsilon"]}
    if axes == tuple(range(len(shape) - len(axes), len(shape))):
        add = (Node(_LAYER_NORM[1], inputs, (node.output,), MappingProxyType(attributes), node.name),)
        return Rewrite(drop=match.nodes, add=add, constants=constants.arrays, values=constants.values)
    if axes != (1,) or len(shape) != _PICTURE:
        return None
    return _over_channels(editor, node, match, inputs, constants)


def _parameters(
    editor: GraphEditor, match: Match, shape: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[Array, ...] | None:
    """Scale and shift over the normalised axes; ones where the fragment has none, None where they vary along others."""
    kind = numpy_dtype(editor.value(match.values["x"]).dtype)
    sizes = tuple(shape[axis] for axis in axes)
    if "scale" not in match.values:
        return (np.ones(sizes, kind),)
    found = [along(editor.constant(match.values[part]), len(shape), axes, sizes) for part in ("scale", "shift")]
    arrays = tuple(array for array in found if array is not None and array.dtype == kind)
    return arrays if len(arrays) == len(found) else None


def _over_channels(
    editor: GraphEditor, node: Node, match: Match, inputs: tuple[str, ...], constants: NewConstants
) -> Rewrite:
    shape, dtype = static_shape(editor, inputs[0]) or (), editor.value(inputs[0]).dtype
    turned = tuple(shape[axis] for axis in _CHANNEL_LAST)
    names = [editor.fresh(f"{node.output}.{part}") for part in ("turned", "normal")]
    attributes: dict[str, Attribute] = {"axis": -1, "epsilon": match.numbers["epsilon"]}
    add = (
        Node("Transpose", inputs[:1], (names[0],), MappingProxyType({"perm": _CHANNEL_LAST})),
        Node(_LAYER_NORM[1], (names[0], *inputs[1:]), (names[1],), MappingProxyType(attributes), node.name),
        Node("Transpose", (names[1],), (node.output,), MappingProxyType({"perm": _CHANNEL_FIRST})),
    )
    values = (*constants.values, *(Value(name, dtype, turned) for name in names))
    return Rewrite(drop=match.nodes, add=add, constants=constants.arrays, values=values)


def _affine(editor: GraphEditor, node: Node) -> Rewrite | None:
    """A constant factor or term behind a normalisation, which may stand behind the transpose of pictures."""
    for side in (0, 1):
        last = editor.producer_of(node.inputs[side])
        if last is None or editor.constant(node.inputs[1 - side]) is None:
            continue
        turned = last if last.kind == ("", "Transpose") and last.ints("perm") == _CHANNEL_FIRST else None
        norm = editor.producer_of(last.inputs[0]) if turned else last
        if norm is not None and norm.kind == _LAYER_NORM and keeps_shape(editor, last.output, node.output):
            nodes = (norm, turned, node) if turned else (norm, node)
            return _taken(editor, nodes, node.inputs[1 - side]) if is_closed(editor, nodes, node) else None
    return None


def _taken(editor: GraphEditor, nodes: tuple[Node, ...], name: str) -> Rewrite | None:
    """The normalisation with the constant in its own; the nodes are it, perhaps a transpose, and the Mul or Add."""
    norm, last = nodes[0], nodes[-1]
    shape = static_shape(editor, last.output)
    scale = editor.constant(norm.inputs[1])
    if shape is None or scale is None or len([output for output in norm.outputs if output]) > 1:
        return None
    first = norm.integer("axis", -1) % len(shape)
    axes = (1,) if len(nodes) > 2 else tuple(range(first, len(shape)))  # noqa: PLR2004  a transpose between
    array = along(editor.constant(name), len(shape), axes, tuple(shape[axis] for axis in axes))
    bias = editor.constant(norm.input(2)) if norm.input(2) else None
    if array is None or (norm.input(2) and bias is None) or scale.dtype != array.dtype:
        return None
    constants = NewConstants(editor, last.output)
    if last.op == "Mul":
        terms = () if bias is None else (constants.add(bias * array, "shift"),)
        inputs = (norm.inputs[0], constants.add(scale * array, "scale"), *terms)
    else:
        inputs = (norm.inputs[0], norm.inputs[1], constants.add(array if bias is None else bias + array, "shift"))
    add: tuple[Node, ...] = (replace(norm, inputs=inputs, outputs=(last.output,)),)
    if len(nodes) > 2:  # noqa: PLR2004
        add = (replace(norm, inputs=inputs), replace(nodes[1], outputs=(last.output,)))
    return Rewrite(drop=nodes, add=add, constants=constants.arrays, values=constants.values)
