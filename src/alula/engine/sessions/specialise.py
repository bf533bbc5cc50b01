"""A model of open shapes run natively: a plan for each combination of input shapes, in stages where data decides sizes.

In: an imported graph. Out: a Session; symbolic dimensions are bound by each run's inputs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from alula.base.errors import InputError
from alula.base.settings import Settings
from alula.base.shapes import Shapes, describe_shapes
from alula.base.tensors import DType, TensorSpec
from alula.engine.graph.graph import Graph
from alula.engine.sessions.cache import files_digest, path_of
from alula.engine.sessions.compiler import CompileOptions, choices_of, choose_target
from alula.engine.sessions.plans import PlanPool
from alula.engine.sessions.stages import StageRunner
from alula.engine.sessions.staging import Stage, cut, output_specs, prepare, with_inputs
from alula.engine.sessions.values import ANY_SHAPE, check_names, check_targets, deliver, fits, receive, spec_of

_Key = tuple[tuple[str, tuple[int, ...] | None], ...]


@dataclass(frozen=True)
class _Whole:
    """A combination of shapes for which one plan holds the whole model."""

    kept: Path
    options: CompileOptions


class SpecialisingSession:
    """A session over a model with symbolic shapes, or with sizes that depend on data.

    One plan for each combination of input shapes, as many kept open as the setting `plans` says. One thread at a time,
    as every session. Results stay valid until the next run, whatever its shapes. Strings come and go as numpy arrays
    of objects, sequences as lists of arrays, absent optionals as None.
    """

    def __init__(
        self, graph: Graph, path: Path, options: CompileOptions, settings: Settings, declared: tuple[Shapes, ...] = ()
    ) -> None:
        """Open nothing yet.

        Args:
            graph: as the importer reads it.
            path: the file that it comes from.
            options: as for compiling; `shapes` binds inputs for good.
            settings: where plans are kept, and how many.
            declared: where given, the only combinations of shapes that `run` takes.
        """
        self._graph = graph
        self._path = path
        self._options = replace(options, kernels=settings.cache / "kernels")
        self._settings = settings
        self._declared = declared
        self._closed = False
        self._contents = ""
        self._pool = PlanPool(settings, self._options)
        self._known: OrderedDict[_Key, _Whole | StageRunner] = OrderedDict()
        bound = options.shapes
        inputs = (replace(v, shape=bound[v.name]) if v.name in bound else v for v in graph.inputs)
        self.inputs = tuple(map(spec_of, inputs))
        self.outputs = output_specs(graph)

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Compute all outputs with what was made for these shapes; see `Session.run`.

        Raises:
            InputError: an input with symbolic dimensions comes without a shape (plain bytes), or does not fit; or the
                session is closed.
        """
        if self._closed:
            raise InputError("session", "needs to be open", "it has been closed")
        shapes = {spec.name: _shape_of(spec, inputs) for spec in self.inputs}
        known = self._runner_for(shapes)
        if isinstance(known, _Whole):
            return self._pool.get(known.kept, self._graph, known.options).run(inputs, outputs)
        targets = outputs or {}
        check_names("input", inputs, self.inputs)
        check_names("output", targets, self.outputs)
        check_targets(self.outputs, targets)
        results = known.run({spec.name: receive(spec, inputs) for spec in self.inputs})
        return {spec.name: deliver(spec.name, results[spec.name], targets) for spec in self.outputs}

    def stage_for(self, shapes: Mapping[str, tuple[int, ...]]) -> Stage | None:
        """How the model is cut for these input shapes; None where one plan holds it all. For tools."""
        known = self._runner_for(shapes)
        return known.stage if isinstance(known, StageRunner) else None

    @property
    def open_plans(self) -> int:
        """How many plans are open."""
        return len(self._pool)

    @property
    def step_counts(self) -> tuple[int, int]:
        """How many steps run in generated code, and how many nodes on the host, in what is open of earlier runs."""
        counts = [
            self._pool.step_counts(known.kept) if isinstance(known, _Whole) else known.step_counts
            for known in self._known.values()
        ]
        return sum(native for native, _ in counts), sum(host for _, host in counts)

    def fork(self) -> SpecialisingSession:
        """Another session over the same model; plans come from the same cache of files."""
        return SpecialisingSession(self._graph, self._path, self._options, self._settings, self._declared)

    def close(self) -> None:
        """Close all plans; a closed session refuses to run."""
        self._closed = True
        self._known.clear()
        self._pool.close()

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _runner_for(self, shapes: Mapping[str, tuple[int, ...] | None]) -> _Whole | StageRunner:
        key = tuple(sorted(shapes.items()))
        known = self._known.get(key)
        if known is None:
            self._check_declared(shapes)
            known = self._specialise({name: shape for name, shape in shapes.items() if shape is not None})
            self._known[key] = known
            if len(self._known) > self._settings.plans:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known

    def _specialise(self, shapes: Mapping[str, tuple[int, ...]]) -> _Whole | StageRunner:
        if any(0 in shape for shape in shapes.values()):
            # Kernels have at least one unit of work; where there are no elements, the references are quick.
            empty = {value.name: replace(value, shape=shapes.get(value.name)) for value in self._graph.inputs}
            return StageRunner(cut(prepare(with_inputs(self._graph, empty), {})), self._pool)
        options = replace(self._options, shapes=dict(shapes))
        if not self._contents:
            self._contents = files_digest(self._path, self._graph.external)
        target = choose_target(options.target)
        kept = path_of(self._settings.cache, self._path.stem, self._contents, target, choices_of(options))
        if kept.is_file():
            return _Whole(kept, options)
        stage = cut(prepare(self._graph, shapes))
        return _Whole(kept, options) if stage.is_whole else StageRunner(stage, self._pool)

    def _check_declared(self, shapes: Mapping[str, tuple[int, ...] | None]) -> None:
        """Refuse shapes outside those that were declared when opening."""
        for one in self._declared:
            if all(shapes[name] == shape for name, shape in one.items()):
                return
        if self._declared:
            found = ", ".join(f"{name} {list(shape or ())}" for name, shape in shapes.items())
            raise InputError("inputs", f"need shapes among {describe_shapes(self._declared)}", f"got {found}")


def _shape_of(spec: TensorSpec, inputs: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The shape that an input brings, checked against the fixed dimensions; None for what is no tensor."""
    if spec.name not in inputs:
        raise InputError(f"input {spec.name}", f"needs {spec}", f"got only {', '.join(inputs) or 'nothing'}")
    if all(isinstance(dim, int) for dim in spec.shape):
        return tuple(int(dim) for dim in spec.shape)
    data = inputs[spec.name]
    if spec.shape == ANY_SHAPE and (data is None or isinstance(data, (list, tuple))):
        return None
    # What has no shape, such as bytes, does not fit.
    shape = np.shape(data) if spec.dtype is DType.STRING else getattr(data, "shape", None)
    if shape is None or not fits(spec.shape, tuple(shape)):
        hint = "hand in a numpy array or Tensor of that shape"
        raise InputError(f"input {spec.name}", f"needs {spec}", f"got shape {list(shape or ())}", hint)
    return tuple(map(int, shape))
