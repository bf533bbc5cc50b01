from __future__ import annotations

from alula.engine.graph.nodes import Node
from alula.engine.graph.readers import OutputNames, Readers


def test_readers_are_told_once_a_reading_and_move_with_their_values() -> None:
    """Passes ask how often a value is read; a node that reads one twice counts twice, before and after a renaming."""
    twice, once = Node("Add", ("a", "a"), ("x",)), Node("Add", ("a", "b"), ("y",))
    readers = Readers([twice, once])

    moved = [changed.inputs for _, changed in readers.move("a", "b")]

    assert moved == [("b", "b"), ("b", "b")]
    assert (readers.count("a"), readers.count("b")) == (0, 4)
    assert [node.output for node in readers.of("b")] == ["y", "y", "x", "x"]


def test_removed_nodes_read_nothing() -> None:
    """A value whose readers are gone is dead."""
    node = Node("Add", ("a", "a", ""), ("x",))
    readers = Readers([node])

    readers.remove(node)

    assert readers.of("a") == ()
    assert readers.count("a") == 0


def test_outputs_are_counted_by_name() -> None:
    """One value may be several outputs, and each may become another value."""
    outputs = OutputNames(["a", "b", "a"])

    outputs.move("a", "b")
    outputs.put(1, "c")

    assert list(outputs) == ["b", "c", "b"]
    assert (outputs.count("a"), outputs.count("b"), outputs.count("c")) == (0, 2, 1)
    assert "a" not in outputs
