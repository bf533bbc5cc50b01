"""Patterns of nodes: what a fragment looks like, written as it is read, and found at the value that it makes.

In: a pattern and the name of a value. Out: a `Match` with the values, numbers and nodes that stand for its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Attribute, Node

# Relative: exporters write the constants of formulas with five to nine digits, in float32.
_NEAR = 1e-4
_FLOATS = frozenset({DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64})
_COMMUTES = frozenset({"Add", "Mul", "Max", "Min"})


@dataclass(frozen=True)
class Some:
    """Any value; the same name stands for the same value."""

    name: str


@dataclass(frozen=True)
class Number:
    """A constant of one element, near `value`; any number where that is None. It is remembered under `name`."""

    value: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Fixed:
    """A constant of any shape, remembered as a value."""

    name: str


@dataclass(frozen=True)
class Made:
    """What an operator of ONNX's own domain makes of its operands, which commute where the operator does."""

    op: str
    operands: tuple[Pattern, ...]
    name: str = ""


@dataclass(frozen=True)
class Either:
    """One of several spellings of the same value."""

    choices: tuple[Pattern, ...]


Pattern = Some | Number | Fixed | Made | Either


def made(op: str, *operands: Pattern, name: str = "") -> Made:
    """A node of `op`; `name` lets one ask the match for it."""
    return Made(op, operands, name)


def either(*choices: Pattern) -> Either:
    """The first of the spellings that is found."""
    return Either(choices)


@dataclass(frozen=True)
class Match:
    """The parts of a found fragment: values and numbers by the names in the pattern, and all of its nodes."""

    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    numbers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    named: Mapping[str, Node] = field(default_factory=lambda: MappingProxyType({}))
    nodes: tuple[Node, ...] = ()


def find(editor: GraphEditor, node: Node, patterns: Sequence[Pattern]) -> Match | None:
    """The fragment that ends in `node`.

    Nothing outside the fragment may read what its inner nodes make, and none of that may be an output of the model.
    """
    for pattern in patterns:
        if not isinstance(pattern, Made) or (pattern.op == node.op and not node.domain):
            for match in _matches(editor, node.output, pattern, Match()):
                if is_closed(editor, match.nodes, node):
                    return match
    return None


def is_closed(editor: GraphEditor, nodes: Sequence[Node], last: Node) -> bool:
    """Whether only nodes of the fragment read what the others than `last` make."""
    inside = set(map(id, nodes))
    for node in nodes:
        if node is last:
            continue
        for name in filter(None, node.outputs):
            readers = editor.consumers_of(name)
            if name in editor.outputs or any(id(reader) not in inside for reader in readers):
                return False
    return True


def replaced(
    match: Match, last: Node, op: str, inputs: tuple[str, ...], attributes: Mapping[str, Attribute] | None = None
) -> Rewrite:
    """One node of ONNX's own domain in the place of a fragment."""
    node = Node(op, inputs, (last.output,), MappingProxyType(dict(attributes or {})), last.name)
    return Rewrite(drop=match.nodes, add=(node,))


def keeps_shape(editor: GraphEditor, source: str, result: str) -> bool:
    """Whether two values are known to be floats of one shape and dtype: no constant between them adds axes."""
    before, after = editor.values.get(source), editor.values.get(result)
    if before is None or after is None or before.shape is None:
        return False
    return before.shape == after.shape and before.dtype is after.dtype and before.dtype in _FLOATS


def number_of(array: Array | None) -> float | None:
    """The one element of a constant; None for others."""
    if array is None or array.size != 1 or array.dtype.kind not in "fiu":
        return None
    return float(array.reshape(()))


def _matches(editor: GraphEditor, name: str, pattern: Pattern, match: Match) -> Iterator[Match]:
    """All ways in which a value can be read as a pattern, given what is matched already."""
    if isinstance(pattern, Either):
        for choice in pattern.choices:
            yield from _matches(editor, name, choice, match)
    elif isinstance(pattern, Made):
        yield from _made(editor, name, pattern, match)
    elif isinstance(pattern, Number):
        yield from _number(editor, name, pattern, match)
    elif _fits(editor, name, pattern, match):
        yield replace(match, values={**match.values, pattern.name: name})


def _fits(editor: GraphEditor, name: str, pattern: Some | Fixed, match: Match) -> bool:
    """Whether a value may stand for a part: constant or not, and the same as where the part stood before."""
    constant = editor.constant(name) is not None
    return bool(name) and constant == isinstance(pattern, Fixed) and match.values.get(pattern.name, name) == name


def _made(editor: GraphEditor, name: str, pattern: Made, match: Match) -> Iterator[Match]:
    node = editor.producer_of(name)
    if node is None or node.kind != ("", pattern.op) or len(node.inputs) != len(pattern.operands):
        return
    known = any(node is other for other in match.nodes)
    nodes = match.nodes if known else (*match.nodes, node)
    named = {**match.named, pattern.name: node} if pattern.name else match.named
    seen = replace(match, nodes=nodes, named=named)
    yield from _all(editor, tuple(zip(node.inputs, pattern.operands, strict=True)), seen)
    if pattern.op in _COMMUTES and len(node.inputs) == 2:  # noqa: PLR2004  both orders
        yield from _all(editor, tuple(zip(node.inputs, reversed(pattern.operands), strict=True)), seen)


def _all(editor: GraphEditor, pairs: Sequence[tuple[str, Pattern]], match: Match) -> Iterator[Match]:
    """Every way to match all pairs."""
    if not pairs:
        yield match
        return
    name, pattern = pairs[0]
    for found in _matches(editor, name, pattern, match):
        yield from _all(editor, pairs[1:], found)


def _number(editor: GraphEditor, name: str, pattern: Number, match: Match) -> Iterator[Match]:
    number = number_of(editor.constant(name))
    if number is None or (pattern.value is not None and abs(number - pattern.value) > _NEAR * abs(pattern.value)):
        return
    if match.numbers.get(pattern.name, number) == number:
        yield replace(match, numbers={**match.numbers, pattern.name: number} if pattern.name else match.numbers)
