"""Dtypes and shapes of a node's outputs.

In: a node in its newest form, and what is known of its inputs. Out: dtype and shape of each output, or None.
"""

from __future__ import annotations

from collections.abc import Sequence

from alula.base.errors import GraphError
from alula.engine.graph.nodes import Node
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.evaluate import known_operator
from alula.engine.operators.explain import MISFITS, describe_known, explained
from alula.engine.operators.record import Inference, Inferred, Known, UnknownShape


def infer_node(node: Node, known: Sequence[Known | None]) -> Inferred | None:
    """Infer the outputs of one node.

    Args:
        node: in its newest form (see `upgrade_node`).
        known: one entry for each input, None where an optional one is left out.

    Returns:
        Dtype and shape of each output; None where they cannot be known yet.

    Raises:
        ShapeError: the inputs do not fit the operator or each other.
        UnsupportedError: the operator, or this form of it, is not known.
        GraphError: a required attribute or input is missing.
    """
    operator = known_operator(node)
    place = f"{node.label} ({node.op})"
    attributes = attributes_of(operator, node)
    for index, name in enumerate(operator.inputs):
        present = index < len(known) and known[index] is not None
        if not present and name[-1] not in "?*":
            raise GraphError(place, f"needs input {name}", "it is left out")
    try:
        inferred = operator.infer(Inference(node, tuple(known), attributes))
    except UnknownShape:
        return None
    except MISFITS as error:
        raise explained(node, [describe_known(entry) for entry in known], error) from error
    return list(inferred)[: len(node.outputs)]
