"""Resampling: nearest, linear and cubic, axis by axis.

In: x; scales (float32) or sizes (int64); roi for tf_crop_and_resize. Out: x at another resolution, in its dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Dim, Shape, is_static
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
from alula.engine.operators.precision import is_real, widened
from alula.engine.operators.record import Inference, Inferred, Operator, UnknownShape
from alula.engine.operators.resample import COORDINATES, NEAREST, Line, Taps, taps_of

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


def check_resize(attributes: Any) -> None:
    """Refuse the forms that alula does not have.

    Raises:
        Refusal: a word that the standard does not know, or antialiased nearest neighbours.
    """
    for name, allowed in (
        ("mode", ("nearest", "linear", "cubic")),
        ("coordinate_transformation_mode", tuple(COORDINATES)),
        ("nearest_mode", tuple(NEAREST)),
        ("keep_aspect_ratio_policy", ("stretch", "not_larger", "not_smaller")),
        ("antialias", (0,) if attributes["mode"] == "nearest" else (0, 1)),
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
        # ONNX's shape inference multiplies in float32: 10 rows times float32(0.7) are 7, in float64 they would be 6.
        return AxisScale(axis, int(np.floor(np.float32(dim) * np.float32(scale))), scale)
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
    """X resampled, one axis after the other; integers are computed in float64 and rounded once."""
    check_resize(attributes)
    y = widened(x)
    for axis, line in lines_of(x.shape, (roi, scales, sizes), attributes):
        y = _resample(y, axis, taps_of(line, attributes), attributes)
    return _rounded(y, x.dtype)


def lines_of(
    x: tuple[int, ...], inputs: tuple[Array | None, Array | None, Array | None], attributes: Mapping[str, Any]
) -> list[tuple[int, Line]]:
    """The axes that change, each with its numbers; `inputs` are roi, scales and sizes.

    Raises:
        Mismatch: tf_crop_and_resize lacks its roi; and as `resized_axes`.
    """
    roi, scales, sizes = inputs
    found = []
    changes = resized_axes(x, scales, sizes, attributes)
    crops = attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
    if crops and (roi is None or roi.size != 2 * len(changes)):
        raise Mismatch(f"tf_crop_and_resize needs {2 * len(changes)} numbers as roi", "it has other or none")
    for place, change in enumerate(changes):
        part = (0.0, 1.0)
        if crops and roi is not None:
            part = float(roi[place]), float(roi[place + len(changes)])
        line = Line(x[change.axis], _length(change.size), change.scale, part)
        if line.before != line.after or line.scale != 1 or part != (0.0, 1.0):
            found.append((change.axis, line))
    return found


def _resample(x: Array, axis: int, taps: Taps, attributes: Mapping[str, Any]) -> Array:
    column = (-1, *(1,) * (x.ndim - 1 - axis))
    if attributes["mode"] == "nearest":
        y = x.take(taps.indices[:, 0], axis)
    else:
        kind = x.dtype if is_real(x.dtype) else np.dtype(np.float64)
        y = np.zeros((*x.shape[:axis], len(taps.indices), *x.shape[axis + 1 :]), kind)
        for index, weight in zip(taps.indices.T, taps.weights.T, strict=True):
            y += x.take(index, axis) * weight.astype(kind).reshape(column)
    if taps.outside.any():
        y = np.where(taps.outside.reshape(column), np.asarray(attributes["extrapolation_value"], y.dtype), y)
    return y


def _rounded(y: Array, dtype: Any) -> Array:
    if y.dtype == dtype or is_real(dtype):
        return y.astype(dtype, copy=False)
    ends = np.iinfo(dtype)
    return np.clip(np.rint(y), ends.min, ends.max).astype(dtype)


def _infer_resize(at: Inference) -> Inferred:
    check_resize(at.attributes)
    x = at.shape(0)
    dims = list(x)
    if at.has(3) and not is_static(at.sizes(3)) and not at.has(2):
        return [(at.dtype(0), _symbolic(x, at.sizes(3), at.attributes))]
    scales, sizes = (at.constant(index) if at.has(index) else None for index in (2, 3))
    for change in resized_axes(x, scales, sizes, at.attributes):
        dims[change.axis] = change.size
    return [(at.dtype(0), tuple(dims))]


def _symbolic(x: Shape, sizes: Shape, attributes: Mapping[str, Any]) -> Shape:
    """Sizes that are not all numbers are taken as they are; keeping proportions needs numbers."""
    axes = axes_of(attributes["axes"] or range(len(x)), len(x))
    if attributes["keep_aspect_ratio_policy"] != "stretch" or len(axes) != len(sizes):
        raise UnknownShape
    new = dict(zip(axes, sizes, strict=True))
    return tuple(new.get(axis, dim) for axis, dim in enumerate(x))


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
    summary="Another resolution, by nearest, linear or cubic interpolation.",
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
