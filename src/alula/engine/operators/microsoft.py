"""Operators of ONNX Runtime's domain com.microsoft in float: what its optimiser and exporters for it write.

In: their nodes (onnxruntime, docs/ContribOperators.md). Out: standard nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alula.engine.graph.nodes import Node
from alula.engine.operators.common import Refusal
from alula.engine.operators.rewriting import Steps, rewritten

_CONV = "auto_pad dilations group kernel_shape pads strides"
_NORM = "axis epsilon stash_type"


def given(node: Node, names: str) -> dict[str, Any]:
    """The attributes of these names that the node has."""
    return {name: node.attributes[name] for name in names.split() if name in node.attributes}


def activated(steps: Steps, x: str, name: str, parameters: tuple[float, ...]) -> str:
    """The activation that an operator names behind it.

    Raises:
        Refusal: it is none that is known.
    """
    plain = {"Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Softsign"}
    named = {"LeakyRelu": "alpha", "Elu": "alpha", "ThresholdedRelu": "alpha", "HardSigmoid": "alpha beta"}
    if not name or name in plain:
        return steps.add(name, x) if name else x
    if name in named:
        numbers: dict[str, Any] = dict(zip(named[name].split(), parameters, strict=False))
        return steps.add(name, x, **numbers)
    if name == "Clip" and len(parameters) >= 2:  # noqa: PLR2004  least and most
        return steps.add("Clip", x, *(steps.constant(bound, "float32") for bound in parameters[:2]))
    known = ", ".join(sorted([*plain, *named, "Clip"]))
    raise Refusal(f"activation must be one of {known}", f"it is {name}")


def _fused_conv(steps: Steps, node: Node) -> str:
    y = steps.add("Conv", *node.inputs[:3], **given(node, _CONV))
    if node.input(3):
        y = steps.add("Add", y, node.input(3))
    parameters = node.attributes.get("activation_params", ())
    numbers = tuple(p for p in parameters if isinstance(p, float)) if isinstance(parameters, tuple) else ()
    return activated(steps, y, node.text("activation"), numbers)


def _fused_gemm(steps: Steps, node: Node) -> str:
    y = steps.add("Gemm", *node.inputs, **given(node, "alpha beta transA transB"))
    names = [name for name in ("activation_alpha", "activation_beta") if name in node.attributes]
    return activated(steps, y, node.text("activation"), tuple(node.real(name) for name in names))


def _fused_matmul(steps: Steps, node: Node) -> str:
    if node.integer("transBatchA") or node.integer("transBatchB"):
        raise Refusal("transBatchA and transBatchB must be 0", "one is not")
    a, b = "ji" if node.integer("transA") else "ij", "kj" if node.integer("transB") else "jk"
    if (a, b) == ("ij", "jk"):
        y = steps.add("MatMul", *node.inputs)
    else:
        y = steps.add("Einsum", *node.inputs, equation=f"...{a},...{b}->...ik")
    return times(steps, y, node.real("alpha", 1.0))


def times(steps: Steps, x: str, factor: float) -> str:
    """X times a number of its type."""
    if factor == 1:
        return x
    return steps.add("Mul", x, steps.add("CastLike", steps.constant(factor, "float32"), x))


def _with_bias(op: str, **attributes: Any) -> Callable[[Steps, Node], str]:
    def write(steps: Steps, node: Node) -> str:
        x = steps.add("Add", *node.inputs) if node.input(1) else node.inputs[0]
        return steps.add(op, x, **attributes)

    return write


def _sum_of(steps: Steps, node: Node, bias: int) -> str:
    """Input, skip and bias; shown where the node shows it."""
    x = steps.add("Add", *node.inputs[:2])
    if node.input(bias):
        x = steps.add("Add", x, node.input(bias))
    if steps.output(3):
        steps.write("Identity", (x,), (steps.output(3),))
    return x


def _skip_layer_norm(steps: Steps, node: Node) -> str:
    x = _sum_of(steps, node, 4)
    return layer_norm(steps, x, node.input(2), node.input(3), node.real("epsilon", 1e-12))


def layer_norm(steps: Steps, x: str, scale: str, shift: str, epsilon: float) -> str:
    """LayerNormalization over the last axis, with the node's own mean and deviation where it shows them."""
    names = [f"{steps.node.output}.normal", steps.output(1), steps.output(2)]
    while not names[-1]:
        names.pop()
    steps.write("LayerNormalization", (x, scale, shift), tuple(names), axis=-1, epsilon=epsilon)
    return names[0]


def _rms_norm(steps: Steps, node: Node) -> str:
    if steps.output(1):
        raise Refusal(f"{node.op} must have one output", "the inverse deviation is asked for")
    return steps.add("RMSNormalization", *node.inputs, **given(node, _NORM))


def _skip_rms_norm(steps: Steps, node: Node) -> str:
    if steps.output(1) or steps.output(2):
        raise Refusal(f"{node.op} must show its result and sum alone", "mean or inverse deviation is asked for")
    x = _sum_of(steps, node, 3)
    return steps.add("RMSNormalization", x, node.input(2), axis=-1, epsilon=node.real("epsilon", 1e-12))


def _embed_layer_norm(steps: Steps, node: Node) -> str:
    """The sum of three rows of tables, normalised (BERT); the second output counts the tokens of each sample."""
    ids, segments, words, places, kinds, scale, shift, mask, where = (node.input(index) for index in range(9))
    if where:
        rows = steps.add("Gather", places, where, axis=0)
    else:
        length = steps.add("Shape", ids, start=1, end=2)
        rows = steps.add("Slice", places, steps.constant([0]), length, steps.constant([0]))
    x = steps.add("Add", steps.add("Gather", words, ids, axis=0), rows)
    if segments and kinds:
        x = steps.add("Add", x, steps.add("Gather", kinds, segments, axis=0))
    if steps.output(1):
        counted = mask or steps.add("Mul", ids, steps.add("CastLike", steps.constant(0), ids))
        steps.write("ReduceSum", (counted, steps.constant([1])), (steps.output(1),), keepdims=0)
    if steps.output(2):
        steps.write("Identity", (x,), (steps.output(2),))
    epsilon = node.real("epsilon", 1e-12)
    return steps.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)


def _group_norm(steps: Steps, node: Node) -> str:
    last = node.integer("channels_last", 1)
    x = steps.add("Transpose", node.inputs[0], perm=(0, 3, 1, 2)) if last else node.inputs[0]
    epsilon, groups = node.real("epsilon", 1e-5), node.integer("groups")
    x = steps.add("GroupNormalization", x, *node.inputs[1:3], num_groups=groups, epsilon=epsilon)
    if node.integer("activation"):
        x = steps.add("Swish", x)
    return steps.add("Transpose", x, perm=(0, 2, 3, 1)) if last else x


def _rotary(steps: Steps, node: Node) -> str:
    if node.integer("is_packed_batching") or node.real("scale", 1.0) != 1:
        raise Refusal("is_packed_batching must be 0 and scale 1", "one is not")
    x, places, cosines, sines = node.inputs
    return steps.add("RotaryEmbedding", x, cosines, sines, places,
                     **given(node, "interleaved num_heads rotary_embedding_dim"))  # fmt: skip


def _nhwc_max_pool(steps: Steps, node: Node) -> str:
    x = steps.add("Transpose", node.inputs[0], perm=(0, 3, 1, 2))
    x = steps.add("MaxPool", x, **given(node, "auto_pad ceil_mode dilations kernel_shape pads strides"))
    return steps.add("Transpose", x, perm=(0, 2, 3, 1))


def _same(op: str, names: str = "") -> Callable[[Steps, Node], str]:
    return lambda steps, node: steps.add(op, *node.inputs, **given(node, names))


OPERATORS = (
    rewritten("FusedConv", "x w b? z?", _fused_conv, "Conv, a sum and an activation.",
              attributes=f"{_CONV} activation activation_params"),
    rewritten("FusedGemm", "a b c?", _fused_gemm, "Gemm and an activation.",
              attributes="alpha beta transA transB activation activation_alpha activation_beta activation_gamma"),
    rewritten("FusedMatMul", "a b", _fused_matmul, "alpha A B, each matrix transposed if asked for.",
              attributes="alpha transA transB transBatchA transBatchB"),
    rewritten("TransposeMatMul", "a b", _fused_matmul, "The older name of FusedMatMul.",
              attributes="alpha transA transB"),
    rewritten("Gelu", "x", _with_bias("Gelu"), "Gelu."),
    rewritten("BiasGelu", "x bias", _with_bias("Gelu"), "Gelu of a sum."),
    rewritten("FastGelu", "x bias?", _with_bias("Gelu", approximate="tanh"), "Gelu by tanh, of a sum."),
    rewritten("QuickGelu", "x", lambda s, n: s.add("Swish", *n.inputs, alpha=n.real("alpha", 1.702)),
              "x sigmoid(alpha x).", attributes="alpha"),
    rewritten("SkipLayerNormalization", "x skip scale shift? bias?", _skip_layer_norm, "LayerNormalization of a sum.",
              outputs="y mean inverse sum", attributes="epsilon"),
    rewritten("SimplifiedLayerNormalization", "x scale", _rms_norm, "RMSNormalization.", outputs="y inverse",
              attributes=_NORM),
    rewritten("SkipSimplifiedLayerNormalization", "x skip scale bias?", _skip_rms_norm, "RMSNormalization of a sum.",
              outputs="y mean inverse sum", attributes="epsilon"),
    rewritten("EmbedLayerNormalization", "ids segments? words places kinds? scale shift mask? where?",
              _embed_layer_norm, "LayerNormalization of a sum of embeddings.", outputs="y lengths sum",
              attributes="epsilon mask_index_type"),
    rewritten("GroupNorm", "x scale shift", _group_norm, "GroupNormalization of channels last, and Swish.",
              attributes="activation channels_last epsilon groups"),
    rewritten("RotaryEmbedding", "x places cosines sines", _rotary, "RotaryEmbedding.",
              attributes="interleaved is_packed_batching num_heads rotary_embedding_dim scale"),
    rewritten("NhwcMaxPool", "x", _nhwc_max_pool, "MaxPool of channels last.",
              attributes="auto_pad ceil_mode dilations kernel_shape pads strides"),
    rewritten("Trilu", "x k?", _same("Trilu", "upper"), "Trilu.", attributes="upper"),
    rewritten("QuantizeLinear", "x scale zero?", _same("QuantizeLinear", "axis"), "QuantizeLinear.", attributes="axis"),
    rewritten("DequantizeLinear", "x scale zero?", _same("DequantizeLinear", "axis"), "DequantizeLinear.",
              attributes="axis"),
)  # fmt: skip
