"""Give each value a layout in memory: channels in blocks between convolutions, plain rows elsewhere.

    x -> Conv -> Conv -> Flatten   becomes   x -> Conv -> [blocked] -> Conv -> [blocked] -> Unpack -> Flatten

In: an optimised graph with static shapes. Out: the same graph with Pack and Unpack at the borders, `Value.block` set,
and the padding of direct convolutions as steps of its own. Logical shapes and values stay what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, is_static, static
from alula.engine.graph.graph import Graph, without_unmentioned
from alula.engine.graph.nodes import INTERNAL, Array, Node, Value
from alula.engine.operators.native.move import pixel_factors
from alula.engine.operators.native.resize import picture_of
from alula.engine.operators.native.transposed import transposed_zeros

# Up to this many channels a convolution reads plain rows: a block would be mostly padding.
_FEW_CHANNELS = 4
_RANK = 4


def choose_layout(graph: Graph, block: int) -> Graph:
    """Decide layouts for blocks of `block` channels; all shapes must be known."""
    layouts = _Layouts(graph, block)
    for node in graph.nodes:
        layouts.place(node)
    for name in graph.outputs:
        layouts.plain(name)
    changed = replace(graph, nodes=tuple(layouts.nodes), constants=layouts.constants, values=layouts.values)
    return without_unmentioned(changed)


@dataclass
class _Layouts:
    """The graph being rebuilt; owned by one run of the pass."""

    graph: Graph
    block: int
    nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values: dict[str, Value] = dict(self.graph.values)
        self.constants: dict[str, Array] = dict(self.graph.constants)
        # The name under which a value of the old graph exists in each form.
        self.in_blocks: dict[str, str] = {}
        self.in_rows: dict[str, str] = {value.name: value.name for value in self.graph.inputs}
        self.in_rows.update({name: name for name in self.graph.constants})
        self._by_channel: dict[str, str] = {}
        self._padded: dict[tuple[str, tuple[int, ...]], str] = {}

    def place(self, node: Node) -> None:
        """Append a node, in the form that suits it."""
        rule = _RULES.get(node.kind)
        if rule is None or not self._is_picture(node) or not rule(self, node):
            self._append_plain(node)

    def plain(self, name: str) -> str:
        """The plain form of a value; unpacks it at its first use."""
        if name not in self.in_rows:
            own = name if name in self.graph.outputs else self._fresh(f"{name}.plain")
            self._append_change("Unpack", self.in_blocks[name], Value(own, *self._kind(name)))
            self.in_rows[name] = own
        return self.in_rows[name]

    def blocked(self, name: str) -> str:
        """The blocked form of a value; packs it at its first use."""
        if name not in self.in_blocks:
            own = self._fresh(f"{name}.blocked")
            self._append_change("Pack", self.in_rows[name], Value(own, *self._kind(name), self.block))
            self.in_blocks[name] = own
        return self.in_blocks[name]

    def by_channel(self, name: str) -> str:
        """A constant of one number a channel under a name that says blocks; its kernel lays it out."""
        if name not in self._by_channel:
            own = self._fresh(f"{name}.blocked")
            self.constants[own] = self.constants[name]
            self.values[own] = Value(own, *self._kind(name), self.block)
            self._by_channel[name] = own
        return self._by_channel[name]

    def append_blocked(self, node: Node, inputs: tuple[str, ...]) -> None:
        """Append a node that writes blocks; `inputs` are already in the form that it reads."""
        owns = []
        for name in node.outputs:
            own = self._fresh(f"{name}.blocked") if name in self.graph.outputs else name
            self.in_blocks[name] = own
            self.values[own] = Value(own, *self._kind(name), self.block)
            owns.append(own)
        self.nodes.append(replace(node, inputs=inputs, outputs=tuple(owns), name=node.label))

    def padded(self, name: str, pads: tuple[int, ...]) -> str:
        """A value (in either form) with zeros around its rows and columns; pads are top, left, bottom, right."""
        if not any(pads):
            return name
        if (name, pads) not in self._padded:
            value = self.values[name]
            n, c, h, w = static(value.shape or ())
            top, left, bottom, right = pads
            own = self._fresh(f"{name}.pad{'_'.join(map(str, pads))}")
            self.values[own] = replace(value, name=own, shape=(n, c, h + top + bottom, w + left + right))
            amounts = self._fresh(f"{own}.amounts")
            self.constants[amounts] = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
            self.values[amounts] = Value(amounts, DType.INT64, (8,))
            self.nodes.append(Node("Pad", (name, amounts), (own,), MappingProxyType({"mode": "constant"}), own))
            self._padded[name, pads] = own
        return self._padded[name, pads]

    def _append_plain(self, node: Node) -> None:
        inputs = tuple(self.plain(name) if name else "" for name in node.inputs)
        self.in_rows.update({name: name for name in node.outputs})
        self.nodes.append(replace(node, inputs=inputs))

    def _append_change(self, op: str, source: str, result: Value) -> None:
        self.values[result.name] = result
        attributes = MappingProxyType({"block": self.block})
        self.nodes.append(Node(op, (source,), (result.name,), attributes, f"{op.lower()} {source}", INTERNAL))

    def _fresh(self, stem: str) -> str:
        """A value name that nobody has."""
        return next(name for name in chain([stem], map(f"{stem}{{}}".format, count())) if name not in self.values)

    def _kind(self, name: str) -> tuple[DType, Shape]:
        value = self.values[name]
        return value.dtype, value.shape or ()

    def _is_picture(self, node: Node) -> bool:
        """Whether the output, and the first input, are float32 [N, C, H, W] with something inside."""
        values = [self.graph.value(node.output)]
        if node.op != "Elementwise":
            values.append(self.graph.value(node.inputs[0]))
        return all(
            v.shape is not None
            and len(v.shape) == _RANK
            and is_static(v.shape)
            and 0 not in v.shape
            and v.dtype is DType.FLOAT32
            for v in values
        )


def _convolution(layouts: _Layouts, node: Node) -> bool:
    weights = layouts.graph.constants.get(node.inputs[1])
    if weights is None or (node.input(2) and node.input(2) not in layouts.graph.constants):
        return False
    if any(layouts.graph.value(name).shape != layouts.graph.value(node.output).shape for name in node.inputs[3:]):
        return False
    name = node.inputs[0]
    channels, outputs = static(layouts.values[name].shape or ())[1], weights.shape[0]
    groups = node.integer("group", 1)
    depthwise = groups == channels == outputs and groups > 1
    few = channels <= _FEW_CHANNELS and groups == 1 and name not in layouts.in_blocks
    x = layouts.plain(name) if few else layouts.blocked(name)
    pads = node.ints("pads", (0, 0, 0, 0))
    if not depthwise:
        x = layouts.padded(x, pads)
        node = node.with_attributes(pads=(0, 0, 0, 0))
    extras = tuple(layouts.blocked(extra) for extra in node.inputs[3:])
    layouts.append_blocked(node, (x, node.inputs[1], node.input(2), *extras))
    return True


def _transposed(layouts: _Layouts, node: Node) -> bool:
    """Its phases are convolutions over one padded input; zeros around x are larger `pads` of the result."""
    weights, name = layouts.graph.constants.get(node.inputs[1]), node.inputs[0]
    y = layouts.graph.value(node.output).shape or ()
    if weights is None or (node.input(2) and node.input(2) not in layouts.graph.constants):
        return False
    if any(layouts.graph.value(extra).shape != y for extra in node.inputs[3:]):
        return False
    zeros = transposed_zeros(node, weights, layouts.values[name].shape or (), y)
    if zeros is None:
        return False
    x = layouts.padded(layouts.blocked(name), zeros)
    wider = zip(node.ints("pads"), zeros, node.ints("strides") * 2, strict=True)
    node = node.with_attributes(pads=tuple(pad + more * stride for pad, more, stride in wider))
    extras = tuple(layouts.blocked(extra) for extra in node.inputs[3:])
    layouts.append_blocked(node, (x, node.inputs[1], node.input(2), *extras))
    return True


def _pool(layouts: _Layouts, node: Node) -> bool:
    if len([name for name in node.outputs if name]) > 1 or node.text("auto_pad", "NOTSET") != "NOTSET":
        return False
    if node.integer("storage_order") or not _has_narrow_borders(node):
        return False
    layouts.append_blocked(replace(node, outputs=node.outputs[:1]), (layouts.blocked(node.inputs[0]),))
    return True


def _has_narrow_borders(node: Node) -> bool:
    """Whether no window is all padding: in kernels, each column of a border has code of its own."""
    kernel, pads = node.ints("kernel_shape"), node.ints("pads", (0, 0, 0, 0))
    gaps = node.ints("dilations") or (1,) * len(kernel)
    return all(pad <= (size - 1) * gap for pad, size, gap in zip(pads, kernel * 2, gaps * 2, strict=False))


def _global_pool(layouts: _Layouts, node: Node) -> bool:
    """Blocked where the input is: plain rows are reduced as they are."""
    return node.inputs[0] in layouts.in_blocks and _pool(layouts, node)


def _gate(layouts: _Layouts, node: Node) -> bool:
    """Blocked where the pooled value is."""
    if node.inputs[0] not in layouts.in_blocks:
        return False
    layouts.append_blocked(node, (layouts.in_blocks[node.inputs[0]], *node.inputs[1:]))
    return True


def _elementwise(layouts: _Layouts, node: Node) -> bool:
    """Blocked where a full-sized operand is blocked already and the others fit the same blocks."""
    shape = layouts.graph.value(node.output).shape
    for name in node.inputs:
        other = layouts.graph.value(name).shape or ()
        if name in layouts.graph.constants:
            if not _is_per_channel(other) or layouts.graph.value(name).dtype is not DType.FLOAT32:
                return False
        elif name not in layouts.in_blocks or len(other) != _RANK or other[:2] != (shape or ())[:2]:
            return False
    constants = layouts.graph.constants
    inputs = (layouts.by_channel(name) if name in constants else layouts.blocked(name) for name in node.inputs)
    layouts.append_blocked(node, tuple(inputs))
    return True


def _is_per_channel(shape: Shape) -> bool:
    """Whether a constant varies along the channels of [N, C, H, W] only."""
    padded = (1,) * (_RANK - len(shape)) + shape
    return len(padded) == _RANK and padded[0] == padded[2] == padded[3] == 1


def _concat(layouts: _Layouts, node: Node) -> bool:
    if node.integer("axis") not in {1, 1 - _RANK}:
        return False
    if any(name not in layouts.in_blocks for name in node.inputs):
        return False
    layouts.append_blocked(node, tuple(layouts.in_blocks[name] for name in node.inputs))
    return True


def _split(layouts: _Layouts, node: Node) -> bool:
    """Along channels, where the input is in blocks already."""
    name = node.inputs[0]
    outputs = [layouts.graph.value(output) for output in node.outputs]
    if node.integer("axis") not in {1, 1 - _RANK} or name not in layouts.in_blocks or not all(node.outputs):
        return False
    if any(value.shape is None or not is_static(value.shape) or 0 in value.shape for value in outputs):
        return False
    layouts.append_blocked(node, (layouts.in_blocks[name], *node.inputs[1:]))
    return True


def _shuffle(layouts: _Layouts, node: Node) -> bool:
    """Wherever the channels are."""
    name = node.inputs[0]
    if name not in layouts.in_blocks:
        return False
    layouts.append_blocked(node, (layouts.in_blocks[name],))
    return True


def _resize(layouts: _Layouts, node: Node) -> bool:
    """Blocked where rows and columns alone change size and a kernel does it; else as it comes, in plain rows."""
    name = node.inputs[0]
    if name not in layouts.in_blocks:
        return False
    value, after = layouts.graph.value(name), layouts.graph.value(node.output).shape or ()
    if pixel_factors(node, layouts.graph.constants, value.shape or (), after) is None:
        picture = picture_of(node, layouts.graph.constants, value, after)
        if picture is None or picture.channels > 1:
            return False
    layouts.append_blocked(node, (layouts.in_blocks[name], *node.inputs[1:]))
    return True


# Each rule appends the node in blocks and says whether it did.
_RULES: Mapping[tuple[str, str], Callable[[_Layouts, Node], bool]] = {
    (INTERNAL, "FusedConv"): _convolution,
    (INTERNAL, "FusedConvTranspose"): _transposed,
    (INTERNAL, "Elementwise"): _elementwise,
    (INTERNAL, "ShuffleChannels"): _shuffle,
    (INTERNAL, "ChannelGate"): _gate,
    ("", "MaxPool"): _pool,
    ("", "AveragePool"): _pool,
    ("", "GlobalAveragePool"): _global_pool,
    ("", "GlobalMaxPool"): _global_pool,
    ("", "Concat"): _concat,
    ("", "Split"): _split,
    ("", "Resize"): _resize,
}
