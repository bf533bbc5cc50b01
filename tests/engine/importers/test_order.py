from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alula.engine.graph.nodes import Node
from alula.engine.importers.order import order_nodes


def chain(order: list[int]) -> list[Node]:
    """Nodes 0, 1, 2 ... each reading the one before, standing in this order."""
    return [Node("Relu", (f"v{i - 1}" if i else "x",), (f"v{i}",), name=str(i)) for i in order]


@given(st.permutations(range(12)))
def test_any_permutation_of_a_chain_is_put_in_order(order: list[int]) -> None:
    """Every node comes after the node it reads."""
    ordered = order_nodes(chain(order), "test")

    assert [int(node.name) for node in ordered] == list(range(12))


def test_nodes_already_in_order_stay_where_they_are() -> None:
    """The sort is stable: an exporter's order is kept where it is right."""
    nodes = [Node("Relu", ("x",), (name,)) for name in "qwerty"]

    assert order_nodes(nodes, "test") == tuple(nodes)
