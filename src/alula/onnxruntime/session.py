"""`InferenceSession`: a model opened natively, under ONNX Runtime's interface.

In: a model file or its bytes, numpy arrays. Out: numpy arrays that belong to the caller.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alula.base.session import OpenOptions, Session
from alula.base.settings import read_settings
from alula.base.tensors import Tensor, TensorSpec
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.importers.onnx_facts import ModelFacts, read_facts
from alula.engine.passes.order import PASSES
from alula.engine.sessions.opener import open_model
from alula.onnxruntime.errors import InvalidArgument, translated
from alula.onnxruntime.options import GraphOptimizationLevel, RunOptions, SessionOptions
from alula.onnxruntime.process import CPU
from alula.onnxruntime.values import IOBinding, OrtValue, feed_of, tensor_type


@dataclass(frozen=True)
class NodeArg:
    """An input or output: `shape` holds a number for a fixed dimension and text for a symbolic one."""

    name: str
    type: str
    shape: list[int | str]


@dataclass(frozen=True)
class ModelMetadata:
    """What the model file says about itself."""

    producer_name: str
    graph_name: str
    domain: str
    description: str
    graph_description: str
    version: int
    custom_metadata_map: Mapping[str, str]


class InferenceSession:
    """A model. Any number of threads may call `run` at once: each gets a fork of the session, kept for the next caller.

    Lock: `_lock` guards `_idle`, the forks that nobody runs; held for a list operation only.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: SessionOptions | None = None,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None,
        **_: Any,
    ) -> None:
        """Open a model; compiled now, or at the first run where shapes are symbolic.

        Args:
            path_or_bytes: an ONNX file, or the bytes of one.
            sess_options: threads, optimisation level, free dimensions.
            providers: any; the processor computes.
            provider_options: any; no effect.

        Raises:
            OnnxRuntimeError: the model is missing, damaged, or needs what alula does not have.
        """
        del providers, provider_options
        self._options = sess_options or SessionOptions()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        with translated():
            path = self._file(path_or_bytes)
            self._facts: ModelFacts = read_facts(path)
            self._first = _open(path, self._options)
        self._idle: list[Session] = [self._first]
        self._lock = threading.Lock()

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Any]:
        """Compute outputs.

        Args:
            output_names: which, in which order; None or empty for all.
            input_feed: an array (or OrtValue; a list of arrays for a sequence) for each input.
            run_options: no effect.

        Returns:
            Arrays that belong to the caller.

        Raises:
            InvalidArgument: a name, type or shape does not fit.
        """
        del run_options
        names = list(output_names or [spec.name for spec in self._first.outputs])
        self._check_outputs(names)
        with translated(), self._one() as session:
            results = session.run({name: feed_of(value) for name, value in input_feed.items()})
            return [_own(results[name]) for name in names]

    def run_with_ort_values(
        self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, OrtValue], *_: Any
    ) -> list[OrtValue]:
        """As `run`, with values in place of arrays."""
        return [OrtValue(array) for array in self.run(output_names, input_dict_ort_values)]

    def io_binding(self) -> IOBinding:
        """A binding for `run_with_iobinding`."""
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        """Compute the bound outputs from the bound inputs; bound memory is written in place, without a copy.

        Raises:
            InvalidArgument: something bound does not fit.
        """
        del run_options
        self._check_outputs(list(iobinding.targets))
        targets = {name: array for name, array in iobinding.targets.items() if array is not None}
        with translated(), self._one() as session:
            results = session.run({name: feed_of(array) for name, array in iobinding.inputs.items()}, targets)
            wanted = iobinding.targets or dict.fromkeys(spec.name for spec in session.outputs)
            iobinding.results = {
                name: _own(results[name]) if target is None else target for name, target in wanted.items()
            }

    def get_inputs(self) -> list[NodeArg]:
        """What `run` needs."""
        return list(map(_argument, self._first.inputs))

    def get_outputs(self) -> list[NodeArg]:
        """What `run` gives."""
        return list(map(_argument, self._first.outputs))

    def get_overridable_initializers(self) -> list[NodeArg]:
        """None: initializers are compiled in."""
        return []

    def get_modelmeta(self) -> ModelMetadata:
        """What the model file says about itself."""
        facts = self._facts
        return ModelMetadata(
            facts.producer, facts.graph, facts.domain, facts.description, facts.graph_description, facts.version,
            dict(facts.metadata),
        )  # fmt: skip

    def get_session_options(self) -> SessionOptions:
        """The options that the session was made with."""
        return self._options

    def get_providers(self) -> list[str]:
        """The processor."""
        return [CPU]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """None for the processor."""
        return {CPU: {}}

    def set_providers(self, providers: Sequence[Any] | None = None, provider_options: Any = None) -> None:  # noqa: ANN401  any
        """No effect: the processor computes."""

    def enable_fallback(self) -> None:
        """No effect: there is one provider."""

    def disable_fallback(self) -> None:
        """No effect: there is one provider."""

    def end_profiling(self) -> str:
        """Nothing is profiled; `alula bench` tells the time of each step."""
        return ""

    def _file(self, source: str | os.PathLike[str] | bytes) -> Path:
        """The model's path; bytes go into a folder that lives as long as the session."""
        if not isinstance(source, (bytes, bytearray, memoryview)):
            return Path(source)
        self._folder = tempfile.TemporaryDirectory(prefix="alula-model-")
        path = Path(self._folder.name) / "model.onnx"
        path.write_bytes(source)
        return path

    def _check_outputs(self, names: Sequence[str]) -> None:
        known = {spec.name for spec in self._first.outputs}
        wrong = [name for name in names if name not in known]
        if wrong:
            raise InvalidArgument(f"[ONNXRuntimeError] InvalidArgument : Invalid output name: {wrong[0]}")

    @contextmanager
    def _one(self) -> Iterator[Session]:
        """A session that nobody else runs."""
        with self._lock:
            session = self._idle.pop() if self._idle else None
        session = session or self._first.fork()
        try:
            yield session
        finally:
            with self._lock:
                self._idle.append(session)


def _open(path: Path, options: SessionOptions) -> Session:
    """The model as the options want it; free dimensions bind the inputs whose symbols they all name."""
    optimise = options.graph_optimization_level != GraphOptimizationLevel.ORT_DISABLE_ALL
    disable = frozenset() if optimise else frozenset(step.name for step in PASSES if not step.required)
    wanted = OpenOptions(threads=max(0, options.intra_op_num_threads), disable=disable)
    settings = read_settings(os.environ)
    session = open_model(path, wanted, settings)
    shapes = {spec.name: _bound(spec, options.free_dimensions) for spec in session.inputs}
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    if not options.free_dimensions or not known:
        return session
    session.close()
    return open_model(path, replace(wanted, shapes=known), settings)


def _bound(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """The shape of an input when its symbols have these sizes; None where one has none."""
    shape = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape]
    numbers = tuple(dim for dim in shape if isinstance(dim, int))
    return numbers if len(numbers) == len(shape) else None


def _argument(spec: TensorSpec) -> NodeArg:
    return NodeArg(spec.name, tensor_type(spec.dtype), list(spec.shape))


def _own(value: Any) -> Any:  # noqa: ANN401  a Tensor, an array, or a list of them
    """A copy that outlives the session's next run."""
    if isinstance(value, Tensor):
        array: Array = np.frombuffer(value.view, numpy_dtype(value.dtype)).reshape(value.shape)
        return array.copy()
    if isinstance(value, (list, tuple)):
        return [_own(item) for item in value]
    return value if value is None else np.array(value)
