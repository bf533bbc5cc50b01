"""A node's attributes, complete: what the file says over the record's defaults.

In: an operator and a node. Out: keywords for `reference`, `lower` and `infer`.
"""

from __future__ import annotations

from typing import Any

from alula.base.errors import GraphError, UnsupportedError
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.operators.attribute_types import lacks_type
from alula.engine.operators.record import REQUIRED, Operator

_LONGEST = 40


def attributes_of(operator: Operator, node: Node) -> dict[str, Any]:
    """All attributes by name.

    Raises:
        UnsupportedError: the node has one that the operator's newest form does not know.
        GraphError: a required one is missing, or one is of another type than its operator takes.
    """
    place = f"{node.label} ({node.op})"
    unknown = sorted(set(node.attributes) - set(operator.attributes))
    if unknown:
        known = ", ".join(operator.attributes) or "none"
        raise UnsupportedError(place, f"attributes of {node.op} are: {known}", f"it has {', '.join(unknown)}")
    if operator.domain != INTERNAL:  # what passes write is checked by types
        _check_types(operator, node, place)
    filled = {
        name: _typed(node.attributes.get(name, default), default) for name, default in operator.attributes.items()
    }
    missing = [name for name, value in filled.items() if value is REQUIRED]
    if missing:
        raise GraphError(place, f"needs attribute {missing[0]}", "it is left out")
    return filled


def _check_types(operator: Operator, node: Node, place: str) -> None:
    for name, value in node.attributes.items():
        needed = lacks_type(name, value, operator.attributes[name])
        if needed is not None:
            raise GraphError(place, f"needs {needed} as attribute {name}", f"it is {_shown(value)}")


def _shown(value: Any) -> str:
    plain = isinstance(value, (int, float, str, bytes))
    text = repr(value) if plain else f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _typed(value: Any, default: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, tuple) and any(isinstance(item, bytes) for item in value):
        return tuple(_typed(item, None) for item in value)
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    return value
