"""Operators on strings, held to the standard's own evaluator; no plan holds strings, so they pose no problems."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from support.onnx_models import graph_of, one_node_model

from alula.base.errors import ShapeError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.evaluate import evaluate, evaluate_graph
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known


def _strings(*texts: Any) -> Array:
    return np.asarray(texts, object)


def _node(op: str, count: int = 1, **attributes: Any) -> Node:
    return Node(op, ("x0", "x1")[:count], ("y",), attributes)


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes"),
    [
        ("StringConcat", (_strings("abc", "d"), _strings(".com", "")), 1, {}),
        ("StringConcat", (_strings("cat", "dog"), _strings("s")), 1, {}),
        ("StringConcat", (_strings("的", "é"), _strings(["ü"], ["z"])), 1, {}),
        ("StringConcat", (_strings(), _strings()), 1, {}),
        ("StringSplit", (_strings("abc.com", "a.b.c", ""),), 2, {"delimiter": "."}),
        ("StringSplit", (_strings(["  a b ", "c"], ["", "d  e f"]),), 2, {}),
        ("StringSplit", (_strings("a,b,c", "d"),), 2, {"delimiter": ",", "maxsplit": 1}),
        ("StringSplit", (_strings("a--b-c"),), 2, {"delimiter": "-"}),
        ("StringSplit", (_strings(),), 2, {"delimiter": ","}),
        ("StringNormalizer", (_strings("Monday", "tuesday", "WEDNESDAY"),), 1, {"case_change_action": "LOWER"}),
        ("StringNormalizer", (_strings(["Monday", "tuesday"]),), 1, {"case_change_action": "UPPER",
         "stopwords": ["Monday"], "is_case_sensitive": 1}),
        ("StringNormalizer", (_strings("Monday", "Monday"),), 1, {"case_change_action": "UPPER",
         "stopwords": ["monday"]}),
        ("RegexFullMatch", (_strings("www.google.com", "www.google.", "x"),), 1, {"pattern": r"www\.[\w.]+\.\w{3}"}),
        ("RegexFullMatch", (_strings(["a@b.de"], ["ab"]),), 1, {"pattern": r"(\W|^)[\w.]+@[\w.]+"}),
        ("RegexFullMatch", (_strings(),), 1, {"pattern": "a+"}),
    ],
)  # fmt: skip
def test_reference_agrees_with_the_standards(
    op: str, inputs: tuple[Array, ...], outputs: int, attributes: dict[str, Any]
) -> None:
    """Empty strings, empty tensors, several axes and other alphabets included."""
    model = one_node_model(op, inputs, attributes, outputs=outputs)
    feeds = {f"x{index}": array for index, array in enumerate(inputs)}
    graph = graph_of(model)

    got = evaluate_graph(graph, feeds)

    for name, want in zip(graph.outputs, ReferenceEvaluator(model).run(None, feeds), strict=True):
        assert got[name].shape == want.shape
        assert got[name].tolist() == want.tolist()


def test_bytes_are_read_as_utf8() -> None:
    """Tensors of strings come as bytes from some readers."""
    (joined,) = evaluate(_node("StringConcat", 2), [_strings("né".encode()), _strings("e")])

    assert joined.tolist() == ["née"]


def test_sizes_that_the_strings_decide_are_left_open() -> None:
    """The counts of parts have the shape of x; how long the longest list of parts is, nobody knows before."""
    known = [Known(Value("x", DType.STRING, (symbol("N"), 3)))]

    inferred = infer_node(Node("StringSplit", ("x",), ("y", "z"), {"delimiter": ","}), known)

    assert inferred == [(DType.STRING, None), (DType.INT64, (symbol("N"), 3))]


def test_stop_words_make_the_size_unknown() -> None:
    """What is left out is decided by the strings."""
    known = [Known(Value("x", DType.STRING, (3,)))]

    assert infer_node(_node("StringNormalizer", stopwords=("a",)), known) == [(DType.STRING, None)]
    assert infer_node(_node("StringNormalizer"), known) == [(DType.STRING, (3,))]


@pytest.mark.parametrize(
    ("node", "x", "message"),
    [
        (_node("RegexFullMatch", pattern="("), _strings("a"), "must be a regular expression"),
        (_node("StringNormalizer"), _strings(["a"], ["b"]), r"must be \[C\] or \[1, C\]"),
        (_node("Cast", to=1), _strings("Hello"), "strings must be numbers, .*'Hello'"),
        (_node("Cast", to=7), _strings("inf"), "strings must be numbers"),
    ],
)
def test_strings_that_make_no_sense_are_refused(node: Node, x: Array, message: str) -> None:
    """With the string in the message, since nobody can guess which one it was."""
    with pytest.raises(ShapeError, match=message):
        evaluate(node, [x])


def test_an_unknown_case_is_refused() -> None:
    """Anything but NONE, LOWER and UPPER has no meaning."""
    with pytest.raises(UnsupportedError, match="it is TITLE"):
        evaluate(_node("StringNormalizer", case_change_action="TITLE"), [_strings("a")])


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (np.asarray([0.1, 1e-7, np.inf, -np.inf, np.nan], np.float32), ["0.1", "1e-07", "INF", "-INF", "NaN"]),
        (np.asarray([3, -4], np.int64), ["3", "-4"]),
        (np.asarray([True, False]), ["True", "False"]),
    ],
)
def test_numbers_become_strings_and_come_back(array: Array, texts: list[str]) -> None:
    """The shortest decimal that reads back as the same number, and the standard's names of the special ones."""
    (written,) = evaluate(_node("Cast", to=8), [array])
    back = {"float32": 1, "int64": 7, "bool": 9}[array.dtype.name]

    (read,) = evaluate(_node("Cast", to=back), [written])

    assert written.tolist() == texts
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(("text", "code", "number"), [
    ("+INF", 1, np.inf), ("-inf", 11, -np.inf), ("1E8", 1, 1e8), ("100.5", 7, 100), ("9007199254740993", 7, 2**53 + 1),
    ("18446744073709551615", 13, 2**64 - 1), ("500", 17, 448.0), ("0", 9, False),
])  # fmt: skip
def test_strings_become_numbers(text: str, code: int, number: float) -> None:
    """Infinities in any case, whole numbers beyond what a double holds, fractions cut off for integers."""
    (read,) = evaluate(_node("Cast", to=code), [_strings(text)])

    assert read.tolist() == [number]
