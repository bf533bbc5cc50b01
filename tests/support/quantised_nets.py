"""A small convolutional network and a small transformer, quantised by onnxruntime's own tools.

In: a way to quantise. Out: an ONNX file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from alula.engine.graph.nodes import Array

PICTURE, TOKENS = (1, 3, 32, 32), (1, 12, 32)
_HEADS = 4


@dataclass
class _Net:
    """Nodes and weights so far."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attributes))
        return name

    def array(self, values: Any) -> str:
        name = f"w{len(self.arrays)}"
        self.arrays[name] = np.asarray(values)
        return name

    def normal(self, *shape: int, fan: int) -> str:
        return self.array((self.rng.normal(size=shape) / np.sqrt(fan)).astype(np.float32))

    def conv(self, x: str, outputs: int, inputs: int, size: int, **attributes: Any) -> str:
        w = self.normal(outputs, inputs, size, size, fan=inputs * size * size)
        return self.node("Conv", x, w, self.normal(outputs, fan=100), **attributes)

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        product = self.node("MatMul", x, self.normal(inputs, outputs, fan=inputs))
        return self.node("Add", product, self.normal(outputs, fan=100))

    def saved(self, path: Path, shape: tuple[int, ...]) -> Path:
        ends = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
        last = helper.make_tensor_value_info(self.nodes[-1].output[0], onnx.TensorProto.FLOAT, None)
        arrays = [numpy_helper.from_array(array, name) for name, array in self.arrays.items()]
        graph = helper.make_graph(self.nodes, "net", [ends], [last], arrays)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        return path


def _conv_net(path: Path) -> Path:
    """Stem, pool, residual block with a depthwise convolution, gate, concatenation, pools, classifier."""
    net, same = _Net(), {"pads": [1, 1, 1, 1]}
    x = net.node("Relu", net.conv("x", 16, 3, 3, strides=[2, 2], **same))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], **same)
    first = net.node("Relu", net.conv(x, 32, 16, 3, **same))
    x = net.node("LeakyRelu", net.conv(first, 32, 1, 3, group=32, **same), alpha=0.1)
    x = net.node("Add", net.conv(x, 32, 32, 1), first)
    x = net.node("Mul", x, net.node("Sigmoid", x))
    x = net.conv(net.node("Concat", x, first, axis=1), 16, 64, 3, strides=[2, 2])
    x = net.node("GlobalAveragePool", net.node("AveragePool", x, kernel_shape=[2, 2]))
    weights = (net.normal(16, 10, fan=16), net.normal(10, fan=100))
    net.node("Gemm", net.node("Flatten", x), *weights)
    return net.saved(path, PICTURE)


def _transformer(path: Path) -> Path:
    """Two encoder layers."""
    net = _Net()
    x, (_, steps, size) = "x", TOKENS
    ones, zeros = net.array(np.ones(size, np.float32)), net.array(np.zeros(size, np.float32))
    split, joined = net.array(np.array([1, steps, _HEADS, size // _HEADS])), net.array(np.array(TOKENS))
    for _ in range(2):
        heads = [net.node("Reshape", net.dense(x, size, size), split) for _ in range(3)]
        q, k, v = (net.node("Transpose", h, perm=p) for h, p in zip(heads, _ORDERS, strict=True))
        scores = net.node("Div", net.node("MatMul", q, k), net.array(np.float32(np.sqrt(size / _HEADS))))
        y = net.node("MatMul", net.node("Softmax", scores, axis=-1), v)
        y = net.node("Reshape", net.node("Transpose", y, perm=[0, 2, 1, 3]), joined)
        x = net.node("LayerNormalization", net.node("Add", net.dense(y, size, size), x), ones, zeros)
        inner = net.node("Relu", net.dense(x, size, 4 * size))
        x = net.node("LayerNormalization", net.node("Add", net.dense(inner, 4 * size, size), x), ones, zeros)
    return net.saved(path, TOKENS)


_ORDERS = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Four random inputs."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._left: Iterator[Array] = iter(samples(shape, 4))

    def get_next(self) -> dict[str, Array] | None:
        """The next one."""
        x = next(self._left, None)
        return None if x is None else {"x": x}


def samples(shape: tuple[int, ...], count: int) -> list[Array]:
    """Random inputs, the same every time."""
    return list(np.random.default_rng(3).normal(size=(count, *shape)).astype(np.float32))


def quantised(folder: Path, net: str, form: str, kind: str, *, per_channel: bool = False) -> Path:
    """The file of a quantised network.

    Args:
        folder: for the files.
        net: `conv` or `transformer`.
        form: `QDQ`, `QOperator` or `dynamic`.
        kind: of the activations, for `dynamic` of the weights: `QInt8` or `QUInt8`.
        per_channel: whether each output channel has a scale.

    Weights have 7 bits: kernels of onnxruntime for processors without VNNI saturate sums of two products of 8.
    """
    source, path = folder / "float.onnx", folder / "quantised.onnx"
    (_conv_net if net == "conv" else _transformer)(source)
    if form == "dynamic":
        quantize_dynamic(source, path, weight_type=QuantType[kind], reduce_range=True, per_channel=per_channel)
        return path
    quantize_static(
        source, path, _Samples(PICTURE if net == "conv" else TOKENS), quant_format=QuantFormat[form],
        per_channel=per_channel, reduce_range=True, activation_type=QuantType[kind], weight_type=QuantType.QInt8,
    )  # fmt: skip
    return path
