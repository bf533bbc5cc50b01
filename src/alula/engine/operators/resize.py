"""Resampling: nearest and linear, axis by axis.

In: x; scales (float32) or sizes (int64). Out: x at another resolution, in its dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Dim, Shape
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import (
    Mismatch,
    Refusal,
    attribute_to_input,
    axes_of,
    integers,
    with_input,
    without,
)
from alula.engine.operators.record import Inference, Inferred, Operator, UnknownShape

_OPSET_ROI = 11
_ATTRIBUTES = MappingProxyType(
    {
        "antialias": 0,
        "axes": (),
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": -0.75,
        "exclude_outside": 0,
        "extrapolation_value": 0.0,
        "keep_aspect_ratio_policy": "stretch",
        "mode": "nearest",
        "nearest_mode": "round_prefer_floor",
    }
)


@dataclass(frozen=True)
class AxisScale:
    """One axis to resample: its output size and how many output elements one input element becomes."""

    axis: int
    size: Dim
    scale: float


@dataclass(frozen=True)
class _Line:
    """One axis with its numbers known."""

    before: int
    after: int
    scale: float

    @property
    def exact(self) -> float:
        """The output size before it was rounded."""
        return self.before * self.scale

    @property
    def places(self) -> Array:
        """Output positions 0, 1, ... as float64."""
        return np.arange(self.after, dtype=np.float64)


def _half_pixel(line: _Line) -> Array:
    return (line.places + 0.5) / line.scale - 0.5


def _pytorch_half_pixel(line: _Line) -> Array:
    return np.full(line.after, -0.5) if line.exact == 1 else _half_pixel(line)


def _align_corners(line: _Line) -> Array:
    return line.places * 0 if line.exact == 1 else line.places * (line.before - 1) / (line.exact - 1)


def _half_pixel_symmetric(line: _Line) -> Array:
    return line.before / 2 * (1 - line.after / line.exact) + _half_pixel(line)


# Input coordinate of each output element (ONNX, Resize, coordinate_transformation_mode).
_COORDINATES: dict[str, Callable[[_Line], Array]] = {
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": lambda line: line.places / line.scale,
    "half_pixel_symmetric": _half_pixel_symmetric,
}

# Input element nearest to a coordinate. `simple` is what Resize 10 and Upsample did, written by upgrades only.
_NEAREST: dict[str, Callable[[Array, float], Array]] = {
    "round_prefer_floor": lambda x, _: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x, _: np.floor(x + 0.5),
    "floor": lambda x, _: np.floor(x),
    "ceil": lambda x, _: np.ceil(x),
    "simple": lambda x, scale: np.ceil(x) if scale < 1 else np.floor(x),
}


def check_resize(attributes: Any) -> None:
    """Refuse the forms that alula does not have.

    Raises:
        Refusal: cubic, antialiased, or tf_crop_and_resize.
    """
    for name, allowed in (
        ("mode", ("nearest", "linear")),
        ("coordinate_transformation_mode", tuple(_COORDINATES)),
        ("nearest_mode", tuple(_NEAREST)),
        ("keep_aspect_ratio_policy", ("stretch", "not_larger", "not_smaller")),
        ("antialias", (0,)),
    ):
        if attributes[name] not in allowed:
            raise Refusal(f"{name} must be {' or '.join(map(str, allowed))}", f"it is {attributes[name]}")


def resized_axes(x: Shape, scales: Array | None, sizes: Array | None, attributes: Any) -> tuple[AxisScale, ...]:
    """What happens to each axis that `axes` names (all by default).

    Raises:
        Mismatch: neither or both of scales and sizes, or a wrong number of them.
        UnknownShape: a size cannot be written with symbols.
    """
    axes = axes_of(attributes["axes"], len(x)) if attributes["axes"] else tuple(range(len(x)))
    has_scales, has_sizes = scales is not None and scales.size > 0, sizes is not None and sizes.size > 0
    if has_scales == has_sizes:
        raise Mismatch("either scales or sizes must be given", "both are" if has_scales else "none is")
    numbers = scales if has_scales else sizes
    if numbers is None or len(numbers) != len(axes):
        raise Mismatch(
            f"one number for each of {len(axes)} axes", f"there are {0 if numbers is None else len(numbers)}"
        )
    if np.any(numbers <= 0):
        raise Mismatch("scales and sizes must be positive", f"they are {numbers.tolist()}")
    if has_scales:
        return tuple(_by_scale(x, axis, float(scale)) for axis, scale in zip(axes, numbers, strict=True))
    return _by_sizes(x, axes, integers(numbers), attributes["keep_aspect_ratio_policy"])


def _by_scale(x: Shape, axis: int, scale: float) -> AxisScale:
    dim = x[axis]
    if isinstance(dim, int):
        return AxisScale(axis, int(np.floor(dim * scale)), scale)
    if scale.is_integer():
        return AxisScale(axis, dim * int(scale), scale)
    if (1 / scale).is_integer():
        return AxisScale(axis, dim // int(1 / scale), scale)
    raise UnknownShape


def _by_sizes(x: Shape, axes: tuple[int, ...], sizes: tuple[int, ...], policy: str) -> tuple[AxisScale, ...]:
    if policy == "stretch":
        pairs = zip(axes, sizes, strict=True)
        return tuple(AxisScale(axis, size, _ratio(size, x[axis])) for axis, size in pairs)
    ratios = [_ratio(size, x[axis]) for axis, size in zip(axes, sizes, strict=True)]
    if not all(ratios):
        raise UnknownShape
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return tuple(AxisScale(axis, int(scale * _length(x[axis]) + 0.5), scale) for axis in axes)


def _ratio(size: int, dim: Dim) -> float:
    """Output over input; 0 where the input is symbolic."""
    return size / dim if isinstance(dim, int) and dim else 0.0


def _length(dim: Dim) -> int:
    return dim if isinstance(dim, int) else 0


def resize(
    x: Array, roi: Array | None = None, scales: Array | None = None, sizes: Array | None = None, **attributes: Any
) -> Array:
    """X resampled, one axis after the other."""
    del roi  # only tf_crop_and_resize reads it
    check_resize(attributes)
    y = x
    for change in resized_axes(x.shape, scales, sizes, attributes):
        line = _Line(x.shape[change.axis], _length(change.size), change.scale)
        if line.before == line.after and line.scale == 1:
            continue
        y = _resample(y, change.axis, line, attributes)
    return _rounded(y, x.dtype)


def _resample(x: Array, axis: int, line: _Line, attributes: Any) -> Array:
    coordinates = _COORDINATES[attributes["coordinate_transformation_mode"]](line)
    if attributes["mode"] == "nearest":
        nearest = _NEAREST[attributes["nearest_mode"]](coordinates, line.scale)
        return x.take(np.clip(nearest, 0, line.before - 1).astype(np.intp), axis)
    lower = np.floor(coordinates)
    neighbours = np.stack([lower, lower + 1]).astype(np.intp)
    weights = np.stack([1 - (coordinates - lower), coordinates - lower])
    if attributes["exclude_outside"]:
        weights = np.where((neighbours < 0) | (neighbours >= line.before), 0, weights)
        weights /= weights.sum(0)
    return _blend(x, axis, np.clip(neighbours, 0, line.before - 1), weights)


def _blend(x: Array, axis: int, neighbours: Array, weights: Array) -> Array:
    """Weighted sum of two neighbours along an axis; integers are computed in float64."""
    kind = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    column = (-1, *(1,) * (x.ndim - 1 - axis))
    parts = [
        x.take(place, axis) * weight.astype(kind).reshape(column)
        for place, weight in zip(neighbours, weights, strict=True)
    ]
    return np.asarray(parts[0] + parts[1], kind)


def _rounded(y: Array, dtype: Any) -> Array:
    if y.dtype == dtype or dtype.kind == "f":
        return y.astype(dtype, copy=False)
    ends = np.iinfo(dtype)
    return np.clip(np.rint(y), ends.min, ends.max).astype(dtype)


def _infer_resize(at: Inference) -> Inferred:
    check_resize(at.attributes)
    x = at.shape(0)
    scales, sizes = (at.constant(index) if at.has(index) else None for index in (2, 3))
    dims = list(x)
    for change in resized_axes(x, scales, sizes, at.attributes):
        dims[change.axis] = change.size
    return [(at.dtype(0), tuple(dims))]


def _upgrade_resize(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Resize 10 had inputs (x, scales), no roi, and one way to count coordinates."""
    del constant
    if version >= _OPSET_ROI:
        return node
    moved = with_input(with_input(node, 2, node.input(1)), 1, "")
    return moved.with_attributes(coordinate_transformation_mode="asymmetric", nearest_mode="simple")


def _upgrade_upsample(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Upsample is Resize 10 under its older name; before 9 its scales are an attribute."""
    if version < 9:  # noqa: PLR2004
        node = attribute_to_input(node, "scales", 1, constant, np.float32)
    mode = node.text("mode", "nearest")
    old = Node("Resize", node.inputs, node.outputs, without(node, "mode").attributes, node.name, node.domain)
    linear = "linear" if mode == "bilinear" else mode
    return _upgrade_resize(old.with_attributes(mode=linear), 10, constant)


RESIZE = Operator(
    name="Resize",
    since=(10, 11, 13, 18, 19),
    inputs=("x", "roi?", "scales?", "sizes?"),
    attributes=_ATTRIBUTES,
    infer=_infer_resize,
    reference=resize,
    upgrade=_upgrade_resize,
    summary="Another resolution, by nearest or linear interpolation.",
)


def _upsample_attributes(mode: str) -> dict[str, Any]:
    return {**_ATTRIBUTES, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "simple", "mode": mode}


def _infer_upsample(at: Inference) -> Inferred:
    attributes = _upsample_attributes(at.attributes["mode"])
    check_resize(attributes)
    dims = list(at.shape(0))
    for change in resized_axes(at.shape(0), at.constant(1), None, attributes):
        dims[change.axis] = change.size
    return [(at.dtype(0), tuple(dims))]


UPSAMPLE = Operator(
    name="Upsample",
    since=(7, 9),
    inputs=("x", "scales"),
    attributes=MappingProxyType({"mode": "nearest"}),
    infer=_infer_upsample,
    reference=lambda x, scales, *, mode: resize(x, None, scales, **_upsample_attributes(mode)),
    upgrade=_upgrade_upsample,
    summary="The older name of Resize, which upgrades write instead.",
)

OPERATORS = (RESIZE, UPSAMPLE)
