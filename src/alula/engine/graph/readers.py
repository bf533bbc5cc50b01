"""Who reads which value, and which values a graph gives, as books that an editor keeps: every entry costs its own size.

In: nodes and names. Out: `Readers`, `OutputNames`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from alula.engine.graph.nodes import Node


class Readers:
    """The nodes that read each value; owned by one editor.

    A node is known by a number that stays when the node is exchanged for one that differs in little, so that a change
    of one among thousands of inputs touches one entry.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._numbers: dict[int, int] = {}
        self._nodes: dict[int, Node] = {}
        self._readings: dict[str, dict[int, int]] = {}
        self._next = 0
        for node in nodes:
            self.add(node)

    def add(self, node: Node) -> None:
        """A new node reads its inputs."""
        number = self._next
        self._next += 1
        self._numbers[id(node)], self._nodes[number] = number, node
        for name in node.inputs:
            if name:
                readings = self._readings.setdefault(name, {})
                readings[number] = readings.get(number, 0) + 1

    def remove(self, node: Node) -> None:
        """The node is gone."""
        number = self._numbers.pop(id(node))
        del self._nodes[number]
        for name in node.inputs:
            self._readings.get(name, {}).pop(number, None)

    def exchange(self, old: Node, new: Node) -> None:
        """A node gives way to one that reads the same."""
        number = self._numbers.pop(id(old))
        self._numbers[id(new)], self._nodes[number] = number, new

    def move(self, old: str, new: str) -> Iterator[tuple[Node, Node]]:
        """Let all that read one value read another; yields each node before and after."""
        for number, count in self._readings.pop(old, {}).items():
            node = self._nodes[number]
            changed = node.reading(new, instead_of=old)
            self.exchange(node, changed)
            readings = self._readings.setdefault(new, {})
            readings[number] = readings.get(number, 0) + count
            yield node, changed

    def of(self, name: str) -> tuple[Node, ...]:
        """The nodes that read a value, once a reading."""
        readings = self._readings.get(name, {})
        return tuple(self._nodes[number] for number, count in readings.items() for _ in range(count))

    def count(self, name: str) -> int:
        """How often a value is read."""
        return sum(self._readings.get(name, {}).values())


class OutputNames(Sequence[str]):
    """The names of a graph's outputs in order, quick to ask for one; owned by one editor."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._places: dict[str, list[int]] = {}
        for place, name in enumerate(self._names):
            self._places.setdefault(name, []).append(place)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        """The name at a place, or those of a slice."""
        return self._names[place]

    def __len__(self) -> int:
        """How many outputs there are."""
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        """Whether a value is an output."""
        return name in self._places

    def count(self, value: str) -> int:
        """How many outputs a value is."""
        return len(self._places.get(value, ()))

    def move(self, old: str, new: str) -> None:
        """Let all outputs that are one value be another."""
        places = self._places.pop(old, [])
        for place in places:
            self._names[place] = new
        if places:
            self._places[new] = sorted([*self._places.get(new, []), *places])

    def put(self, place: int, name: str) -> None:
        """Let one output be another value."""
        old = self._names[place]
        self._places[old].remove(place)
        if not self._places[old]:
            del self._places[old]
        self._names[place] = name
        self._places.setdefault(name, []).append(place)
