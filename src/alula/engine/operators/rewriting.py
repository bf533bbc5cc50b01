"""Operators that are only another way to write standard ones: their nodes are rewritten when a model is read.

In: a node of such an operator. Out: standard nodes in their newest form, the last of which makes its first output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from alula.base.errors import InternalError
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Refusal
from alula.engine.operators.record import Inference, Inferred, Operator, UnknownShape

MICROSOFT = "com.microsoft"


class Steps:
    """The nodes that take the place of one; owned by one upgrade. An empty name is an input that is left out."""

    def __init__(self, node: Node, constant: Callable[[Array], str]) -> None:
        self.node = node
        self._constant = constant
        self._nodes: list[Node] = []

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        """A new constant."""
        return self._constant(np.asarray(values, dtype))

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node of one output, whose name is returned."""
        return self.several(op, 1, *inputs, domain=domain, **attributes)[0]

    def several(self, op: str, outputs: int, *inputs: str, domain: str = "", **attributes: Any) -> tuple[str, ...]:
        """A node of several outputs."""
        place = len(self._nodes)
        names = tuple(f"{self._stem}.{op.lower()}{place}_{index}" for index in range(outputs))
        self.write(op, inputs, names, domain=domain, **attributes)
        return names

    def write(
        self, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...], *, domain: str = "", **attributes: Any
    ) -> None:
        """A node whose outputs have names already: some of those of the node that goes."""
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        label = f"{self.node.label} ({op.lower()} {len(self._nodes)})"
        self._nodes.append(Node(op, inputs, outputs, MappingProxyType(attributes), label, domain))

    @property
    def _stem(self) -> str:
        return next((name for name in self.node.outputs if name), self.node.label)

    def finish(self, result: str) -> tuple[Node, ...]:
        """All nodes; the last one makes the first output, which `result` is another name for."""
        *before, last = self._nodes
        if result in last.outputs:
            outputs = tuple(self.node.output if name == result else name for name in last.outputs)
            return (*before, Node(last.op, last.inputs, outputs, last.attributes, last.name, last.domain))
        return (*self._nodes, Node("Identity", (result,), self.node.outputs[:1], name=self.node.label))

    def output(self, index: int) -> str:
        """The name of an output; empty where nobody wants it."""
        return self.node.outputs[index] if index < len(self.node.outputs) else ""


Rewriting = Callable[[Steps, Node], str]


def rewritten(
    name: str, inputs: str, rewriting: Rewriting, summary: str, *, outputs: str = "y", attributes: str = ""
) -> Operator:
    """A record of the domain com.microsoft whose nodes never stay.

    Args:
        name: of the operator.
        inputs: names with one space between, as in records.
        rewriting: writes the steps and returns the name of what the first output is.
        summary: one sentence.
        outputs: names with one space between.
        attributes: names of those that it understands, with one space between.
    """
    names, known = tuple(inputs.split()), frozenset(attributes.split())

    def upgrade(node: Node, version: int, constant: Callable[[Array], str]) -> tuple[Node, ...]:
        del version
        _check(node, names, known)
        steps = Steps(node, constant)
        return steps.finish(rewriting(steps, node))

    defaults: Mapping[str, Any] = dict.fromkeys(sorted(known))
    return Operator(
        name=name, since=(1,), inputs=names, outputs=tuple(outputs.split()), attributes=MappingProxyType(defaults),
        infer=_unknown, reference=_never, upgrade=upgrade, domain=MICROSOFT, summary=summary,
    )  # fmt: skip


def _check(node: Node, names: tuple[str, ...], known: frozenset[str]) -> None:
    strange = sorted(set(node.attributes) - known)
    if strange:
        raise Refusal(f"attributes of {node.op} are: {', '.join(sorted(known)) or 'none'}", f"it has {strange[0]}")
    for index, name in enumerate(names):
        if name[-1] not in "?*" and not node.input(index):
            raise Refusal(f"{node.op} needs input {name}", "it is left out")
    if not names[-1].endswith("*") and any(node.inputs[len(names) :]):
        raise Refusal(f"{node.op} takes at most {len(names)} inputs", f"it has {len(node.inputs)}")
    if not node.outputs or not node.outputs[0]:
        raise Refusal(f"{node.op} needs its first output", "it is left out")


def _unknown(_at: Inference) -> Inferred:
    raise UnknownShape


def _never(*arrays: Array | None, **attributes: Any) -> NoReturn:
    found = f"{len(arrays)} arrays, {len(attributes)} attributes"
    raise InternalError("an operator that is rewritten when models are read", "has no reference", found)
