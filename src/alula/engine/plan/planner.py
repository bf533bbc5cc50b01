"""The planner: steps with every pointer placed.

In: an optimised Graph and a Target. Out: Plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alula.base.errors import LimitError
from alula.base.tensors import TensorSpec
from alula.engine.graph.dims import static
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array
from alula.engine.kernels.target import Target
from alula.engine.plan.arena import Lifetime, place_lifetimes
from alula.engine.plan.drafts import Draft, Drafts, draft_steps
from alula.engine.plan.records import HostStep, NativeStep, Operand, PlacedTensor, Plan, Step


@dataclass(frozen=True)
class PlanOptions:
    """How to plan.

    Attributes:
        native: use kernels; without, every step runs through its reference.
        reuse: let values that are never alive together share memory; without, every value stays readable.
        memory_limit: the most bytes the arena may take; 0 is no limit.
    """

    native: bool = True
    reuse: bool = True
    memory_limit: int = 0


def make_plan(graph: Graph, target: Target, options: PlanOptions = PlanOptions()) -> Plan:
    """Choose kernels and place memory.

    Raises:
        LimitError: the arena would be larger than the limit.
    """
    drafts = draft_steps(graph, target, native=options.native)
    layout = _Layout(drafts, options)
    steps = tuple(layout.step(draft) for draft in drafts.steps)
    if options.memory_limit and layout.arena_bytes > options.memory_limit:
        raise LimitError(
            f"model {graph.name}",
            f"needs {layout.arena_bytes} bytes for intermediates",
            f"the limit is {options.memory_limit}",
            "raise --memory-limit, or bind smaller shapes",
        )
    return Plan(
        name=graph.name,
        target=target,
        inputs=tuple(TensorSpec(v.name, v.dtype, static(v.shape or ())) for v in graph.inputs),
        outputs=tuple(_output_spec(drafts, name) for name in graph.outputs),
        steps=steps,
        weights=tuple(layout.weights),
        arena_bytes=layout.arena_bytes,
        scratch_bytes=max((draft.kernel.scratch for draft in drafts.steps if draft.kernel), default=0),
        output_offsets=tuple(layout.offsets[root] for root in drafts.outputs),
        places=layout.places(),
        blocks={name: value.block for name, value in drafts.values.items() if value.block},
        roots=dict(drafts.roots),
        metadata=graph.metadata,
    )


def _output_spec(drafts: Drafts, name: str) -> TensorSpec:
    value = drafts.values[name]
    return TensorSpec(name, value.dtype, static(value.shape or ()))


@dataclass
class _Layout:
    """Where everything stands; owned by one planning run."""

    drafts: Drafts
    options: PlanOptions
    weights: list[Array] = field(default_factory=list)
    offsets: Mapping[str, int] = field(default_factory=dict)
    arena_bytes: int = 0

    def __post_init__(self) -> None:
        self.inputs = {value.name: index for index, value in enumerate(self.drafts.graph.inputs)}
        self.outputs = {root: index for index, root in enumerate(self.drafts.outputs)}
        self.offsets, self.arena_bytes = place_lifetimes(self._lifetimes())
        self._indices: dict[int, int] = {}

    def _lifetimes(self) -> list[Lifetime]:
        end = len(self.drafts.steps)
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for index, draft in enumerate(self.drafts.steps):
            for name in draft.writes:
                first.setdefault(self.drafts.root(name), index)
            for name in (*_names(draft.reads), *draft.writes):
                last[self.drafts.root(name)] = index
        for name in self.drafts.empty:
            first.setdefault(name, 0)
            last[name] = end
        for name in self.outputs:
            last[name] = end
        if not self.options.reuse:
            first, last = dict.fromkeys(first, 0), dict.fromkeys(last, end)
        return [Lifetime(name, self.drafts.size(name), first[name], last[name]) for name in first]

    def step(self, draft: Draft) -> Step:
        """The draft with its operands placed."""
        if draft.kernel is None:
            return self._host(draft)
        operands = [self._operand(read) for read in draft.reads if read is not None]
        if draft.kernel.scratch:
            operands.append(Operand("scratch"))
        operands += [self._operand(name) for name in draft.writes]
        names = tuple(dict.fromkeys(_names(draft.reads)))
        moved = sum(self.drafts.size(name) for name in (*names, *draft.writes) if name in self.drafts.values)
        moved += sum(read.nbytes for read in draft.reads if isinstance(read, np.ndarray))
        return NativeStep(
            draft.kernel, tuple(operands), draft.node.label, draft.flops, moved, draft.writes,
            tuple(name for name in names if name not in self.drafts.graph.constants),
        )  # fmt: skip

    def _host(self, draft: Draft) -> HostStep:
        inputs = tuple(None if read is None else self._placed(str(read)) for read in draft.reads)
        outputs = tuple(self._placed(name) for name in draft.writes)
        return HostStep(draft.node, inputs, outputs, draft.node.label, draft.reason)

    def _placed(self, name: str) -> PlacedTensor:
        value = self.drafts.values[name]
        return PlacedTensor(name, value.dtype, static(value.shape or ()), self._operand(name))

    def _operand(self, read: str | Array) -> Operand:
        if not isinstance(read, str):
            return self._weight(read)
        root = self.drafts.root(read)
        if root in self.drafts.graph.constants:
            return self._weight(self.drafts.graph.constants[root])
        if root in self.inputs:
            return Operand("input", self.inputs[root])
        if root in self.outputs:
            return Operand("output", self.outputs[root])
        return Operand("arena", self.offsets[root])

    def _weight(self, array: Array) -> Operand:
        index = self._indices.setdefault(id(array), len(self.weights))
        if index == len(self.weights):
            self.weights.append(array)
        return Operand("weights", index)

    def places(self) -> Mapping[str, PlacedTensor]:
        """Every value that stands in the arena or in an output, by name; views included."""
        values = self.drafts.values
        shown = {}
        for name in values:
            root = self.drafts.root(name)
            if root in self.offsets:
                shown[name] = replace(self._placed(name), operand=Operand("arena", self.offsets[root]))
        return shown


def _names(reads: Sequence[str | Array | None]) -> list[str]:
    return [read for read in reads if isinstance(read, str)]
