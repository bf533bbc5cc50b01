"""Problems of ONNX Runtime's own operators, com.microsoft; onnxruntime is their judge.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alula.engine.graph.nodes import Array
from support.problem import X3, X4, ints, number, reals
from support.problems_quantised import bytes_of


@dataclass(frozen=True)
class Foreign:
    """One node of com.microsoft, or of what ONNX Runtime writes into the standard's domain.

    Attributes:
        shown: which outputs the model shows.
        constants: which inputs are stored in the model.
        steps: how many units a result in integers may differ by.
    """

    op: str
    inputs: tuple[Array | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    shown: tuple[int, ...] = (0,)
    constants: bool = True
    steps: int = 0
    domain: str = "com.microsoft"

    def __str__(self) -> str:
        shapes = "_".join("x".join(map(str, x.shape)) if x is not None else "none" for x in self.inputs)
        return f"{self.op}-{shapes}-{'_'.join(f'{k}={v}' for k, v in self.attributes.items())}".replace(" ", "")


def _of(op: str, *inputs: Array | None, **attributes: Any) -> Foreign:
    return Foreign(op, inputs, attributes)


def _fused() -> list[Foreign]:
    w, b, row = reals(6, 4, 3, 3), reals(6), reals(8)
    same = {"pads": (1, 1, 1, 1)}
    tokens, segments = np.arange(10).reshape(2, 5).astype(np.int32), np.eye(2, 5, dtype=np.int32)
    tables = (reals(30, 8), reals(7, 8), reals(2, 8), row, reals(8, low=-1))
    mask, places = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32), ints(0, 1, 2, 4, 5, 6).reshape(2, 3)
    return [
        _of("FusedConv", X4, w, b, activation="Relu", **same),
        _of("FusedConv", X4, w, b, reals(2, 6, 9, 8), activation="Relu", **same),
        _of("FusedConv", X4, w, None, activation="LeakyRelu", activation_params=(0.3,), strides=(2, 1)),
        _of("FusedConv", X4, w, b, activation="Clip", activation_params=(-0.5, 1.0)),
        _of("FusedConv", X4, w, b, activation="HardSigmoid", activation_params=(0.3, 0.4)),
        _of("FusedGemm", reals(3, 4), reals(5, 4), reals(5), transB=1, activation="Relu", alpha=0.5),
        _of("FusedGemm", reals(3, 4), reals(4, 5), activation="LeakyRelu", activation_alpha=0.2),
        _of("FusedMatMul", reals(2, 3, 4), reals(2, 4, 5), alpha=0.3),
        _of("FusedMatMul", reals(2, 3, 4), reals(2, 5, 4), alpha=0.3, transB=1),
        _of("FusedMatMul", reals(2, 4, 3), reals(2, 5, 4), transA=1, transB=1),
        _of("Gelu", X3),
        _of("BiasGelu", X4, row),
        _of("FastGelu", X4, row),
        _of("FastGelu", X3),
        _of("QuickGelu", X3),
        _of("QuickGelu", X3, alpha=1.0),
        Foreign("SkipLayerNormalization", (X4[0], X4[1], row, row), {"epsilon": 1e-5}),
        Foreign("SkipLayerNormalization", (X4[0], X4[1], row, row, row), {"epsilon": 1e-5}, (0, 3)),
        Foreign("SimplifiedLayerNormalization", (X4[0], row), {"epsilon": 1e-5, "axis": -1}, domain=""),
        Foreign("SkipSimplifiedLayerNormalization", (X4[0], X4[1], row), {"epsilon": 1e-5}, (0, 3)),
        Foreign("SkipSimplifiedLayerNormalization", (X4[0], X4[1], row, row), {"epsilon": 1e-5}, (0, 3)),
        Foreign("EmbedLayerNormalization", (tokens, segments, *tables, mask), {"epsilon": 1e-5}, (0, 1)),
        Foreign("EmbedLayerNormalization", (tokens, None, *tables[:2], None, *tables[3:]), {"epsilon": 1e-5}, (0, 1)),
        _of("RotaryEmbedding", reals(2, 3, 16), places, reals(9, 4), reals(9, 4), num_heads=2),
        _of("RotaryEmbedding", reals(2, 2, 3, 8), places, reals(9, 4), reals(9, 4), interleaved=1),
        _of("NhwcMaxPool", bytes_of(np.uint8, 1, 7, 6, 3), kernel_shape=(3, 2), strides=(2, 2), pads=(1, 0, 1, 1)),
        _of("Trilu", X3, number(1, np.int64), upper=0),
        _of("QuantizeLinear", X4, number(0.01), number(3, np.uint16)),
        _of("DequantizeLinear", bytes_of(np.int16, 2, 4, 3), reals(4, low=0.01), bytes_of(np.int16, 4), axis=1),
    ]  # fmt: skip


def _attentions() -> list[Foreign]:
    x, w, b = reals(2, 5, 8), reals(8, 24, low=-0.5, high=0.5), reals(24, low=-1.0, high=1.0)
    raw = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], np.int32)
    ends, both = np.array([3, 5], np.int32), np.array([3, 5, 0, 1], np.int32)
    square = np.tril(np.ones((2, 5, 5), np.int32))
    past = reals(2, 2, 2, 3, 4)
    q, k, v = reals(2, 5, 8, low=-1.0), reals(2, 7, 8, low=-1.5), reals(2, 7, 8, low=-2.0)
    keys = np.array([[1, 1, 1, 0, 0, 1, 1], [1] * 7], np.int32)
    two = {"num_heads": 2}
    small, zero = bytes_of(np.uint8, 2, 5, 8), number(120, np.uint8)
    stored = bytes_of(np.int8, 8, 24)
    return [
        _of("Attention", x, w, b, **two),
        _of("Attention", x, w, b, raw, **two),
        _of("Attention", x, w, b, ends, **two),
        _of("Attention", x, w, b, both, **two),
        _of("Attention", x, w, b, square, **two),
        _of("Attention", x, w, b, unidirectional=1, scale=0.3, **two),
        _of("Attention", x, w, b, None, None, reals(2, 2, 5, 5), **two),
        _of("Attention", x, reals(8, 20, low=-0.5), reals(20), qkv_hidden_sizes=(8, 8, 4), **two),
        Foreign("Attention", (x, w, b, None, past), {"unidirectional": 1, **two}, (0, 1)),
        _of("QAttention", small, stored, b, number(0.01), number(0.02), raw, zero, number(0, np.int8), **two),
        _of("MultiHeadAttention", q, k, v, **two),
        _of("MultiHeadAttention", q, k, v, b, **two),
        _of("MultiHeadAttention", q, k, v, b, keys, reals(1, 2, 5, 7), **two),
        _of("MultiHeadAttention", q, k, v, None, np.array([4, 7], np.int32), scale=0.4, **two),
        Foreign("MultiHeadAttention", (q, k, v, None, None, None, past[0], past[1]), two, (0, 1, 2)),
    ]


def _quantised() -> list[Foreign]:
    a, b = bytes_of(np.uint8, 2, 4, 6, 5), bytes_of(np.uint8, 4, 1, 5)
    s, t, u = number(0.02), number(0.05), number(0.09)
    za, zb, zc = number(120, np.uint8), number(7, np.uint8), number(100, np.uint8)
    x, w = bytes_of(np.uint8, 3, 40), bytes_of(np.int8, 40, 5)
    signed = number(-7, np.int8)
    mean = {"kernel_shape": (3, 2), "pads": (1, 0, 1, 1), "strides": (2, 1)}
    columns, bias = reals(5, low=0.01), np.arange(-2000, 3000, 1000, dtype=np.int32)
    few = np.random.default_rng(3).integers(0, 256, (6, 3, 8), np.uint8)
    return [
        Foreign("QLinearAdd", (a, s, za, b, t, zb, u, zc), steps=1),
        Foreign("QLinearAdd", (a.view(np.int8), s, signed, b.view(np.int8), t, signed, u, signed), steps=1),
        Foreign("QLinearMul", (a, s, za, b, t, zb, number(0.3), zc), steps=1),
        Foreign("QLinearSigmoid", (a, s, za, number(1 / 256), number(0, np.uint8)), steps=1),
        Foreign("QLinearLeakyRelu", (a, s, za, t, zc), {"alpha": 0.2}, steps=1),
        Foreign("QLinearSoftmax", (a, s, za, number(1 / 256), number(0, np.uint8)), {"axis": -1, "opset": 13}, steps=1),
        Foreign("QLinearSoftmax", (a, s, za, number(1 / 256), number(0, np.uint8)), {"axis": 2, "opset": 11}, steps=1),
        Foreign("QLinearAveragePool", (a, s, za, t, zc), mean, steps=1),
        Foreign("QLinearAveragePool", (a, s, za, t, zc), {**mean, "channels_last": 1, "count_include_pad": 1}, steps=1),
        Foreign("QLinearGlobalAveragePool", (a, s, za, t, zc), {"channels_last": 0}, steps=1),
        Foreign("QLinearGlobalAveragePool", (a, s, za, t, zc), {"channels_last": 1}, steps=1),
        Foreign("QLinearConcat", (u, zc, a, s, za, a, t, zb), {"axis": 1}, steps=1, constants=False),
        Foreign("QLinearWhere", (a > 99, a, s, za, b, t, zb, u, zc), steps=1),
        Foreign("QGemm", (x, s, za, w, t, number(0, np.int8), bias, number(9.0), zc), {"alpha": 0.5}),
        Foreign("QGemm", (x, s, za, w.T.copy(), columns, np.zeros(5, np.int8), bias), {"transB": 1}),
        Foreign("MatMulIntegerToFloat", (x, w, s, columns, za, signed, reals(5))),
        Foreign("MatMulIntegerToFloat", (bytes_of(np.uint8, 2, 3, 40), w, s, t, za)),
        Foreign("DynamicQuantizeMatMul", (reals(2, 3, 40), w, columns, np.zeros(5, np.int8), reals(5))),
        Foreign("DynamicQuantizeMatMul", (reals(3, 40), w, t)),
        Foreign("MatMulNBits", (reals(2, 3, 40), few, reals(18)), {"K": 40, "N": 6, "bits": 4, "block_size": 16}),
        Foreign("MatMulNBits", (reals(2, 3, 40), few, reals(18), bytes_of(np.uint8, 12)),
                {"K": 40, "N": 6, "bits": 4, "block_size": 16}),
    ]  # fmt: skip


PROBLEMS: Sequence[Foreign] = (*_fused(), *_attentions(), *_quantised())
