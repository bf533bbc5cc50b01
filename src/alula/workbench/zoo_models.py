"""Models by short name, built once and kept in the cache.

In: a path, or a name such as `lite0` or `resnet50`. Out: the path of an ONNX file.

The convolutional networks that the onnx package carries for graph compilers have made-up constant weights; for speed
they get random ones after He et al., "Delving Deep into Rectifiers", 2015: normal with variance 2 / fan-in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from alula.base.errors import MissingError
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node
from alula.engine.importers.onnx import load_onnx
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.operators.evaluate import evaluate
from alula.workbench.efficientnet_lite import LITE0, LITE1, LITE2, efficientnet_lite
from alula.workbench.zoo import default_cache

# Short name, and the file inside the onnx package.
LIGHT_MODELS = {
    "alexnet": "light_bvlc_alexnet.onnx",
    "densenet121": "light_densenet121.onnx",
    "inception1": "light_inception_v1.onnx",
    "inception2": "light_inception_v2.onnx",
    "resnet50": "light_resnet50.onnx",
    "shufflenet": "light_shufflenet.onnx",
    "squeezenet": "light_squeezenet.onnx",
    "vgg19": "light_vgg19.onnx",
    "zfnet": "light_zfnet512.onnx",
}

# Short name, and the network with its published weights.
LITE_MODELS = {"lite0": LITE0, "lite1": LITE1, "lite2": LITE2}

_HALVED = 0.5
_REVISION = 3  # of the random weights: a new number makes cached files anew
_OPSET = 9  # of the files inside the onnx package


def find_model(name: str, progress: Callable[[str, int, int], None]) -> Path:
    """The model file that a word means.

    Raises:
        MissingError: there is neither such a file nor such a name.
    """
    path = Path(name)
    if path.is_file():
        return path
    folder = default_cache() / "models"
    if name in LITE_MODELS:
        return efficientnet_lite(LITE_MODELS[name], progress=lambda text: progress(text, 0, 1))
    if name in LIGHT_MODELS:
        kept = folder / f"{name}-random-{_REVISION}.onnx"
        if not kept.is_file():
            progress("build", 0, 1)
            folder.mkdir(parents=True, exist_ok=True)
            fresh = kept.with_suffix(f".{name}.new")
            write_onnx(random_weights(load_onnx(light_model(name))), fresh, _OPSET)
            fresh.replace(kept)
        return kept
    known = ", ".join([*LITE_MODELS, *LIGHT_MODELS])
    raise MissingError(f"model {name}", "needs a file or a known name", "it is neither", f"one of {known}")


def light_model(name: str) -> Path:
    """The file of a light model inside the onnx package, whose code is not loaded.

    Raises:
        MissingError: the package is not installed.
    """
    found = find_spec("onnx")
    if found is None or found.origin is None:
        raise MissingError(f"model {name}", "needs the onnx package", "it is not installed", "pip install onnx")
    return Path(found.origin).parent / "backend" / "test" / "data" / "light" / LIGHT_MODELS[name]


def random_weights(graph: Graph, seed: int = 0) -> Graph:
    """The graph with its constant-filled tensors replaced: weights random, biases 0, normalisation as the identity."""
    generator = np.random.default_rng(seed)
    constants = dict(graph.constants)
    kept = []
    for node in graph.nodes:
        if node.op in {"ConstantOfShape", "Constant"} and all(name in constants for name in node.inputs):
            result = evaluate(node, [constants[name] for name in node.inputs])[0]
            constants[node.output] = _filled(graph, node.output, result, generator)
        else:
            kept.append(node)
    used = {name for node in kept for name in node.inputs}
    values = {name: value for name, value in graph.values.items() if name not in constants}
    constants = {name: array for name, array in constants.items() if name in used}
    return replace(graph, nodes=tuple(kept), constants=constants, values=values)


def _filled(graph: Graph, name: str, array: Array, generator: np.random.Generator) -> Array:
    """Numbers for one tensor, by the operator that reads it and the place it is read at."""
    node, place = _reader(graph, name)
    if node is None or array.dtype != np.float32:
        return array
    if node.op == "BatchNormalization":
        # Residual sums double the variance again and again; halved branches keep the answers apart from 0 and 1.
        scale = _HALVED if any(other.op == "Sum" for other in graph.nodes) else 1.0
        # scale, shift, mean, variance
        return np.full(array.shape, (0, scale, 0, 0, 1)[place], np.float32)
    if node.op in {"Conv", "Gemm"} and place == 1:
        # Some files store matrices as [1, 1, rows, columns].
        outputs = next((dim for dim in array.shape if dim > 1), 1)
        weights = generator.standard_normal(array.shape) * math.sqrt(2 * outputs / array.size)
        return np.asarray(weights, np.float32)
    return np.zeros(array.shape, np.float32) if node.op in {"Conv", "Gemm"} else array


def _reader(graph: Graph, name: str) -> tuple[Node | None, int]:
    """The node that computes with a tensor, and at which place; views between are looked through."""
    readers = graph.consumers.get(name, ())
    while readers and readers[0].op == "Reshape":
        name = readers[0].output
        readers = graph.consumers.get(name, ())
    return (readers[0], readers[0].inputs.index(name)) if readers else (None, 0)
