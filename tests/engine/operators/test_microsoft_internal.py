"""Operators that only the reading of ONNX Runtime's own operators writes: masks as numbers, weights of a few bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.problem import reals

from alula.base.errors import ShapeError
from alula.base.tensors import DType
from alula.engine.graph.nodes import INTERNAL, Array, Node, Value
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known

_LIKE = reals(2, 4, 3)
_FAR = -100.0


def _node(op: str, count: int, **attributes: Any) -> Node:
    return Node(op, tuple(f"x{index}" for index in range(count)), ("y",), attributes, domain=INTERNAL)


def _inferred(node: Node, inputs: Sequence[Array]) -> Any:
    return infer_node(node, [Known(Value("x", DType(x.dtype.name), x.shape)) for x in inputs])


@pytest.mark.parametrize(
    ("mask", "seen"),
    [
        ([[1, 1, 0, 0], [0, 1, 1, 1]], [["1100"], ["0111"]]),
        ([[[1, 0, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [0, 0, 0, 1]]], [["1000", "1100"], ["1110", "0001"]]),
        ([3, 0], [["1110"], ["0000"]]),
        ([3, 4, 1, 2], [["0110"], ["0011"]]),
    ],
    ids=["keys", "keys of each query", "lengths", "ends and starts"],
)
def test_masks_become_numbers_to_add(mask: list[Any], seen: list[list[str]]) -> None:
    """0 where a key is seen, a large negative number elsewhere, for one head that stands for all."""
    node = _node("AttentionBias", 2, filtered=_FAR)
    inputs = [np.array(mask, np.int32), _LIKE]

    (got,) = evaluate(node, inputs)

    wanted = [[[[0.0 if key == "1" else _FAR for key in row] for row in rows]] for rows in seen]
    assert got.tolist() == wanted
    assert _inferred(node, inputs) == [(DType.FLOAT32, got.shape)]


@pytest.mark.parametrize("shape", [(3,), (2, 4, 4, 4), ()], ids=str)
def test_masks_of_other_forms_are_refused(shape: tuple[int, ...]) -> None:
    """Lengths are one or two for each sample."""
    inputs = [np.ones(shape, np.int32), _LIKE]

    with pytest.raises(ShapeError, match="mask must be"):
        _inferred(_node("AttentionBias", 2, filtered=_FAR), inputs)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", ["half", "packed", "floats"])
def test_weights_of_a_few_bits_are_scaled_by_block(bits: int, zeros: str) -> None:
    """Element i of a block is (q - zero) * scale, the first element in the lowest bits; padding rows go."""
    random = np.random.default_rng(5)
    columns, blocks, size, rows = 3, 2, 16, 27
    elements = random.integers(0, 1 << bits, (columns, blocks, size))
    offsets = random.integers(0, 1 << bits, (columns, blocks))
    scales = random.uniform(0.5, 1.5, (columns, blocks)).astype(np.float32)
    inputs = [_packed(elements.reshape(columns, -1), bits).reshape(columns, blocks, -1), scales]
    if zeros != "half":
        inputs.append(_packed(offsets, bits) if zeros == "packed" else offsets.astype(np.float32))
    node = _node("UnpackBits", len(inputs), bits=bits, block_size=size, rows=rows)

    (got,) = evaluate(node, inputs)

    middle = np.full_like(offsets, 1 << (bits - 1)) if zeros == "half" else offsets
    wanted = ((elements - middle[..., None]) * scales[..., None]).reshape(columns, -1)[:, :rows].T
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert _inferred(node, inputs) == [(DType.FLOAT32, (rows, columns))]


def _packed(rows: Array, bits: int) -> Array:
    """Rows of elements as bytes, the last filled up with zeros."""
    single = (rows[..., None] >> np.arange(bits)) & 1
    return np.packbits(single.reshape(len(rows), -1).astype(np.uint8), axis=-1, bitorder="little")


@pytest.mark.parametrize(
    ("shape", "bits", "message"),
    [((3, 2, 8), 3, "2, 4 or 8 bits"), ((3, 2, 7), 4, "must have 8 bytes"), ((3, 16), 4, "packed")],
)
def test_weights_packed_otherwise_are_refused(shape: tuple[int, ...], bits: int, message: str) -> None:
    """The reference counts on whole bytes."""
    inputs = [np.zeros(shape, np.uint8), reals(3, 2)]

    with pytest.raises(ShapeError, match=message):
        _inferred(_node("UnpackBits", 2, bits=bits, block_size=16, rows=32), inputs)
