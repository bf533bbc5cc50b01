"""Choosing among overlapping boxes: NonMaxSuppression.

In: boxes [N, B, 4], scores [N, C, B], limits as scalars. Out: int64 [chosen, 3]: picture, class, box.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, agree, show
from alula.engine.operators.record import Inference, Operator, Partial


def non_max_suppression(
    boxes: Array,
    scores: Array,
    most: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    *,
    center_point_box: int,
) -> Array:
    """Boxes of each picture and class, best score first, without those that overlap a chosen one too much."""
    _check(boxes.shape, scores.shape)
    limit = 0 if most is None or not most.size else max(int(most.reshape(-1)[0]), 0)
    overlap = _number(iou_threshold, 0.0)
    least = _number(score_threshold, None)
    corners = _corners(boxes, center_point_box)
    found = [
        (picture, name, box)
        for picture in range(scores.shape[0])
        for name in range(scores.shape[1])
        for box in _chosen(corners[picture], scores[picture, name], limit, overlap, least)
    ]
    return np.asarray(found, np.int64).reshape(-1, 3)


def _number(array: Array | None, default: float | None) -> float | None:
    return default if array is None or not array.size else float(array.reshape(-1)[0])


def _corners(boxes: Array, center_point_box: int) -> Array:
    """Corners [N, B, 4]: the smaller two coordinates, then the larger two."""
    if center_point_box:
        middle, half = boxes[..., :2], boxes[..., 2:] / 2
        return np.concatenate([middle - half, middle + half], -1)
    one, other = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([np.minimum(one, other), np.maximum(one, other)], -1)


def _chosen(boxes: Array, scores: Array, limit: int, overlap: float | None, least: float | None) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    if least is not None:
        order = order[scores[order] > least]
    found: list[int] = []
    while order.size and len(found) < limit:
        best, order = int(order[0]), order[1:]
        found.append(best)
        order = order[~(_overlaps(boxes[best], boxes[order]) > overlap)]
    return found


def _overlaps(box: Array, others: Array) -> Array:
    """Intersection over union with each other box; 0 where either has no area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.where((sides > 0).all(1), sides.prod(1), 0)
    area, areas = (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(1)
    real = (common > 0) & (area > 0) & (areas > 0)
    return np.where(real, common / np.where(real, area + areas - common, 1), 0)


def _check(boxes: Shape, scores: Shape) -> None:
    if len(boxes) != 3 or len(scores) != 3 or not agree(boxes[2], 4):  # noqa: PLR2004  [N, B, 4] and [N, C, B]
        raise Mismatch("boxes must be [N, B, 4] and scores [N, C, B]", f"they are {show(boxes)} and {show(scores)}")
    if not agree(boxes[0], scores[0]) or not agree(boxes[1], scores[2]):
        raise Mismatch(f"scores must be [{boxes[0]}, C, {boxes[1]}]", f"they are {show(scores)}")


def _infer(at: Inference) -> Partial:
    """How many boxes stay depends on the data."""
    _check(at.shape(0), at.shape(1))
    return [(DType.INT64, None)]


NON_MAX_SUPPRESSION = Operator(
    name="NonMaxSuppression",
    since=(10, 11),
    inputs=("boxes", "scores", "max_output_boxes_per_class?", "iou_threshold?", "score_threshold?"),
    outputs=("selected_indices",),
    attributes=MappingProxyType({"center_point_box": 0}),
    infer=_infer,
    reference=non_max_suppression,
    summary="The best of overlapping boxes, for each picture and class.",
)

OPERATORS = (NON_MAX_SUPPRESSION,)
