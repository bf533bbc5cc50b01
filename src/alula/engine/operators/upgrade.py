"""Nodes of older operator sets, rewritten into the newest form.

In: a node and the version of its operator set. Out: a node that records, references and passes understand.
"""

from __future__ import annotations

from collections.abc import Callable

from alula.base.errors import UnsupportedError
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.operators.common import without
from alula.engine.operators.evaluate import known_operator
from alula.engine.operators.explain import MISFITS, explained
from alula.engine.operators.record import Operator
from alula.engine.operators.table import NEWEST_OPSET

_OPSET_WITHOUT_CONSUMED_INPUTS = 6


def upgrade_node(node: Node, version: int, constant: Callable[[Array], str]) -> tuple[Node, ...]:
    """The node in its operator's newest form.

    Args:
        node: as the file has it.
        version: of the operator set that the file names for the node's domain.
        constant: takes an array, returns the name of a new constant that holds it.

    Returns:
        The node last; before it others whose results it reads.

    Raises:
        UnsupportedError: the operator or this version of it is not known, or the node uses a form that is refused.
        ShapeError: its attributes are not what the version has.
    """
    operator = known_operator(node)
    if operator.domain == INTERNAL:
        return (node,)
    _check_version(operator, node, version)
    # consumed_inputs was a hint about memory, without meaning for the result.
    current = without(node, "consumed_inputs") if version < _OPSET_WITHOUT_CONSUMED_INPUTS else node
    if operator.upgrade is None:
        return (current,)
    try:
        upgraded = operator.upgrade(current, version, constant)
    except MISFITS as error:
        raise explained(node, [], error) from error
    return upgraded if isinstance(upgraded, tuple) else (upgraded,)


def _check_version(operator: Operator, node: Node, version: int) -> None:
    oldest = operator.since[0]
    if not oldest <= version <= NEWEST_OPSET:
        place = f"{node.label} ({node.op})"
        hint = "convert the model with onnx.version_converter"
        raise UnsupportedError(place, f"needs opset {oldest} to {NEWEST_OPSET}", f"the model has {version}", hint)
