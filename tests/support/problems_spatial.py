"""Problems of operators over pictures: resampling, sampling at coordinates, regions, boxes, transposed windows.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from support.problem import X3, X4, X5, Problem, floats, ints, number, problem, reals, wholes

_PICTURE = reals(1, 2, 5, 4)
_GRID = reals(2, 3, 5, 2, low=-1.4, high=1.4)
_ROIS = floats(0.5, 1.0, 6.0, 7.5, 2.0, 2.0, 3.1, 8.0, -3.0, -2.0, 1.0, 0.5).reshape(3, 4)
_WHICH = ints(0, 1, 1)


def _resamplings() -> list[Problem]:
    scales, sizes = floats(1, 1, 1.7, 0.6), ints(1, 2, 3, 9)
    modes = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
    crop: dict[str, Any] = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.5}
    doubled = ints(*_PICTURE.shape[:2], 2 * _PICTURE.shape[2], 2 * _PICTURE.shape[3])
    roi = floats(0, 0, 0.2, -0.3, 1, 1, 1.4, 0.7)
    return [
        *(
            problem("Resize", _PICTURE, None, s, z, mode="cubic", coordinate_transformation_mode=place)
            for place in modes
            for s, z in ((scales, None), (None, sizes))
        ),
        *(
            problem("Resize", _PICTURE, None, None, doubled, nearest_mode=way, coordinate_transformation_mode=place)
            for place in ("half_pixel", "asymmetric")
            for way in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
        ),
        problem("Resize", _PICTURE, None, scales, mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1),
        problem("Resize", _PICTURE, roi, None, sizes, mode="linear", **crop),
        problem("Resize", _PICTURE, roi, None, ints(1, 2, 1, 6), mode="nearest", **crop),
        problem("Resize", _PICTURE, roi, scales, mode="cubic", **crop),
        problem("Resize", _PICTURE, roi[[2, 3, 6, 7]], None, ints(6, 7), axes=(2, 3), mode="linear", **crop),
        problem("Resize", reals(1, 2, 11, 13), None, None, ints(1, 2, 4, 5), mode="linear", antialias=1),
        problem("Resize", reals(1, 2, 11, 13), None, None, ints(1, 2, 14, 5), mode="cubic", antialias=1),
        problem("Resize", reals(1, 2, 11, 13), None, None, ints(1, 2, 4, 20), mode="linear", antialias=1,
                exclude_outside=1),
        problem("Resize", X3, None, None, ints(2, 3, 16), mode="linear"),
        problem("Resize", X5, None, floats(1, 1, 2, 0.5, 1.7), mode="linear"),
        problem("Resize", X5, None, floats(1, 1, 2, 0.5, 1.7), mode="nearest"),
        problem("Resize", reals(3, 4, 5), None, None, ints(6, 2, 5), mode="linear", judge="onnx"),
        problem("Resize", reals(2, 17, 9, 3), None, None, ints(2, 17, 13, 21), mode="linear"),
        problem("Resize", np.arange(40, dtype=np.uint8).reshape(1, 2, 5, 4) * 6, None, scales, mode="nearest"),
        problem("Resize", _PICTURE.astype(np.float16), None, None, sizes, mode="nearest"),
        problem("Resize", _PICTURE.astype(np.float64), None, None, sizes, mode="linear"),
        problem("Resize", wholes(1, 2, 5, 4), None, None, sizes, mode="linear"),
    ]  # fmt: skip


def _samplings() -> list[Problem]:
    wide = reals(2, 3, 6, 5)
    deep, grid = reals(1, 2, 3, 4, 5), reals(1, 2, 3, 2, 3, low=-1.3, high=1.3)
    theta, cube = reals(2, 2, 3, low=-1.0, high=1.0), reals(2, 3, 4, low=-1.0, high=1.0)
    found = [
        problem("GridSample", wide, _GRID, mode=mode, padding_mode=padding, align_corners=corners)
        for mode in ("linear", "nearest", "cubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (0, 1)
    ]
    return [
        *found,
        *(
            problem("GridSample", deep, grid, mode=mode, padding_mode=padding)
            for mode in ("linear", "nearest")
            for padding in ("zeros", "border", "reflection")
        ),
        problem("GridSample", wide, _GRID, mode="bilinear", opset=16, judge="ort"),
        problem("GridSample", wide, _GRID, mode="bicubic", opset=16, judge="ort"),
        problem("GridSample", wide, _GRID, opset=20),
        *(problem("AffineGrid", theta, ints(2, 3, 4, 5), align_corners=corners) for corners in (0, 1)),
        *(problem("AffineGrid", cube, ints(2, 3, 4, 5, 2), align_corners=corners) for corners in (0, 1)),
    ]


def _deformations() -> list[Problem]:
    x, w = reals(2, 4, 6, 5), reals(4, 2, 3, 2)
    offset, mask = reals(2, 2 * 6 * 2, 6, 6), reals(2, 2 * 6, 6, 6)
    attributes: dict[str, Any] = {"group": 2, "offset_group": 2, "pads": (1, 1, 1, 1)}
    return [
        problem("DeformConv", x, w, offset, **attributes),
        problem("DeformConv", x, w, offset, reals(4), mask, **attributes),
        problem("DeformConv", x, w, offset, None, mask, opset=19, **attributes),
        problem("DeformConv", x, reals(3, 4, 2, 2), reals(2, 8, 2, 2), strides=(2, 2), dilations=(2, 1)),
        problem("Col2Im", reals(2, 12, 16), ints(5, 6), ints(2, 3)),
        problem("Col2Im", reals(1, 8, 9), ints(5, 6), ints(2, 2), strides=(2, 3), pads=(0, 1, 1, 1)),
        problem("Col2Im", reals(1, 8, 9), ints(5, 6), ints(2, 2), dilations=(2, 3), judge="onnx"),
        problem("Col2Im", reals(1, 8, 24), ints(3, 4, 5), ints(2, 2, 2)),
    ]


def _regions() -> list[Problem]:
    x = reals(2, 3, 8, 9)
    size: dict[str, Any] = {"output_height": 3, "output_width": 2}
    boxes = floats(
        0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, -0.1, 1, 0.9, 0, 10, 1, 11, 0, 10.1, 1, 11.1, 1, 101, 0, 100
    ).reshape(1, 6, 4)  # fmt: skip
    scores = floats(0.9, 0.75, 0.6, 0.95, 0.5, 0.3, 0.1, 0.1, 0.8, 0.2, 0.8, 0.05).reshape(1, 2, 6)
    limits = ints(3), floats(0.5), floats(0.0)
    regions = np.c_[[0, 1, 1], _ROIS].astype(np.float32)
    return [
        problem("RoiAlign", x, _ROIS, _WHICH, **size),
        problem("RoiAlign", x, _ROIS, _WHICH, sampling_ratio=2, spatial_scale=0.5, **size),
        problem("RoiAlign", x, _ROIS, _WHICH, coordinate_transformation_mode="output_half_pixel", **size),
        problem("RoiAlign", x, _ROIS, _WHICH, mode="max", sampling_ratio=2, **size),
        problem("RoiAlign", x, _ROIS, _WHICH, opset=10, judge="ort", **size),
        problem("MaxRoiPool", x, regions, pooled_shape=(3, 2), opset=21, judge="ort"),
        problem("MaxRoiPool", x, regions, pooled_shape=(2, 4), spatial_scale=0.4, opset=1, judge="ort"),
        problem("NonMaxSuppression", boxes, scores, *limits),
        problem("NonMaxSuppression", boxes, scores, ints(2), floats(0.3)),
        problem("NonMaxSuppression", boxes, scores, ints(6), floats(0.5), floats(0.2), center_point_box=1),
        problem("NonMaxSuppression", boxes, scores, *limits, opset=10),
    ]  # fmt: skip


def _borders() -> list[Problem]:
    positions = ints(1, 7, 13, 15, 18, 30).reshape(1, 1, 2, 3)
    window: dict[str, Any] = {"kernel_shape": (2, 2), "strides": (2, 2)}
    return [
        problem("CenterCropPad", X4, ints(2, 3, 12, 5)),
        problem("CenterCropPad", X4, ints(6, 11), axes=(-1, 1)),
        problem("CenterCropPad", wholes(5, 7), ints(2, 8)),
        problem("MaxUnpool", reals(1, 1, 2, 3), positions - 8 * (positions > 20), **window),
        problem("MaxUnpool", reals(1, 1, 2, 3), positions - 8 * (positions > 20), ints(1, 1, 5, 8), **window),
        problem("MaxUnpool", reals(1, 1, 4), ints(0, 3, 4, 7).reshape(1, 1, 4), kernel_shape=(2,), strides=(2,),
                opset=9),
        problem("Pad", X3, ints(0, 1, 2, 1, 0, 3), mode="wrap"),
        problem("Pad", X3, ints(-1, 2, 1, -2), None, ints(1, 2), mode="edge", judge="ort"),
        problem("Pad", X3, ints(2, 3), None, ints(-1), mode="reflect"),
        problem("Pad", wholes(3, 4), ints(1, 0, 2, 3), number(5, np.int32)),
    ]  # fmt: skip


PROBLEMS: Sequence[Problem] = (*_resamplings(), *_samplings(), *_deformations(), *_regions(), *_borders())
