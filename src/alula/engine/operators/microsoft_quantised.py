"""Operators of ONNX Runtime's domain com.microsoft on quantised numbers: what its quantisation tools write.

In: their nodes (onnxruntime, docs/ContribOperators.md). Out: standard nodes. Those named QLinear compute in float
between DequantizeLinear and QuantizeLinear, and may differ from ONNX Runtime's kernels by one step of the result where
the latter round differently; products of integers stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alula.engine.graph.nodes import Node
from alula.engine.operators.microsoft import given, times
from alula.engine.operators.rewriting import Steps, rewritten

_FLOAT32 = 1
_POOL = "auto_pad ceil_mode count_include_pad kernel_shape pads strides"


def _real(steps: Steps, node: Node, first: int) -> str:
    """The numbers that three inputs stand for."""
    return steps.add("DequantizeLinear", *(node.input(first + part) for part in range(3)))


def _stored(steps: Steps, x: str, scale: str, zero: str) -> str:
    return steps.add("QuantizeLinear", x, scale, zero)


def _binary(op: str) -> Callable[[Steps, Node], str]:
    def write(steps: Steps, node: Node) -> str:
        y = steps.add(op, _real(steps, node, 0), _real(steps, node, 3))
        return _stored(steps, y, node.input(6), node.input(7))

    return write


def _unary(op: str, names: str = "") -> Callable[[Steps, Node], str]:
    def write(steps: Steps, node: Node) -> str:
        y = steps.add(op, _real(steps, node, 0), **given(node, names))
        return _stored(steps, y, node.input(3), node.input(4))

    return write


def _softmax(steps: Steps, node: Node) -> str:
    coerced = int(node.integer("opset", 13) < 13)  # noqa: PLR2004  where Softmax came to work along one axis
    y = steps.add("Softmax", _real(steps, node, 0), axis=node.integer("axis", -1), coerced=coerced)
    return _stored(steps, y, node.input(3), node.input(4))


def _pool(op: str, names: str = "") -> Callable[[Steps, Node], str]:
    def write(steps: Steps, node: Node) -> str:
        last = node.integer("channels_last")
        x = _real(steps, node, 0)
        x = steps.add("Transpose", x, perm=(0, 3, 1, 2)) if last else x
        x = steps.add(op, x, **given(node, names))
        x = steps.add("Transpose", x, perm=(0, 2, 3, 1)) if last else x
        return _stored(steps, x, node.input(3), node.input(4))

    return write


def _concat(steps: Steps, node: Node) -> str:
    parts = [_real(steps, node, first) for first in range(2, len(node.inputs), 3)]
    return _stored(steps, steps.add("Concat", *parts, axis=node.integer("axis")), *node.inputs[:2])


def _where(steps: Steps, node: Node) -> str:
    y = steps.add("Where", node.inputs[0], _real(steps, node, 1), _real(steps, node, 4))
    return _stored(steps, y, node.input(7), node.input(8))


def integer_product(steps: Steps, a: Sequence[str], b: Sequence[str], bias: str = "", alpha: float = 1.0) -> str:
    """The float product of two quantised matrices, exact before it is scaled.

    Args:
        steps: the nodes to come.
        a: the integers, their scale and their zero point.
        b: as a; scale and zero point may be one a column.
        bias: added at the end; may be empty.
        alpha: another factor.
    """
    exact = steps.add("MatMulInteger", a[0], b[0], a[2], b[2])
    scale = times(steps, steps.add("Mul", a[1], b[1]), alpha)
    y = steps.add("Mul", steps.add("Cast", exact, to=_FLOAT32), scale)
    return steps.add("Add", y, bias) if bias else y


def _matmul_to_float(steps: Steps, node: Node) -> str:
    a, b, a_scale, b_scale, a_zero, b_zero, bias = (node.input(index) for index in range(7))
    return integer_product(steps, (a, a_scale, a_zero), (b, b_scale, b_zero), bias)


def _dynamic_matmul(steps: Steps, node: Node) -> str:
    x, scale, zero = steps.several("DynamicQuantizeLinear", 3, node.inputs[0])
    b, b_scale, b_zero, bias = (node.input(index) for index in range(1, 5))
    return integer_product(steps, (x, scale, zero), (b, b_scale, b_zero), bias)


def _gemm(steps: Steps, node: Node) -> str:
    a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero = (node.input(index) for index in range(9))
    a = steps.add("Transpose", a, perm=(1, 0)) if node.integer("transA") else a
    b = steps.add("Transpose", b, perm=(1, 0)) if node.integer("transB") else b
    exact = steps.add("MatMulInteger", a, b, a_zero, b_zero)
    exact = steps.add("Add", exact, c) if c else exact
    scale = times(steps, steps.add("Mul", a_scale, b_scale), node.real("alpha", 1.0))
    y = steps.add("Cast", exact, to=_FLOAT32)
    if not y_scale:
        return steps.add("Mul", y, scale)
    y = steps.add("Mul", y, steps.add("Div", scale, y_scale))
    return _stored(steps, y, steps.constant(1.0, "float32"), y_zero)


def _lstm(steps: Steps, node: Node) -> str:
    """An LSTM in float whose weights are quantised; ONNX Runtime also quantises what they are multiplied with."""
    x, w, r, b, lengths, hidden, cell, peepholes = (node.input(index) for index in range(8))
    weights = []
    for stored, first in ((w, 8), (r, 10)):
        scale, zero = (_by_column(steps, node.input(first + part)) for part in range(2))
        whole = steps.add("Sub", steps.add("Cast", stored, to=_FLOAT32), steps.add("Cast", zero, to=_FLOAT32))
        weights.append(steps.add("Transpose", steps.add("Mul", whole, scale), perm=(0, 2, 1)))
    names = "activation_alpha activation_beta activations clip direction hidden_size input_forget"
    outputs = (f"{node.output}.lstm", *node.outputs[1:])
    inputs = (x, *weights, b, lengths, hidden, cell, peepholes)
    steps.write("LSTM", inputs, outputs, **given(node, names))
    return outputs[0]


def _by_column(steps: Steps, factor: str) -> str:
    """[directions] or [directions, columns] as [directions, 1, columns]."""
    return steps.add("Reshape", factor, steps.constant([0, 1, -1]))


_TWO = "a a_scale a_zero? b b_scale b_zero? y_scale y_zero?"
_ONE = "x x_scale x_zero? y_scale y_zero?"

OPERATORS = (
    rewritten("QLinearAdd", _TWO, _binary("Add"), "A sum of quantised numbers."),
    rewritten("QLinearMul", _TWO, _binary("Mul"), "A product of quantised numbers, element by element."),
    rewritten("QLinearSigmoid", _ONE, _unary("Sigmoid"), "Sigmoid of quantised numbers."),
    rewritten("QLinearLeakyRelu", _ONE, _unary("LeakyRelu", "alpha"), "LeakyRelu of quantised numbers.",
              attributes="alpha"),
    rewritten("QLinearSoftmax", _ONE, _softmax, "Softmax of quantised numbers.", attributes="axis opset"),
    rewritten("QLinearAveragePool", _ONE, _pool("AveragePool", _POOL), "AveragePool of quantised numbers.",
              attributes=f"{_POOL} channels_last"),
    rewritten("QLinearGlobalAveragePool", _ONE, _pool("GlobalAveragePool"), "GlobalAveragePool of quantised numbers.",
              attributes="channels_last"),
    rewritten("QLinearConcat", "y_scale y_zero inputs*", _concat, "Concat of quantised tensors.", attributes="axis"),
    rewritten("QLinearWhere", "condition x x_scale x_zero y y_scale y_zero z_scale z_zero", _where,
              "Where of quantised numbers."),
    rewritten("QGemm", "a a_scale a_zero b b_scale b_zero c? y_scale? y_zero?", _gemm,
              "Gemm of quantised matrices with a bias in int32.", attributes="alpha transA transB"),
    rewritten("MatMulIntegerToFloat", "a b a_scale b_scale a_zero? b_zero? bias?", _matmul_to_float,
              "The float product of quantised matrices."),
    rewritten("DynamicQuantizeMatMul", "a b b_scale b_zero? bias?", _dynamic_matmul,
              "The product of a matrix, quantised by its range, and a quantised one."),
    rewritten("DynamicQuantizeLSTM", "x w r b? lengths? hidden? cell? peepholes? w_scale w_zero r_scale r_zero", _lstm,
              "LSTM with quantised weights, in float.", outputs="y hidden cell",
              attributes="activation_alpha activation_beta activations clip direction hidden_size input_forget"),
)  # fmt: skip
