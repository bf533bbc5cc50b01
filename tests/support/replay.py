"""A model through the whole engine: import, passes, plan, machine code, and a run beside guard pages.

In: the bytes of a model file. Out: nothing, or what is wrong: an exception that is no AlulaError, `Difference`, a
signal.
"""

from __future__ import annotations

import ctypes
import mmap
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alula.base.errors import AlulaError
from alula.base.settings import Settings, read_settings
from alula.base.tensors import DType, TensorSpec
from alula.engine.graph.graph import Graph, nested_graphs
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.importers.onnx import read_onnx
from alula.engine.operators.chance import RANDOM
from alula.engine.operators.nested import Limits
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.order import optimise
from alula.engine.runtime.session import open_plan
from alula.engine.sessions.compiler import CompileOptions, compile_graph, needs_shapes, optimise_model, plan_model
from alula.engine.sessions.host import run_host_step
from alula.engine.sessions.reference import ReferenceSession, prepare_reference
from alula.engine.sessions.specialise import SpecialisingSession

_LIMITS = Limits(trips=1000)
_MOST_INPUT = 1 << 24
_SIZES_OF_SYMBOLS = 3
# A replay asks whether memory is touched that is not there and whether answers are roughly right; how near they are is
# asked by the tests of problems.
_RELATIVE, _ABSOLUTE = 2e-2, 2e-2
_HUGE = 1e6
_EXTREMES = (0.0, -0.0, 1e-40, 1e30, -1e30, np.inf, -np.inf, np.nan, 1e9, -1e9, 0.5, 3.0)


class Difference(Exception):  # noqa: N818  not an error of the program: the answer "not the reference's"
    """Machine code and reference do not agree."""


def optimised(data: bytes) -> Graph:
    """The model after all passes, each checked; shapes that are open stay so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph, _ = optimise(read_onnx(data), PassOptions(check=True))
    return graph


def replay(data: bytes, folder: Path) -> None:
    """All stages.

    Raises:
        AlulaError: the model is refused; as good an end as an answer.
        Difference: the answer is not the reference's.
        Exception: a mistake of alula's.
    """
    graph = read_onnx(data)
    if needs_shapes(graph, CompileOptions()) or not _is_plannable(graph):
        _run_staged(data, graph, folder)
        return
    options = CompileOptions(check=True, jobs=1)
    compile_graph(graph, folder / "model.alula", options)
    compare = not _is_random(graph) and not _is_extreme(graph)
    with open_plan(folder / "model.alula", threads=1, host=run_host_step, memory_limit=1 << 30) as session:
        for seed in range(4):
            feeds = {spec.name: _numbers(spec, seed) for spec in session.inputs}
            guarded = {name: at_the_end_of_memory(array) for name, array in feeds.items()}
            results = session.run(guarded, _targets(session.outputs))
            if compare and not seed:
                _compare(graph, feeds, {name: np.asarray(result) for name, result in results.items()})


def _is_plannable(graph: Graph) -> bool:
    try:
        plan_model(optimise_model(graph, CompileOptions())[0], CompileOptions(check=True))
    except AlulaError as error:
        if "needs values of known sizes" in str(error):
            return False
        raise
    return True


def _run_staged(data: bytes, graph: Graph, folder: Path) -> None:
    file = folder / "model.onnx"
    file.write_bytes(data)
    session = SpecialisingSession(graph, file, CompileOptions(check=True, jobs=1), _settings(folder))
    for seed in range(2):
        feeds = {spec.name: _numbers(spec, seed) for spec in session.inputs if spec.dtype is not DType.STRING}
        results = session.run(feeds)
        if not seed and not _is_random(graph) and not _is_extreme(graph):
            shown = {name: np.asarray(value) for name, value in results.items() if not isinstance(value, list)}
            _compare(graph, feeds, shown)


def _settings(folder: Path) -> Settings:
    return read_settings({"ALULA_CACHE": str(folder), "ALULA_LOOP_LIMIT": "1000", "ALULA_JOBS": "1"})


def _is_random(graph: Graph) -> bool:
    return any(
        node.op in RANDOM or node.op == "Dropout" or any(map(_is_random, nested_graphs(node))) for node in graph.nodes
    )


def _is_extreme(graph: Graph) -> bool:
    """Whether the model's own numbers are so large that answers depend on the order of operations."""
    reals = [array for array in graph.constants.values() if array.dtype.kind == "f"]
    for node in graph.nodes:
        reals += [np.asarray(value) for value in node.attributes.values() if _is_real(value)]
    with np.errstate(all="ignore"):
        return any(not bool(np.all(np.abs(array) < _HUGE)) for array in reals)


def _is_real(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")


def _numbers(spec: TensorSpec, seed: int) -> Array:
    """Seed 0: small numbers; others: numbers of all sizes among them."""
    shape = tuple(dim if isinstance(dim, int) else _SIZES_OF_SYMBOLS for dim in spec.shape)
    if np.prod(shape, dtype=object) > _MOST_INPUT:
        raise AlulaError("replay", "needs inputs that fit", f"found {spec}")
    rng = np.random.default_rng(seed)
    kind = numpy_dtype(spec.dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind.kind in "iu":
        small = rng.integers(0, 4, shape).astype(kind)
        bounds = np.iinfo(kind)
        wild = rng.choice(np.asarray([bounds.min, bounds.max, bounds.max // 2, 1, 17, 3], kind), shape)
        return np.asarray(np.where(rng.random(shape) < seed * 0.3, wild, small), kind)
    if kind.kind == "O":
        return np.full(shape, "text", object)
    plain = rng.standard_normal(shape)
    with np.errstate(all="ignore"):
        return np.asarray(np.where(rng.random(shape) < seed * 0.2, rng.choice(_EXTREMES, shape), plain)).astype(kind)


def at_the_end_of_memory(array: Array) -> Array:
    """A copy whose last byte is the last before a page that nobody may touch."""
    if not array.nbytes:
        return array
    end = _guarded(array.nbytes)[-array.nbytes :].view(array.dtype).reshape(array.shape)
    end[...] = array
    return end


def _guarded(size: int) -> Array:
    page = mmap.PAGESIZE
    pages = -(-size // page) + 1
    memory = mmap.mmap(-1, pages * page)
    whole = np.frombuffer(memory, np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if protect(whole.ctypes.data + (pages - 1) * page, page, 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    return whole[: (pages - 1) * page]


def _targets(outputs: tuple[TensorSpec, ...]) -> Mapping[str, Any]:
    """Memory for outputs that ends where memory ends."""
    shapes = {spec.name: tuple(dim for dim in spec.shape if isinstance(dim, int)) for spec in outputs}
    return {
        spec.name: at_the_end_of_memory(np.zeros(shapes[spec.name], numpy_dtype(spec.dtype)))
        for spec in outputs
        if 0 < np.prod(shapes[spec.name], dtype=object) < _MOST_INPUT
    }


def _compare(graph: Graph, feeds: Mapping[str, Array], results: Mapping[str, Array]) -> None:
    shapes = {value.name: feeds[value.name].shape for value in graph.inputs if value.name in feeds}
    reference = ReferenceSession(prepare_reference(graph, shapes), _LIMITS)
    wanted = reference.run(feeds)
    for name, result in results.items():
        want = np.asarray(wanted[name])
        if result.shape != want.shape or result.dtype != want.dtype:
            raise Difference(f"{name}: {result.dtype} {result.shape}, the reference has {want.dtype} {want.shape}")
        if want.dtype.kind in "OSU" or (want.dtype == np.uint16 and graph.value(name).dtype is not DType.UINT16):
            continue  # bits of bfloat16 are no numbers
        got, truth = result.astype(np.float64), want.astype(np.float64)
        with np.errstate(all="ignore"):
            finite = np.isfinite(truth) & (np.abs(truth) < _HUGE)
            wrong = finite & ~(np.abs(got - truth) <= _ABSOLUTE + _RELATIVE * np.abs(truth))
        if wrong.any():
            place = tuple(int(axis[0]) for axis in np.nonzero(wrong))
            raise Difference(f"{name} at {place}: {got[place]}, the reference has {truth[place]}")
