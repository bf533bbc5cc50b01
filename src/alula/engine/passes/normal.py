"""What the passes that put normalisations together share: axes of means, affine constants, new constants.

In: matched parts of a fragment. Out: axes, arrays and rewrites.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from alula.engine.graph.graph import GraphEditor
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.passes.match import Fixed, Made, Number, Pattern, either, made


@dataclass
class NewConstants:
    """Arrays that one rewrite brings; owned by it."""

    editor: GraphEditor
    stem: str
    arrays: dict[str, Array] = field(default_factory=dict)

    def add(self, array: Array, what: str) -> str:
        """The name of a new constant."""
        name = self.editor.fresh(f"{self.stem}.{what}")
        self.arrays[name] = np.ascontiguousarray(array)
        return name

    @property
    def values(self) -> tuple[Value, ...]:
        """The records of the new constants."""
        return tuple(Value(name, dtype_of(array), array.shape) for name, array in self.arrays.items())


def mean_of(operand: Pattern, name: str) -> Pattern:
    """ReduceMean with constant axes, which `axes_of_mean` reads."""
    return made("ReduceMean", operand, Fixed(f"{name} axes"), name=name)


def over_root(over: Pattern, energy: Pattern) -> tuple[Made, ...]:
    """Over / sqrt(energy + epsilon) as exporters write it."""
    root = made("Sqrt", made("Add", energy, Number(name="epsilon")))
    return made("Div", over, root), made("Mul", over, inverse_root(energy))


def inverse_root(energy: Pattern) -> Pattern:
    """1 / sqrt(energy + epsilon) as exporters write it."""
    raised = made("Add", energy, Number(name="epsilon"))
    root = made("Sqrt", raised)
    return either(made("Reciprocal", root), made("Div", Number(1.0), root), made("Pow", raised, Number(-0.5)))


def squared(part: Pattern) -> Pattern:
    """The square as exporters write it."""
    return either(made("Pow", part, Number(2.0)), made("Mul", part, part))


def axes_of_mean(editor: GraphEditor, mean: Node, rank: int) -> tuple[int, ...] | None:
    """The axes that a ReduceMean keeps as 1, in order; None where it drops them or they are not known."""
    axes = editor.constant(mean.input(1))
    if axes is None or not axes.size or not mean.integer("keepdims", 1):
        return None
    return tuple(sorted(int(axis) % rank for axis in axes.reshape(-1)))


def along(array: Array | None, rank: int, axes: tuple[int, ...], sizes: tuple[int, ...]) -> Array | None:
    """A constant as an array over some axes of a value; None where it varies along others or has more."""
    if array is None or array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(dim != 1 for axis, dim in enumerate(shape) if axis not in axes):
        return None
    inner = array.reshape([shape[axis] for axis in axes])
    try:
        return np.broadcast_to(inner, sizes)
    except ValueError:
        return None
