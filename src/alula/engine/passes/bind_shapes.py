"""Numbers instead of symbols in the shapes of a model.

    input %x float32 [N, 3, H, W]   becomes   input %x float32 [1, 3, 224, 224]

In: a graph with symbolic inputs, shapes for some of them, numbers for some symbols. Out: the graph with static inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from alula.base.errors import RequestError, ShapeError
from alula.engine.graph.dims import Dim, Expression, is_static, substitute, substitute_shape, symbol, symbols
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Value


def bind_shapes(
    graph: Graph, bindings: Mapping[str, int], input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Graph:
    """Bind all symbols of the inputs.

    Args:
        graph: what to bind.
        bindings: numbers by symbol; symbols that the model does not have are of no effect.
        input_shapes: whole shapes by input name; they bind the symbols that stand in them.

    Raises:
        RequestError: a shape is for an input that the model does not have, or holds numbers below 1.
        ShapeError: a shape does not fit its input or the other shapes, or symbols are left over.
    """
    shapes = input_shapes or {}
    _check_names(graph, shapes)
    known = dict(bindings)
    for value in graph.inputs:
        if value.name in shapes:
            _bind(value, shapes[value.name], known)
    inputs = tuple(_bound(value, shapes, known) for value in graph.inputs)
    _check_bound(inputs)
    values = {name: _substituted(value, known) for name, value in graph.values.items()}
    values.update((value.name, value) for value in inputs)
    return replace(graph, inputs=inputs, values=values)


def _check_names(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
    names = [value.name for value in graph.inputs]
    for name, shape in shapes.items():
        if name not in names:
            raise RequestError(f"shape of {name}", f"inputs are {', '.join(names) or 'none'}", f"there is no {name}")
        if any(dim < 1 for dim in shape):
            raise RequestError(f"shape of {name}", "needs numbers of at least 1", f"it is {list(shape)}")


def _bind(value: Value, shape: tuple[int, ...], known: dict[str, int]) -> None:
    """Learn the symbols that stand alone in a shape."""
    if value.shape is not None and len(value.shape) != len(shape):
        raise _misfit(value, shape)
    for dim, number in zip(value.shape or (), shape, strict=False):
        name = _alone(dim)
        if name is not None and known.setdefault(name, number) != number:
            raise ShapeError(
                f"input {value.name}", f"needs {name} = {known[name]}", f"the shape given is {list(shape)}"
            )


def _alone(dim: Dim) -> str | None:
    names = symbols(dim)
    name = next(iter(names)) if len(names) == 1 else ""
    return name if name and dim == symbol(name) else None


def _bound(value: Value, shapes: Mapping[str, tuple[int, ...]], known: Mapping[str, int]) -> Value:
    given = shapes.get(value.name)
    if value.shape is None:
        return value if given is None else replace(value, shape=given)
    shape = substitute_shape(value.shape, known)
    if given is not None and any(isinstance(dim, int) and dim != want for dim, want in zip(shape, given, strict=True)):
        raise _misfit(value, given)
    return replace(value, shape=shape)


def _misfit(value: Value, shape: tuple[int, ...]) -> ShapeError:
    dims = ", ".join(map(str, value.shape or ()))
    return ShapeError(f"input {value.name}", f"needs a shape that fits [{dims}]", f"the shape given is {list(shape)}")


def _check_bound(inputs: tuple[Value, ...]) -> None:
    unbound = [value for value in inputs if value.shape is None or not is_static(value.shape)]
    if not unbound:
        return
    first = unbound[0]
    names = sorted({name for value in unbound for dim in value.shape or () for name in symbols(dim)})
    found = f"{', '.join(names)} unbound" if names else "unknown rank"
    example = "x".join(_example(dim, axis) for axis, dim in enumerate(first.shape or (1, 3, 224, 224)))
    detail = "\n".join(f"input {str(value)[1:]}" for value in unbound)
    raise ShapeError(
        f"input {first.name}", "needs a number for every dimension", found, f"--shape {first.name}={example}", detail
    )


def _example(dim: Dim, axis: int) -> str:
    """A number that is likely for the dimension: one picture, of the size that classifiers are trained with."""
    if isinstance(dim, Expression):
        return {0: "1", 1: "3"}.get(axis, "224")
    return str(dim)


def _substituted(value: Value, known: Mapping[str, int]) -> Value:
    if value.shape is None:
        return value
    try:
        return replace(value, shape=tuple(substitute(dim, known) for dim in value.shape))
    except ZeroDivisionError:
        return replace(value, shape=None)
