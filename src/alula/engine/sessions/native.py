"""A model file run natively: compiled at the first need, from the cache after that.

In: an ONNX model. Out: a Session: one plan where all sizes are known when opening, else one that specialises.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alula.base.session import OpenOptions, Session
from alula.base.settings import Settings
from alula.base.shapes import expand_shapes
from alula.base.tensors import DType, TensorSpec
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Value
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.passes.upgrade_operators import upgrade_operators
from alula.engine.runtime.session import PlanSession
from alula.engine.sessions.compiler import (
    CompileOptions,
    Progress,
    cached_path,
    compile_graph,
    import_limits,
    import_model,
    needs_shapes,
    no_progress,
)
from alula.engine.sessions.plans import open_kept
from alula.engine.sessions.specialise import SpecialisingSession
from alula.engine.sessions.staging import cut, prepare
from alula.engine.sessions.values import spec_of


def open_native(path: Path, options: OpenOptions, settings: Settings) -> Session:
    """Open a model for native running; compiles it now if all its sizes are known.

    Raises:
        RequestError: the shapes declare too many combinations.
        AlulaError: the model cannot be read, or needs what alula does not have.
    """
    declared = expand_shapes(options.shapes or {})
    compile_options = CompileOptions(
        target=options.target or settings.target,
        shapes=declared[0] if len(declared) == 1 else {},
        disable=options.disable,
        check=settings.check,
        jobs=settings.jobs,
        kernels=settings.cache / "kernels",
    )
    graph = import_model(path, import_limits(settings))
    settings = replace(settings, threads=options.threads or settings.threads)
    open_shapes = len(declared) > 1 or needs_shapes(graph, compile_options)
    if open_shapes:
        # Compiled at the first run, but what cannot be run is refused now.
        upgrade_operators(graph)
    if len(declared) > 1:
        return SpecialisingSession(graph, path, compile_options, settings, declared)
    if open_shapes or _depends_on_data(graph, path, compile_options, settings):
        return SpecialisingSession(graph, path, compile_options, settings)
    return open_compiled(graph, path, compile_options, settings, options.progress or no_progress)


def _depends_on_data(graph: Graph, path: Path, options: CompileOptions, settings: Settings) -> bool:
    """Whether one plan cannot hold the model; a plan that is kept proves that it can."""
    if cached_path(graph, path, options, settings).is_file():
        return False
    return not cut(prepare(graph, options.shapes)).is_whole


def open_compiled(
    graph: Graph, path: Path, options: CompileOptions, settings: Settings, progress: Progress = no_progress
) -> PlanSession:
    """Open the plan of an imported model from the cache; compiles it where there is none, or a damaged one."""
    kept = cached_path(graph, path, options, settings)
    return open_kept(kept, lambda: compile_graph(graph, kept, options, progress), settings)


def specs_of(values: tuple[Value, ...]) -> tuple[TensorSpec, ...]:
    """Values as the descriptions that sessions show; symbolic dimensions by their text."""
    return tuple(map(spec_of, values))


def random_input(spec: TensorSpec, seed: int = 0) -> np.ndarray[Any, Any]:
    """Reproducible numbers that fit an input of fixed shape: standard normal floats, zeros for the rest."""
    shape = tuple(int(dim) for dim in spec.shape)
    if spec.dtype in {DType.FLOAT32, DType.FLOAT64, DType.FLOAT16, DType.BFLOAT16}:
        return np.random.default_rng(seed).standard_normal(shape).astype(numpy_dtype(spec.dtype))
    return np.zeros(shape, numpy_dtype(spec.dtype))


__all__ = ["SpecialisingSession", "open_compiled", "open_native", "random_input", "specs_of"]
