"""Which of a file's plans fits: a `.alula` file may hold one for each of several input shapes.

In: a header, shapes or buffers. Out: the number of a plan, 0 for the header's own; specs that describe all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from alula.base.errors import InputError
from alula.base.shapes import describe_shapes
from alula.base.tensors import Tensor, TensorSpec
from alula.engine.runtime.header import PlanHeader

_RAW_BYTES = frozenset({"B", "c"})


def plans_of(header: PlanHeader) -> tuple[tuple[TensorSpec, ...], ...]:
    """The inputs of every plan of the file."""
    return (header.inputs, *(variant.inputs for variant in header.variants))


def describe_variants(header: PlanHeader) -> str:
    """The input shapes that the file has plans for; a few of many."""
    return describe_shapes([{spec.name: _numbers(spec) for spec in inputs} for inputs in plans_of(header)])


def index_of_shapes(header: PlanHeader, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The first plan whose inputs have these shapes; inputs that are not named fit with any.

    Raises:
        InputError: there is none.
    """
    for index, inputs in enumerate(plans_of(header)):
        if all(spec.shape == tuple(shapes[spec.name]) for spec in inputs if spec.name in shapes):
            return index
    found = "; ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    raise _misfit(header, f"got {found}")


def index_of_buffers(header: PlanHeader, inputs: Mapping[str, Any]) -> int:
    """The plan that a caller's buffers fit; those without a shape, such as bytes, count by their size.

    Raises:
        InputError: there is none, or several that bytes without a shape fit.
    """
    given = {name: form_of(data) for name, data in inputs.items()}
    fitting = [
        index
        for index, specs in enumerate(plans_of(header))
        if all(_fits(spec, given.get(spec.name, ())) for spec in specs)
    ]
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(f"{name} {_shown(form)}" for name, form in given.items())
    if fitting:
        raise InputError("inputs", "need shapes to choose a plan by", f"got {shown}", "hand in arrays or Tensors")
    raise _misfit(header, f"got {shown}")


def merged(plans: Sequence[tuple[TensorSpec, ...]]) -> tuple[TensorSpec, ...]:
    """The same end of all plans as one spec each: dimensions that differ are called NAME.AXIS."""
    return tuple(
        TensorSpec(first.name, first.dtype, tuple(_merged(first.name, axis, dims) for axis, dims in enumerate(columns)))
        for position, first in enumerate(plans[0])
        for columns in [list(zip(*(specs[position].shape for specs in plans), strict=True))]
    )


def _merged(name: str, axis: int, dims: tuple[int | str, ...]) -> int | str:
    return dims[0] if len(set(dims)) == 1 else f"{name}.{axis}"


def _misfit(header: PlanHeader, found: str) -> InputError:
    hint = "compile the model with this shape too: alula compile MODEL --shape NAME=1x3x48x{32..640:32}"
    return InputError("inputs", f"need shapes that the file has a plan for: {describe_variants(header)}", found, hint)


def form_of(data: Any) -> tuple[int, ...] | int:  # noqa: ANN401  any buffer
    """The shape of a buffer; for raw bytes, which have none, their number; -1 for what is no buffer."""
    if isinstance(data, Tensor):
        return data.shape
    try:
        view = memoryview(data)
    except (TypeError, ValueError, BufferError):
        shape = getattr(data, "shape", None)
        return shape if isinstance(shape, tuple) else -1
    return view.nbytes if view.ndim == 1 and view.format in _RAW_BYTES else view.shape or ()


def _fits(spec: TensorSpec, form: tuple[int, ...] | int) -> bool:
    return form == (spec.shape if isinstance(form, tuple) else math.prod(_numbers(spec)) * spec.dtype.itemsize)


def _shown(form: tuple[int, ...] | int) -> str:
    return f"{list(form)}" if isinstance(form, tuple) else f"{form} bytes"


def _numbers(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(dim for dim in spec.shape if isinstance(dim, int))
