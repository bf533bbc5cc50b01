"""The provider `reference`: every node run in numpy, the truth that all others are compared with; slow on purpose.

In: an ONNX model, or a Graph. Out: a Session; symbolic dimensions take their numbers from each run's inputs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from alula.base.errors import InputError
from alula.base.tensors import TensorSpec
from alula.engine.graph.graph import Graph
from alula.engine.importers.onnx import load_onnx
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.nested import Limits
from alula.engine.passes.bind_shapes import bind_shapes
from alula.engine.passes.upgrade_operators import upgrade_operators
from alula.engine.sessions.staging import output_specs
from alula.engine.sessions.values import check_names, check_symbols, check_targets, deliver, receive, spec_of


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

    def __init__(self, graph: Graph, limits: Limits | None = None) -> None:
        """Wrap a graph from `prepare_reference`."""
        self._limits = limits or Limits()
        self._graph: Graph | None = graph
        self._inputs = tuple(map(spec_of, graph.inputs))
        self._outputs = output_specs(graph)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        limits: Limits | None = None,
    ) -> ReferenceSession:
        """Read an ONNX model.

        Raises:
            AlulaError: as `load_onnx` and `prepare_reference` do.
        """
        return cls(prepare_reference(load_onnx(Path(path)), shapes), limits)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` needs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` returns."""
        return self._outputs

    @property
    def step_counts(self) -> tuple[int, int]:
        """No step in generated code; every node by its reference."""
        return 0, len(self._opened().nodes)

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Compute all outputs; see `Session.run`. Tensors that the caller brings no memory for stay valid.

        Strings come and go as numpy arrays of objects, sequences as lists of arrays, absent optionals as None.

        Raises:
            InputError: a name, rank, shape, dtype or size does not fit, or the session is closed.
        """
        graph = self._opened()
        targets = outputs or {}
        check_names("input", inputs, self._inputs)
        check_names("output", targets, self._outputs)
        check_targets(self._outputs, targets)
        feeds = {spec.name: receive(spec, inputs) for spec in self._inputs}
        check_symbols(self._inputs, feeds)
        results = evaluate_graph(graph, feeds, limits=self._limits)
        return {spec.name: deliver(spec.name, results[spec.name], targets) for spec in self._outputs}

    def fork(self) -> ReferenceSession:
        """Another session over the same graph."""
        return ReferenceSession(self._opened(), self._limits)

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
