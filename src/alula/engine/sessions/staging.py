"""Cuts a model where sizes begin to depend on data: what a plan can hold, what the host runs, what follows.

    x -> Conv -> NonZero -> Transpose -> y
becomes
    stage 1: plan [Conv], host [NonZero];   stage 2, once the size is there: [Transpose]

In: a graph and the shapes of its inputs. Out: `Stage`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alula.base.tensors import DType, TensorSpec
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import INTERNAL, Node, Subgraph, Value
from alula.engine.passes.driver import PassOptions, run_pass
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.order import PASSES
from alula.engine.passes.upgrade_operators import upgrade_operators
from alula.engine.sessions.values import spec_of

# Operators that do more than a few operations for each element of their result.
_WINDOWS = frozenset({
    "Attention", "AveragePool", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "Einsum", "FusedConv",
    "FusedMatMul", "GRU", "Gemm", "GridSample", "GroupQueryAttention", "LSTM", "LpPool", "MatMul", "MatMulInteger",
    "MaxPool", "MaxRoiPool", "MultiHeadAttention", "QLinearConv", "QLinearMatMul", "RNN", "Resize", "RoiAlign", "STFT",
})  # fmt: skip
# What one of them does an element where its weights do not tell.
_USUAL_WINDOW = 64

# numpy needs some 10 ms for as many operations; a plan takes 100 ms and more to compile, and less than ten runs later
# it has paid. Below this, parts run by reference: boxes after a detector come in another number every time.
WORTH_A_PLAN = 1 << 22


@dataclass(frozen=True)
class HostNode:
    """A node that only its reference can run, and why."""

    node: Node
    reason: str


@dataclass(frozen=True)
class Stage:
    """A graph cut in three.

    Attributes:
        native: all nodes that do not depend on a host node, as a graph of its own; None where there are none.
        host: the first nodes that no plan can hold; their inputs are there when `native` has run.
        rest: what depends on them; the shapes of its inputs are known only then. None where nothing is left.
        hosted: the host nodes as a graph of their own; None where nothing of them is wanted.
        opaque: whether something comes in that no plan can hold, even if no node reads it.
    """

    native: Graph | None
    host: tuple[HostNode, ...]
    rest: Graph | None
    hosted: Graph | None = None
    opaque: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether one plan can hold it all."""
        return not self.host and not self.opaque


def prepare(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """Bind shapes and infer all others, by the required passes only.

    Args:
        graph: as the importer reads it, or a `rest`.
        shapes: of inputs that are not static; inputs without any shape (sequences, optionals) stay as they are.

    Raises:
        AlulaError: what the passes raise.
    """
    bound = {value.name for value in graph.inputs if value.shape is not None or value.name in shapes}
    work = replace(graph, inputs=tuple(value for value in graph.inputs if value.name in bound))
    for step in PASSES:
        if step.name == "fold_constants":
            # What the file says of inner values may be wrong; only inferred sizes are good enough to lay out memory.
            work = replace(work, values={name: v for name, v in work.values.items() if name in work.constants})
        if step.required or step.name == "drop_dead_nodes":
            work, _ = run_pass(work, step, PassOptions(shapes=shapes))
    known = {value.name: value for value in work.inputs}
    return replace(work, inputs=tuple(known.get(value.name, value) for value in graph.inputs))


def cut(graph: Graph) -> Stage:
    """Cut a prepared graph; `rest` is None and `host` empty where there is nothing to cut."""
    given = {value.name for value in graph.inputs if _is_opaque(value)}
    late: set[str] = set()
    native: list[Node] = []
    host: list[HostNode] = []
    rest: list[Node] = []
    for node in graph.nodes:
        if not late.isdisjoint(node.inputs):
            rest.append(node)
        elif reason := _why_host(graph, node, given):
            host.append(HostNode(node, reason))
        else:
            native.append(node)
            continue
        late.update(filter(None, node.outputs))
    made = {name for node in (*native, *(one.node for one in host)) for name in node.outputs}
    read_later = {name for node in (*rest, *(one.node for one in host)) for name in node.inputs}
    wanted = (*graph.outputs, *sorted(read_later - set(graph.outputs)))
    left = tuple(name for name in graph.outputs if name in {out for node in rest for out in node.outputs})
    return Stage(
        native=_part(graph, native, _made_by(native, wanted)),
        host=tuple(host),
        rest=_part(graph, rest, left, unknown=made & late),
        hosted=_part(graph, [one.node for one in host], _made_by([one.node for one in host], wanted)),
        opaque=bool(given),
    )


def work_of(graph: Graph) -> int:
    """Roughly how many operations a prepared graph takes."""
    return sum(_operations(graph, node) for node in graph.nodes)


def is_heavy(graph: Graph) -> bool:
    """Whether a graph whose sizes are not known yet has an operator that may be worth a plan."""
    return any(node.op in _WINDOWS for node in graph.nodes)


def look_ahead(rest: Graph) -> tuple[Graph | None, Graph | None]:
    """A rest cut before its first operators with windows.

    What stands before them is run by reference at once: it costs less than binding shapes and inferring anew. What they
    need of sizes is computed twice, so that it folds into what is compiled.

    Returns:
        What stands before, and what follows; None for a part of which nothing is wanted.
    """
    late: set[str] = set()
    behind: list[Node] = []
    before: list[Node] = []
    for node in rest.nodes:
        if node.op in _WINDOWS or not late.isdisjoint(node.inputs):
            behind.append(node)
            late.update(filter(None, node.outputs))
        else:
            before.append(node)
    behind = [*_sizes_for(rest, before, behind), *behind]
    made = {name for node in behind for name in node.outputs}
    read = sorted({name for node in behind for name in node.inputs} - made)
    left = tuple(name for name in rest.outputs if name in late)
    return _part(rest, before, _made_by(before, (*rest.outputs, *read))), _part(rest, behind, left)


def _sizes_for(graph: Graph, nodes: Sequence[Node], readers: Sequence[Node]) -> list[Node]:
    """Those of some nodes that compute with nothing but sizes, and whose results the readers need."""
    sizes: set[str] = set()
    found: list[Node] = []
    for node in nodes:
        read = set(filter(None, node.inputs)) - set(graph.constants)
        if node.op in {"Shape", "Size"} or (read and read <= sizes):
            sizes.update(filter(None, node.outputs))
            found.append(node)
    needed = {name for node in readers for name in node.inputs}
    kept: list[Node] = []
    for node in reversed(found):
        if not needed.isdisjoint(filter(None, node.outputs)):
            kept.insert(0, node)
            needed.update(node.inputs)
    return kept


def with_inputs(graph: Graph, values: Mapping[str, Value]) -> Graph:
    """A `rest` with what is now known of its inputs."""
    inputs = tuple(values[value.name] for value in graph.inputs)
    return replace(graph, inputs=inputs, values={**graph.values, **values})


def _is_opaque(value: Value) -> bool:
    return value.shape is None or value.dtype is DType.STRING


def _why_host(graph: Graph, node: Node, opaque: set[str]) -> str:
    """Why a plan cannot hold a node; empty where it can."""
    if not opaque.isdisjoint(node.inputs):
        return "reads what is no plain tensor"
    for name in filter(None, (*node.inputs, *node.outputs)):
        value = graph.values.get(name)
        if value is not None and value.dtype is DType.STRING:
            return "strings have no fixed size"
    if any(isinstance(value, Subgraph) for value in node.attributes.values()):
        return "holds a graph"
    if not all(map(_is_storable, node.attributes.values())):
        return "an attribute that no plan can hold"
    for name in filter(None, node.outputs):
        value = graph.values.get(name)
        if value is None or value.shape is None or not is_static(value.shape):
            return f"the size of {name} depends on data"
    return ""


def _is_storable(value: object) -> bool:
    """Whether `encode_attributes` takes it."""
    if isinstance(value, tuple):
        return all(map(_is_storable, value))
    return not isinstance(value, np.ndarray) or value.dtype.kind in "biuf"


def _made_by(nodes: Sequence[Node], wanted: Iterable[str]) -> tuple[str, ...]:
    made = {name for node in nodes for name in node.outputs}
    return tuple(dict.fromkeys(name for name in wanted if name in made))


def _part(
    graph: Graph, nodes: Sequence[Node], outputs: tuple[str, ...], unknown: Iterable[str] = frozenset()
) -> Graph | None:
    """Some nodes as a graph of their own; None where nothing of them is wanted."""
    if not outputs:
        return None
    made = {name for node in nodes for name in node.outputs}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name)
    hidden = set(unknown)
    inputs = tuple(
        Value(name, graph.value(name).dtype, None) if name in hidden else _input(graph, name)
        for name in read
        if name not in made and name not in graph.constants
    )
    mentioned = made | set(read)
    values = {name: value for name, value in graph.values.items() if name in mentioned - hidden}
    return replace(
        graph,
        nodes=tuple(nodes),
        inputs=inputs,
        outputs=outputs,
        constants={name: array for name, array in graph.constants.items() if name in read},
        values={**values, **{value.name: value for value in inputs}},
        external=(),
    )


def _input(graph: Graph, name: str) -> Value:
    return next((value for value in graph.inputs if value.name == name), graph.value(name))


def _operations(graph: Graph, node: Node) -> int:
    values = [graph.value(name) for name in node.outputs if name]
    sizes = [math.prod(static(v.shape)) for v in values if v.shape is not None and is_static(v.shape)]
    elements = max(sizes, default=0)
    if node.op not in _WINDOWS or node.domain == INTERNAL:
        return elements
    return elements * max(1, _window(graph, node))


def _window(graph: Graph, node: Node) -> int:
    """Products summed up in an element of a convolution or matrix product, from the shape of its weights."""
    shape = graph.value(node.input(1)).shape if node.input(1) else None
    if shape is None or not is_static(shape):
        return _USUAL_WINDOW
    if node.op in {"Conv", "QLinearConv", "ConvInteger"}:
        return math.prod(static(shape)[1:])
    if node.op in {"MatMul", "Gemm"}:
        first = graph.value(node.inputs[0]).shape
        return static(first)[-1] if first and is_static(first) else _USUAL_WINDOW
    return _USUAL_WINDOW


def output_specs(graph: Graph) -> tuple[TensorSpec, ...]:
    """What an imported graph gives: from the file's own records where it has them, else from shape inference.

    A dimension that nobody can know before a run has the file's name for it; an output of unknown rank has `...`.
    """
    values = [graph.value(name) for name in graph.outputs]
    if any(value.shape is None for value in values):
        inferred = fold_constants(upgrade_operators(graph))
        values = [inferred.value(name) for name in graph.outputs]
    return tuple(map(spec_of, values))
