"""Steps before memory is placed: each node becomes a view, kernel calls, or a call of its reference.

In: a Graph with static shapes and chosen layouts. Out: `Drafts`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, count

from alula.base.errors import InternalError, LimitError, ShapeError, UnsupportedError
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import INTERNAL, Array, Node, Value
from alula.engine.kernels.call import Kernel, KernelCall, Select, Selection
from alula.engine.kernels.target import Target
from alula.engine.operators.common import show
from alula.engine.operators.explain import MISFITS
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known, Operator
from alula.engine.operators.table import operator_of


@dataclass(frozen=True)
class Draft:
    """One step: with a kernel it runs natively, without one its node runs through the reference, for `reason`."""

    node: Node
    reads: tuple[str | Array | None, ...]
    writes: tuple[str, ...]
    kernel: Kernel | None = None
    flops: int = 0
    reason: str = ""


@dataclass
class Drafts:
    """All steps of a graph, in order, and which values share memory; owned by one planning run.

    Attributes:
        native: choose kernels; without, every step runs through its reference.
        roots: for a value that is another's bytes under another shape, that other one, directly.
        values: the value records, those of added steps included.
        outputs: the value in whose memory each model output is made.
        empty: values without elements that no step writes; they have a place of no bytes.
    """

    graph: Graph
    target: Target
    native: bool = True
    steps: list[Draft] = field(default_factory=list)
    roots: dict[str, str] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    empty: set[str] = field(default_factory=set)

    def root(self, name: str) -> str:
        """The value whose memory this one lives in."""
        return self.roots.get(name, name)

    def fresh(self, stem: str) -> str:
        """A value name that nobody has."""
        return next(name for name in chain([stem], map(f"{stem}{{}}".format, count())) if name not in self.values)

    def size(self, name: str) -> int:
        """Bytes of a value in memory, padding of its blocks included."""
        return stored_bytes(self.values[name])


def stored_bytes(value: Value) -> int:
    """Bytes of a value in memory: dense, or in blocks with the channels padded up."""
    shape = list(static(value.shape or ()))
    if value.block:
        shape[1] = -(-shape[1] // value.block) * value.block
    return math.prod(shape) * value.dtype.itemsize


def draft_steps(graph: Graph, target: Target, *, native: bool = True) -> Drafts:
    """Turn every node into steps.

    Args:
        graph: optimised, shapes static.
        target: the machine that kernels are chosen for.
        native: choose kernels; without, every step runs through its reference.

    Raises:
        UnsupportedError: sizes of some values are not known before the run.
    """
    _check_sizes(graph)
    drafts = Drafts(graph, target, native, values=dict(graph.values))
    for node in graph.nodes:
        certain = _is_certain(drafts, node)
        if certain and _is_view(graph, node):
            drafts.roots[node.output] = drafts.root(node.inputs[0])
        elif certain and not any(drafts.size(name) for name in node.outputs if name):
            drafts.empty.update(filter(None, node.outputs))
        else:
            drafts.steps += _steps(drafts, node, certain=certain)
    _claim_outputs(drafts)
    return drafts


def _check_sizes(graph: Graph) -> None:
    """All nodes whose results have no fixed size, in one message."""
    unknown = [
        f"{node.label} ({node.op}) gives {value.form}"
        for node in graph.nodes
        for value in map(graph.value, filter(None, node.outputs))
        if value.shape is None or not is_static(value.shape)
    ]
    if unknown:
        hint = "bind all symbolic dimensions (--shape); where sizes depend on data, run the ONNX file itself, in stages"
        raise UnsupportedError(f"model {graph.name}", "needs values of known sizes", "; ".join(unknown), hint)


def _is_certain(drafts: Drafts, node: Node) -> bool:
    """Whether what is known of the node's results follows from its inputs.

    A file may say anything of values that inference leaves open. A reference finds out whether it is true; a kernel, or
    a reader of a view, would touch memory that is not there.

    Raises:
        ShapeError: it contradicts what follows.
    """
    inferred = infer_node(node, _known(drafts, node))
    for name, (dtype, shape) in zip(node.outputs, inferred or (), strict=False):
        value = drafts.values.get(name) if name else None
        if value is None or shape is None:
            continue
        if (value.dtype, value.shape) != (dtype, shape):
            where = f"{node.label} ({node.op})"
            raise ShapeError(where, f"gives {dtype} {show(shape)}", f"{name} is said to be {value.form}")
    return inferred is not None and all(shape is not None for _, shape in inferred)


def _known(drafts: Drafts, node: Node) -> list[Known | None]:
    return [Known(drafts.values[n], drafts.graph.constants.get(n)) if n else None for n in node.inputs]


def _steps(drafts: Drafts, node: Node, *, certain: bool = True) -> list[Draft]:
    operator = operator_of(node)
    calls = None
    if certain and drafts.native and operator is not None and operator.select is not None:
        calls = _selected(operator.select, Selection(node, drafts.values, drafts.graph.constants, drafts.target))
    if calls is None:
        return [_host(drafts, node, operator)]
    return [Draft(node, call.reads, call.writes, call.kernel, call.flops) for call in calls]


def _selected(select: Select, at: Selection) -> Sequence[KernelCall] | None:
    """The kernels for a node; a model is never answered with anything but alula's own errors."""
    where = f"{at.node.label} ({at.node.op})"
    try:
        return select(at)
    except MemoryError:
        raise LimitError(where, "needs a kernel that fits into memory", "there is not enough") from None
    except MISFITS as error:
        found = f"{type(error).__name__}: {error}"
        raise InternalError(where, "needs the choice of kernels to take any node", found) from error


def _host(drafts: Drafts, node: Node, operator: Operator | None) -> Draft:
    """The node by its reference, which knows plain memory only and fills all outputs up to the last."""
    blocked = [name for name in (*node.inputs, *node.outputs) if name and drafts.values[name].block]
    if blocked:
        raise InternalError(
            f"{node.label} ({node.op})", "needs plain values to run through its reference", f"{blocked}"
        )
    reads = tuple(name or None for name in node.inputs)
    writes = tuple(name or _unread(drafts, node, index) for index, name in enumerate(node.outputs))
    return Draft(node, reads, writes, reason=_reason(drafts, node, operator))


def _unread(drafts: Drafts, node: Node, index: int) -> str:
    """Memory for an output that is left out before one that is not."""
    inferred = infer_node(node, _known(drafts, node))
    if inferred is None or inferred[index][1] is None:
        raise UnsupportedError(f"{node.label} ({node.op})", f"needs the size of output {index}", "it is not known")
    dtype, shape = inferred[index]
    name = drafts.fresh(f"{node.label}.unread{index}")
    drafts.values[name] = Value(name, dtype, shape)
    return name


def _reason(drafts: Drafts, node: Node, operator: Operator | None) -> str:
    if not drafts.native:
        return "kernels are switched off"
    if operator is None or operator.select is None:
        return f"{node.op} has no kernel yet"
    return f"{node.op} has no kernel for {', '.join(drafts.values[name].form for name in node.inputs if name)}"


def _is_view(graph: Graph, node: Node) -> bool:
    operator = operator_of(node)
    if operator is None or not node.inputs or node.inputs[0] in graph.constants or any(node.outputs[1:]):
        return False
    source, result = graph.value(node.inputs[0]), graph.value(node.output)
    if operator.view:
        return not source.block and not result.block and source.dtype == result.dtype
    return node.kind == (INTERNAL, "Unpack") and _is_dense(source)


def _is_dense(value: Value) -> bool:
    """Whether a blocked value's bytes begin with its plain form: one pixel an image, no padding between images."""
    batch, channels, *pixels = static(value.shape or ())
    return math.prod(pixels) == 1 and (batch == 1 or channels % value.block == 0)


def _claim_outputs(drafts: Drafts) -> None:
    """Give every model output memory of its own, by a copy where it is an input, a constant or another output."""
    free = {name for step in drafts.steps for name in step.writes} | drafts.empty
    for name in drafts.graph.outputs:
        root = drafts.root(name)
        if root not in free or drafts.size(root) != drafts.size(name):
            root = drafts.fresh(f"{name}.out")
            drafts.values[root] = Value(root, drafts.values[name].dtype, drafts.values[name].shape)
            node = Node("Copy", (name,), (root,), domain=INTERNAL, name=f"{name} (output)")
            if drafts.size(root):
                drafts.steps += _steps(drafts, node)
            else:
                drafts.empty.add(root)
        free.discard(root)
        drafts.outputs.append(root)
