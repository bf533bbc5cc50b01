"""Elements read from, and written to, the places that a tensor of indices names.

In: data, and int32 or int64 indices; negative ones count from the end. Out: the elements, or a changed copy of data.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal, agree, all_agree, axis_of, known, same_dtypes, show
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Operator

Places = tuple[Array, ...]
# How several updates of one place, and what stood there, become one.
_REDUCTIONS: Mapping[str, np.ufunc] = MappingProxyType(
    {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
)


def _check_ranks(data: Shape, indices: Shape, axis: int) -> None:
    """Indices have the rank of data, and reach no further than it on other axes."""
    fits = len(data) == len(indices) and all(
        place == axis or not (isinstance(have, int) and isinstance(want, int)) or want <= have
        for place, (have, want) in enumerate(zip(data, indices, strict=False))
    )
    if not fits:
        raise Mismatch(f"indices must fit {show(data)} on all axes but {axis}", f"they are {show(indices)}")


def _places(indices: Array, axis: int) -> Places:
    """For each element of indices its own position, but for `axis`, where the index itself stands."""
    grid = list(np.ogrid[tuple(slice(0, size) for size in indices.shape)])
    grid[axis] = indices
    return tuple(grid)


def gather_elements(data: Array, indices: Array, *, axis: int) -> Array:
    """For each index, the element of data at its position with the coordinate of `axis` replaced by the index."""
    place = axis_of(axis, data.ndim)
    _check_ranks(data.shape, indices.shape, place)
    return np.asarray(data[_places(indices, place)])


def scatter_elements(data: Array, indices: Array, updates: Array, *, axis: int, reduction: str) -> Array:
    """Data in which each update stands where `gather_elements` would read; the last of several, or all reduced."""
    place = axis_of(axis, data.ndim)
    _check_ranks(data.shape, indices.shape, place)
    _check_updates(indices.shape, updates.shape)
    return _scattered(data, _places(indices, place), updates, reduction)


def _check_updates(wanted: Shape, updates: Shape) -> None:
    if not all_agree(wanted, updates):
        raise Mismatch(f"updates must be {show(wanted)}", f"they are {show(updates)}")


def _scattered(data: Array, places: Places, updates: Array, reduction: str) -> Array:
    changed = data.copy()
    if reduction == "none":
        changed[places] = updates
    elif reduction in _REDUCTIONS:
        _REDUCTIONS[reduction].at(changed, places, updates)
    else:
        raise Refusal(f"reduction must be none, {', '.join(_REDUCTIONS)}", f"it is {reduction}")
    return changed


def gather_nd(data: Array, indices: Array, *, batch_dims: int) -> Array:
    """What the rows of indices [..., depth] name in data, whose first `batch_dims` axes are the indices' own."""
    _gathered_shape(data.shape, indices.shape, batch_dims)
    leading = indices.shape[:-1]
    batch = np.ogrid[tuple(slice(0, size) for size in leading[:batch_dims])] if batch_dims else []
    rows = [np.reshape(axis, axis.shape + (1,) * (len(leading) - batch_dims)) for axis in batch]
    return np.asarray(data[(*rows, *_columns(indices))])


def _columns(indices: Array) -> Places:
    return tuple(indices[..., column] for column in range(indices.shape[-1]))


def _gathered_shape(data: Shape, indices: Shape, batch_dims: int) -> Shape:
    if not indices or not data:
        raise Mismatch("data and indices need an axis", f"they are {show(data)} and {show(indices)}")
    depth = known(indices[-1])
    batched = all(map(agree, data[:batch_dims], indices[:batch_dims]))
    if not 0 <= batch_dims < min(len(data), len(indices)) or batch_dims + depth > len(data) or not batched:
        found = f"they are {show(indices)} with batch_dims {batch_dims}"
        raise Mismatch(f"indices must name places in {show(data)}", found)
    return (*indices[:-1], *data[batch_dims + depth :])


def scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: str) -> Array:
    """Data in which updates stand at the places that the rows of indices name."""
    _check_updates(_gathered_shape(data.shape, indices.shape, 0), updates.shape)
    return _scattered(data, _columns(indices), updates, reduction)


def tensor_scatter(cache: Array, update: Array, starts: Array | None = None, *, axis: int, mode: str) -> Array:
    """A cache [batch, ...] in which each sample's update stands from its start on; circular ones go round."""
    if mode not in ("linear", "circular"):
        raise Refusal("mode must be linear or circular", f"it is {mode}")
    place = _sequence_axis(cache.shape, update.shape, axis)
    first = np.zeros(len(cache), np.int64) if starts is None else starts
    steps = first[:, None] + np.arange(update.shape[place])
    if mode == "circular":
        steps = steps % cache.shape[place]
    elif steps.size and (steps.min() < 0 or steps.max() >= cache.shape[place]):
        raise Mismatch(f"updates must end within {cache.shape[place]}", f"one ends at {int(steps.max()) + 1}")
    changed = cache.copy()
    for sample, rows in enumerate(steps):
        changed[sample][(slice(None),) * (place - 1) + (rows,)] = update[sample]
    return changed


def _sequence_axis(cache: Shape, update: Shape, axis: int) -> int:
    place = axis_of(axis, len(cache))
    rest = zip(cache, update, strict=False)
    if not place or len(cache) != len(update) or not all(agree(*p) for i, p in enumerate(rest) if i != place):
        raise Mismatch(f"the update must be {show(cache)} on all axes but {place}", f"it is {show(update)}")
    return place


def _infer_gather_elements(at: Inference) -> Inferred:
    data, indices = at.shape(0), at.shape(1)
    _check_ranks(data, indices, axis_of(at.attributes["axis"], len(data)))
    return [(at.dtype(0), indices)]


def _infer_scatter_elements(at: Inference) -> Inferred:
    same_dtypes(at, (0, 2))
    data, indices = at.shape(0), at.shape(1)
    _check_ranks(data, indices, axis_of(at.attributes["axis"], len(data)))
    _check_updates(indices, at.shape(2))
    return [(at.dtype(0), data)]


def _infer_gather_nd(at: Inference) -> Inferred:
    return [(at.dtype(0), _gathered_shape(at.shape(0), at.shape(1), at.attributes["batch_dims"]))]


def _infer_scatter_nd(at: Inference) -> Inferred:
    same_dtypes(at, (0, 2))
    _check_updates(_gathered_shape(at.shape(0), at.shape(1), 0), at.shape(2))
    return [(at.dtype(0), at.shape(0))]


def _infer_tensor_scatter(at: Inference) -> Inferred:
    _sequence_axis(at.shape(0), at.shape(1), at.attributes["axis"])
    return [(at.dtype(0), at.shape(0))]


GATHER_ELEMENTS = Operator(
    name="GatherElements",
    since=(11, 13),
    inputs=("data", "indices"),
    attributes=MappingProxyType({"axis": 0}),
    infer=_infer_gather_elements,
    reference=gather_elements,
    summary="For each index the element at its position, with one coordinate replaced by it.",
)

GATHER_ND = Operator(
    name="GatherND",
    since=(11, 12, 13),
    inputs=("data", "indices"),
    attributes=MappingProxyType({"batch_dims": 0}),
    infer=_infer_gather_nd,
    reference=gather_nd,
    summary="The elements or slices that rows of indices name.",
)

SCATTER_ND = Operator(
    name="ScatterND",
    since=(11, 13, 16, 18),
    inputs=("data", "indices", "updates"),
    attributes=MappingProxyType({"reduction": "none"}),
    infer=_infer_scatter_nd,
    reference=in_float32(scatter_nd),
    summary="A copy with other elements or slices where rows of indices name them.",
)

TENSOR_SCATTER = Operator(
    name="TensorScatter",
    since=(24,),
    inputs=("cache", "update", "starts?"),
    attributes=MappingProxyType({"axis": -2, "mode": "linear"}),
    infer=_infer_tensor_scatter,
    reference=tensor_scatter,
    summary="A cache with new steps written from each sample's own start on.",
)

SCATTER_ELEMENTS = Operator(
    name="ScatterElements",
    since=(11, 13, 16, 18),
    inputs=("data", "indices", "updates"),
    attributes=MappingProxyType({"axis": 0, "reduction": "none"}),
    infer=_infer_scatter_elements,
    reference=in_float32(scatter_elements),
    summary="A copy with other elements where indices name them.",
)

SCATTER = Operator(
    name="Scatter",
    since=(9,),
    inputs=("data", "indices", "updates"),
    attributes=MappingProxyType({"axis": 0}),
    infer=_infer_scatter_elements,
    reference=lambda data, indices, updates, *, axis: scatter_elements(
        data, indices, updates, axis=axis, reduction="none"
    ),
    summary="The older name of ScatterElements.",
)

OPERATORS = (GATHER_ELEMENTS, GATHER_ND, SCATTER_ELEMENTS, SCATTER, SCATTER_ND, TENSOR_SCATTER)
