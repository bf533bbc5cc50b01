"""Runs the steps of a plan that have no kernel, through their numpy references.

In: a host call, tensors. Out: filled output tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

from alula.base.errors import PlanFileError
from alula.base.tensors import Tensor
from alula.engine.graph.nodes import Node
from alula.engine.operators.evaluate import evaluate, runner_within
from alula.engine.operators.nested import Limits
from alula.engine.program.attributes import decode_attributes
from alula.engine.runtime.header import HostCall
from alula.engine.runtime.runner import Host
from alula.engine.sessions.values import as_array

DEFAULT_LIMITS = Limits()


def host_within(loop_limit: int) -> Host:
    """Runs host steps whose loops turn at most so often, each step for itself; otherwise as `run_host_step`."""
    limits = Limits(loop_limit)

    def run(step: HostCall, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
        run_host_step(step, inputs, outputs, limits)

    return run


def run_host_step(
    step: HostCall, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], limits: Limits = DEFAULT_LIMITS
) -> None:
    """Evaluate one node.

    Args:
        step: what the plan says of the node.
        inputs: its inputs, None for optional ones that are left out; read only.
        outputs: tensors to fill.
        limits: how much the loops inside the node may do.

    Raises:
        LimitError: they would do more.
        PlanFileError: the results do not have the shapes and dtypes that the plan says.
    """
    attributes = decode_attributes(step.attributes, step.label)
    names = tuple("" if tensor is None else f"x{index}" for index, tensor in enumerate(inputs))
    node = Node(
        step.op, names, tuple(f"y{index}" for index in range(len(outputs))), attributes, step.label, step.domain
    )
    arrays = [None if tensor is None else as_array(tensor) for tensor in inputs]
    results = evaluate(node, arrays, runner_within(limits))
    for result, tensor in zip(results, outputs, strict=True):
        if result.shape != tensor.shape or result.dtype.name != tensor.dtype.value:
            needed, found = f"{tensor.dtype} {list(tensor.shape)}", f"{result.dtype.name} {list(result.shape)}"
            raise PlanFileError(f"host step {step.label} ({step.op})", f"a result {needed}", f"it is {found}")
        if result.size:
            as_array(tensor)[...] = result
