from __future__ import annotations

import pytest

from alula.base.errors import RequestError
from alula.base.shapes import MOST_COMBINATIONS, describe_shapes, expand_shapes, parse_shape_sets


@pytest.mark.parametrize(("text", "shapes"), [
    ("x=1x3x224x224", [(1, 3, 224, 224)]),
    ("x=1x3x48x{32..128:32}", [(1, 3, 48, 32), (1, 3, 48, 64), (1, 3, 48, 96), (1, 3, 48, 128)]),
    ("x={1,2,4}x8", [(1, 8), (2, 8), (4, 8)]),
    ("x={1..2}x{8,8,9}", [(1, 8), (1, 9), (2, 8), (2, 9)]),
    ("x={5..9:3}", [(5,), (8,)]),
    ("a=b=7", [(7,)]),
])  # fmt: skip
def test_ranges_and_lists_declare_every_combination(text: str, shapes: list[tuple[int, ...]]) -> None:
    """Both ends belong to a range; a number that stands twice counts once; the last dimension varies fastest."""
    parsed = parse_shape_sets([text])
    (name,) = parsed

    assert [one[name] for one in expand_shapes(parsed)] == shapes


def test_several_inputs_are_combined() -> None:
    """Each shape of one with each of the other."""
    found = expand_shapes(parse_shape_sets(["x={1,2}", "y={3,4}"]))

    assert found == ({"x": (1,), "y": (3,)}, {"x": (1,), "y": (4,)}, {"x": (2,), "y": (3,)}, {"x": (2,), "y": (4,)})


def test_no_text_declares_one_empty_combination() -> None:
    """A model of fixed shapes needs none."""
    assert expand_shapes(parse_shape_sets([])) == ({},)


@pytest.mark.parametrize("text", [
    "", "x", "x=", "=1", "x=1x", "x=0", "x=-1", "x={}", "x={1,}", "x={1..}", "x={..3}", "x={1..3:}", "x={1..3:0}",
    "x={0..3}", "x={1..2..3}", "x={1;2}", "x={1", "x=1}", "x=1x{2x3}", "x=\u0661", "x=" + "9" * 19,
])  # fmt: skip
def test_malformed_texts_are_refused(text: str) -> None:
    """The form is shown."""
    with pytest.raises(RequestError, match="NAME=1x3x224x224"):
        parse_shape_sets([text])


@pytest.mark.parametrize("text", ["x={1..300}", "x={1..1000000000}x{1..1000000000}", "x={9..3}"])
def test_too_many_combinations_and_none_are_refused(text: str) -> None:
    """A slip in a range must not compile for days, nor count for minutes; the limit is named."""
    with pytest.raises(RequestError, match=f"1 to {MOST_COMBINATIONS} combinations"):
        expand_shapes(parse_shape_sets([text]))


def test_python_declares_dimensions_by_any_collection() -> None:
    """What the command line writes in braces."""
    assert len(expand_shapes({"x": (1, range(32, 65, 32), [8, 16])})) == 4


def test_many_shapes_are_described_by_a_few() -> None:
    """A message fits a screen."""
    text = describe_shapes(expand_shapes({"x": (range(1, 101),)}))

    assert text == "x [1]; x [2]; x [3]; x [4]; x [5]; ... x [100] (100 in all)"
