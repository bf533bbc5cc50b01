"""Problems: one node with its inputs, for every operator and every form of it that alula runs.

In: nothing. Out: `PROBLEMS`; references, shape inference and lowering are tested on all of them. Families of operators
that would make this file long have one of their own, `problems_FAMILY.py`, joined at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from support import (
    problems_elements,
    problems_indices,
    problems_products,
    problems_quantised,
    problems_reductions,
    problems_sequential,
    problems_signals,
    problems_spatial,
)
from support.problem import (
    EXTREMES,
    X3,
    X4,
    X5,
    Problem,
    bools,
    floats,
    ints,
    number,
    positive,
    problem,
    reals,
    wholes,
)  # fmt: skip


def _convolutions() -> list[Problem]:
    w, b = reals(6, 4, 3, 3), reals(6)
    grouped, deep = reals(6, 2, 3, 2), reals(8, 1, 3, 3)
    return [
        problem("Conv", X4, w),
        problem("Conv", X4, w, b, pads=(1, 2, 0, 1), strides=(2, 1)),
        problem("Conv", X4, w, b, dilations=(2, 3), pads=(2, 3, 2, 3), kernel_shape=(3, 3)),
        problem("Conv", X4, grouped, b, group=2, strides=(2, 3), judge="ort"),
        problem("Conv", X4, deep, reals(8), group=4, pads=(1, 1, 1, 1), judge="ort"),
        problem("Conv", X4, reals(6, 4, 1, 1), strides=(2, 2)),
        problem("Conv", X4, w, auto_pad="SAME_UPPER", strides=(2, 2), judge="ort"),
        problem("Conv", X4, reals(3, 4, 2, 4), auto_pad="SAME_UPPER", judge="ort"),
        problem("Conv", X4, reals(3, 4, 2, 4), auto_pad="SAME_LOWER", strides=(1, 2), judge="ort"),
        problem("Conv", X4, w, auto_pad="VALID", strides=(2, 3), judge="ort"),
        problem("Conv", X3, reals(5, 3, 4), reals(5), strides=(2,), pads=(1, 2), opset=11),
        problem("Conv", X5, reals(3, 2, 2, 3, 2), reals(3), pads=(0, 1, 0, 1, 0, 1), strides=(1, 2, 1), judge="ort"),
        problem("Conv", X4, w, b, opset=1),
        problem("ConvTranspose", X4, reals(4, 3, 3, 2)),
        problem("ConvTranspose", X4, reals(4, 3, 3, 2), reals(3), strides=(2, 3), pads=(1, 0, 2, 1)),
        problem("ConvTranspose", X4, reals(4, 3, 3, 2), strides=(3, 2), output_padding=(2, 1), judge="ort"),
        problem("ConvTranspose", X4, reals(4, 3, 3, 3), strides=(2, 2), output_shape=(18, 17), judge="ort"),
        problem("ConvTranspose", X4, reals(4, 3, 3, 3), strides=(2, 2), output_shape=(19, 17), output_padding=(1, 1),
                judge="ort"),
        problem("ConvTranspose", X4, reals(4, 3, 3, 2), reals(6), group=2, strides=(2, 1), judge="ort"),
        problem("ConvTranspose", X4, reals(4, 1, 3, 3), group=4, dilations=(2, 2), pads=(2, 2, 2, 2), judge="ort"),
        problem("ConvTranspose", X4, reals(4, 2, 3, 3), auto_pad="SAME_UPPER", strides=(2, 2), judge="ort"),
        problem("ConvTranspose", X4, reals(4, 2, 3, 3), auto_pad="SAME_LOWER", strides=(2, 2), judge="ort"),
        problem("ConvTranspose", X4, reals(4, 2, 3, 3), auto_pad="VALID", strides=(2, 2), judge="ort"),
        problem("ConvTranspose", X3, reals(3, 2, 4), strides=(3,), opset=11),
        problem("ConvTranspose", X5, reals(2, 3, 2, 2, 3), strides=(2, 1, 2), judge="ort"),
    ]  # fmt: skip


def _pools() -> list[Problem]:
    shared: list[dict[str, Any]] = [
        {"kernel_shape": (3, 2)},
        {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        {"kernel_shape": (3, 3), "strides": (2, 2), "ceil_mode": 1},
        {"kernel_shape": (2, 2), "strides": (3, 3), "ceil_mode": 1, "pads": (1, 0, 0, 1)},
        {"kernel_shape": (3, 3), "strides": (4, 3), "ceil_mode": 1, "pads": (1, 1, 1, 1)},
        {"kernel_shape": (2, 3), "dilations": (3, 2), "strides": (2, 1), "pads": (1, 2, 1, 2)},
        {"kernel_shape": (2, 2), "dilations": (2, 3), "strides": (3, 2), "ceil_mode": 1},
        {"kernel_shape": (3, 2), "auto_pad": "SAME_UPPER", "strides": (2, 3)},
        {"kernel_shape": (3, 2), "auto_pad": "SAME_LOWER", "strides": (2, 3)},
        {"kernel_shape": (3, 2), "auto_pad": "VALID", "strides": (2, 3)},
    ]
    found = [problem("MaxPool", X4, outputs=2, judge="ort", **attributes) for attributes in shared]
    found += [problem("AveragePool", X4, judge="ort", **attributes) for attributes in shared]
    found += [problem("AveragePool", X4, judge="ort", count_include_pad=1, **attributes) for attributes in shared]
    return [
        *found,
        problem("MaxPool", X4, kernel_shape=(3, 2), storage_order=1, outputs=2, judge="ort"),
        problem("MaxPool", X3, kernel_shape=(3,), strides=(2,), pads=(1, 0)),
        problem("MaxPool", reals(1, 2, 4, 8), kernel_shape=(5, 3), strides=(2, 1), ceil_mode=1, judge="ort"),
        problem("MaxPool", X5, kernel_shape=(2, 3, 2), strides=(1, 2, 2), outputs=2, judge="ort"),
        problem("MaxPool", (X4 * 9).astype(np.int8), kernel_shape=(2, 2), pads=(1, 1, 1, 1), judge="ort"),
        problem("MaxPool", X4, kernel_shape=(2, 2), opset=8),
        problem("AveragePool", X3, kernel_shape=(3,), strides=(2,), pads=(1, 1), count_include_pad=1),
        problem("AveragePool", X5, kernel_shape=(2, 3, 2), strides=(1, 2, 2), judge="ort"),
        problem("AveragePool", X4, kernel_shape=(2, 2), opset=7),
        problem("GlobalAveragePool", X4),
        problem("GlobalAveragePool", X3, opset=1),
        problem("GlobalMaxPool", X4),
        problem("GlobalMaxPool", X5, judge="ort"),
    ]


def _products() -> list[Problem]:
    return [
        problem("MatMul", reals(3, 4), reals(4, 5)),
        problem("MatMul", reals(2, 3, 4), reals(4, 5)),
        problem("MatMul", reals(2, 1, 3, 4), reals(5, 4, 2)),
        problem("MatMul", reals(4), reals(4, 5)),
        problem("MatMul", reals(3, 4), reals(4)),
        problem("MatMul", reals(4), reals(4), opset=1),
        problem("Gemm", reals(3, 4), reals(4, 5)),
        problem("Gemm", reals(3, 4), reals(4, 5), reals(5), alpha=0.5, beta=2.0),
        problem("Gemm", reals(4, 3), reals(5, 4), reals(3, 1), transA=1, transB=1),
        problem("Gemm", reals(3, 4), reals(5, 4), reals(1), transB=1, opset=11),
        problem("Gemm", reals(3, 4), reals(4, 5), reals(3, 5), opset=7),
        problem("Gemm", reals(3, 4), reals(4, 5), reals(5), broadcast=1, opset=6),
    ]


def _norms() -> list[Problem]:
    c = (reals(4), reals(4, low=-1), reals(4, low=-2), positive(4))
    found = [problem(op, X4, axis=axis) for op in ("Softmax", "LogSoftmax") for axis in (0, 1, -1, -2)]
    found += [
        problem(op, X4, opset=opset, judge="ort", **attributes)
        for op in ("Softmax", "LogSoftmax")
        for opset in (7, 11)
        for attributes in ({}, {"axis": 0}, {"axis": 2}, {"axis": -1 if opset == 11 else 3})
    ]
    return [
        *found,
        problem("Softmax", X4),
        problem("Softmax", floats(100.0, 1000.0, -1000.0, -np.inf)),
        problem("BatchNormalization", X4, *c),
        problem("BatchNormalization", reals(5, 4), *c, epsilon=0.1),
        problem("BatchNormalization", X4, *c, opset=9, judge="ort"),
        problem("BatchNormalization", X4, *c, opset=7, spatial=1, judge="ort"),
        problem("InstanceNormalization", X4, c[0], c[1]),
        problem("InstanceNormalization", X4, c[0], c[1], epsilon=0.5, opset=6),
        problem("LayerNormalization", X4, reals(8), reals(8, low=-1), outputs=3),
        problem("LayerNormalization", X4, reals(4, 9, 8), axis=1, epsilon=0.01),
        problem("LayerNormalization", X4, reals(9, 8), None, axis=-2, opset=17),
        problem("LRN", X4, size=3, judge="ort"),
        problem("LRN", reals(6, 6, 3, 2), size=4, alpha=0.3, beta=0.5, bias=2.0),
        problem("LRN", X4, size=5, opset=1, judge="ort"),
        problem("LRN", X4, size=99, judge="ort"),
    ]


def _activations() -> list[Problem]:
    plain = [
        ("Relu", 14), ("Sigmoid", 13), ("HardSwish", 14), ("Tanh", 13), ("Erf", 13), ("Softplus", 1), ("Mish", 18),
        ("LeakyRelu", 16), ("HardSigmoid", 6), ("Elu", 6), ("Gelu", 20), ("Sqrt", 13), ("Exp", 13), ("Log", 13),
        ("Neg", 13), ("Abs", 13), ("Reciprocal", 13), ("Floor", 13), ("Ceil", 13), ("Identity", 16), ("Swish", 24),
    ]  # fmt: skip
    found = [problem(op, X4, opset=max(opset, 22)) for op, opset in plain if op not in ("Sqrt", "Log")]
    found += [problem(op, EXTREMES, opset=max(opset, 22), judge="ort") for op, opset in plain if opset < 23]
    found += [problem(op, X3, opset=6) for op in ("Relu", "Sigmoid", "Tanh", "Elu", "Exp", "Neg", "Floor", "Ceil")]
    return [
        *found,
        problem("Sqrt", positive(3, 4)),
        problem("Log", positive(3, 4)),
        problem("Abs", wholes(3, 4)),
        problem("Neg", wholes(3, 4)),
        problem("LeakyRelu", X3, alpha=0.3, opset=6),
        problem("LeakyRelu", X3, alpha=1.5),
        problem("HardSigmoid", X4, alpha=0.5, beta=0.3),
        problem("Elu", X4, alpha=2.5),
        problem("Gelu", X4, approximate="tanh"),
        problem("Gelu", EXTREMES, approximate="tanh", judge="ort"),
        problem("Swish", X4, alpha=1.7, opset=24),
        problem("PRelu", X4, reals(4, 1, 1)),
        problem("PRelu", X4, reals(1), opset=9),
        problem("PRelu", X4, reals(9, 8), opset=7),
        problem("Clip", X4),
        problem("Clip", X4, number(-1)),
        problem("Clip", X4, None, number(0.5)),
        problem("Clip", X4, number(-1), number(0.5), opset=12),
        problem("Clip", X4, number(1), number(-1)),
        problem("Clip", wholes(3, 4), number(-2, np.int32), number(5, np.int32)),
        problem("Clip", EXTREMES, number(0), number(6), judge="ort"),
        problem("Clip", X4, min=-1.0, max=0.5, opset=6),
        problem("Clip", X4, max=0.5, opset=6),
        problem("Clip", X4, opset=6),
    ]


def _arithmetic() -> list[Problem]:
    pairs = [(X4, X4), (X4, reals(9, 1)), (reals(4, 1, 1), X4), (X4, reals(1)), (reals(3, 1), reals(1, 4))]
    found = [problem(op, *pair) for op in ("Add", "Sub", "Mul", "Div") for pair in pairs]
    found += [problem(op, wholes(3, 4), wholes(4)) for op in ("Add", "Sub", "Mul")]
    found += [problem(op, X4, reals(9, 8), opset=6, broadcast=1) for op in ("Add", "Mul")]
    many = (reals(3, 4), reals(4), reals(3, 1))
    found += [problem(op, *many) for op in ("Min", "Max", "Sum", "Mean")]
    found += [problem(op, reals(3, 4), opset=8) for op in ("Min", "Max", "Sum", "Mean")]
    relations = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")
    found += [problem(op, wholes(3, 4), wholes(4)) for op in relations]
    found += [problem(op, X4, reals(9, 1)) for op in relations]
    found += [problem(op, EXTREMES, EXTREMES[::-1].copy()) for op in relations]
    found += [problem(op, X4, X4, opset=9) for op in ("Less", "Greater")]
    found += [problem(op, bools(3, 4), bools(4)) for op in ("And", "Or")]
    found += [problem("Pow", positive(3, 4), number(exponent)) for exponent in (2, 0.5, 1, 3, -1, 1.7)]
    return [
        *found,
        problem("Min", EXTREMES, EXTREMES[::-1].copy()),
        problem("Max", EXTREMES, EXTREMES[::-1].copy()),
        problem("Div", wholes(3, 4), wholes(5, 1, 4), judge="ort"),
        problem("Div", np.asarray([7, -7, 8], np.int64), np.asarray([2, 2, -3], np.int64), judge="ort"),
        problem("Div", np.asarray([7, 200], np.uint8), np.asarray([2, 3], np.uint8)),
        problem("Pow", positive(3, 4), reals(4)),
        problem("Pow", positive(3, 4), ints(2), opset=12),
        problem("Pow", wholes(3, 4), floats(2.0), opset=15),
        problem("Pow", positive(3, 4), reals(4), opset=7),
        problem("Not", bools(3, 4)),
        problem("Where", bools(3, 1), reals(3, 4), reals(4)),
        problem("Where", bools(4), wholes(3, 4), wholes(1), opset=9),
        problem("Reciprocal", positive(3, 4), opset=6),
    ]


def _reductions() -> list[Problem]:
    found = []
    for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"):
        old = 11 if op == "ReduceSum" else 13
        found += [
            problem(op, reals(3, 4, 5)),
            problem(op, reals(3, 4, 5), ints(1)),
            problem(op, reals(3, 4, 5), ints(-1, 0), keepdims=0),
            problem(op, reals(3, 4, 5), keepdims=0),
            problem(op, reals(3, 4, 5), noop_with_empty_axes=1),
            problem(op, reals(3, 4, 5), ints(), noop_with_empty_axes=1, judge="ort"),
            problem(op, reals(3, 4, 5), axes=(0, 2), opset=old),
            problem(op, reals(3, 4, 5), axes=(1,), keepdims=0, opset=old),
            problem(op, reals(3, 4, 5), opset=old),
            problem(op, wholes(3, 4), ints(1)),
        ]
    found += [problem(op, reals(0, 3), ints(0), judge="ort") for op in ("ReduceMax", "ReduceMin", "ReduceSum")]
    return found


def _views() -> list[Problem]:
    return [
        problem("Reshape", X4, ints(4, -1)),
        problem("Reshape", X4, ints(0, -1, 8)),
        problem("Reshape", X4, ints(0, 0, 72)),
        problem("Reshape", X4, ints(-1)),
        problem("Reshape", reals(1), ints()),
        problem("Reshape", reals(0, 3), ints(3, 0), allowzero=1),
        problem("Reshape", reals(0, 3), ints(0, 3), opset=13),
        problem("Flatten", X4),
        problem("Flatten", X4, axis=0),
        problem("Flatten", X4, axis=4),
        problem("Flatten", X4, axis=-2),
        problem("Flatten", X4, axis=2, opset=9),
        problem("Squeeze", reals(1, 3, 1, 4)),
        problem("Squeeze", reals(1, 3, 1, 4), ints(-2)),
        problem("Squeeze", reals(1, 3, 1, 4), axes=(0, 2), opset=11),
        problem("Unsqueeze", X3, ints(0, -1)),
        problem("Unsqueeze", X3, ints(2, 1), judge="ort"),
        problem("Unsqueeze", X3, axes=(0, 4), opset=11),
        problem("Identity", wholes(3)),
        problem("Dropout", X3),
        problem("Dropout", X3, number(0.3), number(0, np.bool_), outputs=2),
        problem("Dropout", X3, ratio=0.3, opset=10),
    ]


def _moves() -> list[Problem]:
    return [
        problem("Concat", reals(2, 3), reals(2, 5), reals(2, 1), axis=1),
        problem("Concat", X3, X3, axis=-3),
        problem("Concat", wholes(4), axis=0, opset=4),
        problem("Split", X4, outputs=2, axis=1, num_outputs=2),
        problem("Split", reals(2, 7), outputs=3, axis=-1, num_outputs=3),
        problem("Split", X4, ints(1, 3), outputs=2, axis=1),
        problem("Split", X4, ints(2, 0, 7), outputs=3, axis=2, opset=13),
        problem("Split", X4, outputs=4, axis=1, opset=13),
        problem("Split", X4, outputs=2, axis=1, opset=11),
        problem("Split", X4, outputs=2, axis=1, split=(3, 1), opset=11),
        problem("Slice", X4, ints(1, 2), ints(3, 7), ints(1, 2)),
        problem("Slice", X4, ints(0, -3), ints(2**63 - 1, -1), ints(0, -1), ints(1, 1)),
        problem("Slice", X4, ints(-1), ints(-(2**62)), ints(2), ints(-1)),
        problem("Slice", X4, ints(7), ints(-100), ints(2), ints(-3)),
        problem("Slice", X4, ints(1, 0, 3, 1), ints(2, 100, 2, 8)),
        problem("Slice", X4, ints(1), ints(8), ints(-1), ints(3), opset=10),
        problem("Slice", X4, ints(20), ints(30), ints(2)),
        problem("Slice", X4, starts=(1, -5), ends=(2, 1000), axes=(0, 3), opset=9),
        problem("Slice", X4, starts=(1, 1), ends=(2, -1), opset=1),
        problem("Transpose", X4),
        problem("Transpose", X4, perm=(0, 2, 3, 1)),
        problem("Transpose", number(3.0)),
        problem("Pad", X3, ints(0, 1, 2, 0, 0, 3)),
        problem("Pad", X3, ints(0, 1, 2, 0, 0, 3), number(1.5)),
        problem("Pad", X3, ints(0, -1, 2, 0, 0, -3), number(1.5), opset=13, judge="ort"),
        problem("Pad", X3, ints(0, 1, 2, 0, 2, 3), mode="reflect"),
        problem("Pad", X3, ints(0, 1, 2, 0, 2, 3), mode="edge"),
        problem("Pad", X3, ints(0, 1, 2, 0, 2, 3), mode="wrap"),
        problem("Pad", X3, ints(1, 2), None, ints(-1), mode="edge"),
        problem("Pad", X3, ints(2, 1, 0, 3), number(2), ints(2, 0)),
        problem("Pad", X3, pads=(0, 1, 2, 0, 0, 3), value=2.5, opset=2),
        problem("Pad", X3, pads=(0, 1, 2, 0, 0, 3), mode="reflect", opset=2, judge="ort"),
        problem("Pad", wholes(3, 4), ints(1, 0, 0, 2), number(7, np.int32)),
        problem("Gather", X3, ints(1, -1, 0)),
        problem("Gather", X3, ints(1, 1), axis=2),
        problem("Gather", X3, number(1, np.int64), axis=-1),
        problem("Gather", X3, np.asarray([[0, 1], [2, 0]], np.int32), axis=1, opset=11),
        problem("Expand", reals(3, 1), ints(2, 1, 4)),
        problem("Expand", reals(3, 4), ints(1)),
        problem("Tile", reals(2, 3), ints(2, 1)),
        problem("Tile", reals(2, 3), ints(0, 3), opset=6),
        problem("DepthToSpace", reals(2, 8, 2, 3), blocksize=2),
        problem("DepthToSpace", reals(2, 8, 2, 3), blocksize=2, mode="CRD"),
        problem("DepthToSpace", reals(1, 9, 2, 2), blocksize=3, opset=1),
        problem("SpaceToDepth", reals(2, 3, 4, 6), blocksize=2),
    ]


def _resamplings() -> list[Problem]:
    modes = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
    rounds = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    image = reals(1, 2, 5, 4)
    scales, sizes = floats(1, 1, 1.7, 0.6), ints(1, 2, 3, 9)
    found = [
        problem(
            "Resize", image, None, s, z, mode=mode, coordinate_transformation_mode=coordinates, nearest_mode=nearest
        )
        for mode in ("nearest", "linear")
        for coordinates in modes
        for nearest in (rounds if mode == "nearest" else rounds[:1])
        for s, z in ((scales, None), (None, sizes))
    ]
    return [
        *found,
        problem("Resize", image, None, floats(1, 1, 2, 2), mode="nearest"),
        problem("Resize", image, None, floats(1, 1, 2, 2), mode="linear", opset=13),
        problem("Resize", image, None, None, ints(1, 2, 1, 1), mode="linear",
                coordinate_transformation_mode="pytorch_half_pixel"),
        problem("Resize", image, None, None, ints(1, 2, 1, 1), mode="linear",
                coordinate_transformation_mode="align_corners"),
        problem("Resize", image, floats(), floats(1, 1, 0.5, 3), mode="linear", opset=11),
        problem("Resize", image, None, floats(1.5, 2.0), axes=(3, 2), mode="linear"),
        problem("Resize", image, None, None, ints(7, 8), axes=(2, 3), mode="nearest", opset=18),
        problem("Resize", image, None, None, ints(7, 9), axes=(2, 3), keep_aspect_ratio_policy="not_larger"),
        problem("Resize", image, None, None, ints(7, 9), axes=(2, 3), keep_aspect_ratio_policy="not_smaller",
                mode="linear"),
        problem("Resize", image, None, floats(1, 1, 0.4, 1.9), mode="linear", exclude_outside=1),
        problem("Resize", image, floats(1, 1, 2, 3), mode="nearest", opset=10, judge="ort"),
        problem("Resize", reals(1, 1, 2, 4), floats(1, 1, 0.6, 0.6), mode="nearest", opset=10, judge="ort"),
        problem("Resize", image, floats(1, 1, 1.7, 2.5), mode="nearest", opset=10, judge="ort"),
        problem("Resize", image, floats(1, 1, 1.7, 0.6), mode="linear", opset=10, judge="ort"),
        problem("Upsample", image, floats(1, 1, 2, 3), mode="nearest", opset=9, judge="ort"),
        problem("Upsample", image, floats(1, 1, 1.5, 2.3), mode="linear", opset=9, judge="ort"),
        problem("Upsample", image, scales=(1.0, 1.0, 2.0, 3.0), mode="nearest", opset=7, judge="ort"),
        problem("Upsample", image, scales=(1.0, 1.0, 2.0, 3.0), mode="linear", opset=7, judge="ort"),
    ]  # fmt: skip


def _picks() -> list[Problem]:
    ties = np.asarray([[3, 1, 3, 2], [5, 5, 0, 5]], np.float32)
    variants: tuple[dict[str, Any], ...] = ({}, {"axis": 1, "keepdims": 0}, {"axis": -1, "select_last_index": 1})
    found = [problem(op, x, **attributes) for op in ("ArgMax", "ArgMin") for x in (ties, X3) for attributes in variants]
    return [
        *found,
        problem("ArgMax", X3, axis=2, opset=11),
        problem("ArgMin", X3, axis=2, opset=1),
        problem("TopK", ties, ints(3), outputs=2),
        problem("TopK", ties, ints(3), largest=0, outputs=2),
        problem("TopK", X3, ints(2), axis=1, outputs=2),
        problem("TopK", wholes(5, 6), ints(4), outputs=2, axis=0, opset=11),
        problem("TopK", X3, ints(2), axis=0, outputs=2, opset=10),
        problem("TopK", X3, k=2, axis=-1, outputs=2, opset=1),
    ]


def _constants() -> list[Problem]:
    codes = (1, 6, 7, 9, 10, 11)
    return [
        *(problem("Cast", X3, to=code) for code in codes),
        *(problem("Cast", np.arange(4, dtype=np.int32), to=code, opset=9) for code in codes),
        problem("Cast", bools(3, 2), to=1),
        problem("Constant", value=reals(2, 3)),
        problem("Constant", value_float=2.5),
        problem("Constant", value_floats=(2.5, 1.0)),
        problem("Constant", value_int=3),
        problem("Constant", value_ints=(3, 4)),
        problem("Constant", value=wholes(3), opset=9),
        problem("ConstantOfShape", ints(2, 3)),
        problem("ConstantOfShape", ints(), value=np.asarray([7], np.int64)),
        problem("ConstantOfShape", ints(0, 2), value=np.asarray([True])),
        problem("Range", number(1), number(4.1), number(0.5)),
        problem("Range", number(5, np.int64), number(-4, np.int64), number(-2, np.int64)),
        problem("Range", number(5, np.int32), number(5, np.int32), number(2, np.int32)),
        problem("Shape", X4),
        problem("Shape", X4, start=1, end=-1),
        problem("Shape", X4, start=-2),
        problem("Shape", X4, opset=13),
        problem("Size", X4),
    ]


PROBLEMS: Sequence[Problem] = (
    *_convolutions(), *_pools(), *_products(), *_norms(), *_activations(), *_arithmetic(), *_reductions(), *_views(),
    *_moves(), *_resamplings(), *_picks(), *_constants(), *problems_spatial.PROBLEMS,
    *problems_elements.PROBLEMS, *problems_reductions.PROBLEMS,
    *problems_indices.PROBLEMS,
    *problems_sequential.PROBLEMS,
    *problems_signals.PROBLEMS,
    *problems_quantised.PROBLEMS,
    *problems_products.PROBLEMS,
)  # fmt: skip
