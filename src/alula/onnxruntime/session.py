"""`InferenceSession`: a model opened natively, under ONNX Runtime's interface.

In: a model file or its bytes, numpy arrays. Out: numpy arrays that belong to the caller.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alula.base.session import OpenOptions, Session
from alula.base.settings import read_settings
from alula.base.tensors import TensorSpec
from alula.engine.importers.onnx_facts import ModelFacts, read_facts
from alula.engine.passes.order import PASSES
from alula.engine.sessions.opener import open_model
from alula.engine.sessions.values import ANY_SHAPE, owned
from alula.onnxruntime.errors import OnnxRuntimeError, refused, translated
from alula.onnxruntime.options import GraphOptimizationLevel, RunOptions, SessionOptions
from alula.onnxruntime.process import CPU
from alula.onnxruntime.values import IOBinding, OrtValue, feeds_of, tensor_type


@dataclass(frozen=True)
class NodeArg:
    """An input or output.

    Attributes:
        type: such as `tensor(float)` or `seq(tensor(int64))`.
        shape: a number for a fixed dimension, text for a symbolic one, None for one without a name; empty where the
            model says nothing.
    """

    name: str
    type: str
    shape: list[int | str | None]


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
        with translated():
            path = self._file(path_or_bytes)
            self._facts: ModelFacts = read_facts(path)
            self._first = _open(path, self._options)
        self._dtypes = {spec.name: spec.dtype for spec in self._first.inputs if spec.name not in self._facts.kinds}
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
            ValueError: an input is missing.
            InvalidArgument: a name, type or shape does not fit.
        """
        del run_options
        names = self._wanted(output_names)
        given = list(input_feed.keys())
        missing = [spec.name for spec in self._first.inputs if spec.name not in given]
        if missing:
            raise ValueError(f"Required inputs ({missing}) are missing from input feed ({given}).")
        feeds = feeds_of(input_feed, self._dtypes)
        with translated(), self._one() as session:
            results = session.run(feeds)
            return [owned(results[name]) for name in names]

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any], Any, str], None],
        user_data: Any,  # noqa: ANN401  the script's own
        run_options: RunOptions | None = None,
    ) -> None:
        """Compute outputs on a thread of their own, which then calls `callback`.

        Args:
            output_names: as for `run`.
            input_feed: as for `run`.
            callback: gets the outputs (none after an error), `user_data`, and the error's text (empty without one).
            user_data: handed to `callback` as it is.
            run_options: no effect.
        """

        def work() -> None:
            try:
                results, problem = self.run(output_names, input_feed, run_options), ""
            except (OnnxRuntimeError, ValueError) as error:
                results, problem = [], str(error)
            callback(results, user_data, problem)

        threading.Thread(target=work, name="alula run_async", daemon=True).start()

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
            RuntimeError: nothing is bound to be computed, or something bound does not fit.
        """
        del run_options
        if not iobinding.targets:
            raise refused("InvalidArgument", "At least one output should be requested.")
        targets = {name: array for name, array in iobinding.targets.items() if array is not None}
        feeds = feeds_of(iobinding.inputs, self._dtypes)
        with translated(), self._one() as session:
            results = session.run(feeds, targets)
            iobinding.results = {
                name: owned(results[name]) if target is None else target for name, target in iobinding.targets.items()
            }

    def get_inputs(self) -> list[NodeArg]:
        """What `run` needs."""
        return [self._argument(spec) for spec in self._first.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """What `run` gives."""
        return [self._argument(spec) for spec in self._first.outputs]

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

    def get_profiling_start_time_ns(self) -> int:
        """0: nothing is profiled."""
        return 0

    def _file(self, source: str | os.PathLike[str] | bytes) -> Path:
        """The model's path; bytes go into a folder that lives as long as the session."""
        if not isinstance(source, (bytes, bytearray, memoryview)):
            return Path(source)
        folder = tempfile.mkdtemp(prefix="alula-model-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / "model.onnx"
        path.write_bytes(source)
        return path

    def _argument(self, spec: TensorSpec) -> NodeArg:
        """What the model says of an end; the importer's own symbols, as `x_0`, stand for dimensions without a name."""
        shape = () if spec.shape == ANY_SHAPE else spec.shape
        dims = [None if dim == f"{spec.name}_{axis}" else dim for axis, dim in enumerate(shape)]
        return NodeArg(spec.name, _TYPES[self._facts.kinds.get(spec.name, "")].format(tensor_type(spec.dtype)), dims)

    def _wanted(self, names: Sequence[str] | None) -> list[str]:
        """The outputs to compute, in order."""
        known = [spec.name for spec in self._first.outputs]
        if isinstance(names, str):
            raise TypeError(f"output_names needs a list of names, got the text {names!r}")
        wrong = [name for name in names or () if name not in known]
        if wrong:
            raise refused("InvalidArgument", f"Invalid output name:{wrong[0]}")
        return list(names or known)

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
    named = {spec.name: _bound(spec, options.free_dimensions) for spec in session.inputs}
    known = {name: shape for name, shape in named.items() if shape is not None}
    if all(known.get(spec.name, spec.shape) == spec.shape for spec in session.inputs):
        return session
    session.close()
    return open_model(path, replace(wanted, shapes=known), settings)


def _bound(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """The shape of an input when its symbols have these sizes; None where one has none."""
    shape = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape]
    numbers = tuple(dim for dim in shape if isinstance(dim, int))
    return numbers if len(numbers) == len(shape) else None


# How ONNX Runtime writes the type of an end, by its kind; the type of its tensors goes between.
_TYPES = {"": "{}", "sequence": "seq({})", "optional": "optional({})"}
