"""EfficientNet-Lite, ImageNet classifiers, as ONNX files built from published weights; PyTorch is not needed.

In: the state dict. Out: a graph `images` float32 [N, 3, S, S] -> `logits` [N, 1000]; pixels RGB, (x - 127) / 128.

The networks: Tan and Le 2019 (arXiv 1905.11946), in the form of tensorflow/tpu efficientnet/lite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from alula.base.errors import ModelFileError
from alula.base.tensors import DType
from alula.engine.graph.check import check_graph
from alula.engine.graph.dims import Dim, symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, Node, Value
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.importers.torch_pickle import load_torch
from alula.workbench.zoo import (
    LITE0_WEIGHTS,
    LITE1_WEIGHTS,
    LITE2_WEIGHTS,
    Artefact,
    Progress,
    default_cache,
    fetch,
    quiet,
)

CLASSES = 1000
OPSET = 17
_EPSILON = 1e-3
_REVISION = 1  # of this builder: a new number makes cached files anew


@dataclass(frozen=True)
class Variant:
    """One of the networks; their widths are those of the weights.

    Attributes:
        size: height and width of the pictures.
        repeats: blocks in each stage, as efficientnet_lite_builder.py scales them by depth: the first and the last
            stage are left alone.
    """

    name: str
    size: int
    repeats: tuple[int, ...]
    source: Artefact


LITE0 = Variant("efficientnet-lite0", 224, (1, 2, 2, 3, 3, 4, 1), LITE0_WEIGHTS)
LITE1 = Variant("efficientnet-lite1", 240, (1, 3, 3, 4, 4, 5, 1), LITE1_WEIGHTS)
LITE2 = Variant("efficientnet-lite2", 260, (1, 3, 3, 4, 4, 5, 1), LITE2_WEIGHTS)

# efficientnet_lite_builder.py: kernel, stride of the first, expansion of each stage.
_STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))


def efficientnet_lite(variant: Variant, cache: Path | None = None, progress: Progress = quiet) -> Path:
    """The model as an ONNX file of batch 1 in the cache, fetched and built when it is not there.

    Raises:
        MissingError: the weights cannot be fetched.
    """
    path = (cache or default_cache()) / "models" / f"{variant.name}-{_REVISION}.onnx"
    if not path.is_file():
        weights = load_torch(fetch(variant.source, cache, progress))
        progress(f"building {variant.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_onnx(network(variant, weights), path, OPSET)
    return path


def network(variant: Variant, weights: Mapping[str, Array], batch: int | str = 1) -> Graph:
    """The network over these weights, batch normalisation as nodes of their own.

    A batch given as text is a symbolic dimension of that name.

    Raises:
        ModelFileError: a weight is missing.
    """
    builder = _Builder(variant, weights, size=variant.size)
    builder.constants |= {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)}
    builder.normalised("stem", "images", _Layer("_conv_stem", "_bn0", 3, 2))
    x = builder.activated("stem")
    index = 0
    for repeats, (kernel, stride, expansion) in zip(variant.repeats, _STAGES, strict=True):
        for repeat in range(repeats):
            x = _block(builder, index, x, _Block(kernel, 1 if repeat else stride, expansion, residual=repeat > 0))
            index += 1
    builder.normalised("head", x, _Layer("_conv_head", "_bn1", 1, 1))
    builder.add("GlobalAveragePool", (builder.activated("head"),), "pooled")
    builder.add("Flatten", ("pooled",), "features", {"axis": 1})
    fc = (builder.weight("_fc.weight"), builder.weight("_fc.bias"))
    builder.add("Gemm", ("features", *fc), "logits", {"transB": 1})
    return builder.graph(symbol(batch) if isinstance(batch, str) else batch)


@dataclass(frozen=True)
class _Layer:
    """A convolution and its batch normalisation, by their names in the state dict."""

    conv: str
    norm: str
    kernel: int
    stride: int
    groups: int = 1


@dataclass(frozen=True)
class _Block:
    kernel: int
    stride: int
    expansion: int
    residual: bool


def _block(builder: _Builder, index: int, x: str, block: _Block) -> str:
    """One inverted bottleneck: expand (1x1), depthwise (kxk), project (1x1), and a residual where shapes agree."""
    prefix, name = f"_blocks.{index}.", f"block{index}"
    inner = x
    if block.expansion > 1:
        builder.normalised(f"{name}.expand", inner, _Layer(f"{prefix}_expand_conv", f"{prefix}_bn0", 1, 1))
        inner = builder.activated(f"{name}.expand")
    depthwise = f"{prefix}_depthwise_conv"
    groups = int(builder.array(f"{depthwise}.weight").shape[0])
    layer = _Layer(depthwise, f"{prefix}_bn1", block.kernel, block.stride, groups)
    builder.normalised(f"{name}.depthwise", inner, layer)
    inner = builder.activated(f"{name}.depthwise")
    project = builder.normalised(f"{name}.project", inner, _Layer(f"{prefix}_project_conv", f"{prefix}_bn2", 1, 1))
    return builder.add("Add", (project, x), name) if block.residual else project


@dataclass
class _Builder:
    """Nodes and constants as they come; `size` is the height and width of the newest feature map."""

    variant: Variant
    weights: Mapping[str, Array]
    size: int
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(
        self, op: str, inputs: tuple[str, ...], output: str, attributes: Mapping[str, Attribute] | None = None
    ) -> str:
        """A node with one output, whose name it returns."""
        self.nodes.append(Node(op, inputs, (output,), MappingProxyType(dict(attributes or {})), name=output))
        return output

    def array(self, name: str) -> Array:
        """A weight."""
        if name not in self.weights:
            raise ModelFileError(self.variant.name, f"needs weight {name}", "the file does not have it")
        return self.weights[name]

    def weight(self, name: str) -> str:
        """A weight as a constant of the graph; returns its name."""
        self.constants[name.lstrip("_")] = np.ascontiguousarray(self.array(name))
        return name.lstrip("_")

    def normalised(self, name: str, x: str, layer: _Layer) -> str:
        """Convolution with TensorFlow's SAME padding (more at the end when it is odd), then batch normalisation."""
        out = -(-self.size // layer.stride)
        total = max((out - 1) * layer.stride + layer.kernel - self.size, 0)
        begin, end = total // 2, total - total // 2
        self.size = out
        attributes: dict[str, Attribute] = {
            "group": layer.groups,
            "kernel_shape": (layer.kernel, layer.kernel),
            "pads": (begin, begin, end, end),
            "strides": (layer.stride, layer.stride),
        }
        conv = self.add("Conv", (x, self.weight(f"{layer.conv}.weight")), f"{name}.conv", attributes)
        parts = ("weight", "bias", "running_mean", "running_var")
        statistics = tuple(self.weight(f"{layer.norm}.{part}") for part in parts)
        return self.add("BatchNormalization", (conv, *statistics), f"{name}.norm", {"epsilon": _EPSILON})

    def activated(self, name: str) -> str:
        """ReLU6 of the layer's normalised output."""
        return self.add("Clip", (f"{name}.norm", "zero", "six"), f"{name}.relu6")

    def graph(self, batch: Dim) -> Graph:
        """The finished graph."""
        images = Value("images", DType.FLOAT32, (batch, 3, self.variant.size, self.variant.size))
        logits = Value("logits", DType.FLOAT32, (batch, CLASSES))
        values = {value.name: value for value in (images, logits)}
        values |= {k: Value(k, DType(a.dtype.name), tuple(a.shape)) for k, a in self.constants.items()}
        graph = Graph(
            name=self.variant.name,
            nodes=tuple(self.nodes),
            inputs=(images,),
            outputs=("logits",),
            constants=MappingProxyType(self.constants),
            values=MappingProxyType(values),
            opsets=MappingProxyType({"": OPSET}),
            metadata=MappingProxyType({"source": str(self.variant.source), "licence": self.variant.source.licence}),
        )
        check_graph(graph)
        return graph
