"""Interpolation along one axis as a table: which input elements an output element is made of, and how much of each.

In: sizes and scale of an axis, the attributes of Resize, the region of interest. Out: `Taps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from alula.engine.graph.nodes import Array


@dataclass(frozen=True)
class Line:
    """One axis to resample: `after` elements out of `before`.

    Attributes:
        scale: output elements of one input element, before the output size was rounded.
        roi: the part of the axis that tf_crop_and_resize looks at, in [0, 1].
    """

    before: int
    after: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)

    @property
    def exact(self) -> float:
        """The output size before it was rounded."""
        return self.before * self.scale

    @property
    def places(self) -> Array:
        """Output positions 0, 1, ... as float64."""
        return np.arange(self.after, dtype=np.float64)


@dataclass(frozen=True)
class Taps:
    """What each output element of an axis is made of.

    Attributes:
        indices: input elements [after, taps], all inside of the axis.
        weights: float64 [after, taps].
        outside: output elements that show the extrapolation value instead [after].
    """

    indices: Array
    weights: Array
    outside: Array


def _half_pixel(line: Line) -> Array:
    return (line.places + 0.5) / line.scale - 0.5


def _pytorch_half_pixel(line: Line) -> Array:
    return np.full(line.after, -0.5) if line.exact == 1 else _half_pixel(line)


def _align_corners(line: Line) -> Array:
    return line.places * 0 if line.exact == 1 else line.places * (line.before - 1) / (line.exact - 1)


def _half_pixel_symmetric(line: Line) -> Array:
    return line.before / 2 * (1 - line.after / line.exact) + _half_pixel(line)


def _crop(line: Line) -> Array:
    start, end = line.roi
    reach = (end - start) * (line.before - 1)
    inside = np.full(line.after, reach / 2) if line.exact == 1 else line.places * reach / (line.exact - 1)
    return inside + start * (line.before - 1)


# Input coordinate of each output element (ONNX, Resize, coordinate_transformation_mode).
COORDINATES: Mapping[str, Callable[[Line], Array]] = {
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": lambda line: line.places / line.scale,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "tf_crop_and_resize": _crop,
}

# Input element nearest to a coordinate. `simple` is what Resize 10 and Upsample did, written by upgrades only.
NEAREST: Mapping[str, Callable[[Array, float], Array]] = {
    "round_prefer_floor": lambda x, _: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x, _: np.floor(x + 0.5),
    "floor": lambda x, _: np.floor(x),
    "ceil": lambda x, _: np.ceil(x),
    "simple": lambda x, scale: np.ceil(x) if scale < 1 else np.floor(x),
}


def triangle(x: Array) -> Array:
    """The filter of linear interpolation; 0 from 1 on."""
    return np.asarray(np.clip(1 - np.abs(x), 0, 1))


def cubic(x: Array, a: float) -> Array:
    """The filter of cubic convolution; 0 from 2 on (R. Keys, Cubic convolution interpolation, IEEE ASSP 29, 1981)."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))  # noqa: PLR2004  pieces of the filter


def taps_of(line: Line, attributes: Mapping[str, Any]) -> Taps:
    """The table of one axis under the attributes of Resize."""
    mode = attributes["coordinate_transformation_mode"]
    coordinates = COORDINATES[mode](line)
    outside = np.zeros(line.after, np.bool_)
    if mode == "tf_crop_and_resize":
        outside = (coordinates < 0) | (coordinates > line.before - 1)
    if attributes["mode"] == "nearest":
        nearest = NEAREST[attributes["nearest_mode"]](coordinates, line.scale)[:, None]
        return Taps(_inside(nearest, line), np.ones(nearest.shape), outside)
    indices, weights = _filtered(coordinates, line, attributes)
    if attributes["exclude_outside"]:
        weights = np.where((indices < 0) | (indices >= line.before), 0, weights)
    if attributes["exclude_outside"] or attributes["antialias"]:
        total = weights.sum(1, keepdims=True)
        weights = weights / np.where(total == 0, 1, total)
    return Taps(_inside(indices, line), weights, outside)


def _filtered(coordinates: Array, line: Line, attributes: Mapping[str, Any]) -> tuple[Array, Array]:
    """Elements under the filter and its values there; antialiasing makes the filter wider where the axis shrinks."""
    shrink = min(line.scale, 1.0) if attributes["antialias"] else 1.0
    is_cubic = attributes["mode"] == "cubic"
    first = int(np.floor(-(2 if is_cubic else 1) / shrink) + 1)
    steps = np.arange(first, 2 - first)
    below = np.floor(coordinates)
    distances = (steps - (coordinates - below)[:, None]) * shrink
    weights = cubic(distances, attributes["cubic_coeff_a"]) if is_cubic else triangle(distances)
    return below[:, None] + steps, weights


def _inside(indices: Array, line: Line) -> Array:
    # NaN, which a hostile region or scale makes, would pass the clip and become a number far outside.
    numbers: Array = np.nan_to_num(indices)
    return np.clip(numbers, 0, max(line.before - 1, 0)).astype(np.intp)
