"""Operators that only passes write: fused products, elementwise groups, layout changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.problem import reals

from alula.base.errors import GraphError, ShapeError
from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.formula import Formula, FormulaBuilder, Register
from alula.engine.graph.nodes import INTERNAL, Array, Node, Value
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known
from alula.engine.operators.table import OPERATORS


def _relu_of_sum() -> Formula:
    """max(r0 + r1, 0)."""
    b = FormulaBuilder(2)
    b.max(b.add(*b.arguments()), 0.0)
    return b.build()


def _node(op: str, inputs: tuple[str, ...], **attributes: Any) -> Node:
    return Node(op, inputs, ("y",), attributes, domain=INTERNAL)


def _inferred(node: Node, inputs: Sequence[Array | None]) -> Any:
    known = [Known(Value("x", DType(x.dtype.name), x.shape)) if x is not None else None for x in inputs]
    return infer_node(node, known)


def test_every_internal_operator_is_tested_here_or_beside() -> None:
    """A record enters the table together with its tests."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    untested = {name for domain, name in OPERATORS if domain == INTERNAL and f'"{name}"' not in tests}

    assert untested == set()


@pytest.mark.parametrize("bias", [None, reals(6)])
def test_fused_conv_is_a_convolution_then_its_formula(bias: Array | None) -> None:
    """Register 0 is the convolution with bias, register 1 the first extra input."""
    x, w, extra = reals(2, 4, 7, 7), reals(6, 4, 3, 3), reals(6, 1, 1)
    conv = {"pads": (1, 1, 1, 1), "strides": (2, 2)}
    name = "b" if bias is not None else ""
    node = _node("FusedConv", ("x", "w", name, "e"), **conv, epilogue=_relu_of_sum())
    (plain,) = evaluate(Node("Conv", ("x", "w", name), ("y",), conv), [x, w, bias])

    (got,) = evaluate(node, [x, w, bias, extra])

    np.testing.assert_array_equal(got, np.maximum(plain + extra, 0))
    assert _inferred(node, [x, w, bias, extra]) == [(DType.FLOAT32, got.shape)]


def test_fused_conv_without_epilogue_is_a_convolution() -> None:
    """The epilogue may be left out."""
    x, w = reals(1, 2, 5, 5), reals(3, 2, 2, 2)

    (got,) = evaluate(_node("FusedConv", ("x", "w")), [x, w])

    np.testing.assert_array_equal(got, evaluate(Node("Conv", ("x", "w"), ("y",)), [x, w])[0])


@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("stack", [(), (2,)])
def test_fused_matmul_turns_the_last_two_axes(stack: tuple[int, ...], trans_a: int, trans_b: int) -> None:
    """Matrices are transposed before the product; bias and formula follow."""
    a, b, bias, extra = reals(*stack, 3, 4), reals(*stack, 4, 5), reals(5), reals(3, 1)
    stored_a = a.swapaxes(-1, -2).copy() if trans_a else a
    stored_b = b.swapaxes(-1, -2).copy() if trans_b else b
    node = _node("FusedMatMul", ("a", "b", "c", "e"), transA=trans_a, transB=trans_b, epilogue=_relu_of_sum())

    (got,) = evaluate(node, [stored_a, stored_b, bias, extra])

    np.testing.assert_allclose(got, np.maximum(a @ b + bias + extra, 0), rtol=1e-5, atol=1e-5)
    assert _inferred(node, [stored_a, stored_b, bias, extra]) == [(DType.FLOAT32, got.shape)]


def test_elementwise_broadcasts_its_inputs() -> None:
    """Inputs of different shapes meet under numpy's rules."""
    inputs: list[Array | None] = [reals(3, 1), reals(1, 4)]
    node = _node("Elementwise", ("a", "b"), formula=_relu_of_sum())

    (got,) = evaluate(node, inputs)

    np.testing.assert_array_equal(got, np.maximum(reals(3, 1) + reals(1, 4), 0))
    assert _inferred(node, inputs) == [(DType.FLOAT32, (3, 4))]


def test_elementwise_lowers_to_its_own_formula() -> None:
    """Groups can be fused again, into an epilogue."""
    lower = OPERATORS[INTERNAL, "Elementwise"].lower
    assert lower is not None
    builder = FormulaBuilder(2)

    result = lower(builder, *builder.arguments(), formula=_relu_of_sum())

    assert result == Register(3)
    assert builder.build() == _relu_of_sum()


@pytest.mark.parametrize(("op", "attributes"), [("Pack", {"block": 16}), ("Unpack", {"block": 16}), ("Copy", {})])
def test_layout_changes_leave_the_value_alone(op: str, attributes: dict[str, int]) -> None:
    """Blocks of channels are memory, not meaning."""
    x = reals(1, 5, 3, 3)
    node = _node(op, ("x",), **attributes)

    (got,) = evaluate(node, [x])

    np.testing.assert_array_equal(got, x)
    assert _inferred(node, [x]) == [(DType.FLOAT32, x.shape)]


def test_symbols_pass_through_fused_operators() -> None:
    """A batch size that is open stays open after fusion."""
    image = Known(Value("x", DType.FLOAT32, (symbol("N"), 4, 8, 8)))
    weight = Known(Value("w", DType.FLOAT32, (6, 4, 1, 1)))
    node = _node("FusedConv", ("x", "w", "", "e"), epilogue=_relu_of_sum())
    extra = Known(Value("e", DType.FLOAT32, (symbol("N"), 6, 8, 8)))

    inferred = infer_node(node, [image, weight, None, extra])

    assert inferred == [(DType.FLOAT32, (symbol("N"), 6, 8, 8))]


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (_node("FusedMatMul", ("a", "b", "", "e"), epilogue=_relu_of_sum()),
         [reals(3, 4), reals(4, 5), None, reals(2, 3, 5)], "must broadcast to"),
        (_node("FusedMatMul", ("a", "b"), epilogue=_relu_of_sum()), [reals(3, 4), reals(4, 5)], "needs 1 extra inputs"),
        (_node("Elementwise", ("a",), formula=_relu_of_sum()), [reals(3)], "needs 2 inputs"),
    ],
)  # fmt: skip
def test_extras_that_do_not_fit_the_epilogue_are_refused(node: Node, inputs: list[Array], message: str) -> None:
    """A pass that fuses wrongly is found by shape inference."""
    with pytest.raises(ShapeError, match=message):
        _inferred(node, inputs)


def test_a_pack_without_block_is_refused() -> None:
    """The planner needs the block size."""
    with pytest.raises(GraphError, match="needs attribute block"):
        evaluate(_node("Pack", ("x",)), [reals(1, 2)])


@pytest.mark.parametrize("bias", [None, reals(6)])
def test_fused_conv_transpose_is_a_transposed_convolution_then_its_formula(bias: Array | None) -> None:
    """Register 0 is the transposed convolution with bias, register 1 the first extra input."""
    x, w, extra = reals(2, 4, 5, 5), reals(4, 6, 3, 3), reals(6, 1, 1)
    conv = {"pads": (1, 1, 1, 1), "strides": (2, 2)}
    name = "b" if bias is not None else ""
    node = _node("FusedConvTranspose", ("x", "w", name, "e"), **conv, epilogue=_relu_of_sum())
    (plain,) = evaluate(Node("ConvTranspose", ("x", "w", name), ("y",), conv), [x, w, bias])

    (got,) = evaluate(node, [x, w, bias, extra])

    np.testing.assert_array_equal(got, np.maximum(plain + extra, 0))
    assert _inferred(node, [x, w, bias, extra]) == [(DType.FLOAT32, got.shape)]


@pytest.mark.parametrize("mask", [None, reals(2, 9, 4, 4)])
def test_columns_times_weights_are_the_deformed_convolution(mask: Array | None) -> None:
    """One column for each pixel, one row for each tap of each channel."""
    x, w, offset = reals(2, 3, 4, 4), reals(5, 3, 3, 3), reals(2, 18, 4, 4)
    names = ("x", "offset", *(["m"] if mask is not None else []))
    node = _node("DeformColumns", names, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    inputs = [x, offset, *([mask] if mask is not None else [])]
    plain = Node(
        "DeformConv", ("x", "w", "offset", "", "m" if mask is not None else ""), ("y",), {"pads": (1, 1, 1, 1)}
    )

    (got,) = evaluate(node, inputs)

    (wanted,) = evaluate(plain, [x, w, offset, None, mask])
    np.testing.assert_allclose(w.reshape(5, -1) @ got, wanted.reshape(2, 5, -1), rtol=1e-5, atol=1e-5)
    assert _inferred(node, inputs) == [(DType.FLOAT32, (2, 27, 16))]


def test_channels_are_dealt_out_in_turns() -> None:
    """The first of each group, then the second of each."""
    x = np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1)
    node = _node("ShuffleChannels", ("x",), groups=2)

    (got,) = evaluate(node, [x])

    assert got.reshape(-1).tolist() == [0, 3, 1, 4, 2, 5]
    assert _inferred(node, [x]) == [(DType.FLOAT32, (1, 6, 1, 1))]


@pytest.mark.parametrize(("axis", "shape"), [(0, (4, 1, 1)), (1, (4, 1)), (2, (4,)), (-2, (4, 1)), (3, (4,))])
def test_align_gives_trailing_axes(axis: int, shape: tuple[int, ...]) -> None:
    """The first axis of b stands at `axis` of a."""
    node = _node("Align", ("b", "a"), axis=axis)

    (got,) = evaluate(node, [reals(4), reals(4, 4, 4)])

    np.testing.assert_array_equal(got, reals(4).reshape(shape))
    assert _inferred(node, [reals(4), reals(4, 4, 4)]) == [(DType.FLOAT32, shape)]


def test_an_axis_that_a_lacks_is_refused() -> None:
    """Attack: a file that names the internal operator gets a message."""
    with pytest.raises(ShapeError, match="axis must be one of"):
        _inferred(_node("Align", ("b", "a"), axis=4), [reals(4), reals(4, 4, 4)])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("backward", [0, 1])
def test_the_core_is_the_layer_behind_its_products(kind: str, backward: int) -> None:
    """Gates as the input alone gives them, then one direction of the layer."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    x, w, r, bias = reals(5, 2, 3), reals(gates * 4, 3), reals(gates * 4, 4), reals(gates * 4)
    states = [reals(2, 4, low=low) for low in (-2.0, -1.0)][: 2 if kind == "LSTM" else 1]
    outputs = ("y", "h", "c")[: 1 + len(states)]
    names = ("g", "r", "b", *outputs[1:])
    node = Node("RecurrentCore", names, outputs, {"kind": kind, "backward": backward}, domain=INTERNAL)
    direction = {"hidden_size": 4, "direction": "reverse" if backward else "forward"}
    layer = Node(kind, ("x", "w", "r", "b", "", *outputs[1:]), outputs, direction)
    whole = np.concatenate([np.zeros_like(bias), bias])

    got = evaluate(node, [x @ w.T, r, bias, *states])

    wanted = evaluate(layer, [x, w[None], r[None], whole[None], None, *[state[None] for state in states]])
    for mine, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, other.reshape(mine.shape), rtol=1e-5, atol=1e-5)
    assert _inferred(node, [x @ w.T, r, bias, *states]) == [(DType.FLOAT32, array.shape) for array in got]


def _halved() -> Formula:
    b = FormulaBuilder(1)
    b.mul(b.arguments()[0], 0.5)
    return b.build()


@pytest.mark.parametrize("bias", [None, reals(3)])
def test_a_gate_is_two_products_with_a_formula_behind_each(bias: Array | None) -> None:
    """For each image, over its channels; a bias may be left out."""
    x, w1, w2 = reals(2, 6, 1, 1), reals(3, 6), reals(5, 3)
    name = "b" if bias is not None else ""
    node = _node("ChannelGate", ("x", "w1", name, "w2"), squeeze=_halved(), excite=_halved())
    inputs = [x, w1, bias, w2]

    (got,) = evaluate(node, inputs)

    hidden = (x.reshape(2, 6) @ w1.T + (0 if bias is None else bias)) * 0.5
    np.testing.assert_allclose(got.reshape(2, 5), hidden @ w2.T * 0.5, rtol=1e-5)
    assert _inferred(node, inputs) == [(DType.FLOAT32, (2, 5, 1, 1))]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 6, 1, 2), (3, 6), (5, 3), (5,)), "must be .N, C, 1, 1"),
        (((2, 6, 1, 1), (3, 6, 1), (5, 3), (5,)), "weights matrices"),
        (((2, 7, 1, 1), (3, 6), (5, 3), (5,)), "columns of weights"),
        (((2, 6, 1, 1), (3, 6), (5, 4), (5,)), "columns of weights"),
        (((2, 6, 1, 1), (3, 6), (5, 3), (1,)), "a bias must be"),
        (((2, 6, 1, 1), (3, 6), (5, 3), (1, 5)), "a bias must be"),
    ],
    ids=str,
)
def test_matrices_that_do_not_fit_the_gate_are_refused(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    """The kernel reads them by the sizes of x."""
    x, w1, w2, b2 = (reals(*shape) for shape in shapes)

    with pytest.raises(ShapeError, match=message):
        _inferred(_node("ChannelGate", ("x", "w1", "", "w2", "b2")), [x, w1, None, w2, b2])


def test_formulas_of_more_than_the_product_are_refused_by_the_gate() -> None:
    """There is nothing else for them to read."""
    node = _node("ChannelGate", ("x", "w1", "", "w2"), excite=_relu_of_sum())

    with pytest.raises(ShapeError, match="formula of one input"):
        _inferred(node, [reals(2, 6, 1, 1), reals(3, 6), None, reals(5, 3)])


_HEADS = {"sizes": (1, 2, 4, 4, 3, 3), "views": (0, 24, 3, 6, 1) * 4, "shape": (1, 4, 6)}


@pytest.mark.parametrize("mask", [None, reals(4, 4), reals(1, 1, 1, 4)])
def test_scaled_dot_product_reads_heads_where_they_stand(mask: Array | None) -> None:
    """Two heads of three features in [batch, token, 6]: softmax(scale q k^T + mask) v for each."""
    q, k, v = (reals(1, 4, 6, low=low) for low in (-3.0, -2.0, -1.0))
    names = ("q", "k", "v", *(["m"] if mask is not None else []))
    node = _node("ScaledDotProduct", names, **_HEADS, scale=0.5)
    inputs = [q, k, v, *([mask] if mask is not None else [])]

    (got,) = evaluate(node, inputs)

    for head in range(2):
        mine = slice(3 * head, 3 * head + 3)
        added = 0 if mask is None else mask.reshape(-1, 4)
        scores = np.exp(q[0, :, mine] @ k[0, :, mine].T * 0.5 + added)
        np.testing.assert_allclose(got[0, :, mine], scores / scores.sum(-1, keepdims=True) @ v[0, :, mine], rtol=1e-5)
    assert _inferred(node, inputs) == [(DType.FLOAT32, (1, 4, 6))]


@pytest.mark.parametrize(
    "change",
    [
        {"views": (1, 24, 3, 6, 1) * 4},
        {"views": (0, 24, -3, 6, 1) * 4},
        {"views": (0, 24, 3, 6, 1) * 3 + (0, 24, 3, 7, 1)},
        {"views": (0, 24, 3, 6)},
        {"sizes": (1, 2, 5, 4, 3, 3)},
        {"sizes": (1, 2, 4, 4, 3)},
        {"sizes": (0, 2, 4, 4, 3, 3)},
        {"shape": (1, 4, 5)},
        {"shape": (-1, -4, 6)},
    ],
    ids=str,
)
def test_views_that_reach_outside_are_refused(change: dict[str, tuple[int, ...]]) -> None:
    """Attack: a file that names the internal operator must not make it touch memory that is not its own."""
    node = _node("ScaledDotProduct", ("q", "k", "v"), **{**_HEADS, **change})
    arrays = [reals(1, 4, 6)] * 3

    with pytest.raises(ShapeError):
        evaluate(node, arrays)
    with pytest.raises(ShapeError):
        _inferred(node, arrays)


@pytest.mark.parametrize("shape", [(5, 4), (2, 2, 4, 4), (1, 1, 1, 1, 4)], ids=str)
def test_a_mask_that_does_not_broadcast_to_the_scores_is_refused(shape: tuple[int, ...]) -> None:
    """The kernel reads it by the sizes of the scores."""
    node = _node("ScaledDotProduct", ("q", "k", "v", "m"), **_HEADS)

    with pytest.raises(ShapeError):
        _inferred(node, [*[reals(1, 4, 6)] * 3, reals(*shape)])
