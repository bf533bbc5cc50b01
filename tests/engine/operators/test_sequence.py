"""Sequences and optionals: lists of tensors as values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.problem import floats, ints, number, reals

from alula.base.errors import ShapeError
from alula.base.tensors import DType
from alula.engine.graph.nodes import Node, Value
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known


def _run(op: str, *inputs: Any, **attributes: Any) -> Any:
    names = tuple("" if given is None else f"x{index}" for index, given in enumerate(inputs))
    return evaluate(Node(op, names, ("y",), attributes), inputs)[0]


_ABC = [floats(0), floats(1), floats(2)]


def _numbers(sequence: list[Any]) -> list[float]:
    return [float(array[0]) for array in sequence]


def test_a_sequence_is_made_of_tensors() -> None:
    """Elements may differ in shape."""
    assert [array.shape for array in _run("SequenceConstruct", reals(2), reals(3, 1))] == [(2,), (3, 1)]
    assert _run("SequenceEmpty", dtype=7) == []


@pytest.mark.parametrize(("position", "wanted"), [(None, [0, 1, 2, 9]), (0, [9, 0, 1, 2]), (3, [0, 1, 2, 9]),
                                                  (-1, [0, 1, 9, 2]), (-3, [9, 0, 1, 2])])  # fmt: skip
def test_insert_puts_an_element_before_a_position(position: int | None, wanted: list[float]) -> None:
    """Positions may be counted from the end; without one, the element goes to the end. What came in stays as it was."""
    before = list(_ABC)

    found = _run("SequenceInsert", before, floats(9), None if position is None else ints(position)[0])

    assert (_numbers(found), _numbers(before)) == (wanted, [0, 1, 2])


@pytest.mark.parametrize(("position", "wanted"), [(None, [0, 1]), (0, [1, 2]), (-2, [0, 2])])
def test_erase_takes_an_element_out(position: int | None, wanted: list[float]) -> None:
    """Without a position, the last."""
    assert _numbers(_run("SequenceErase", _ABC, None if position is None else ints(position)[0])) == wanted


@pytest.mark.parametrize(("position", "wanted"), [(0, 0), (2, 2), (-1, 2), (-3, 0)])
def test_at_reads_an_element(position: int, wanted: float) -> None:
    """Positions may be counted from the end."""
    assert _run("SequenceAt", _ABC, number(position, np.int32)).tolist() == [wanted]


@pytest.mark.parametrize(
    ("op", "rest"),
    [
        ("SequenceAt", (ints(3)[0],)),
        ("SequenceAt", (ints(-4)[0],)),
        ("SequenceErase", (ints(3)[0],)),
        ("SequenceInsert", (floats(9), ints(4)[0])),
        ("SequenceInsert", (floats(9), ints(-4)[0])),
    ],
)
def test_positions_outside_are_refused(op: str, rest: tuple[Any, ...]) -> None:
    """ONNX: it is an error if a position is out of bounds."""
    with pytest.raises(ShapeError, match="positions must be in"):
        _run(op, _ABC, *rest)


def test_elements_share_a_dtype() -> None:
    """ONNX, SequenceInsert: the tensor has the data type of the sequence."""
    with pytest.raises(ShapeError, match="must be float32, one is int64"):
        _run("SequenceInsert", _ABC, ints(1))


def test_a_sequence_has_a_length() -> None:
    """An int64 scalar."""
    length = _run("SequenceLength", _ABC)

    assert (length.dtype, length.shape, int(length)) == (np.int64, (), 3)


def test_elements_are_joined_or_stacked() -> None:
    """A new axis may be counted from the end of the result."""
    x, y = reals(2, 3), reals(2, 3) + 1

    np.testing.assert_array_equal(_run("ConcatFromSequence", [x, y], axis=1), np.concatenate([x, y], 1))
    np.testing.assert_array_equal(_run("ConcatFromSequence", [x, y], axis=-1, new_axis=1), np.stack([x, y], -1))


@pytest.mark.parametrize("op", ["ConcatFromSequence", "SequenceErase"])
def test_an_empty_sequence_is_refused_where_elements_are_needed(op: str) -> None:
    """Nothing can be joined or taken out."""
    with pytest.raises(ShapeError, match="it is empty"):
        _run(op, [], **({"axis": 0} if op == "ConcatFromSequence" else {}))


def test_a_tensor_is_cut_into_a_sequence() -> None:
    """By one length, of which the last part may be shorter; by listed lengths; row by row, with or without its axis."""
    x = reals(5, 2)

    assert [part.shape for part in _run("SplitToSequence", x, number(2, np.int64))] == [(2, 2), (2, 2), (1, 2)]
    assert [part.shape for part in _run("SplitToSequence", x, ints(1, 4))] == [(1, 2), (4, 2)]
    assert [part.shape for part in _run("SplitToSequence", x, axis=1)] == [(5, 1)] * 2
    assert [part.shape for part in _run("SplitToSequence", x, axis=-1, keepdims=0)] == [(5,)] * 2
    assert [part.shape for part in _run("SplitToSequence", x, ints(5), keepdims=0)] == [(5, 2)]
    np.testing.assert_array_equal(np.concatenate(_run("SplitToSequence", x, ints(1, 4))), x)


@pytest.mark.parametrize("split", [ints(1, 3), number(0, np.int64), number(-1, np.int64), ints(7, -2)])
def test_lengths_that_do_not_fit_are_refused(split: Any) -> None:
    """They add up, and a single one is positive: an endless number of parts otherwise."""
    with pytest.raises(ShapeError, match="parts must"):
        _run("SplitToSequence", reals(5, 2), split)


def test_an_optional_is_its_element_or_nothing() -> None:
    """Tensors and sequences count as optionals that hold themselves."""
    x = reals(2)

    assert _run("Optional", x) is x
    assert _run("OptionalGetElement", _ABC) is _ABC
    assert [bool(_run("OptionalHasElement", *given)) for given in ((x,), (_ABC,), (None,), ())] == [True] * 2 + [
        False
    ] * 2


def test_an_optional_that_is_absent_comes_as_none() -> None:
    """An input that has a name and holds nothing is no left-out input."""
    node = Node("OptionalHasElement", ("optional",), ("y",))

    assert not evaluate(node, [None])[0]
    with pytest.raises(ShapeError, match="it is empty"):
        evaluate(Node("OptionalGetElement", ("optional",), ("y",)), [None])


def test_identity_hands_sequences_through() -> None:
    """Exporters write it between a loop's states."""
    assert _run("Identity", _ABC) is _ABC


def test_of_sequences_the_dtype_is_known() -> None:
    """Shapes of elements may differ; a length and a presence are scalars."""
    known = [Known(Value("s", DType.INT8, None)), Known(Value("p", DType.INT64, ()))]

    found = [infer_node(Node(op, ("s", "p")[:count], ("y",)), known[:count]) for op, count in
             (("SequenceAt", 2), ("SequenceErase", 1), ("SequenceLength", 1), ("OptionalHasElement", 1))]  # fmt: skip

    assert found == [[(DType.INT8, None)]] * 2 + [[(DType.INT64, ())], [(DType.BOOL, ())]]
