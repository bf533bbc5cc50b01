"""The provider `reference`: every node run in numpy, the truth that all others are compared with; slow on purpose.

In: an ONNX model, or a Graph. Out: a Session; symbolic dimensions take their numbers from each run's inputs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from alula.base.errors import InputError, UnsupportedError
from alula.base.tensors import BITS, DType, Tensor, TensorSpec
from alula.engine.graph.dims import Dim
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Value
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.importers.onnx import load_onnx
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.bind_shapes import bind_shapes
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.upgrade_operators import upgrade_operators


def prepare_reference(graph: Graph, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The graph as `evaluate_graph` wants it: nodes in their newest forms, nothing optimised.

    Args:
        graph: as the importer reads it.
        shapes: input shapes by name, which then bind all symbols; without them, symbols stay.

    Raises:
        UnsupportedError: some nodes cannot be run.
        RequestError, ShapeError: the shapes do not fit the model.
    """
    upgraded = upgrade_operators(graph)
    return bind_shapes(upgraded, {}, shapes) if shapes else upgraded


class ReferenceSession:
    """A model run by the numpy references. One thread at a time may call `run`; forks share the graph."""

    def __init__(self, graph: Graph) -> None:
        """Wrap a graph from `prepare_reference`."""
        self._graph: Graph | None = graph
        self._inputs = tuple(map(_spec, graph.inputs))
        self._outputs = _output_specs(graph)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> ReferenceSession:
        """Read an ONNX model.

        Raises:
            AlulaError: as `load_onnx` and `prepare_reference` do.
        """
        return cls(prepare_reference(load_onnx(Path(path)), shapes))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` needs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` returns."""
        return self._outputs

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs; see `Session.run`. Tensors that the caller brings no memory for stay valid.

        Raises:
            InputError: a name, rank, shape, dtype or size does not fit, or the session is closed.
        """
        graph = self._opened()
        targets = outputs or {}
        _check_names("input", inputs, self._inputs)
        _check_names("output", targets, self._outputs)
        _check_targets(self._outputs, targets)
        feeds = {spec.name: _array(spec, inputs) for spec in self._inputs}
        _check_symbols(self._inputs, feeds)
        results = evaluate_graph(graph, feeds)
        return {spec.name: _tensor(spec.name, results[spec.name], targets) for spec in self._outputs}

    def fork(self) -> ReferenceSession:
        """Another session over the same graph."""
        return ReferenceSession(self._opened())

    def close(self) -> None:
        """Let the graph go; a closed session refuses to run."""
        self._graph = None

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _opened(self) -> Graph:
        if self._graph is None:
            raise InputError("session", "needs to be open", "it has been closed")
        return self._graph


def _spec(value: Value) -> TensorSpec:
    return TensorSpec(value.name, value.dtype, tuple(map(_shown, value.shape or ())))


def _shown(dim: Dim) -> int | str:
    return dim if isinstance(dim, int) else str(dim)


def _output_specs(graph: Graph) -> tuple[TensorSpec, ...]:
    """From the file's own records where it has them, else from shape inference."""
    values = [graph.value(name) for name in graph.outputs]
    if any(value.shape is None for value in values):
        inferred = fold_constants(graph)
        values = [inferred.value(name) for name in graph.outputs]
    return tuple(map(_spec, values))


def _check_names(kind: str, given: Mapping[str, Any], specs: tuple[TensorSpec, ...]) -> None:
    names = [spec.name for spec in specs]
    for name in given:
        if name not in names:
            raise InputError(f"{kind} {name}", f"{kind}s are {', '.join(names)}", f"there is no {name}")


def _array(spec: TensorSpec, inputs: Mapping[str, Any]) -> Array:
    """The buffer handed in, as an array of the model's dtype and shape; a view."""
    where = f"input {spec.name}"
    if spec.name not in inputs:
        raise InputError(where, f"needs {spec}", f"got only {', '.join(inputs) or 'nothing'}")
    data = inputs[spec.name]
    if hasattr(data, "__array_interface__"):
        array = np.asarray(data)
        if spec.dtype is DType.STRING and array.dtype.kind in "US":
            array = array.astype(str).astype(object)
        if spec.dtype in BITS and array.dtype.name == f"uint{8 * spec.dtype.itemsize}":
            array = array.view(numpy_dtype(spec.dtype))
        if array.dtype.name != spec.dtype.value or not _fits(spec.shape, array.shape):
            raise InputError(where, f"needs {spec}", f"got {array.dtype} {list(array.shape)}")
        return array
    if spec.dtype is DType.STRING:
        raise InputError(where, f"needs {spec}", "got bytes", "hand in a numpy array of strings")
    raw = memoryview(data).cast("B")
    shape = _raw_shape(spec, raw.nbytes)
    return np.frombuffer(raw, numpy_dtype(spec.dtype)).reshape(shape)


def _fits(wanted: tuple[int | str, ...], shape: tuple[int, ...]) -> bool:
    if len(wanted) != len(shape):
        return False
    return all(want == dim or isinstance(want, str) for want, dim in zip(wanted, shape, strict=True))


def _raw_shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    """The shape of a buffer without one: at most one dimension may be unknown."""
    known = math.prod(dim for dim in spec.shape if isinstance(dim, int)) * spec.dtype.itemsize
    unknown = [dim for dim in spec.shape if isinstance(dim, str)]
    if len(unknown) > 1 or (size % max(known, 1) if unknown else size != known):
        raise InputError(f"input {spec.name}", f"needs {spec}", f"got {size} bytes without a shape")
    return tuple(dim if isinstance(dim, int) else size // max(known, 1) for dim in spec.shape)


def _check_symbols(specs: tuple[TensorSpec, ...], feeds: Mapping[str, Array]) -> None:
    """One symbol is one number."""
    found: dict[str, int] = {}
    for spec in specs:
        for want, dim in zip(spec.shape, feeds[spec.name].shape, strict=True):
            if isinstance(want, str) and found.setdefault(want, dim) != dim:
                raise InputError(f"input {spec.name}", f"needs {want} = {found[want]}", f"got {dim}")


def _check_targets(specs: tuple[TensorSpec, ...], targets: Mapping[str, Any]) -> None:
    """Buffers to fill must be writable, and of the right size where it is known before the run."""
    for spec in specs:
        if spec.name in targets:
            view = memoryview(targets[spec.name])
            if view.readonly:
                raise InputError(f"output {spec.name}", "needs a writable buffer", "it is read-only")
            sizes = [dim for dim in spec.shape if isinstance(dim, int)]
            if len(sizes) == len(spec.shape):
                _check_size(spec.name, math.prod(sizes) * spec.dtype.itemsize, view.nbytes)


def _check_size(name: str, needed: int, found: int) -> None:
    if needed != found:
        raise InputError(f"output {name}", f"needs {needed} bytes", f"the buffer has {found}")


def _tensor(name: str, result: Array | list[Array] | None, targets: Mapping[str, Any]) -> Tensor:
    if not isinstance(result, np.ndarray) or result.dtype.kind == "O":
        found = "it is strings" if isinstance(result, np.ndarray) else "it is a sequence or an optional"
        raise UnsupportedError(f"output {name}", "sessions return tensors of numbers", found)
    data = result.tobytes()
    target = targets.get(name)
    if target is not None:
        _check_size(name, len(data), memoryview(target).nbytes)
        memoryview(target).cast("B")[:] = data
    return Tensor(data if target is None else target, DType(result.dtype.name), result.shape)
