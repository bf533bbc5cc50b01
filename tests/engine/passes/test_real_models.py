"""The passes on whole networks: the models that the onnx package carries, their weights replaced by one number each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.pass_graphs import prepared

from alula.engine.graph.graph import Graph
from alula.engine.importers.onnx import load_onnx
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.drop_dead_nodes import drop_dead_nodes
from alula.engine.passes.order import PassOptions, optimise

_FOLDER = Path(onnx.__file__).parent / "backend/test/data/light"


def _load(name: str) -> Graph:
    return load_onnx(_FOLDER / f"light_{name}.onnx")


def _optimised(graph: Graph) -> Graph:
    return optimise(graph, PassOptions(check=True))[0]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("resnet50", {"FusedConv": 53, "MaxPool": 1, "AveragePool": 1, "Reshape": 1, "FusedMatMul": 1, "Softmax": 1}),
        ("squeezenet", {"FusedConv": 26, "Concat": 8, "MaxPool": 3, "GlobalAveragePool": 1, "Softmax": 1}),
        ("inception_v2", {"FusedConv": 69, "Concat": 10, "AveragePool": 8, "MaxPool": 5, "Reshape": 1, "FusedMatMul": 1,
                          "Softmax": 1}),
        ("densenet121", {"FusedConv": 121, "Elementwise": 62, "Concat": 58, "AveragePool": 3, "MaxPool": 1,
                         "GlobalAveragePool": 1}),
        ("shufflenet", {"FusedConv": 49, "ShuffleChannels": 16, "AveragePool": 4, "Concat": 3, "Elementwise": 3,
                        "Reshape": 1, "MaxPool": 1, "FusedMatMul": 1, "Softmax": 1}),
    ],
)  # fmt: skip
def test_networks_come_down_to_their_convolutions(name: str, wanted: dict[str, int]) -> None:
    """No BatchNormalization, activation or residual sum costs a pass over memory where a convolution can take it."""
    graph = _optimised(_load(name))

    assert Counter(node.op for node in graph.nodes) == wanted


def test_each_residual_block_ends_in_one_convolution_with_an_extra_input() -> None:
    """ResNet-50 has 16 blocks: each sum and its Relu go into the last convolution of the block."""
    graph = _optimised(_load("resnet50"))

    epilogues = Counter(str(node.formula("epilogue")) for node in graph.nodes if node.op == "FusedConv")
    joined = sum(len(node.inputs) == 4 for node in graph.nodes if node.op == "FusedConv")
    assert joined == 16
    assert epilogues["r1 = max(r0, 0.0)"] == 33
    assert epilogues["r0"] == 4


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_a_whole_network_computes_what_it_did(name: str) -> None:
    """With random weights, so that no two channels are alike; compared before Softmax, which would hide differences."""
    source = _with_random_weights(prepared(_load(name)))
    picture = np.random.default_rng(0).normal(0, 1, (1, 3, 224, 224)).astype(np.float32)

    graph = _optimised(source)

    truth = evaluate_graph(source, {source.inputs[0].name: picture})[source.outputs[0]]
    result = evaluate_graph(graph, {graph.inputs[0].name: picture})[graph.outputs[0]]
    assert np.ptp(truth) > 0.1
    np.testing.assert_allclose(result, truth, rtol=1e-3, atol=1e-4 * np.abs(truth).max())


def _with_random_weights(graph: Graph) -> Graph:
    """Weights that keep the size of activations (He et al. 2015); factors and variances around 1."""
    random = np.random.default_rng(1)
    constants = dict(graph.constants)
    for name, array in constants.items():
        if array.dtype == np.float32 and array.ndim > 1:
            scale = float(np.sqrt(2 * array.shape[0] / array.size))
            constants[name] = np.asarray(random.normal(0, scale, array.shape), np.float32)
        elif array.dtype == np.float32:
            constants[name] = np.asarray(random.uniform(0.5, 1.5, array.shape), np.float32)
    logits = graph.producers[graph.outputs[0]].inputs[0]
    return drop_dead_nodes(replace(graph, constants=constants, outputs=(logits,)))
