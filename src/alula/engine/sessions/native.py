"""A model file run natively: compiled at the first need, from the cache after that.

In: an ONNX model. Out: a Session; symbolic dimensions are bound by the first inputs that come with them.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from alula.base.errors import InputError, MissingError, PlanFileError
from alula.base.session import OpenOptions, Session
from alula.base.settings import Settings
from alula.base.tensors import DType, Tensor, TensorSpec
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Value
from alula.engine.runtime.session import PlanSession, open_plan
from alula.engine.sessions.compiler import (
    CompileOptions,
    Progress,
    cached_path,
    compile_graph,
    import_model,
    needs_shapes,
    no_progress,
)
from alula.engine.sessions.host import run_host_step

# Specialised plans kept open at a time; the least recently used one is closed when another comes.
_KEPT_PLANS = 8


def open_native(path: Path, options: OpenOptions, settings: Settings) -> Session:
    """Open a model for native running; compiles it now if all its shapes are known."""
    compile_options = CompileOptions(
        target=options.target or settings.target,
        shapes=dict(options.shapes or {}),
        check=settings.check,
        jobs=settings.jobs,
    )
    graph = import_model(path)
    settings = replace(settings, threads=options.threads or settings.threads)
    if needs_shapes(graph, compile_options):
        return SpecialisingSession(graph, path, compile_options, settings)
    return open_compiled(graph, path, compile_options, settings, options.progress or no_progress)


def open_compiled(
    graph: Graph, path: Path, options: CompileOptions, settings: Settings, progress: Progress = no_progress
) -> PlanSession:
    """Open the plan of an imported model from the cache; compiles it where there is none, or a damaged one."""
    kept = cached_path(graph, path, options, settings)
    if kept.is_file():
        # What another process has just removed, or a disk has damaged, is made anew.
        with contextlib.suppress(PlanFileError, MissingError):
            return _open(kept, settings)
    compile_graph(graph, kept, options, progress)
    return _open(kept, settings)


def _open(plan: Path, settings: Settings) -> PlanSession:
    return open_plan(plan, threads=settings.threads or None, verify=settings.verify, host=run_host_step)


def specs_of(values: tuple[Value, ...]) -> tuple[TensorSpec, ...]:
    """Values as the descriptions that sessions show; symbolic dimensions by their text."""
    return tuple(
        TensorSpec(v.name, v.dtype, tuple(dim if isinstance(dim, int) else str(dim) for dim in v.shape or ()))
        for v in values
    )


class SpecialisingSession:
    """A session over a model with symbolic shapes: one plan for each combination of input shapes, a few kept open.

    One thread at a time, as every session. Results stay valid until the next run, whatever its shapes.
    """

    def __init__(self, graph: Graph, path: Path, options: CompileOptions, settings: Settings) -> None:
        self._graph = graph
        self._path = path
        self._options = options
        self._settings = settings
        self._closed = False
        self._plans: OrderedDict[tuple[tuple[str, tuple[int, ...]], ...], PlanSession] = OrderedDict()
        self.inputs = specs_of(graph.inputs)
        self.outputs = specs_of(tuple(graph.value(name) for name in graph.outputs))

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs with the plan for these shapes; see `Session.run`.

        Raises:
            InputError: an input with symbolic dimensions comes without a shape (plain bytes), or does not fit; or the
                session is closed.
        """
        if self._closed:
            raise InputError("session", "needs to be open", "it has been closed")
        return self._plan_for(inputs).run(inputs, outputs)

    def fork(self) -> SpecialisingSession:
        """Another session over the same model; plans come from the same cache of files."""
        return SpecialisingSession(self._graph, self._path, self._options, self._settings)

    def close(self) -> None:
        """Close all plans; a closed session refuses to run."""
        self._closed = True
        while self._plans:
            self._plans.popitem()[1].close()

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _plan_for(self, inputs: Mapping[str, Any]) -> PlanSession:
        shapes = {spec.name: _shape_of(spec, inputs) for spec in self.inputs}
        key = tuple(sorted(shapes.items()))
        plan = self._plans.get(key)
        if plan is None:
            plan = open_compiled(self._graph, self._path, replace(self._options, shapes=shapes), self._settings)
            self._plans[key] = plan
            if len(self._plans) > _KEPT_PLANS:
                self._plans.popitem(last=False)[1].close()
        self._plans.move_to_end(key)
        return plan


def _shape_of(spec: TensorSpec, inputs: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape that an input brings, checked against the fixed dimensions."""
    if spec.name not in inputs:
        raise InputError(f"input {spec.name}", f"needs {spec}", f"got only {', '.join(inputs) or 'nothing'}")
    if all(isinstance(dim, int) for dim in spec.shape):
        return tuple(int(dim) for dim in spec.shape)
    # What has no shape, such as bytes, does not fit.
    shape = getattr(inputs[spec.name], "shape", ())
    fits = len(shape) == len(spec.shape) and all(
        mine == theirs or isinstance(theirs, str) for mine, theirs in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        hint = "hand in a numpy array or Tensor of that shape"
        raise InputError(f"input {spec.name}", f"needs {spec}", f"got shape {list(shape)}", hint)
    return tuple(shape)


def random_input(spec: TensorSpec, seed: int = 0) -> np.ndarray[Any, Any]:
    """Reproducible numbers that fit an input of fixed shape: standard normal floats, zeros for the rest."""
    shape = tuple(int(dim) for dim in spec.shape)
    if spec.dtype in {DType.FLOAT32, DType.FLOAT64, DType.FLOAT16}:
        return np.random.default_rng(seed).standard_normal(shape).astype(spec.dtype.value)
    return np.zeros(shape, "uint16" if spec.dtype is DType.BFLOAT16 else spec.dtype.value)
