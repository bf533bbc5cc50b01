"""y = scale x + shift by channel, worked into the constants of the node that makes x.

In: a node with constant weights, a factor and a term for each channel. Out: the node with new constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.formula import Formula, FormulaBuilder
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Node, Value

_CHANNELS = 1


@dataclass(frozen=True)
class Affine:
    """A factor and a term for each channel, float64 [C]."""

    scale: Array
    shift: Array


def affine_formula() -> Formula:
    """Register 0 is x, 1 the factors, 2 the terms."""
    b = FormulaBuilder(3)
    x, scale, shift = b.arguments()
    b.add(b.mul(x, scale), shift)
    return b.build()


def channels_of(editor: GraphEditor, name: str) -> int | None:
    """How many channels a float32 value has; None where that is not known."""
    value = editor.values.get(name)
    if value is None or value.shape is None or value.dtype is not DType.FLOAT32 or len(value.shape) <= _CHANNELS:
        return None
    count = value.shape[_CHANNELS]
    return count if isinstance(count, int) else None


def fold_affine(editor: GraphEditor, node: Node, affine: Affine) -> Rewrite | None:
    """Replace `node`, which applies `affine` to its first changing input, by its producer with other constants."""
    return fold_into(editor, node, editor.producer_of(node.inputs[0]), affine)


def fold_into(editor: GraphEditor, node: Node, producer: Node | None, affine: Affine) -> Rewrite | None:
    """Replace `producer` and `node` by one node that makes what `node` made.

    None where the producer has other readers, is of another kind, or its weights are no constants.
    """
    if producer is None or editor.uses_of(producer.output) != 1:
        return None
    scaled = _SCALED.get(producer.kind)
    arrays = scaled(editor, producer, affine) if scaled else None
    if arrays is None:
        return None
    names = tuple(editor.fresh(f"{node.output}.{part}") for part in ("scaled", "shifted"))
    constants = {name: np.ascontiguousarray(array, np.float32) for name, array in zip(names, arrays, strict=True)}
    merged = replace(producer, inputs=(producer.inputs[0], *names), outputs=(node.output,))
    if producer.op == "Gemm":
        merged = merged.with_attributes(alpha=1.0, beta=1.0)
    values = tuple(Value(name, DType.FLOAT32, array.shape) for name, array in constants.items())
    return Rewrite(drop=(producer, node), add=(merged,), constants=constants, values=values)


def affine_node(editor: GraphEditor, node: Node, affine: Affine) -> Rewrite | None:
    """Replace `node` by an Elementwise that applies `affine` to its first input."""
    shape = editor.value(node.inputs[0]).shape
    if shape is None or not is_static(shape):
        return None
    column = (len(affine.scale), *(1,) * (len(static(shape)) - 2))
    names = tuple(editor.fresh(f"{node.output}.{part}") for part in ("scale", "shift"))
    arrays = [np.ascontiguousarray(array.reshape(column), np.float32) for array in (affine.scale, affine.shift)]
    attributes = MappingProxyType({"formula": affine_formula()})
    merged = Node("Elementwise", (node.inputs[0], *names), node.outputs[:1], attributes, node.name, INTERNAL)
    values = tuple(Value(name, DType.FLOAT32, column) for name in names)
    return Rewrite(drop=(node,), add=(merged,), constants=dict(zip(names, arrays, strict=True)), values=values)


def _constants(editor: GraphEditor, node: Node) -> tuple[Array, Array | None] | None:
    """Weights and bias in float64; None where one changes or is no float32."""
    weights, bias = editor.constant(node.inputs[1]), editor.constant(node.input(2))
    if weights is None or weights.dtype != np.float32 or (node.input(2) and bias is None):
        return None
    return weights.astype(np.float64), None if bias is None else bias.astype(np.float64)


def _shifted(bias: Array | None, affine: Affine) -> Array:
    return affine.shift if bias is None else bias * affine.scale + affine.shift


def _scaled_conv(editor: GraphEditor, node: Node, affine: Affine) -> tuple[Array, Array] | None:
    arrays = _constants(editor, node)
    if arrays is None or len(arrays[0]) != len(affine.scale):
        return None
    weights, bias = arrays
    return weights * affine.scale.reshape(-1, *(1,) * (weights.ndim - 1)), _shifted(bias, affine)


def _scaled_transposed(editor: GraphEditor, node: Node, affine: Affine) -> tuple[Array, Array] | None:
    """Weights are [C, M/group, kernel...]: output channel m is column m % (M/group) of group m // (M/group)."""
    arrays = _constants(editor, node)
    groups = node.integer("group", 1)
    if arrays is None or groups * arrays[0].shape[1] != len(affine.scale):
        return None
    weights, bias = arrays
    inputs, outputs, *kernel = weights.shape
    parted = weights.reshape(groups, inputs // groups, outputs, -1)
    scaled = parted * affine.scale.reshape(groups, 1, outputs, 1)
    return scaled.reshape(inputs, outputs, *kernel), _shifted(bias, affine)


def _scaled_gemm(editor: GraphEditor, node: Node, affine: Affine) -> tuple[Array, Array] | None:
    """Columns are the channels; alpha and beta go into the constants as well."""
    arrays = _constants(editor, node)
    if arrays is None:
        return None
    weights, bias = arrays
    turned = node.integer("transB")
    if weights.shape[0 if turned else 1] != len(affine.scale):
        return None
    factor = affine.scale * node.real("alpha", 1.0)
    scaled = weights * (factor.reshape(-1, 1) if turned else factor)
    return scaled, _shifted(None if bias is None else bias * node.real("beta", 1.0), affine)


def _scaled_affine(editor: GraphEditor, node: Node, affine: Affine) -> tuple[Array, Array] | None:
    """An affine Elementwise before another one."""
    if node.formula("formula") != affine_formula():
        return None
    scale, shift = editor.constant(node.inputs[1]), editor.constant(node.inputs[2])
    if scale is None or shift is None or scale.shape != shift.shape or scale.size != len(affine.scale):
        return None
    wide = affine.scale.reshape(scale.shape)
    return scale * wide, shift * wide + affine.shift.reshape(scale.shape)


_Scaled = Callable[[GraphEditor, Node, Affine], "tuple[Array, Array] | None"]
_SCALED: Mapping[tuple[str, str], _Scaled] = MappingProxyType(
    {
        ("", "Conv"): _scaled_conv,
        ("", "ConvTranspose"): _scaled_transposed,
        ("", "Gemm"): _scaled_gemm,
        (INTERNAL, "Elementwise"): _scaled_affine,
    }
)
